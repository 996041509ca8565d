"""Loss against tokens/s: the front, the picks, the baseline and models one knows."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from planner.columns import Table
from planner.data import catalogue
from planner.inputs.fields import load_toml
from planner.inputs.model import ModelSpec
from planner.report.figures.style import BLUE, GREY, MARKS, axis, colour, layout
from planner.report.parts import Figure, Grid, between, esc, hover, label, shape_text
from planner.report.scene import Scene
from planner.units import show

# Labels keep clear of each other: picks near one point are named to different sides.
PLACES = {
    "baseline": "top left",
    "loss_optimal": "bottom right",
    "fastest": "top right",
    "balanced": "bottom left",
}
NEAR = 0.35  # known models whose N is within this share of the baseline's stand beside it


def known_models(scene: Scene) -> list[tuple[str, dict[str, Any]]]:
    """Return presets near in size with what the law and the cost model say of their shape.

    Their loss is that of the shape trained on the question's tokens, not of the released weights.
    """
    n = float(scene.shapes["baseline"]["n_params_non_embedding"])
    found = []
    for name, spec in _llamas().items():
        if abs(spec.n_params_non_embedding / n - 1) > NEAR:
            continue
        shape = {k: getattr(spec, k) for k in ("n_layers", "d_model", "n_heads", "n_kv_heads")}
        shape |= {k: getattr(spec, k) for k in ("head_dim", "d_ff", "vocab_size", "n_params")}
        shape |= {k: getattr(spec, k) for k in ("n_params_non_embedding", "gqa")}
        shape |= {k: getattr(spec, k) for k in ("mlp_attn_ratio", "d_over_sqrt_n")}
        found.append((name, shape | one_row(scene.evaluate(spec.arch()))))
    return found


@functools.cache
def _llamas() -> dict[str, ModelSpec]:
    """Return the dense presets the law speaks of; read once, as a page of sliders asks often."""
    files = catalogue("presets/models")
    specs = {name: load_toml(ModelSpec, path) for name, path in files.items()}
    return {n: s for n, s in specs.items() if s.family == "llama" and s.n_experts == 1}


def one_row(table: Table) -> dict[str, Any]:
    """Return an evaluated row in the form of a candidate, without intervals."""
    value = {k: float(np.ravel(v)[0]) for k, v in table.items()}
    estimates = ("loss", "accuracy", "output_tokens_per_s", "ttft_s", "tpot_s")
    return {
        k: {"value": v, "low": v, "high": v} if k in estimates else v
        for k, v in value.items()
        if k in estimates or k in ("kv_bytes_per_token", "weight_bytes", "max_concurrency")
    }


def _bars(shape: Mapping[str, Any], metric: str) -> dict[str, Any]:
    e = shape[metric]
    return {
        "type": "data",
        "symmetric": False,
        "array": [e["high"] - e["value"]],
        "arrayminus": [e["value"] - e["low"]],
        "thickness": 1,
        "width": 4,
    }


def _marks(
    name: str, shapes: list[Mapping[str, Any]], names: list[str], **more: Any
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": esc(label(name)),
        "x": [s["output_tokens_per_s"]["value"] for s in shapes],
        "y": [s["loss"]["value"] for s in shapes],
        "hovertext": [hover(s, n) for s, n in zip(shapes, names, strict=True)],
        "hoverinfo": "text",
    } | more


def pareto(result: Mapping[str, Any], scene: Scene) -> Figure:
    """Draw the front; lower right is better."""
    front = list(result["pareto"])
    known = known_models(scene)
    line = _marks(
        "Pareto front",
        front,
        [s.get("name", "") for s in front],
        mode="lines+markers",
        line={"color": BLUE, "width": 2, "shape": "hv"},
        marker={"size": 6, "color": BLUE},
    )
    traces = [line]
    if known:
        traces.append(
            _marks(
                "known models",
                [s for _, s in known],
                [n for n, _ in known],
                mode="markers+text",
                text=[esc(n) for n, _ in known],
                textposition="bottom right",
                textfont={"size": 10},
                cliponaxis=False,
                marker={"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": GREY}},
            )
        )
    for name, shape in scene.shapes.items():
        traces.append(
            _marks(
                name,
                [shape],
                [name],
                mode="markers+text",
                text=[esc(label(name))],
                textposition=PLACES.get(name, "bottom center"),
                cliponaxis=False,
                marker={
                    "symbol": MARKS.get(name, "circle"),
                    "size": 13,
                    "color": colour(name),
                    "line": {"width": 1, "color": "#ffffff"},
                },
                error_x=_bars(shape, "output_tokens_per_s") | {"color": colour(name)},
                error_y=_bars(shape, "loss") | {"color": colour(name)},
            )
        )
    target = float(result["target_loss"])
    return Figure(
        name="pareto",
        alt=(
            f"Loss against output tokens per second: a front of {len(front)} shapes, with "
            f"{', '.join(label(n) for n in scene.shapes)} and {len(known)} known models."
        ),
        data=traces,
        layout=layout(
            axis("output tokens/s (more is better)", rangemode="normal"),
            axis("loss, nats per token (lower is better)"),
            shapes=[
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": target,
                    "y1": target,
                    "line": {"dash": "dot", "width": 1, "color": GREY},
                }
            ],
            annotations=[
                {
                    "xref": "paper",
                    "x": 0.01,
                    "xanchor": "left",
                    "y": target,
                    "yanchor": "bottom",
                    "text": f"target loss {target:.3f}",
                    "showarrow": False,
                    "font": {"size": 11},
                }
            ],
        ),
        caption="Bars are 80 % intervals. Most of each is shared by all shapes and cancels when "
        "two are compared. Known models stand where their shape would, trained on these tokens.",
        height=520,
    )


def front_grid(result: Mapping[str, Any]) -> Grid:
    """Return the front as a table, the accessible form of the figure."""
    rows = [
        [
            label(c.get("name", "")),
            shape_text(c),
            f"{c['mlp_attn_ratio']:.2f}",
            f"{c['d_over_sqrt_n']:.3f}",
            f"{c['gqa']:g}",
            between(c["loss"], digits=4),
            between(c["output_tokens_per_s"]),
            show(c["tpot_s"]["value"], "s"),
        ]
        for c in result["pareto"]
    ]
    header = ["name", "shape", "r", "x", "GQA", "loss", "tokens/s", "TPOT"]
    return Grid(header, rows, caption=f"All {len(rows)} shapes of the front", fold=True)
