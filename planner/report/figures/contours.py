"""Throughput and loss over d_model and r at fixed N: the paper's Figure 1, with the candidates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from planner.columns import Arch
from planner.metrics import METRICS, Metric
from planner.picks import title
from planner.report import rows
from planner.report.figures.style import axis, layout, marker, rounded, trace
from planner.report.parts import Figure, esc
from planner.results import Candidate, Recommendation
from planner.scenario.evaluate import Evaluation
from planner.scenario.scenario import Resolved

EDGE = 1.15  # drawn beyond the range searched, so that marks at its edge are whole
POINTS = 36  # a side of the grid: smooth to the eye, and under 50 kB in the page
# Dark enough throughout for white labels, and monotonic in lightness (so it prints in grey).
SCALE = [
    [0.0, "#2d1160"],
    [0.25, "#3b4d8f"],
    [0.5, "#2a6f8e"],
    [0.75, "#1f8784"],
    [1.0, "#2f9a58"],
]


def grid_arch(base: Arch, d_model: Any, r: Any, gqa: float) -> Arch:
    """Return shapes of the baseline's N and depth at each (d_model, r), heads not rounded."""
    a = base
    per_layer = base.d_model * base.head_dim * 2 * (base.n_heads + base.n_kv_heads)
    per_layer = per_layer + a.mlp_matrices * a.d_model * a.d_ff
    attention = per_layer / (1 + r)
    n_heads = attention / (d_model * a.head_dim * (2 + 2 / gqa))
    return replace(
        a,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads / gqa,
        d_ff=r * attention / (a.mlp_matrices * d_model),
        extra_params=(2 * a.n_layers + 1) * d_model,
    )


def contours(result: Recommendation, r: Resolved) -> list[Figure]:
    """Draw one map of throughput and one of loss, at the group size of the pick to train."""
    base, q = result.baseline.model, result.inputs
    pick = result.picks.get(result.lead) or result.baseline
    root = base.n_params_non_embedding**0.5
    widths = np.linspace(q.d_over_sqrt_n[0] * root, q.d_over_sqrt_n[1] * root, POINTS)
    ratios = np.geomspace(q.mlp_attn_ratio[0] / EDGE, q.mlp_attn_ratio[1] * EDGE, POINTS)
    d_model, ratio = (m.ravel() for m in np.meshgrid(widths, ratios))
    e = Evaluation(r, grid_arch(base.arch(), d_model, ratio, float(pick.gqa)))
    return [
        _map(result, METRICS[name], widths, ratios, e[name], float(pick.gqa))
        for name in ("output_tokens_per_s", "loss")
    ]


def _shapes(
    name: str, shapes: Sequence[Candidate], names: Sequence[str], mark: Any
) -> dict[str, Any]:
    hover = [rows.hover(c, n) for c, n in zip(shapes, names, strict=True)]
    x, y = [c.d_model for c in shapes], [c.mlp_attn_ratio for c in shapes]
    return trace("scatter", hover, mode="markers", name=esc(title(name)), x=x, y=y, marker=mark)


def _map(
    result: Recommendation, m: Metric, widths: Any, ratios: Any, values: Any, gqa: float
) -> Figure:
    z = np.asarray(values).reshape(len(ratios), len(widths))
    speed = m.better == "high"
    front = result.pareto
    dots = {"size": 6, "color": "#ffffff", "line": {"width": 1, "color": "#222222"}}
    data: list[dict[str, Any]] = [
        {
            "type": "contour",
            "x": rounded(widths),
            "y": rounded(ratios),
            "z": [rounded(row) for row in z],
            "ncontours": 16,
            "colorscale": SCALE,
            "reversescale": not speed,
            "contours": {"showlabels": True, "labelfont": {"size": 10, "color": "#ffffff"}},
            "line": {"width": 0.5},
            "colorbar": {"title": {"text": m.title, "side": "right"}, "thickness": 12},
            "hovertemplate": "d_model %{x:.0f}<br>r %{y:.2f}<br>"
            + esc(m.title)
            + (" %{z:.0f}" if speed else " %{z:.3f}")
            + "<extra></extra>",
        },
        _shapes("front", front, [c.name for c in front], dots),
        *(_shapes(name, [c], [name], marker(name)) for name, c in result.shapes.items()),
    ]
    what = "throughput" if speed else "loss"
    best = np.unravel_index(np.argmax(z) if speed else np.argmin(z), z.shape)
    where = f"d_model {widths[best[1]]:.0f}, r {ratios[best[0]]:.2f}"
    ticks = [t for t in (0.25, 0.5, 1, 2, 3, 5, 10) if ratios[0] <= t <= ratios[-1]]
    return Figure(
        name=f"contour-{what}",
        alt=f"Map of {what} over d_model and the MLP/attention ratio r at fixed size and depth, "
        f"group size {gqa:g}. The best point of the map is near {where}.",
        data=data,
        layout=layout(
            axis("d_model", range=[float(widths[0]), float(widths[-1])]),
            axis(
                "r, MLP over attention weights",
                type="log",
                range=[float(np.log10(ratios[0])), float(np.log10(ratios[-1]))],
                tickvals=ticks,
                ticktext=[f"{t:g}" for t in ticks],
            ),
        ),
        caption=f"{what.capitalize()} at the baseline's N and depth and a group size of {gqa:g}; "
        "heads and d_ff not rounded. Shapes of other group sizes are drawn where they lie.",
        height=460,
    )
