"""Predictions for measured runs, under the constants that ship or others."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads, System
from planner.metrics import METRICS
from planner.questions.validate.measured import COLUMNS, MEMORY, Run
from planner.scenario.evaluate import Evaluation, arrives, group_evaluation
from planner.scenario.scenario import Deployment, Scenario, columns_of, resolve, rows_of
from planner.scenario.simulated import Job, Seen, simulate_all

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Runs as columns, ready to be predicted again and again under other constants."""

    n: int
    runs: tuple[Run, ...]
    groups: tuple[tuple[NDArray[np.intp], Evaluation, str], ...]  # rows, their group, their column
    deployments: tuple[Deployment, ...]  # of each run

    def _filled(self, nothing: Any, of: Callable[[Evaluation, str], Any]) -> NDArray[Any]:
        """Return what `of` says of every run's group and column."""
        values = np.full(self.n, nothing)
        for rows, group, column in self.groups:
            values[rows] = of(group, column)
        return values

    def predict(
        self,
        kernels: Kernels | None = None,
        overheads: Overheads | None = None,
        memory: Mapping[str, float] | None = None,
    ) -> Floats:
        """Return the predicted value of every run, in the unit of its column.

        Args:
            kernels: in place of the profile's.
            overheads: in place of the profile's.
            memory: constants of the engine's footprint, in place of its own.

        """

        def of(group: Evaluation, column: str) -> Any:
            s, c = group.system, COLUMNS[column]
            changed = replace(
                s,
                kernels=kernels or s.kernels,
                overheads=overheads or s.overheads,
                footprint=replace(s.footprint, **(memory or {})),
            )
            names = [c.metric] + ["n_devices"] * c.per_device
            table = Evaluation(group.resolved, group.arch, changed).table(names)
            return table[c.metric] / c.unit / (table["n_devices"] if c.per_device else 1.0)

        return self._filled(np.nan, of)

    def see(
        self,
        under: Callable[[int, System], System] = lambda i, system: system,
        among: Container[int] | None = None,
    ) -> list[Seen | None]:
        """Simulate the runs whose requests arrive, each once, and say what was seen of each.

        Args:
            under: returns the system to simulate a run on, by its number, of its own.
            among: numbers of the runs that count; all where nothing is said.

        """
        at: dict[int, tuple[Evaluation, int]] = {}
        for rows, group, _ in self.groups:
            at |= {int(i): (group, place) for place, i in enumerate(rows)}
        fits = self.fits()
        jobs: list[Job] = []
        known: dict[Any, int] = {}
        which: list[int | None] = [None] * self.n
        for i, run in enumerate(self.runs):
            out = among is not None and i not in among
            if out or run.column in MEMORY or not fits[i] or not arrives(run.scenario):
                continue
            key = (run.line, run.scenario.workload)
            if key not in known:
                known[key] = len(jobs)
                group, place = at[i]
                jobs.append(Job(run.scenario, under(i, rows_of(group.system, place))))
            which[i] = known[key]
        seen = simulate_all(jobs)
        return [None if j is None else seen[j] for j in which]

    def take(self, rows: Sequence[int]) -> "Prepared":
        """Return some of the runs, by number."""
        by = dict(enumerate(self.deployments))
        chosen = [self.runs[i] for i in rows]
        places = {id(run.scenario): by[i] for i, run in zip(rows, chosen, strict=True)}
        return prepare(chosen, lambda s: places[id(s)])

    def ln_sd(self, under_load: bool = False) -> Floats:
        """Return the spread each prediction claims; as a simulated figure, or a closed form's."""

        def sd(e: Evaluation, column: str) -> Any:
            spread = spread_of(column)
            if not spread:
                return np.nan
            d = e.resolved.deployment
            if spread == "room_sd":
                return e["room_sd"]
            return d.load_sd(spread) if under_load else d.sd(spread)

        return self._filled(np.nan, sd)

    def fits(self) -> NDArray[np.bool_]:
        """Say of every run whether one of its requests fits at all."""
        return self._filled(False, lambda e, _: e["max_concurrency"] >= 1)

    def overflows(self) -> NDArray[np.bool_]:
        """Say of every run whether its requests do not all fit in the cache at full length."""
        return self._filled(
            False, lambda e, _: e["waits"] if e.resolved.kind.name == "batch" else False
        )


def seen_in(seen: Seen, run: Run) -> float:
    """Return the figure of a run's column in its simulation, in the column's unit; NaN: none."""
    c, s = COLUMNS[run.column], run.scenario
    v, w = seen.values, s.workload
    name = c.metric
    if run.column.startswith("itl_"):
        name = "itl_s"
    if c.statistic != "mean":
        return v.get(f"{name}_{c.statistic}", np.nan)
    rate = v.get("requests_per_s", np.nan)
    each = {"output_tokens_per_s": w.output_tokens, "requests_per_s": 1.0,
            "total_tokens_per_s": w.input_tokens + w.output_tokens}  # fmt: skip
    value = rate * each[name] if name in each else v.get(name, np.nan)
    return value / (s.engine.n_devices * s.replicas if c.per_device else 1.0)


def spread_of(column: str) -> str:
    """Return whose spread a column's prediction takes: its metric's, unless it has its own."""
    return COLUMNS[column].spread or METRICS[COLUMNS[column].metric].spread


def prepare(
    runs: Sequence[Run], resolved_by: Callable[[Scenario], Deployment] = resolve
) -> Prepared:
    """Group runs that one system and one equation predict together, and put their columns together."""
    grouped: dict[tuple[Any, ...], list[int]] = {}
    for i, r in enumerate(runs):
        grouped.setdefault((*columns_of(r.scenario), r.column), []).append(i)
    groups = []
    deployments: dict[int, Deployment] = {}
    for (*_, column), rows in grouped.items():
        chosen = [runs[i].scenario for i in rows]
        deployment = resolved_by(chosen[0])
        groups.append((np.array(rows), group_evaluation(chosen, deployment), str(column)))
        deployments |= dict.fromkeys(rows, deployment)
    return Prepared(
        len(runs), tuple(runs), tuple(groups), tuple(deployments[i] for i in range(len(runs)))
    )
