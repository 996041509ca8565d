"""Operating curves: throughput, latencies and cost against how much is asked."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from planner.picks import title
from planner.report import rows
from planner.report.figures.curves import Line, curves, panels
from planner.report.parts import Cell, Figure, Grid
from planner.scenario.evaluate import Evaluation

POINTS = 25
NEARLY = 0.97  # of saturation: as far as means still end


def swept(e: Evaluation) -> tuple[str, Any, Evaluation]:
    """Return what is varied in words, its steps, and one shape under all of them.

    Requests together, up to what fits and was asked for; arrivals, where they come by the clock.
    """
    r, load = e.resolved, e.load
    if r.kind.by_the_clock:
        steps = np.linspace(0.02, NEARLY, POINTS) * float(e["saturation_per_s"])
        return "requests/s", steps, _under(e, replace(load, rate_per_s=steps))
    batch = float(load.workload.batch)
    last = max(min(float(e["max_concurrency"]) * float(load.replicas), 4 * batch), batch, 8.0)
    steps = np.unique(np.rint(np.geomspace(1.0, last, POINTS)))
    more = replace(load, workload=replace(load.workload, batch=steps))
    return "requests together", steps, _under(e, more)


def _under(e: Evaluation, load: Any) -> Evaluation:
    return Evaluation(replace(e.resolved, load=load), e.arch)


def operating(shown: Mapping[str, Evaluation]) -> tuple[list[Figure], Grid]:
    """Draw the metrics that have a panel against load, cost where a price is known."""
    found = {name: swept(e) for name, e in shown.items()}
    over = next(iter(found.values()))[0]
    together = over == "requests together"
    metrics = panels()
    tables = {name: e.table([m.name for m in metrics]) for name, (_, _, e) in found.items()}
    metrics = [m for m in metrics if any(np.isfinite(t[m.name]).any() for t in tables.values())]
    axis = {"type": "log", "dtick": 0.30103} if together else {}
    figures = [
        curves(
            m, "operating", over,
            {n: Line([float(x) for x in found[n][1]], t[m.name]) for n, t in tables.items()}, **axis,
        )
        for m in metrics
    ]  # fmt: skip
    body: list[list[Cell | str]] = []
    for name, t in tables.items():
        steps = found[name][1]
        for i in sorted({0, len(steps) // 2, len(steps) - 1}):
            numbers = (rows.metric(m, float(t[m.name][i])) for m in metrics)
            body.append([title(name), f"{float(steps[i]):.4g}", *numbers])
    header = ["shape", over, *(m.title for m in metrics)]
    return figures, Grid(header, body, caption="Points of the curves", fold=True)
