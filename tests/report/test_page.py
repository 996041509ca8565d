"""Pages: every part is there, nothing comes from outside, and no name can add markup."""

import copy
import json
import re
import time

import pytest

from planner.errors import SpecError
from planner.report import html, markdown
from planner.report.page import build

SECTIONS = [
    "answer",
    "front",
    "maps",
    "operating",
    "roofline",
    "time",
    "memory",
    "sensitivity",
    "warnings",
    "basis",
    "command",
]


def figures(text):
    found = re.search(
        r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL
    )
    return json.loads(found[1])


def test_a_recommendation_has_every_part(recommended):
    page = build(recommended, 1.5)
    expected = [n for n in SECTIONS if n != "warnings" or recommended["warnings"]]
    assert [s.name for s in page.sections] == expected
    text = html.render(page)
    drawn = figures(text)
    assert set(drawn) == {
        "pareto",
        "contour-throughput",
        "contour-loss",
        "operating-throughput",
        "operating-tpot",
        "operating-cost",
        "roofline",
        "time",
        "memory",
        "sensitivity",
    }
    front = next(t for t in drawn["pareto"]["data"] if t["name"] == "Pareto front")
    assert len(front["x"]) == len(recommended["pareto"])
    assert recommended["command"] in text
    assert recommended["picks"]["fastest"]["why"].partition(".")[0] in text.replace("&amp;", "&")


def test_known_models_stand_on_the_front(recommended):
    drawn = figures(html.render(build(recommended, 1.5)))
    known = next(t for t in drawn["pareto"]["data"] if t["name"] == "known models")
    assert {"llama-3.2-1b", "panda-1b", "surefire-1b"} <= set(known["text"])


def test_the_figures_agree_with_the_result(recommended):
    """What is computed again for the page is what the result says."""
    drawn = figures(html.render(build(recommended, 1.5)))
    pick = recommended["picks"]["fastest"]
    star = next(t for t in drawn["pareto"]["data"] if t["name"] == "fastest")
    assert star["x"] == [pick["output_tokens_per_s"]["value"]]
    curve = next(t for t in drawn["operating-throughput"]["data"] if t["name"] == "fastest")
    batch = recommended["inputs"]["workload"]["batch"]
    at = dict(zip(curve["x"], curve["y"], strict=True))
    near = min(at, key=lambda x: abs(x - batch))
    assert at[near] == pytest.approx(pick["output_tokens_per_s"]["value"], rel=0.12)
    memory = {t["name"]: t for t in drawn["memory"]["data"]}
    row = memory["weights"]["y"].index("fastest")
    assert memory["weights"]["x"][row] == pytest.approx(pick["weight_bytes"] / 1e9, rel=1e-4)


def test_a_page_is_one_small_file_that_fetches_nothing(recommended, predicted):
    for result in (recommended, predicted):
        text = html.render(build(result))
        assert len(text.encode()) < 5_000_000
        own = text.replace(html.asset("plotly-cartesian.min.js"), "")
        assert not re.search(r'(src|href)="(?!#|data:)', own)
        assert "default-src 'none'" in own
        assert 'lang="en"' in own and own.count("<h1") == 1


def test_a_report_takes_less_than_two_seconds(recommended):
    started = time.process_time()
    text = html.render(build(recommended, 1.5))
    took = time.process_time() - started
    print(f"\nreport: {took:.2f} s of CPU, {len(text) / 1e6:.2f} MB")
    assert took < 2


def test_every_figure_says_what_it_shows(recommended):
    page = build(recommended, 1.5)
    for figure in (f for s in page.sections for f in s.figures):
        assert len(figure.alt) > 20
    text = html.render(page)
    assert text.count('role="img" aria-label="') == len(figures(text))


@pytest.mark.parametrize("kind", ["what-if", "budget", "validate", "fit"])
def test_every_kind_has_a_page(kind, samples):
    page = build(samples[kind])
    text = html.render(page)
    assert figures(text)
    assert markdown.render(page).startswith("# ")


@pytest.mark.parametrize("kind", ["what-if", "budget", "validate", "fit"])
def test_a_result_without_its_parts_still_reads_or_says_what_is_missing(kind):
    empty = {"schema": 1, "kind": kind, "inputs": {}}
    try:
        html.render(build(empty))
    except SpecError as error:
        assert kind in str(error)


@pytest.mark.parametrize("which", ["recommend", "predict", "what-if", "budget", "validate"])
def test_markup_in_names_is_shown_and_never_run(which, samples, spoiled):
    result = spoiled(copy.deepcopy(samples[which]))
    page = build(result)
    text = html.render(page)
    own = text.replace(html.asset("plotly-cartesian.min.js"), "").replace(html.asset("page.js"), "")
    assert "<img" not in own and "<script>alert" not in own
    assert "&lt;img src=x" in own
    for figure in figures(text).values():  # Plotly reads tags in its texts
        assert "<img" not in json.dumps(figure)
    md = markdown.render(page)
    body = re.sub(r"^(`{3,})sh\n.*?\n\1$", "", md, flags=re.MULTILINE | re.DOTALL)
    assert "<img" not in body and "<script" not in body


def test_plotly_takes_every_figure(samples):
    """The Python twin of Plotly.js knows every attribute; a misspelt one is an error there."""
    go = pytest.importorskip("plotly.graph_objects")
    for result in samples.values():
        for figure in figures(html.render(build(result))).values():
            go.Figure({"data": figure["data"], "layout": figure["layout"]})
