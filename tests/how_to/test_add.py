"""What it takes to add a thing: every how-to page is followed in a copy, and its files are counted."""

import pytest
from follow import ROOT, PageError, copy_project, follow

PAGES = ROOT / "docs" / "how-to"
MOST = {  # page: files it may touch
    "add-layer-kind": 3,
    "add-engine-version": 1,
    "add-device": 1,
    "add-model": 1,
    "describe-a-model": 1,
    "add-number-format": 1,
    "add-metric": 1,
    "add-loss-term": 2,
    "add-option": 1,
    "change-default-device": 1,
}


QUICK = ("add-device",)  # the others run several commands each


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MOST]
)
def test_a_page_leads_where_it_says(name, tmp_path, record_testsuite_property):
    touched = follow(PAGES / f"{name}.md", copy_project(tmp_path))
    print(f"{name.replace('-', ' ')}: {len(touched)} files (at most {MOST[name]})")
    record_testsuite_property(name, len(touched))
    assert 1 <= len(touched) <= MOST[name], sorted(touched)


def test_every_page_that_adds_something_is_followed():
    assert {p.stem for p in PAGES.glob("add-*.md")} <= set(MOST)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("<!-- file: a.py -->\n```python\n```\n", "nothing to run"),
        ("<!-- run -->\n```sh\nfalse\n```\n", "failed"),
        ("<!-- prints: seven -->\n<!-- run -->\n```sh\necho eight\n```\n", "did not print"),
        ("<!-- after: planner/units.py: no such line -->\n```\nx\n```\n<!-- run -->\n```sh\ntrue\n```\n",
         "no line of units.py"),
        ("<!-- after: planner/nothing.py: x -->\n```\nx\n```\n<!-- run -->\n```sh\ntrue\n```\n",
         "there is no nothing.py"),
    ],
)  # fmt: skip
def test_a_wrong_page_is_caught(page, why, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(page)
    copy = copy_project(tmp_path / "copy")
    with pytest.raises(PageError, match=why):
        follow(path, copy)
