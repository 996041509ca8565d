"""Where an answer goes: stdout or a file that is whole or absent, as text, JSON or CSV."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.cli.boundary import to_stdout
from planner.writer import cell, in_lines, json_printable, printable, write_whole

if TYPE_CHECKING:
    from planner.inputs.serve_command import ServeCommand


# What a serve command holds that nobody else should read: variables and flags of keys and tokens.
_KEY = re.compile(
    r"(\b\w*(?:TOKEN|SECRET|PASSWORD|_KEY)=[\"']*|--[\w-]*(?:api|hf)[_-](?:key|token)[= ][\"']*)"
    r"[^\s\"'$]+"
)


def write(text: str, out: Path | None, *, plain: bool = False) -> None:
    """Print `text`, or write it to `out`: a file that is whole or absent.

    Control characters are shown as escapes; printed, no line is longer than 500 characters, but where
    text is `plain`: for programs, such as JSON, CSV and TOML.

    Raises:
        ReaderGone: whoever reads stdout has seen enough.
        OutputError: stdout or the file cannot be written; nothing is left half-written.

    """
    text = text if text.endswith("\n") else text + "\n"
    text = printable(text, coloured=out is None and sys.stdout.isatty())
    if out is not None:
        return write_whole(out, text)
    with to_stdout():
        sys.stdout.write(text if plain else in_lines(text))
        sys.stdout.flush()


def as_json(result: Any) -> str:
    """One JSON object; NaN and infinities have no place in it."""
    return json_printable(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows of one shape as CSV with a header."""
    rows = list(rows)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: cell(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def as_text(renderable: Any, *, width: int | None = None) -> str:
    """Render for stdout: colour and full width on a terminal, plain text when piped."""
    from planner.report.render import as_text

    return as_text(renderable, width=width)


def emit(
    result: Any,
    *,
    json_: bool,
    csv_: bool = False,
    out: Path | None = None,
    kind: str = "",
    top: int | None = None,
    plot: bool = False,
    details: bool = False,
    serve: "ServeCommand | None" = None,
) -> None:
    """Show a result in the form the flags ask for; `serve` is what it was asked by.

    `kind` puts JSON that does not name its schema and kind into the form `planner report` reads.

    Raises:
        MissingExtra: pictures are asked for, and plotext is not installed.

    """
    from planner.results import SCHEMA, Result

    if serve is not None:
        result = result.model_copy(update={"serve_command": serve})
    if json_:
        plain = result.to_dict()
        head = {"schema": SCHEMA, "kind": kind, "command": command_line()} if kind else {}
        write(as_json(head | plain), out, plain=True)
    elif csv_:
        write(as_csv(result.rows()), out, plain=True)
    elif isinstance(result, Result):
        from planner.report.render import render

        write(render(result, top=top, details=details) + (plots(result) if plot else ""), out)
    else:
        write(as_text(result), out)


def plots(result: Any) -> str:
    """Return a result's terminal pictures, as wide as its text, coloured only on a terminal."""
    from planner.report.plot import terminal_plots

    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((100, 24)).columns
    colour = terminal and not os.environ.get("NO_COLOR")
    return "\n" + terminal_plots(result, width=max(40, min(columns, 120)), colour=colour)


def command_line() -> str:
    """Return the command as typed, but for keys, so that a result can say how to get it again."""
    return _KEY.sub(r"\1…", "planner " + shlex.join(sys.argv[1:]))


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Yield a function that reports progress on stderr, once the work has taken a second."""
    started, shown = time.monotonic(), False

    def progress(n: int) -> None:
        nonlocal shown
        if not quiet and sys.stderr.isatty() and time.monotonic() - started > 1:
            sys.stderr.write(f"\r{n:,} {what}")
            sys.stderr.flush()
            shown = True

    try:
        yield progress
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
