"""Serving runs that settle which shape is fastest here: the cost model's constants decide which."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, System, Workload
from planner.serving.batch import batch_s
from planner_calibration.fit.speed.own_runs import ENGINE_SD, KEPT, OTHER, SAME, SERVING_NOISE
from planner_calibration.plan.choose import Chosen, Criterion, Problem, choose

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
    names, sds = _unknowns(system, same_device)
    times = _batch(system, *candidates)
    costs = START_S + REPEATS * times
    rows = _gradient(system, candidates, names)
    wanted = _gradient(system, decision, names)
    problem = Problem(
        gradients=rows,
        noise=np.full(len(rows), SERVING_NOISE),
        costs=costs,
        prior=np.diag(np.square(sds)),
        decision=wanted - wanted.mean(axis=0),  # ratios: what slows all alike decides nothing
    )
    return ServingPlan(choose(problem, budget_s, most=most, criterion=criterion), costs)


def _unknowns(system: System, same: bool) -> tuple[Sequence[tuple[str, str]], Vector]:
    names = [
        (part, f.name)
        for part in ("kernels", "overheads")
        for f in fields(getattr(system, part))
        if f.name not in KEPT and getattr(getattr(system, part), f.name) > 0
    ]
    sds = [ENGINE_SD if part == "overheads" else SAME if same else OTHER for part, _ in names]
    return names, np.array(sds)


def _batch(system: System, arch: Arch, work: Workload) -> Vector:
    return np.atleast_1d(np.asarray(batch_s(replace(system, arch=arch), work), dtype=np.float64))


def _gradient(
    system: System,
    rows: tuple[Arch, Workload],
    names: Sequence[tuple[str, str]],
    step: float = 0.02,
) -> Vector:
    """Return d ln time / d ln constant, one row a run, by central differences."""
    columns = []
    for part, name in names:
        value = getattr(getattr(system, part), name)
        sides = [
            np.log(
                _batch(
                    replace(
                        system,
                        **{
                            part: replace(
                                getattr(system, part), **{name: value * np.exp(sign * step)}
                            )
                        },
                    ),
                    *rows,
                )
            )
            for sign in (1, -1)
        ]
        columns.append((sides[0] - sides[1]) / (2 * step))
    return np.stack(columns, axis=1)
