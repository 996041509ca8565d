"""A page for the terminal: the same sections; tables drop columns where it is narrow, never digits."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from planner.report import shell
from planner.report.parts import Cell, Grid, Page, Section

GAP = 2  # columns between columns
INDENT = 2  # of commands
# Sections whose items are a line each with a word before them, and how they look.
LABELLED = {"basis": ("basis", "dim"), "warnings": ("warning", "yellow"), "more": ("more", "dim")}


def table(head: Sequence[str], title: str = "") -> Table:
    """Return an empty table in the house style: no lines but one under the head."""
    t = Table(box=None, title=title or None, title_justify="left", padding=(0, 1), pad_edge=False)
    for i, name in enumerate(head):
        t.add_column(Text(name), justify="left" if i == 0 else "right", overflow="fold")
    return t


class Fitted:
    """A table as wide as there is room for."""

    def __init__(self, grid: Grid) -> None:
        """Hold `grid` until the width is known."""
        self.grid = grid
        self.rows = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in grid.rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the table out."""
        lay_out = self._sideways if self.grid.sideways else self._lines
        yield from lay_out(options.max_width)

    def _lines(self, width: int) -> list[Any]:
        """Return one table; of columns that may go, the lowest go first, and that is said.

        No number is ever cut: where what must stay is too wide, words of the first column wrap, and
        where that is not enough a row becomes a record, a line a column.
        """
        g = self.grid
        shown = list(range(len(g.header)))
        wide = [
            max(map(len, [h, *(row[i].value for row in self.rows)])) for i, h in enumerate(g.header)
        ]
        keep = g.keep or [9] * len(shown)

        def spare(i: int) -> tuple[int, int]:
            return keep[i], -i

        def needed(first: int) -> int:
            return first + sum(wide[i] + GAP for i in shown[1:])

        while needed(wide[0]) > width and keep[low := min(shown, key=spare)] < 9:
            shown.remove(low)
        words = [w for row in [g.header, *(row for row in self.rows)] for w in str(row[0]).split()]
        if needed(max(map(len, words), default=0)) > width:
            return self._records(width)
        t = table([g.header[i] for i in shown])
        t.columns[0].overflow = "fold"
        for column, i in zip(t.columns[1:], shown[1:], strict=True):
            column.no_wrap = True
            column.min_width = wide[i]
            # What has no title is drawn.
            column.justify = "right" if g.header[i] and i >= g.left else "left"
        for row in self.rows:
            t.add_row(*(_cell(row[i].value) for i in shown))
        out = [h for i, h in enumerate(g.header) if i not in shown and h]
        said = f"left out for width: {', '.join(out)}"
        return [t, *[Text(said, style="dim")] * bool(out and not g.silent)]

    def _records(self, width: int) -> list[Any]:
        """Return a row a record: its first cell, then a line a column."""
        g = self.grid
        head = max(map(len, g.header))
        lines: list[Any] = []
        for row in self.rows:
            lines.append(_cell(row[0].value))
            for name, cell in zip(g.header[1:], row[1:], strict=True):
                if cell.value:
                    lines.append(Text(f"  {name:{head}}  {cell.value}"))
        return lines

    def _sideways(self, width: int) -> list[Any]:
        """Return the shapes beside each other, in as many blocks as the width takes."""
        g = self.grid
        if len(g.header) == 2:
            t = table(["", g.header[1], "80 % interval"])
            for name, cell in self.rows:
                t.add_row(Text(name.value), Text(cell.value), Text(cell.interval, "dim"))
            return [t]
        first = max(len(row[0].value) for row in self.rows)
        wide = [
            max(len(text) for row in self.rows for text in (head, row[i].value, row[i].interval))
            for i, head in enumerate(g.header)
        ]
        blocks: list[list[int]] = [[]]
        for i in range(1, len(g.header)):
            block = blocks[-1]
            if block and first + sum(wide[j] + GAP for j in (*block, i)) > width:
                blocks.append([i])
            else:
                block.append(i)
        tables: list[Any] = []
        for block in blocks:
            tables += [Text(""), self._block(block)] if tables else [self._block(block)]
        return tables

    def _block(self, columns: Sequence[int]) -> Table:
        g = self.grid
        t = table(["", *(g.header[i] for i in columns)])
        for row in self.rows:
            t.add_row(Text(row[0].value), *(Text(row[i].value) for i in columns))
            if any(row[i].interval for i in columns):
                t.add_row("", *(Text(row[i].interval) for i in columns), style="dim")
        return t


def _cell(text: str) -> Text:
    """Return a cell; the line of the pick to train stands out."""
    return Text(text, style="bold" if text.startswith("▶") else "")


class Shell:
    """Commands in lines that a shell takes as one when they are copied."""

    def __init__(self, code: str) -> None:
        """Hold them until the width is known."""
        self.code = code

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Break them at flags."""
        for line in shell.lines(self.code, options.max_width - INDENT):
            yield Text(" " * INDENT + line, overflow="fold")


def _section(s: Section) -> list[Any]:
    if s.name in LABELLED:
        word, style = LABELLED[s.name]
        return [Text(f"{word:9}{item}", style=style) for item in s.items]
    parts: list[Any] = [] if s.name == "answer" else [Text(s.title, style="bold")]
    parts += [Text(text) for text in s.text]
    parts += [Shell(s.code)] * bool(s.code)
    for g in s.grids:
        parts += [Text("")] * bool(parts) + [Fitted(g)]
        parts += [Text(g.caption, style="dim")] * bool(g.caption and g.sideways)
    parts += [Text("")] * bool(s.grids and s.items)
    for item in s.items:
        label, colon, rest = item.partition(": ")
        parts.append(Text.assemble((label + colon, "bold" if colon else ""), rest))
    return [*parts, Text("")]


def render(page: Page) -> Group:
    """Return a page for a console; a page built without figures takes no time."""
    parts: list[Any] = [Text(line, style="bold") for line in page.headline]
    parts += [Text("")] * bool(parts) + [Text(page.title, style="" if parts else "bold")]
    parts += [Text(page.subtitle)] * bool(page.subtitle) + [Text("")]
    # Who reads a terminal has just typed the command.
    shown = (s for s in page.sections if not s.code or s.name == "serve")
    return Group(*parts, *(part for s in shown for part in _section(s)))
