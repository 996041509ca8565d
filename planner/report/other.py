"""Tables of whatever a result holds: what pages of every kind fall back on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from planner.report.parts import Grid, Section, between
from planner.units import show, significant


def cell(value: Any, key: str = "") -> str:
    """Write any value of a result: estimates with their interval, numbers short, text as it is.

    `key` is its name: what ends in _s is seconds, in _bytes bytes, a share or a gain percent.
    """
    unit = "s" if SECONDS.search(key) else "byte" if key.endswith("_bytes") else ""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= value.keys():
            return between(value, unit)
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and unit:
        return show(value, unit)
    if isinstance(value, float) and PERCENT.search(key):
        return f"{value:.1%}"
    if isinstance(value, int) and abs(value) >= 10_000_000:
        return show(value)
    if isinstance(value, float):
        return significant(value, 4) if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(v) for v in value)
    return str(value)


SECONDS = re.compile(r"(?<!per)_s(_saved)?$")
PERCENT = re.compile(r"(share|gain|utilisation|mfu|mbu|_ape|^error$)$|share_of")


def _header(key: str) -> str:
    """Return a column's title; the unit is in its cells."""
    return re.sub(r"(?<!per) s( saved)?$", r"\1", key.replace("_", " "))


def number(value: Any) -> float | None:
    """Return the number in a cell, an estimate's value included; None where there is none."""
    if isinstance(value, Mapping):
        value = value.get("value")
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ok else None


def table_of(rows: Sequence[Mapping[str, Any]], caption: str, *, fold: bool = False) -> Grid:
    """Return records as a table, every key any of them has a column."""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    body = [[cell(row.get(k), k) for k in keys] for row in rows]
    return Grid([_header(k) for k in keys], body, caption=caption, fold=fold)


def generic(result: Mapping[str, Any], without: Iterable[str] = ()) -> list[Section]:
    """Return every list of records of a result as a table, and its single values as another."""
    known = {"schema", "kind", "command", "inputs", "basis", "warnings", *without}
    single, sections = [], []
    for key, value in result.items():
        if key in known:
            continue
        title = key.replace("_", " ").capitalize()
        records = isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
        if records:
            grid = table_of(value, title)
            sections.append(Section(part_id(key), title, grids=[grid]))
        elif isinstance(value, Mapping) and not {"value", "low", "high"} <= value.keys():
            grid = Grid(["", title], [[k, cell(v)] for k, v in value.items()], caption=title)
            sections.append(Section(part_id(key), title, grids=[grid]))
        else:
            single.append([key.replace("_", " "), cell(value)])
    if single:
        sections.insert(0, Section("answer", "The answer", grids=[Grid(["", "value"], single)]))
    return sections


def part_id(key: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in key.lower())
