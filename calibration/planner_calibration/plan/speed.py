"""Serving runs that settle which shape is fastest here: the cost model's constants decide which."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, System, Workload
from planner.serving.batch import batch_s
from planner_calibration.fit.speed.engines import placed
from planner_calibration.fit.speed.own_runs import (
    OTHER,
    SAME,
    SERVING_NOISE,
    free_constants,
    prior_sd,
)
from planner_calibration.plan.choose import Chosen, Criterion, Problem, choose, slopes

Vector = NDArray[np.float64]

START_S = 60.0  # an engine's start, which a run costs besides its batches
REPEATS = 5


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """Chosen runs by index, and the sd of ln throughput ratios between the shapes decided among."""

    chosen: Chosen
    seconds: Vector  # each candidate's expected cost


def plan_serving(
    system: System,
    candidates: tuple[Arch, Workload],
    decision: tuple[Arch, Workload],
    budget_s: float,
    *,
    same_device: bool,
    most: int = 8,
    criterion: Criterion = "bayes",
) -> ServingPlan:
    """Choose serving runs within `budget_s`.

    Args:
        system: the device and engine; its `arch` is not looked at.
        candidates: what could be run, one a row.
        decision: the shapes and the load to be decided among, one a row.
        budget_s: machine time.
        same_device: the profile was fitted on this device.
        most: runs at most.
        criterion: see `choose`.

    """
    known = free_constants(system.kernels, system.overheads)
    sds = [prior_sd(name, system.overheads, SAME if same_device else OTHER) for name in known]
    costs = START_S + REPEATS * _batch(system, *candidates)
    rows = _gradient(system, candidates, known)
    wanted = _gradient(system, decision, known)
    problem = Problem(
        gradients=rows,
        noise=np.full(len(rows), SERVING_NOISE),
        costs=costs,
        prior=np.diag(np.square(sds)),
        decision=wanted - wanted.mean(axis=0),  # ratios: what slows all alike decides nothing
    )
    return ServingPlan(choose(problem, budget_s, most=most, criterion=criterion), costs)


def _batch(system: System, arch: Arch, work: Workload) -> Vector:
    return np.atleast_1d(np.asarray(batch_s(replace(system, arch=arch), work), dtype=np.float64))


def _gradient(system: System, rows: tuple[Arch, Workload], known: dict[str, float]) -> Vector:
    """Return d ln time / d ln constant, one row a run."""

    def ln_times(moves: Vector) -> Vector:
        moved = dict(zip(known, np.array(list(known.values())) * np.exp(moves), strict=True))
        kernels, overheads = placed(moved, system.kernels, system.overheads)
        return np.log(_batch(replace(system, kernels=kernels, overheads=overheads), *rows))

    return slopes(ln_times, np.zeros(len(known)), step=0.02)
