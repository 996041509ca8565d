"""Every command shown in README, docs and examples runs and prints what is shown."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("blocks", ROOT / "docs/blocks.py")
assert _SPEC and _SPEC.loader
blocks = sys.modules["blocks"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(blocks)

PAGES = blocks.documents()


def names(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_every_command_shown_says_how_it_is_checked(path):
    assert blocks.unmarked(path) == []


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) for p in PAGES],
    ids=names,
)
def test_shown_output_is_what_the_command_prints(path):
    _, stale = blocks.renew(path)
    assert not stale, "\n".join(f"{s.command}\n{s.diff}" for s in stale)


def page(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_a_stale_block_is_found_and_renewed(tmp_path):
    path = page(tmp_path, "<!-- run: echo new -->\n```text\n$ echo new\nold\n```\n")
    text, stale = blocks.renew(path)
    assert [s.command for s in stale] == ["echo new"]
    assert text == "<!-- run: echo new -->\n```text\n$ echo new\nnew\n```\n"
    path.write_text(text)
    assert blocks.renew(path) == (text, [])


def test_wall_times_do_not_make_a_block_stale(tmp_path):
    path = page(tmp_path, "<!-- output: echo 5 rows in 0.31 s -->\n```\n5 rows in 9.99 s\n```\n")
    assert blocks.renew(path)[1] == []


def test_a_failing_command_is_an_error_unless_expected(tmp_path):
    with pytest.raises(RuntimeError, match="exits 3, not 0"):
        blocks.renew(page(tmp_path, "<!-- runs -->\n```sh\nexit 3\n```\n"))
    _, stale = blocks.renew(
        page(tmp_path, "<!-- output exit=3: echo no >&2; exit 3 -->\n```\nno\n```\n")
    )
    assert stale == []


def test_python_blocks_run_and_their_output_is_checked(tmp_path):
    text = "<!-- python -->\n```python\nprint(6 * 7)\n```\n<!-- prints -->\n```text\n42\n```\n"
    assert blocks.renew(page(tmp_path, text)) == (text, [])


def test_commands_of_a_page_share_a_folder(tmp_path):
    text = "<!-- runs -->\n```sh\necho hi > a.txt  # written\n```\n<!-- run: cat a.txt -->\n```\n$ cat a.txt\nhi\n```\n"
    assert blocks.renew(page(tmp_path, text))[1] == []


def test_a_command_nobody_checks_is_named(tmp_path):
    path = page(
        tmp_path, "```sh\nplanner recommend\n```\n<!-- not run: demo -->\n```sh\nplanner x\n```\n"
    )
    assert blocks.unmarked(path) == ["planner recommend"]
