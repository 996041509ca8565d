"""One metric over what is varied, a line a shape or a setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.metrics import HEAD, METRICS, Metric
from planner.picks import title
from planner.report.figures.style import axis, layout, line_of, rounded
from planner.report.parts import Figure, esc, part_id

MOST = 8  # more lines than that nobody tells apart


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one line, and what hovering over each says; without, its numbers."""

    x: Sequence[Any]
    y: Sequence[Any]
    hover: Sequence[str] = ()


def panels() -> list[Metric]:
    """Return the metrics that have a picture of their own."""
    return [m for m in METRICS.values() if m.group == "speed" and m.keep >= HEAD] + [
        METRICS["usd_per_output_mtok"]
    ]


def metric_axis(m: Metric, **more: Any) -> dict[str, Any]:
    """Return an axis in the metric's unit."""
    unit = {"tickformat": "~s", "ticksuffix": "s"} if m.unit == "s" else {}
    return axis(m.title.replace("$/M", "USD a million tokens"), **unit, **more)


def curves(m: Metric, name: str, over: str, lines: Mapping[str, Line], **x: Any) -> Figure:
    """Draw one metric; `x` is what the axis of `over` has besides its title."""

    def hover(key: str, line: Line) -> dict[str, Any]:
        if line.hover:
            return {"hovertext": list(line.hover), "hoverinfo": "text"}
        words = f"{esc(title(key))}<br>%{{x:.3~s}} {esc(over)}<br>%{{y:.4~s}}<extra></extra>"
        return {"hovertemplate": words}

    shown = list(lines.items())[:MOST]
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": esc(title(key) or m.title),
            "x": list(line.x),
            "y": rounded(line.y),
            **line_of(key, i),
            **hover(key, line),
        }
        for i, (key, line) in enumerate(shown)
    ]
    scale = " (log scale)" if x.get("type") == "log" else ""
    names = ", ".join(title(key) for key, _ in shown if key)
    return Figure(
        name=f"{name}-{part_id(m.name)}",
        alt=f"{m.title} over {over}, a line each: {names}." if names else f"{m.title} over {over}.",
        data=data,
        layout=layout(axis(esc(over) + scale, **x), metric_axis(m, rangemode="tozero")),
        height=380,
    )
