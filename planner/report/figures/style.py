"""Colours and layout that all figures share; text and grid colours are set by the page's theme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.picks import PICKS

# Middle tones: at least 3:1 against both a white and a near-black page (WCAG 1.4.11).
BLUE, ORANGE, GREEN, PURPLE = "#3b78d8", "#d9630b", "#2e9150", "#a356c9"
RED, GREY, TEAL = "#d64545", "#7d8590", "#12929e"
MUSTARD, BROWN, PINK = "#c2a400", "#8c6d5a", "#b0578d"
FREE = "rgba(125,133,144,0.25)"
# A colour means one thing in every figure. Those of a set are told apart by any eye: at least 20 in
# CIE Lab under three simulations of colour blindness; each also has 3:1 against both pages.
GROUPS = {
    "attention": "#009bf1", "mlp": "#d65219", "projections": "#9501ff", "overhead": "#596283",
    "rest": "#ad806f",
}  # fmt: skip
# Operators by what they do; those of a group are told apart by pattern or mark.
MEANING = {
    "attention": ("attention_decode", "attention_prefill", "kv_write", "recurrent_prefill", "recurrent_decode"),
    "mlp": ("mlp_up", "mlp_down", "route"),
    "projections": ("qkv", "attention_output", "recurrent_projections"),
    "overhead": ("overhead", "communication"),
    "rest": ("elementwise", "lm_head"),
}  # fmt: skip
MEMORY = {
    "weights": "#4a91ff", "kv_cache": "#8a21f8", "activations": "#81764c", "outside_torch": "#8286c4",
    "graphs": "#ce7b92", "states": "#b61e82", "draft": "#fa0b00", "free": FREE,
}  # fmt: skip
SERIES = ("#e27100", "#476a85", "#d969c0", "#6f6149", "#ac4cd7", "#88978b", "#9a561d", "#b38e62")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
PATTERNS = {"decode": ("", ".", "x", "|", "-"), "prefill": ("/", "\\", "+", "|", "-")}


@dataclass(frozen=True, slots=True)
class Look:
    """How a part of a whole is drawn."""

    colour: str
    pattern: str = ""
    mark: str = ""  # what follows the symbol of its phase


def operator(name: str, phase: str = "decode") -> Look:
    """Return how an operator is drawn wherever it stands; what is put together is the rest, plain."""
    for group, names in MEANING.items():
        if name in names:
            i = names.index(name)
            patterns = PATTERNS.get(phase, PATTERNS["decode"])
            return Look(GROUPS[group], patterns[i], ("", "-open", "-dot", "-open-dot", "-open")[i])
    return Look(GREY)


def colour(name: str, index: int = 0) -> str:
    """Return the colour of a shape: a pick's own, or the next of the others."""
    return PICKS[name].colour if name in PICKS else SERIES[index % len(SERIES)]


def line_of(name: str, index: int) -> dict[str, Any]:
    """Return line and marks of a series: no two have the same colour, dash and mark."""
    if name in PICKS:
        return {
            "line": {"color": colour(name), "width": 2},
            "marker": {"size": 6, "symbol": PICKS[name].symbol},
        }
    dash = DASHES[index // len(SERIES) % len(DASHES)]
    mark = {"size": 6, "symbol": MARKS[index % len(MARKS)]}
    return {"line": {"color": colour(name, index), "width": 2, "dash": dash}, "marker": mark}


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
