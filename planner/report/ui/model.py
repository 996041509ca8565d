"""What `planner ui` shows, without the page around it: a question in, figures and facts out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.inputs.question import Question
from planner.questions.recommend.recommend import recommend
from planner.report.figures.breakdown import memory_breakdown, time_breakdown
from planner.report.figures.operating import operating
from planner.report.figures.pareto import pareto
from planner.report.figures.roofline import roofline
from planner.report.page import comparison
from planner.report.parts import Figure, Grid, label
from planner.report.scene import Scene, scene_of


@dataclass(frozen=True, slots=True)
class View:
    """One answer as the page shows it."""

    result: dict[str, Any]
    scene: Scene
    front: Figure
    table: Grid
    why: str


def answer(question: Question, own: dict[str, float] | None = None) -> View:
    """Answer a question; `own` is a shape of the user's (d_model, r, gqa) drawn beside the picks.

    Raises:
        Infeasible: no shape meets the limits.

    """
    result = recommend(question).to_dict()
    scene = scene_of(result)
    if own:
        scene = replace(scene, shapes={**scene.shapes, "yours": shape_of(scene, **own)})
    shapes = {label(n): s for n, s in scene.shapes.items()}
    best = result["picks"].get("fastest")
    return View(
        result, scene, pareto(result, scene), comparison(shapes), best["why"] if best else ""
    )


def details(view: View, name: str) -> list[Figure]:
    """Return operating curves, roofline, time and memory: drawn when asked for."""
    curves, _ = operating(view.scene)
    return [
        *curves,
        roofline(view.scene, name)[0],
        time_breakdown(view.scene)[0],
        memory_breakdown(view.scene)[0],
    ]


def shape_of(scene: Scene, d_model: float, r: float, gqa: float) -> dict[str, Any]:
    """Return the legal shape nearest to a width, an MLP/attention ratio and a group size.

    N and depth are the baseline's; heads are whole, and d_ff a multiple of 128 that refills N.
    """
    base = dict(scene.shapes["baseline"])
    n_layers, head_dim = base["n_layers"], base["head_dim"]
    width = max(128, round(d_model / 128) * 128)
    layer = base["n_params_non_embedding"] / n_layers
    per_group = width * head_dim * (2 * gqa + 2)
    groups = max(1, round(layer / (1 + r) / per_group))
    d_ff = max(128, round((layer - groups * per_group) / (3 * width) / 128) * 128)
    attention = groups * per_group
    n = int(n_layers * (attention + 3 * width * d_ff))
    norms = (2 * n_layers + 1) * width
    shape = {
        "name": "yours",
        "n_layers": n_layers,
        "d_model": width,
        "n_heads": int(groups * gqa),
        "n_kv_heads": int(groups),
        "head_dim": head_dim,
        "d_ff": d_ff,
        "vocab_size": base["vocab_size"],
        "n_params_non_embedding": n,
        "n_params": n + base["vocab_size"] * width + norms,
        "mlp_attn_ratio": 3 * width * d_ff / attention,
        "gqa": float(gqa),
        "d_over_sqrt_n": width / n**0.5,
    }
    table = {k: float(np.ravel(v)[0]) for k, v in scene.evaluate([shape]).items()}
    for metric in ("loss", "accuracy", "output_tokens_per_s", "ttft_s", "tpot_s"):
        shape[metric] = {"value": table[metric], "low": table[metric], "high": table[metric]}
    kept = ("kv_bytes_per_token", "weight_bytes", "max_concurrency")
    return shape | {k: table[k] for k in kept} | {"bound": "–"}
