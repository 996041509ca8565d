"""A page as one self-contained HTML file: styles, script, Plotly.js and figures inlined."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from planner.report.parts import Figure, Grid, Page, Section, esc
from planner.report.shell import shown

# Nothing may be fetched: the page says so to the browser, which then enforces it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)


def render(page: Page) -> str:
    """Return the whole file."""
    from planner import __version__

    figures = [f for s in page.sections for f in s.figures]
    return asset("page.html").format(
        policy=_POLICY,
        version=esc(__version__),
        title=esc(page.title),
        subtitle=esc(page.subtitle),
        facts="".join(f'<p class="headline">{esc(line)}</p>' for line in page.headline)
        + _facts(page),
        links=" ".join(f'<a href="#{s.name}">{esc(s.title)}</a>' for s in page.sections),
        sections="\n".join(_section(s) for s in page.sections),
        figures=_json({f.name: _plain(f) for f in figures}),
        css=asset("page.css"),
        plotly=asset("plotly-cartesian.min.js") if figures else "",
        script=asset("explore.js") * any(s.sliders for s in page.sections) + asset("page.js"),
    )


def asset(name: str) -> str:
    """Return the text of a file that ships beside this module."""
    return files("planner.report").joinpath("assets", name).read_text(encoding="utf-8")


def _plain(figure: Figure) -> dict[str, Any]:
    return {"data": list(figure.data), "layout": dict(figure.layout), "height": figure.height}


def _json(value: Any) -> str:
    """Return JSON that no text inside can break out of its script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _facts(page: Page) -> str:
    if not page.facts:
        return ""
    cells = (f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in page.facts.items())
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _section(s: Section) -> str:
    head = f'<section id="{s.name}" aria-labelledby="h-{s.name}">'
    parts = [
        head,
        f'<h2 id="h-{s.name}">{esc(s.title)}</h2>',
        *(f"<p>{esc(p)}</p>" for p in s.text),
    ]
    if s.items:
        parts.append("<ul>" + "".join(f"<li>{esc(i)}</li>" for i in s.items) + "</ul>")
    if s.code:
        parts.append(f'<pre tabindex="0"><code>{esc(shown(s))}</code></pre>')
    if s.sliders:
        parts.append(_sliders(s.sliders))
    parts.append(_figures(s.figures))
    parts += [_grid(g) for g in s.grids]
    return "\n".join([*filter(None, parts), "</section>"])


SLIDERS = {
    "params": "size, parameters",
    "device": "device",
    "dtype": "precision",
    "lengths": "tokens a request",
    "concurrency": "requests in flight",
}


def _sliders(grid: Mapping[str, Any]) -> str:
    """Return controls, what they say, a table of the shapes that matter, and the grid itself."""
    controls = "".join(
        f'<div><label for="x-{n}">{SLIDERS[n]} <output id="o-{n}" for="x-{n}">{esc(stops[grid["start"][n]])}'
        f'</output></label><input type="range" id="x-{n}" min="0" max="{len(stops) - 1}" step="1" '
        f'value="{grid["start"][n]}"{" disabled" if len(stops) < 2 else ""}></div>'
        for n, stops in grid["axes"].items()
    )
    titles = ["", "shape", "loss", "sure", *(m["title"] for m in grid["metrics"])]
    head = "".join(f'<th scope="col">{esc(t)}</th>' for t in titles)
    return (
        f'<div class="sliders">{controls}</div><p id="x-told" aria-live="polite"></p>'
        '<div class="table" tabindex="0" role="region" aria-label="Shapes in this setting">'
        f'<table><thead><tr>{head}</tr></thead><tbody id="x-rows"></tbody></table></div>'
        f'<script type="application/json" id="grid">{_json(grid)}</script>'
    )


def _figures(figures: Sequence[Figure]) -> str:
    drawn = [
        f'<figure><div class="plot" id="plot-{f.name}" role="img" aria-label="{esc_attr(f.alt)}"'
        f' style="min-height:{f.height}px"></div>'
        + (f"<figcaption>{esc(f.caption)}</figcaption>" if f.caption else "")
        + "</figure>"
        for f in figures
    ]
    return f'<div class="pair">{"".join(drawn)}</div>' if len(drawn) > 1 else "".join(drawn)


def _grid(g: Grid) -> str:
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in g.header)
    body = "".join(
        f'<tr><th scope="row">{esc(row[0])}</th>'
        + "".join(f"<td>{esc(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in g.rows
    )
    caption = f"<caption>{esc(g.caption)}</caption>" if g.caption and not g.fold else ""
    table = (
        f'<div class="table" tabindex="0" role="region" aria-label="{esc_attr(g.caption or "table")}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return f"<details><summary>{esc(g.caption)}</summary>{table}</details>" if g.fold else table


def esc_attr(text: object) -> str:
    """Escape text for a double-quoted attribute."""
    return esc(text).replace('"', "&quot;")
