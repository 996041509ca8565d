"""A page as Markdown: the same sections; figures become their description and their table."""

import re
from collections.abc import Sequence

from planner.report.parts import Grid, Page, Section
from planner.report.shell import shown


def render(page: Page) -> str:
    """Return the page as GitHub-flavoured Markdown; names cannot add markup of their own."""
    parts = [f"# {plain(page.title)}", *(f"**{plain(line)}**" for line in page.headline)]
    parts.append(plain(page.subtitle))
    if page.facts:
        parts.append("\n".join(f"- {plain(k)}: **{plain(v)}**" for k, v in page.facts.items()))
    parts += [_section(s) for s in page.sections]
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(s: Section) -> str:
    parts = [f"## {plain(s.title)}", *map(plain, s.text)]
    if s.items:
        parts.append("\n".join(f"- {plain(i)}" for i in s.items))
    if s.code:
        fence = "`" * max(3, *(len(m) + 1 for m in re.findall("`+", s.code)), 3)
        parts.append(f"{fence}{'json' if s.name == 'config' else 'sh'}\n{shown(s)}\n{fence}")
    parts += [f"*{plain(figure.alt)}*" for figure in s.figures]
    parts += [_grid(g) for g in s.grids]
    return "\n\n".join(filter(None, parts))


def _grid(g: Grid) -> str:
    lines = [_row(g.header), _row([":--", *["--:"] * (len(g.header) - 1)]), *map(_row, g.rows)]
    return (f"{plain(g.caption)}:\n\n" if g.caption else "") + "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"


def plain(text: object) -> str:
    """Escape what Markdown or the HTML it becomes would read as markup."""
    text = re.sub(r"([\\`*_\[\]|])", r"\\\1", " ".join(str(text).split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
