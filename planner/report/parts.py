"""What a page is made of: sections with a paragraph, figures, a table; every medium shows the same."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A Plotly figure as plain data, with what someone who cannot see it should know.

    `data` and `layout` are what Plotly.js takes; text in them is already escaped.
    """

    name: str
    alt: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    caption: str = ""
    height: int = 440


@dataclass(frozen=True, slots=True)
class Cell:
    """A number with its interval, which a narrow medium puts below it or leaves out."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.interval}" if self.interval else self.value


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: header, rows; the first column is left-aligned, the others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    fold: bool = False  # behind a `details` where the medium has one
    # Of each column: where it is narrow, the lowest go first; empty: all stay.
    keep: Sequence[int] = ()
    sideways: bool = False  # a column a shape, a row a property
    silent: bool = False  # of columns left out, which elsewhere stand
    left: int = 1  # how many columns are words


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and how its cell of a record is written; `keep` as in `Grid`."""

    title: str
    write: Callable[[Any], Cell | str]
    keep: int = 9


def grid(
    records: Iterable[Any], columns: Sequence[Column], caption: str = "", fold: bool = False
) -> Grid:
    """Return a line a record."""
    body = [[c.write(r) for c in columns] for r in records]
    return Grid([c.title for c in columns], body, caption, fold, [c.keep for c in columns])


@dataclass(frozen=True, slots=True)
class Section:
    """One heading with what belongs under it, in reading order."""

    name: str
    title: str
    text: Sequence[str] = ()
    items: Sequence[str] = ()  # a bullet list
    figures: Sequence[Figure] = ()
    grids: Sequence[Grid] = ()
    code: str = ""
    sliders: Mapping[str, Any] | None = None  # a grid of answers that a page with a script explores


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)  # the few numbers shown first
    headline: Sequence[str] = ()  # what it concludes
    whole: bool = False  # with its warnings and basis; else they follow


def esc(text: object) -> str:
    """Escape text for HTML and for Plotly, which reads tags in its labels."""
    return html.escape(str(text), quote=False)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return rows as aligned lines, the first `left` columns flush left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def part_id(key: str) -> str:
    """Return a name that HTML takes as an id."""
    return "".join(c if c.isalnum() else "-" for c in key.lower())
