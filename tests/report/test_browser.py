"""Reports in a real browser: drawn, quiet, offline, dark, narrow.

Screenshots go to the folder that PLANNER_SCREENSHOTS names, for people to look at.
"""

import os
import shutil
from pathlib import Path

import pytest

from planner.report import html
from planner.report.page import build
from planner.report.png import BROWSERS, FLAGS, screenshot

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
PHONE, DESK = 390, 1100


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    flags = [f for f in FLAGS if f not in ("--headless", "--hide-scrollbars")]
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


class Opened:
    """A page with everything it said and asked for."""

    def __init__(self, browser, path, width, scheme):
        context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme=scheme, offline=True
        )
        self.page = context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda m: self.said.append(m.text) if m.type in ("error", "warning") else None)  # fmt: skip
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.documentElement.dataset.drawn", timeout=60_000)

    def keep(self, name):
        """Save a picture of the whole page where someone wants to look at it."""
        folder = os.environ.get("PLANNER_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory, recommended):
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(html.render(build(recommended, 1.5)), encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=[(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")],
                ids=lambda p: f"{p[0]}-{p[1]}")  # fmt: skip
def opened(request, chromium, path):
    view = Opened(chromium, path, *request.param)
    view.width, view.scheme = request.param
    view.keep(f"recommend-{view.width}-{view.scheme}")
    yield view
    view.page.context.close()


def test_the_console_is_silent_and_nothing_is_fetched(opened, path):
    assert opened.said == []
    assert opened.asked == [path.as_uri()]


def test_every_figure_is_drawn_with_its_points(opened, recommended):
    counts = opened.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".plot")].map(d => [
            d.id.replace("plot-", ""),
            {marks: d.querySelectorAll(".scatterlayer .point").length,
             bars: d.querySelectorAll(".barlayer .point").length,
             contours: d.querySelectorAll(".contourlayer .contourfill path").length,
             given: d.data.map(t => t.type === "contour" ? t.z.length : (t.x || []).length),
             height: d.getBoundingClientRect().height}]))"""
    )
    assert len(counts) == 11
    assert all(c["height"] > 150 for c in counts.values())
    front = len(recommended.pareto)
    assert counts["pareto"]["marks"] == sum(counts["pareto"]["given"])
    assert counts["pareto"]["given"][0] == front
    for name in ("contour-throughput", "contour-loss"):
        assert counts[name]["contours"] > 5
        assert counts[name]["marks"] == front + 4  # and baseline with its three picks
    for name in (
        "operating-output-tokens-per-s",
        "operating-tpot-s",
        "operating-usd-per-output-mtok",
    ):
        assert counts[name]["marks"] == sum(counts[name]["given"]) > 20
    lines = 2  # the two roofs are lines without marks
    assert counts["roofline"]["marks"] == sum(counts["roofline"]["given"][lines:]) > 8
    for name in ("time", "memory", "sensitivity"):
        assert counts[name]["bars"] == sum(counts[name]["given"]) > 0


def test_hover_shows_the_whole_shape(opened, recommended):
    if opened.width == PHONE:
        pytest.skip("a phone has no pointer to hover with")
    page = opened.page
    page.locator("#plot-pareto").scroll_into_view_if_needed()
    point = page.locator("#plot-pareto .scatterlayer .trace").last.locator(".point").first
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot-pareto .hoverlayer .hovertext", timeout=5000)
    text = page.locator("#plot-pareto .hoverlayer").text_content()
    shown = {c.name.replace("_", " "): c for c in recommended.picks.values() if c}
    pick = next(c for name, c in shown.items() if text.startswith(name))
    for part in (f"d_model {pick.d_model}", f"n_heads {pick.n_heads}", "GQA", "TPOT", "KV"):
        assert part in text


def test_the_page_fits_its_window(opened):
    assert opened.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    wide = opened.page.evaluate(
        """() => [...document.querySelectorAll("main p, h1, h2, figure, .plot, svg.main-svg")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName)"""
    )
    assert wide == []


LUMINANCE = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const lum = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const worst = [];
  for (const e of document.querySelectorAll("h1,h2,p,dt,dd,a,th,td,li,summary,button,figcaption,caption,footer,pre")) {
    const style = getComputedStyle(e);
    if (!e.textContent.trim() || style.visibility === "hidden") continue;
    const [a, b] = [lum(parse(style.color)), lum(back(e))];
    worst.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.textContent.trim().slice(0, 30)]);
  }
  return worst.sort((x, y) => x[0] - y[0])[0];
}"""


def test_text_has_contrast(opened):
    """4.5 to 1 or better, as WCAG AA asks of body text."""
    ratio, tag, text = opened.page.evaluate(LUMINANCE)
    print(f"\n{opened.width} {opened.scheme}: least contrast {ratio:.1f} ({tag}: {text})")
    assert ratio >= 4.5


def test_the_theme_follows_the_system_and_the_button(opened):
    page = opened.page
    theme = "document.documentElement.dataset.theme"
    ink = "document.querySelector('#plot-pareto').layout.font.color"
    assert page.evaluate(theme) == opened.scheme
    before = page.evaluate(ink)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(f"{ink} !== '{before}'")
    assert page.evaluate(theme) != opened.scheme
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(f"{ink} === '{before}'")


def test_the_keyboard_reaches_everything(chromium, path):
    """Tab from the top: the skip link first, then every link, fold and table."""
    page = Opened(chromium, path, DESK, "light").page
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.className || document.activeElement.tagName")
        )
        if seen[-1] == "BODY":
            break
    assert seen[0] == "skip"
    assert {"A", "BUTTON", "SUMMARY", "table", "PRE"} <= set(seen)


def test_print_is_light_and_whole(chromium, path):
    view = Opened(chromium, path, DESK, "dark")
    pdf = view.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    assert view.said == []
    view.page.context.close()


def test_every_kind_draws_without_a_word(chromium, tmp_path, samples):
    for result in samples.values():
        file = tmp_path / f"{result.kind}.html"
        file.write_text(html.render(build(result)), encoding="utf-8")
        view = Opened(chromium, file, DESK, "light")
        view.keep(result.kind)
        assert view.said == [] and view.asked == [file.as_uri()]
        view.page.context.close()


def test_hostile_names_stay_text(chromium, tmp_path, recommended, spoiled):
    result = spoiled(recommended)
    file = tmp_path / "hostile.html"
    file.write_text(html.render(build(result)), encoding="utf-8")
    view = Opened(chromium, file, DESK, "light")
    view.page.on("dialog", lambda d: view.said.append(f"dialog {d.message}"))
    view.page.wait_for_timeout(300)
    assert view.said == [] and view.page.locator("img[src=x]").count() == 0
    view.page.context.close()


def test_png(chromium, tmp_path, predicted):
    out = tmp_path / "page.png"
    screenshot(html.render(build(predicted)), out, height=2000)
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 30_000
