"""The page of sliders in a real browser: it answers without asking anyone, by mouse and by keyboard."""

import json
import re

import pytest

from planner.errors import SpecError
from planner.report import explore as grids
from planner.report import html
from planner.report.page import build, exploring
from tests.report.test_browser import DESK, PHONE, Opened, chromium  # noqa: F401

pytestmark = pytest.mark.browser
WIDE = 1280


@pytest.fixture(scope="module")
def small(recommended):
    """Return a grid of few cells, as every one is made alike."""
    patch = pytest.MonkeyPatch()
    for name, value in {
        "SIZES": (1.0, 2.0), "IN_FLIGHT": (1, 64), "LENGTHS": ((512, 128), (10**7, 128)),
        "DEVICES": ("h100-sxm",), "FORMATS": ("bf16", "fp8"),
    }.items():  # fmt: skip
        patch.setattr(grids, name, value)
    yield exploring(recommended, build(recommended))
    patch.undo()


def test_a_cell_is_what_the_evaluation_says(small, recommended):
    import planner as pl

    grid = next(s.sliders for s in small.sections if s.sliders)
    axes = grid["axes"]
    size, device = axes["params"].index("1.00B"), axes["device"].index("h100-sxm")
    cell = grid["cells"][size][device][axes["dtype"].index("bf16")][1][-1]
    shape = recommended.baseline.model
    asked = {"on": "h100-sxm", "input_tokens": 512, "output_tokens": 128, "concurrency": 64}
    r = pl.Resolved.of(pl.Scenario.of(shape, pl.conditions(**asked)), None)
    e = pl.Evaluation(r, shape.arch())
    for k, m in enumerate(grid["metrics"]):
        assert cell[k][0] == pytest.approx(float(e[m["name"]]), rel=1e-3), m["name"]
    assert set(grid["cells"][size][device][0][-1][-1][0]) == {
        None
    }  # ten million tokens fit nowhere


def test_only_a_recommendation_has_sliders(predicted):
    with pytest.raises(SpecError):
        exploring(predicted, build(predicted))


@pytest.fixture(params=[(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")],
                ids=lambda p: f"{p[0]}-{p[1]}")  # fmt: skip
def opened(request, chromium, small, tmp_path):  # noqa: F811
    path = tmp_path / "sliders.html"
    path.write_text(html.render(small), encoding="utf-8")
    view = Opened(chromium, path, *request.param)
    view.path = path
    view.keep(f"sliders-{request.param[0]}-{request.param[1]}")
    yield view
    view.page.context.close()


def test_sliders_answer_alone(opened):
    page = opened.page
    told = lambda: page.locator("#x-told").text_content()
    assert re.match(
        r"Best here: \d+ × \d+, .* output tokens/s, [\d.]+× the baseline’s; loss", told()
    )
    before, marks = told(), page.locator("#plot-explore .scatterlayer .point").count()
    assert marks > 3
    page.locator("#x-concurrency").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#o-concurrency").text_content() == "1" and told() != before
    page.keyboard.press("Tab")
    page.locator("#x-device").press("ArrowRight")
    assert page.locator("#o-device").text_content() == "h100-sxm"
    assert page.locator("#x-device").get_attribute("aria-valuetext") == "h100-sxm"
    rows = page.locator("#x-rows tr").count()
    assert 2 <= rows <= 4 and "best here" in page.locator("#x-rows").text_content()
    page.locator("#x-device").press("ArrowLeft")
    page.locator("#x-lengths").press("End")
    assert "does not fit" in told() and page.locator("#x-rows tr").count() == 0
    page.locator("#x-lengths").press("Home")
    page.locator("#x-params").press("ArrowRight")
    assert "Best here" in told()
    assert opened.said == [] and opened.asked == [opened.path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_every_cell_can_be_reached_and_says_something(opened):
    """Whatever the sliders say, there is an answer or a refusal, and never a fault."""
    grid = json.loads(opened.page.locator("#grid").text_content())
    stops = {n: len(v) for n, v in grid["axes"].items()}
    texts = opened.page.evaluate(
        """(stops) => {
          const names = Object.keys(stops), said = [];
          const walk = (k) => {
            if (k === names.length) { said.push(document.getElementById("x-told").textContent); return; }
            for (let i = 0; i < stops[names[k]]; i++) {
              const c = document.getElementById("x-" + names[k]);
              c.value = i; c.dispatchEvent(new Event("input")); walk(k + 1);
            }
          };
          walk(0);
          return said;
        }""",
        stops,
    )
    assert len(texts) == len([1 for _ in texts if _]) and len(set(texts)) > len(texts) / 3
    assert opened.said == []
