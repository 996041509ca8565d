"""How well a fit does on architectures it has not seen, and the spread that follows."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from planner.inputs.formats import FORMATS
from planner.interval import INTERVAL, Z
from planner.questions.validate.measured import Run
from planner.questions.validate.scoring import prepare
from planner_calibration.fit.speed.engines import EngineFit

Vector = NDArray[np.float64]


def leave_one_out(runs: Sequence[Run], fit: Callable[[Sequence[Run]], EngineFit]) -> Vector:
    """Return ln(predicted / measured) of each run, its architecture left out of the fit."""
    errors = np.full(len(runs), np.nan)
    for architecture in sorted({r.architecture for r in runs}):
        rows = [i for i, r in enumerate(runs) if r.architecture == architecture]
        rest = [r for r in runs if r.architecture != architecture]
        if rest:
            errors[rows] = ln_errors([runs[i] for i in rows], fit(rest))
    return errors


def ln_errors(runs: Sequence[Run], f: EngineFit) -> Vector:
    """Return ln(predicted / measured) of each run."""
    return np.log(prepare(runs).predict(f.kernels, f.overheads) / [r.value for r in runs])


def spread(errors: Vector) -> float:
    """Return the sd whose 80 % interval covers 80 % of `errors`; tails may be heavier beyond."""
    known = np.abs(errors[np.isfinite(errors)])
    return float(np.quantile(known, INTERVAL) / Z)


def gain_spread(runs: Sequence[Run], errors: Vector) -> float:
    """Return the spread of the ratio of two architectures under the same conditions, in 16 bits."""
    by_setting: dict[tuple[object, ...], list[int]] = {}
    for i, r in enumerate(runs):
        s = r.scenario
        if not FORMATS[s.engine.dtype].plain:
            continue
        key = (r.gpu, r.engine, repr(s.engine), r.column, repr(s.workload))
        by_setting.setdefault(key, []).append(i)
    differences = [
        errors[i] - errors[j]
        for rows in by_setting.values()
        for i, j in combinations(rows, 2)
        if runs[i].architecture != runs[j].architecture
    ]
    return spread(np.array(differences)) if len(differences) >= 10 else float("nan")
