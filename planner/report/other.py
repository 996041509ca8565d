"""Sections of what-if, budget, validate and fit: tables of what the result holds, and its curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from planner.report.figures.style import axis, colour, layout
from planner.report.parts import Figure, Grid, Section, between, esc
from planner.units import significant

Sections = tuple[str, list[Section]]


def cell(value: Any) -> str:
    """Write any value of a result: estimates with their interval, numbers short, text as it is."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= value.keys():
            return between(value)
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return significant(value, 4) if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(v) for v in value)
    return str(value)


def number(value: Any) -> float | None:
    """Return the number in a cell, an estimate's value included; None where there is none."""
    if isinstance(value, Mapping):
        value = value.get("value")
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ok else None


def table_of(rows: Sequence[Mapping[str, Any]], caption: str, *, fold: bool = False) -> Grid:
    """Return records as a table, every key any of them has a column."""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    body = [[cell(row.get(k)) for k in keys] for row in rows]
    return Grid([k.replace("_", " ") for k in keys], body, caption=caption, fold=fold)


def generic(result: Mapping[str, Any]) -> list[Section]:
    """Return every list of records of a result as a table, and its single values as another."""
    known = {"schema", "kind", "command", "inputs", "basis", "warnings"}
    single, sections = [], []
    for key, value in result.items():
        if key in known:
            continue
        title = key.replace("_", " ").capitalize()
        records = isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
        if records:
            grid = table_of(value, title)
            sections.append(Section(_id(key), title, figures=curve(value, key), grids=[grid]))
        elif isinstance(value, Mapping) and not {"value", "low", "high"} <= value.keys():
            grid = Grid(["", title], [[k, cell(v)] for k, v in value.items()], caption=title)
            sections.append(Section(_id(key), title, grids=[grid]))
        else:
            single.append([key.replace("_", " "), cell(value)])
    if single:
        sections.insert(0, Section("answer", "The answer", grids=[Grid(["", "value"], single)]))
    return sections


def curve(rows: Sequence[Mapping[str, Any]], name: str) -> list[Figure]:
    """Draw throughput and TPOT against the first column, where the rows have them."""
    first = next(iter(rows[0]))
    figures: list[Figure] = []
    for metric, title in (("output_tokens_per_s", "output tokens/s"), ("tpot_s", "TPOT, s")):
        points = [(cell(r.get(first)), number(r.get(metric))) for r in rows]
        if len(points) < 2 or any(y is None for _, y in points):
            continue
        figures.append(
            Figure(
                name=f"{_id(name)}-{metric.replace('_', '-')}",
                alt=f"{title} for each {first}.",
                data=[
                    {
                        "type": "scatter",
                        "mode": "lines+markers",
                        "name": title,
                        "x": [esc(x) for x, _ in points],
                        "y": [y for _, y in points],
                        "line": {"color": colour("", len(figures))},
                    }
                ],
                layout=layout(
                    axis(esc(first.replace("_", " ")), type="category"),
                    axis(title, rangemode="tozero"),
                    showlegend=False,
                ),
                height=360,
            )
        )
    return figures


def _id(key: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in key.lower())


def what_if_sections(result: Mapping[str, Any]) -> Sections:
    """Return a table with a row for each setting, and its curves."""
    return "What if", generic(result)


def budget_sections(result: Mapping[str, Any]) -> Sections:
    """Return what the budget buys."""
    return "What the budget buys", generic(result)


def validate_sections(result: Mapping[str, Any]) -> Sections:
    """Return errors against measurements, by group."""
    return "How far predictions are from measurements", generic(result)


def fit_sections(result: Mapping[str, Any]) -> Sections:
    """Return a fit: held-out error first."""
    return "What the measurements say", generic(result)
