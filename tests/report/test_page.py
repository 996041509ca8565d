"""Pages: every part is there, nothing comes from outside, and no name can add markup."""

import json
import re
import subprocess
import sys
import time

import pytest

import planner
from planner.inputs.question import Question
from planner.metrics import METRICS
from planner.questions.predict import predict
from planner.questions.recommend.recommend import recommend
from planner.report import html, markdown, rows
from planner.report.asked import evaluations, models, resolved
from planner.report.explain.derive import derive
from planner.report.page import build
from planner.report.render import render
from planner.report.ui.model import answer
from planner.results import Warned, check_result

SECTIONS = [
    "answer",
    "front",
    "maps",
    "operating",
    "roofline",
    "time",
    "memory",
    "sensitivity",
    "serve",
    "config",
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
    expected = [n for n in SECTIONS if n != "warnings" or recommended.warnings]
    assert [s.name for s in page.sections] == expected
    text = html.render(page)
    drawn = figures(text)
    assert set(drawn) == {
        "pareto",
        "contour-throughput",
        "contour-loss",
        "operating-output-tokens-per-s",
        "operating-ttft-s",
        "operating-tpot-s",
        "operating-usd-per-output-mtok",
        "roofline",
        "time",
        "memory",
        "sensitivity",
    }
    front = next(t for t in drawn["pareto"]["data"] if t["name"] == "Pareto front")
    assert len(front["x"]) == len(recommended.pareto)
    assert recommended.command in text
    assert recommended.picks["recommended"].why.partition(".")[0] in text.replace("&amp;", "&")


def test_known_models_stand_on_the_front(recommended):
    drawn = figures(html.render(build(recommended, 1.5)))
    known = next(t for t in drawn["pareto"]["data"] if t["name"] == "known models")
    told = " ".join(known["hovertext"])
    assert all(name in told for name in ("llama-3.2-1b", "panda-1b", "surefire-1b"))
    said = [
        (x, y) for x, y, text in zip(known["x"], known["y"], known["text"], strict=True) if text
    ]
    across, down = (max(v) - min(v) for v in (known["x"], known["y"]))
    assert said  # labels do not lie on each other
    for i, (x, y) in enumerate(said):
        for u, v in said[:i]:
            assert abs(x - u) > 0.1 * across or abs(y - v) > 0.03 * down


def test_the_figures_agree_with_the_result(recommended):
    """What is computed again for the page is what the result says."""
    drawn = figures(html.render(build(recommended, 1.5)))
    pick = recommended.picks["recommended"]
    star = next(t for t in drawn["pareto"]["data"] if t["name"] == "recommended")
    assert star["x"] == [pick.output_tokens_per_s.value]
    curve = next(
        t for t in drawn["operating-output-tokens-per-s"]["data"] if t["name"] == "recommended"
    )
    batch = recommended.inputs.workload.batch
    at = dict(zip(curve["x"], curve["y"], strict=True))
    near = min(at, key=lambda x: abs(x - batch))
    assert at[near] == pytest.approx(pick.output_tokens_per_s.value, rel=0.12)
    memory = {t["name"]: t for t in drawn["memory"]["data"]}
    row = memory["weights"]["y"].index("recommended")
    assert memory["weights"]["x"][row] == pytest.approx(pick.weight_bytes.value / 1e9, rel=1e-4)


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


@pytest.mark.parametrize("medium", ["terminal", "notebook", "markdown", "html"])
@pytest.mark.parametrize("kind", ["recommend", "predict", "what-if", "budget", "validate", "fit"])
def test_every_kind_shows_its_warnings_and_basis_in_every_medium(kind, medium, samples):
    result = samples[kind]
    said = Warned(code="test", message="mind the gap")
    text = render(result.model_copy(update={"warnings": (said,)}), medium)
    assert "mind the gap" in text
    assert all(f"{k}: " in text for k in result.basis)


def test_a_fit_without_its_parts_still_reads():
    text = html.render(build(check_result({"schema": 2, "kind": "fit", "basis": "mine"})))
    assert "fit: mine" in text


@pytest.mark.parametrize("which", ["recommend", "predict", "what-if", "budget", "validate"])
def test_markup_in_names_is_shown_and_never_run(which, samples, spoiled):
    result = spoiled(samples[which])
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


@pytest.mark.slow
def test_plotly_takes_every_figure(samples):
    """The Python twin of Plotly.js knows every attribute; a misspelt one is an error there."""
    go = pytest.importorskip("plotly.graph_objects")
    for result in samples.values():
        for figure in figures(html.render(build(result))).values():
            go.Figure({"data": figure["data"], "layout": figure["layout"]})


@pytest.fixture(scope="module")
def with_depth():
    """Return a search over depths, where depth acts on the loss."""
    asked = Question(params=1e9, tokens=1e11, layers=(10, 12), gqa=(4, 8))
    return recommend(asked, command="planner recommend --layers auto")


@pytest.mark.slow
def test_every_medium_shows_the_results_own_loss(with_depth):
    """Recomputed for a page, a derivation or the sliders, it is the result's to the last digit."""
    pick = with_depth.picks["fastest"]
    told = pick.loss.value
    at = evaluations(models(with_depth), resolved(with_depth))
    assert float(at["fastest"]["loss"]) == pytest.approx(told, rel=1e-14)
    assert derive("loss", at["fastest"]).steps[0].value == pytest.approx(told, rel=1e-14)
    assert f"{told:.3f}" in render(with_depth) and f"{told:.3f}" in render(with_depth, "markdown")
    drawn = figures(render(with_depth, "html"))["pareto"]["data"]
    assert next(t for t in drawn if t["name"] == "fastest")["y"] == [told]
    view = answer(with_depth.inputs, {"d_model": pick.d_model, "r": 2.0, "gqa": 4.0})
    assert view.shapes["fastest"].loss.value == told
    assert view.shapes["yours"].n_layers == with_depth.baseline.n_layers


def test_untied_embeddings_come_from_the_model():
    """Qwen3-8B has an LM head of its own: the page's weights are the result's, not a guess."""
    result = predict("qwen3-8b", on="h100-sxm")
    memory = figures(render(result, "html"))["memory"]["data"]
    weights = next(t for t in memory if t["name"] == "weights")
    assert weights["x"] == [pytest.approx(result.candidate.weight_bytes.value / 1e9, rel=1e-4)]


ADDED = """
import json
from planner import metrics

sevens = metrics.Metric("sevens", "", "sevens", "always seven", lambda v: 7.0 + 0 * v["n_devices"], keep=8)
metrics.METRICS["sevens"] = sevens
metrics.SERVING = (*metrics.SERVING, "sevens")  # as the table's own line would

from planner import predict, render, what_if
from planner.inputs.question import Question
from planner.report.ui.model import answer
from planner.results import Warned, check_result, json_schema

one, many = predict("llama-3.2-1b"), what_if("llama-3.2-1b", ["concurrency=1,2"])
for result in (one, many):
    assert check_result(json.loads(json.dumps(result.to_dict()))) == result
    assert result.rows()[0]["sevens"] == 7.0
    assert "sevens" in render(result)
    assert "sevens" in render(result, "markdown")
assert one.to_dict()["sevens"] == 7.0 and "sevens" in json_schema("predict")["properties"]
head = next(line for line in render(many).splitlines() if line.startswith("concurrency"))
assert "sevens" in head
view = answer(Question(params=1e9, tokens=1e11))
assert ["sevens", "7.00"] in [[str(cell) for cell in row[:2]] for row in view.table.rows]
assert "sevens 7.00" in view.front.data[0]["hovertext"][0]
assert "operating-sevens" in render(one, "html")
"""


@pytest.mark.slow
def test_a_metric_added_to_the_table_shows_everywhere():
    """One record, and terminal, CSV, JSON, its schema, page, hover and sliders have it."""
    run = subprocess.run([sys.executable, "-c", ADDED], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_table_gives_up_columns_and_never_digits(width, varied, budgeted, recommended):
    for result in (varied, budgeted, recommended):
        text = render(result, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    line = next(x for x in render(varied, width=width).splitlines() if x.startswith("4  "))
    speed, first, each = (rows.metric(METRICS[n], varied.points[4].metrics[n]).value
                          for n in ("output_tokens_per_s", "ttft_s", "tpot_s"))  # fmt: skip
    for number in (speed, first, each):
        assert number in line


def test_a_refused_setting_says_why(varied):
    for medium in ("terminal", "markdown", "html"):
        text = " ".join(render(varied, medium, width=100).split())
        assert "tp 3: --tp 3 cannot cut" in text


def test_limits_and_shapes_asked_about_are_shown():
    asked = Question(params=1e9, tokens=1e11, tpot_s=0.012, gqa=(4, 8))
    shape = "d_model=2048,n_heads=32,n_kv_heads=8,d_ff=8192"
    result = recommend(asked, why_not=[shape])
    for medium in ("terminal", "markdown"):
        text = render(result, medium, width=100).replace("\\", "")
        assert "What the limits refused" in text and "--tpot" in text and "12.0 ms" in text
        dropped = next(d for d in result.dropped if d.limit == "--tpot")
        assert dropped.n > 0 and f"{dropped.n:,}" in text
        assert f"Why not {shape}" in text and "it breaks" in text


def test_users_and_engine_times_stand_beside_each_other(predicted, recommended):
    for result in (predicted, recommended):
        text = render(result)
        for words in ("TTFT  ", "TPOT  ", "TTFT, idle engine", "decode step", "end to end"):
            assert words in text


def test_a_notebook_shows_the_terminals_text_as_html(predicted):
    cell = planner.render(predicted, "notebook")
    assert cell._repr_html_().startswith("<pre") and "TTFT, idle engine" in cell
