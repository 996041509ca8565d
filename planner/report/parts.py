"""What a page is made of: sections with a paragraph, figures, a table; every medium shows the same."""

import html
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict)  # the few numbers shown first


def esc(text: object) -> str:
    """Escape text for HTML and for Plotly, which reads tags in its labels."""
    return html.escape(str(text), quote=False)


def part_id(key: str) -> str:
    """Return a name that HTML takes as an id."""
    return "".join(c if c.isalnum() else "-" for c in key.lower())
