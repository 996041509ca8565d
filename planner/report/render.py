"""A result in any medium: terminal text, Markdown, one HTML file, a notebook's cell."""

import io
import os
import sys
from collections.abc import Iterable
from typing import Any, Literal, get_args

from rich.console import Console
from rich.segment import Segment

from planner.errors import UnknownName, WrongType
from planner.report import html, markdown, text
from planner.report.page import build
from planner.results import Result
from planner.writer import printable

Medium = Literal["terminal", "markdown", "html", "notebook"]
WIDTH = 100  # where nothing says how wide it is


class Shown(str):
    """Text of a result; a notebook shows it as HTML."""

    html: str = ""

    def _repr_html_(self) -> str:
        return self.html or f"<pre>{self}</pre>"


def render(
    result: Result,
    medium: Medium = "terminal",
    *,
    top: int | None = None,
    usd_per_hour: float | None = None,
    width: int | None = None,
    details: bool = True,
) -> str:
    """Return a result as text of one medium.

    Args:
        result: what a question returned, or `planner.results.read_result`.
        medium: ``terminal`` (text, coloured where stdout is a terminal), ``markdown``, ``html`` (one
            file that fetches nothing) or ``notebook`` (the terminal's text, which notebooks show).
        top: rows of a front or of settings to show; default: as many as the medium has room for.
        usd_per_hour: price of one device for the cost curves; default: the result's own.
        width: columns of text; default: the terminal's, else COLUMNS, else 100.
        details: in text all there is; else a recommendation is one screen.

    Raises:
        SpecError: the result's inputs name something this machine does not have.
        UnknownName: there is no such medium.
        WrongType: no result.

    Example:
        >>> from planner.questions.predict import predict
        >>> text = render(predict("llama-3.2-1b", on="h100-sxm"), "markdown")
        >>> text.splitlines()[0]
        '# Llama-3.2-1B on h100-sxm'

    """
    if not isinstance(result, Result):
        hint = "give what a question returned, or read_result(path)"
        raise WrongType.of("render", result, "a result", hint=hint)
    if medium not in get_args(Medium):
        raise UnknownName.among("medium", medium, get_args(Medium))
    if medium in ("html", "markdown"):
        page = build(result, usd_per_hour, top=top)
        return html.render(page) if medium == "html" else markdown.render(page)
    shown = text.render(build(result, usd_per_hour, figures=False, top=top, details=details))
    if medium == "terminal":
        return as_text(shown, width=width)
    console = _Console(record=True, width=width or WIDTH, file=io.StringIO(), highlight=False)
    console.print(shown)
    cell = Shown(console.export_text(clear=False))
    cell.html = console.export_html(
        inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>'
    )
    return cell


class _Console(Console):
    """A console in which no text of a result can speak to the terminal: escapes are our own."""

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Render as ever, with control characters of text shown as escapes."""
        for part in super().render(*args, **options):
            yield part if part.control else part._replace(text=printable(part.text))


def as_text(renderable: Any, *, width: int | None = None) -> str:
    """Render for stdout: colour and full width on a terminal, plain text when piped."""
    terminal = sys.stdout.isatty()
    buffer = io.StringIO()
    console = _Console(
        file=buffer,
        force_terminal=terminal,
        no_color=bool(os.environ.get("NO_COLOR")) or not terminal,
        width=width or (None if terminal else _columns()),
        highlight=False,
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _columns() -> int:
    """Return the width asked for by COLUMNS, else 100; never so narrow that nothing fits."""
    asked = os.environ.get("COLUMNS", "")
    return max(int(asked), 40) if asked.isdigit() else WIDTH
