"""Colours and layout that all figures share; text and grid colours are set by the page's theme."""

from collections.abc import Mapping, Sequence
from typing import Any

from planner.picks import PICKS

# Middle tones: at least 3:1 against both a white and a near-black page (WCAG 1.4.11).
BLUE, ORANGE, GREEN, PURPLE = "#3b78d8", "#d9630b", "#2e9150", "#a356c9"
RED, GREY, TEAL = "#d64545", "#7d8590", "#12929e"
MUSTARD, BROWN, PINK = "#c2a400", "#8c6d5a", "#b0578d"
FREE = "rgba(125,133,144,0.25)"
OPERATORS = (
    *(BLUE, ORANGE, GREEN, PURPLE, MUSTARD, TEAL, RED, BROWN),
    *("#6b7fd7", GREY, PINK, "#5f9e3a"),
)
_OTHERS = (BLUE, TEAL, RED, MUSTARD, BROWN, PINK)


def colour(name: str, index: int = 0) -> str:
    """Return the colour of a shape: a pick's own, or the next of the others."""
    return PICKS[name].colour if name in PICKS else _OTHERS[index % len(_OTHERS)]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with a title that never collides with its labels."""
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "zeroline": False} | more


def layout(x: Mapping[str, Any], y: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a layout of two axes, legend above the plot."""
    base: dict[str, Any] = {
        "xaxis": dict(x),
        "yaxis": dict(y),
        "margin": {"l": 60, "r": 20, "t": 16, "b": 52},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }
    return base | more


def trace(kind: str, hover: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return what is drawn, and what hovering over each part of it says."""
    return {"type": kind, **more, "hovertext": hover, "hoverinfo": "text"}


def marker(name: str, size: int = 13, line: float = 1.5) -> dict[str, Any]:
    """Return the mark of a shape: a pick's own, or a circle."""
    symbol = PICKS[name].symbol if name in PICKS else "circle"
    edge = {"width": line, "color": "#ffffff"}
    return {"size": size, "symbol": symbol, "color": colour(name), "line": edge}


def rounded(values: Any, digits: int = 5) -> list[float | None]:
    """Return numbers short enough to embed; what is not finite becomes a gap."""
    import numpy as np

    return [
        float(f"{v:.{digits}g}") if np.isfinite(v) else None
        for v in np.ravel(np.asarray(values, dtype=float))
    ]
