"""Throughput and loss over d_model and r at fixed N: the paper's Figure 1, with the candidates."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from planner.columns import Arch
from planner.report.figures.style import MARKS, axis, colour, layout, rounded
from planner.report.parts import Figure, esc, hover, label
from planner.report.scene import Scene, single

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
UNITS = {"output_tokens_per_s": "tokens/s", "loss": "nats per token"}


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


def contours(result: Mapping[str, Any], scene: Scene) -> list[Figure]:
    """Draw one map of throughput and one of loss, at the fastest pick's group size."""
    base = single(scene.arch("baseline"))
    pick = scene.shapes.get("fastest") or scene.shapes["baseline"]
    inputs = result["inputs"]
    root = float(scene.shapes["baseline"]["n_params_non_embedding"]) ** 0.5
    x_low, x_high = inputs.get("d_over_sqrt_n", (0.04, 0.14))
    r_low, r_high = inputs.get("mlp_attn_ratio", (0.5, 5.0))
    widths = np.linspace(x_low * root, x_high * root, POINTS)
    ratios = np.geomspace(r_low / EDGE, r_high * EDGE, POINTS)
    d_model, r = (m.ravel() for m in np.meshgrid(widths, ratios))
    table = scene.evaluate(grid_arch(base, d_model, r, float(pick["gqa"])))
    return [
        _map(result, scene, metric, widths, ratios, table[metric], float(pick["gqa"]))
        for metric in ("output_tokens_per_s", "loss")
    ]


def _map(
    result: Mapping[str, Any],
    scene: Scene,
    metric: str,
    widths: Any,
    ratios: Any,
    values: Any,
    gqa: float,
) -> Figure:
    z = np.asarray(values).reshape(len(ratios), len(widths))
    speed = metric == "output_tokens_per_s"
    front = result["pareto"]
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
            "colorbar": {"title": {"text": UNITS[metric], "side": "right"}, "thickness": 12},
            "hovertemplate": "d_model %{x:.0f}<br>r %{y:.2f}<br>"
            + ("%{z:.0f} tokens/s" if speed else "loss %{z:.3f}")
            + "<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "front",
            "x": [c["d_model"] for c in front],
            "y": [c["mlp_attn_ratio"] for c in front],
            "marker": {"size": 6, "color": "#ffffff", "line": {"width": 1, "color": "#222222"}},
            "hovertext": [hover(c, c.get("name", "")) for c in front],
            "hoverinfo": "text",
        },
    ]
    for name, shape in scene.shapes.items():
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": esc(label(name)),
                "x": [shape["d_model"]],
                "y": [shape["mlp_attn_ratio"]],
                "marker": {
                    "size": 13,
                    "symbol": MARKS.get(name, "circle"),
                    "color": colour(name),
                    "line": {"width": 1.5, "color": "#ffffff"},
                },
                "hovertext": [hover(shape, name)],
                "hoverinfo": "text",
            }
        )
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
