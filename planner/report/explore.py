"""A grid of answers computed ahead, for a page whose sliders need no server.

Shapes are those on the fronts of the scenario asked and of one request in flight, at half, once and
twice the size; each is served in every cell of the grid by the closed form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.errors import PlannerError, SpecError
from planner.inputs.device import device_names
from planner.inputs.question import Question
from planner.inputs.workload import WorkloadSpec
from planner.metrics import METRICS
from planner.picks import SURE, title
from planner.questions.recommend.recommend import recommend, resolve_question
from planner.questions.recommend.space import arch_of, space_for
from planner.report.figures.style import rounded
from planner.results import Candidate, Recommendation, Result
from planner.scenario.evaluate import SHAPE, Evaluation
from planner.scenario.scenario import load_of
from planner.units import show

SIZES = (0.5, 1.0, 2.0)  # times the parameters asked for
IN_FLIGHT = (1, 4, 16, 64, 256)
LENGTHS = ((512, 128), (1024, 1024), (16384, 512))  # beside those asked for
DEVICES = ("a100-sxm-80gb", "h100-sxm", "b200")  # beside the one asked for
FORMATS = ("bf16", "fp8")
SHOWN = ("output_tokens_per_s", "ttft_s", "tpot_s", "max_concurrency", "usd_per_output_mtok")
MOST_SHAPES = 28  # of a size


@dataclass(frozen=True, slots=True)
class Explored:
    """Axes, shapes by size, and metrics of each shape in each cell, ready for JSON."""

    axes: dict[str, list[str]]  # what each slider stops at, in words
    start: dict[str, int]  # where each stands first
    shapes: list[list[dict[str, Any]]]  # by size
    # By size, device, format, lengths, in flight: a list a metric, a number a shape; None: refused.
    cells: list[Any]
    metrics: list[dict[str, str]]  # name, title and unit of each list
    sure: float  # that a pick is at least
    margin: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page holds it."""
        return {name: getattr(self, name) for name in self.__slots__}


def explore(r: Result) -> Explored:
    """Compute the grid around a recommendation.

    Raises:
        SpecError: it is no recommendation, or nothing fits at any of the sizes.

    """
    if not isinstance(r, Recommendation):
        raise SpecError(
            "sliders are of a recommendation", hint="give a result of `planner recommend`"
        )
    q = r.inputs
    devices = [q.on, *(d for d in DEVICES if d != q.on and d in device_names())]
    formats = list(dict.fromkeys((q.engine.dtype, *FORMATS)))
    lengths = list(
        dict.fromkeys(((int(q.workload.input_tokens), int(q.workload.output_tokens)), *LENGTHS))
    )
    sizes = [(f, found) for f in SIZES if (found := _shapes(r, f))]
    if not sizes:
        raise SpecError("no size around this one fits", hint="ask for a larger device")
    together = q.workload.concurrency or q.workload.batch
    cells = [
        [[_served(q, f, found, device, dtype, lengths) for dtype in formats] for device in devices]
        for f, found in sizes
    ]
    return Explored(
        axes={
            "params": [show(f * q.params) for f, _ in sizes],
            "device": devices,
            "dtype": formats,
            "lengths": [f"{i} in, {o} out" for i, o in lengths],
            "concurrency": [str(n) for n in IN_FLIGHT],
        },
        start={
            "params": next((i for i, (f, _) in enumerate(sizes) if f == 1.0), 0),
            "device": 0, "dtype": 0, "lengths": 0,
            "concurrency": min(range(len(IN_FLIGHT)), key=lambda i: abs(IN_FLIGHT[i] - (together or 64))),
        },
        shapes=[[_plain(c, i) for i, c in enumerate(found)] for _, found in sizes],
        cells=cells,
        metrics=[{"name": n, "title": METRICS[n].title, "unit": METRICS[n].unit} for n in SHOWN],
        sure=SURE,
        margin=q.margin,
    )  # fmt: skip


def _shapes(r: Recommendation, factor: float) -> list[Candidate]:
    """Return the baseline and the shapes of a size, lowest loss first; none where nothing fits."""
    q, alone = (
        r.inputs,
        {"batch": None, "concurrency": 1, "rate_per_s": None, "trace": None, "burst": None},
    )
    own = q.model_copy(update={"params": factor * q.params})
    one = own.model_copy(update={"workload": own.workload.model_copy(update=alone)})
    try:
        found = [r if factor == 1.0 else recommend(own), recommend(one)]
    except PlannerError:
        return []
    every = {str(c.shape): c for x in found for c in (*x.pareto, *filter(None, x.picks.values()))}
    front = sorted(every.values(), key=lambda c: c.loss.value)
    step = max(len(front) / MOST_SHAPES, 1.0)
    return [found[0].baseline, *(front[int(i * step)] for i in range(int(len(front) / step)))]


def _plain(c: Candidate, i: int) -> dict[str, Any]:
    loss = c.metrics["loss"]
    assert loss is not None and not isinstance(loss, int | float)
    return {
        "name": title(c.name) if i == 0 else "",
        "shape": f"{c.n_layers} × {c.d_model}, d_ff {c.d_ff}, {c.n_heads}/{c.n_kv_heads} heads of {c.head_dim}",
        "loss": rounded([loss.value, loss.low, loss.high]),
        "sure": 1.0 if i == 0 else c.p_within_margin,
    }  # fmt: skip


def _served(
    q: Question, factor: float, shapes: Sequence[Candidate], device: str, dtype: str,
    lengths: Sequence[tuple[int, int]],
) -> list[Any] | None:  # fmt: skip
    """Return the metrics of every shape by lengths and in flight; None where the card refuses them."""
    own = {"on": device, "engine": q.engine.model_copy(update={"dtype": dtype})}
    # Of another device neither the profile nor the price that was asked for.
    own |= {"profile": None, "usd_per_hour": None} if device != q.on else {}
    loads = [
        [WorkloadSpec(concurrency=n, input_tokens=i, output_tokens=o) for n in IN_FLIGHT]
        for i, o in lengths
    ]
    here = q.model_copy(update=own | {"params": factor * q.params, "workload": loads[0][0]})
    arch = arch_of({k: np.array([float(getattr(c.model, k)) for c in shapes]) for k in SHAPE})
    try:
        r = resolve_question(here, space_for(here).n_non_embedding(here.params))
    except PlannerError:
        return None

    def cell(w: WorkloadSpec) -> list[list[float | None]]:
        load = load_of([here.model_copy(update={"workload": w})])
        table = Evaluation(replace(r, load=load), arch).table(SHOWN)
        fits = table["max_concurrency"] >= 1
        columns = (rounded(table[n], 4) for n in SHOWN)
        return [[v if ok else None for v, ok in zip(c, fits, strict=True)] for c in columns]

    return [[cell(w) for w in of_length] for of_length in loads]
