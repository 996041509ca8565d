"""Scores as text: one line a group, the flagged rows apart, the worst by name."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planner.questions.validate.validate import Score, Validation

_COLUMNS = ("n", "mean error", "median", "bias", "Spearman", "in 80 %")


def _cells(s: Score) -> list[str]:
    return [
        f"{s.n:,}",
        f"{s.mean_ape:.1%}",
        f"{s.median_ape:.1%}",
        f"{s.bias:+.1%}",
        "" if s.spearman is None else f"{s.spearman:.3f}",
        "" if s.coverage is None else f"{s.coverage:.0%}",
    ]


def _scores(title: str, scores: Mapping[str, Score]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column(title)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for name, s in scores.items():
        table.add_row(name, *_cells(s))
    return table


def validation_text(v: Validation) -> RenderableType:
    """Render scores for a terminal."""
    how = (
        "each architecture predicted by a fit on the others" if v.cross_validated else "as shipped"
    )
    parts: list[RenderableType] = [
        Text(f"{v.source}: {v.overall.n:,} rows, predictions {how}", style="bold"),
        Text(""),
        _scores("all", {"": v.overall}),
    ]
    for title, scores in v.groups.items():
        if len(scores) > 1:
            parts += [Text(""), _scores(title, scores)]
    if v.flagged:
        parts += [Text(""), _scores("flagged rows, not in the above", v.flagged)]
    if v.overflow:
        o = v.overflow
        parts += [
            Text(""),
            Text(
                f"cache overflow: {o['found']} of {o['measured']} batches found, "
                f"{o['false_alarms']} false alarms"
            ),
        ]
    worst = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("worst rows", "", "", "measured", "predicted", "error"):
        worst.add_column(name, justify="right" if name and "rows" not in name else "left")
    for w in v.worst:
        numbers = (f"{w.measured:.4g}", f"{w.predicted:.4g}", f"{w.error:+.0%}")
        worst.add_row(f"{w.model} {w.metric}", f"{w.gpu} {w.engine}", w.setting, *numbers)
    parts += [Text(""), worst, Text(""), *(Text(f"basis: {b}", style="dim") for b in v.basis)]
    return Group(*parts)
