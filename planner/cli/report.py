"""`planner report`: a result file as a page."""

from pathlib import Path
from typing import Annotated

import typer

Result = Annotated[Path, typer.Argument(help="A file written with --json --out FILE.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="One self-contained HTML file.")
]
Md = Annotated[Path | None, typer.Option("--md", metavar="FILE", help="Markdown; - for stdout.")]
Png = Annotated[
    Path | None,
    typer.Option("--png", metavar="FILE", help="A picture of the page; needs Chromium."),
]
Sliders = Annotated[
    bool, typer.Option("--sliders", help="In the HTML, sliders over settings of a recommendation.")
]
Usd = Annotated[
    float | None,
    typer.Option("--usd-per-hour", min=0.0, help="Price of one device; default: our list's."),
]


def report(
    result: Result,
    html: Html = None,
    md: Md = None,
    png: Png = None,
    sliders: Sliders = False,
    usd_per_hour: Usd = None,
) -> None:
    """Turn a result file into a page to show: HTML, Markdown or a picture.

    Without a flag, prints Markdown.

    Example: planner report result.json --html report.html
    """
    from planner.cli.output import write
    from planner.report import html as as_html
    from planner.report import markdown
    from planner.report.page import build, exploring
    from planner.report.png import screenshot
    from planner.results import read_result
    from planner.writer import write_whole

    found = read_result(result)
    page = build(found, usd_per_hour)
    if sliders:
        page = exploring(found, page)
    if html:
        write_whole(html, as_html.render(page))
    if png:
        screenshot(as_html.render(page), png)
    if md or not (html or png):
        write(markdown.render(page), None if md in (None, Path("-")) else md)
