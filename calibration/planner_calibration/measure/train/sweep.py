"""A training sweep: shapes that differ in x, r and GQA at one N and depth, each from several seeds."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.inputs.measurement import Measurement, content_key
from planner_calibration.measure.machine import Machine, machine, torch_name
from planner_calibration.measure.shapes import Shape, distinct
from planner_calibration.measure.sweep import Planned
from planner_calibration.measure.train.loop import Recipe


@dataclass(frozen=True, slots=True)
class Run:
    """One training: what a worker needs to know, wherever it is."""

    shape: Shape
    recipe: Recipe
    seed: int
    data: Path | None  # None: the embedded default
    checkpoints: Path | None
    threads: int = 1
    every: int = 200


def cross(
    n_params_non_embedding: float,
    n_layers: int,
    x: Sequence[float],
    r: Sequence[float],
    gqa: Sequence[int] = (2,),
    **fixed: int,
) -> list[Shape]:
    """Return shapes along x at the middle r, along r at the middle x, then along GQA, none twice.

    The middle is the median of what is given; two arms that cross are enough for a separable law and
    half as many runs as a grid. `fixed` is what `near` takes besides.
    """
    mid_x, mid_r, mid_gqa = sorted(x)[len(x) // 2], sorted(r)[len(r) // 2], gqa[0]
    wanted = [
        (mid_x, mid_r, mid_gqa),
        *((v, mid_r, mid_gqa) for v in x),
        *((mid_x, v, mid_gqa) for v in r),
        *((mid_x, mid_r, g) for g in gqa),
    ]
    return distinct(n_params_non_embedding, wanted, n_layers=n_layers, **fixed)


def plan(runs: Sequence[Run], on: Machine, corpus_name: str) -> list[Planned]:
    """Return the runs with their keys: seed by seed, so that an interrupted sweep is a whole smaller one."""
    return [_planned(r, on, corpus_name) for r in sorted(runs, key=lambda r: r.seed)]


def settings(run: Run, corpus_name: str) -> dict[str, Any]:
    """Return everything chosen: what makes two trainings the same one."""
    return {
        **run.shape.settings(),
        **run.recipe.settings(),
        "seed": run.seed,
        "data": corpus_name,
        "n_params_non_embedding": run.shape.n_params_non_embedding,
    }


def _planned(run: Run, on: Machine, corpus_name: str) -> Planned:
    what, engine = settings(run, corpus_name), torch_name()

    def failed(message: str) -> list[Measurement]:
        ran = {"engine": engine, "machine": on.id, "message": message}
        return [Measurement.of("train", what, status="crash", **ran)]

    return Planned((content_key("train", what, on.id, engine),), failed, run)


def do(run: Run, progress: Any = None) -> list[Measurement]:
    """Train once and return its row. Out of memory and divergence are results too."""
    import torch

    from planner_calibration.measure.train.data import corpus
    from planner_calibration.measure.train.loop import train

    torch.set_num_threads(run.threads)
    tokens = corpus(run.data, vocab_size=run.shape.vocab_size)
    on = machine(run.recipe.device)
    what, start = settings(run, tokens.name), time.monotonic()
    common: dict[str, Any] = {
        "engine": torch_name(),
        "machine": on.id,
        "environment": {**on.environment, "threads": run.threads, "compile": run.recipe.compile},
    }
    key = content_key("train", what, on.id, common["engine"])
    checkpoint = run.checkpoints / f"{key}.pt" if run.checkpoints else None
    report = {} if progress is None else {"progress": progress}
    try:
        outcome = train(
            run.shape,
            tokens,
            run.recipe,
            run.seed,
            checkpoint=checkpoint,
            every=run.every,
            **report,
        )
    except torch.OutOfMemoryError as error:
        return [Measurement.of("train", what, status="oom", message=str(error)[:300], **common)]
    names = ("heldout_nats_per_token", "heldout_bits_per_byte", "train_nats_per_token")
    values = {name: getattr(outcome, name) for name in (*names, "tokens_per_s")}
    # Over the device's rate it is the MFU; which rate that is depends on how it computes.
    values["model_flops_per_s"] = 6.0 * run.shape.n_params * outcome.tokens_per_s
    row = Measurement.of(
        "train",
        what,
        status=outcome.status,
        values={k: v for k, v in values.items() if math.isfinite(v)},
        samples={
            "curve_step": [float(s) for s, _ in outcome.curve],
            "curve_nats_per_token": [v for _, v in outcome.curve],
            "quarter_step": [float(s) for s, _ in outcome.quarters],
            "quarter_heldout_nats_per_token": [v for _, v in outcome.quarters],
        },
        seconds=round(time.monotonic() - start, 2),
        **common,
    )
    return [row]
