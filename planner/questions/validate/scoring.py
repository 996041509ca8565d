"""Predictions for measured runs, row by row, with the interval each carries."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads, System, Workload
from planner.cost.memory import max_concurrency
from planner.inputs.engine import EngineSpec
from planner.questions.validate.measured import BATCH_METRICS, Run, arch_of, workload_of
from planner.scenario.system import Served, serve
from planner.serving import closed_loop as steady
from planner.serving import offline

Floats = NDArray[np.float64]

PREDICT: dict[str, Callable[[System, Workload], Floats]] = {
    "e2e_latency_s": offline.batch_s,
    "prefill_s": offline.batch_s,
    "output_tok_s": offline.output_tokens_per_s,
    "ttft_s": steady.closed_ttft_s,
    "tpot_s": steady.closed_tpot_s,
    "itl_s": steady.closed_tpot_s,
    "output_tokens_per_s": steady.closed_output_tokens_per_s,
}


def grouped(runs: Iterable[Run]) -> dict[tuple[str, EngineSpec, str], list[int]]:
    """Return the indices of runs that one system and one equation predict together."""
    groups: dict[tuple[str, EngineSpec, str], list[int]] = {}
    for i, r in enumerate(runs):
        key = (r.device_id, r.setup.model_copy(update={"tp": 1, "pp": 1, "ep": 1}), r.metric)
        groups.setdefault(key, []).append(i)
    return groups


def system_of(runs: list[Run], served: Served) -> System:
    """Return the columns of `runs`, which share a device, an engine and its settings."""
    s = served.system(arch_of(runs))
    degrees = {d: np.array([float(getattr(r.setup, d)) for r in runs]) for d in ("tp", "pp", "ep")}
    return replace(s, parallel=replace(s.parallel, **degrees))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Runs as columns, ready to be predicted again and again under other constants."""

    n: int
    groups: tuple[tuple[NDArray[np.intp], System, Workload, str], ...]

    def predict(self, kernels: Kernels | None = None, overheads: Overheads | None = None) -> Floats:
        """Return the predicted value of every run, in the unit of its metric."""
        values = np.full(self.n, np.nan)
        for rows, system, workload, metric in self.groups:
            s = replace(
                system, kernels=kernels or system.kernels, overheads=overheads or system.overheads
            )
            values[rows] = PREDICT[metric](s, workload)
        return values

    def overflows(self) -> NDArray[np.bool_]:
        """Say of every run whether its requests do not all fit in the cache at full length."""
        over = np.zeros(self.n, dtype=bool)
        for rows, system, w, metric in self.groups:
            if metric in BATCH_METRICS:
                over[rows] = w.batch > max_concurrency(system, w)
        return over


def prepare(runs: Sequence[Run], served_by: Callable[[Run], Served] | None = None) -> Prepared:
    """Group runs and put their systems together; the profile is the nearest unless `served_by` says."""
    groups = []
    for (device, engine, metric), rows in grouped(runs).items():
        chosen = [runs[i] for i in rows]
        served = served_by(chosen[0]) if served_by else serve(device, engine)
        groups.append((np.array(rows), system_of(chosen, served), workload_of(chosen), metric))
    return Prepared(len(runs), tuple(groups))


def predictions(runs: Sequence[Run]) -> Floats:
    """Return the predicted value of every run, under the profile nearest to each."""
    return prepare(runs).predict()
