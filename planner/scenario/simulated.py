"""Scenarios through the simulated scheduler: percentiles, goodput, queues, which no closed form has."""

from collections.abc import Mapping

import numpy as np

from planner.columns import System
from planner.errors import SpecError
from planner.inputs.workload import WorkloadSpec
from planner.metrics import LATENCIES, STATISTICS
from planner.results import Value
from planner.scenario.evaluate import Evaluated
from planner.scenario.scenario import Scenario, trace_of
from planner.serving.percentiles import Slo
from planner.serving.requests import Drawn, Requests, draw
from planner.serving.simulate import Simulation, simulate, simulate_pools
from planner.serving.step_times import StepTimes

N_REQUESTS = 1000  # of a run without an end of its own: a p99 stands on ten of them


def requests_of(w: WorkloadSpec, n: int | None = None) -> Requests:
    """Return the workload's requests, drawn once: the same seed gives the same requests.

    `n` of them, else as many as the workload says, else enough for its start not to rule it.

    Raises:
        SpecError: the trace cannot be read.

    """
    n = n or w.n_requests
    if w.trace:
        seen: Requests = trace_of(w)
        if w.rate_per_s and len(seen) > 1:
            seen = seen.faster(w.rate_per_s * float(seen.arrival_s[-1]) / (len(seen) - 1) or 1.0)
        return seen.at(slice(0, n)) if n else seen
    at_once = w.burst or (None if w.rate_per_s or w.concurrency else w.batch)
    n = n or at_once or max(N_REQUESTS, 4 * (w.concurrency or 0))
    same = ("input_tokens", "output_tokens", "input_cv", "output_cv", "rate_per_s", "burstiness")
    return draw(Drawn(n, seed=w.seed, **{name: getattr(w, name) for name in same}))


def run(
    s: Scenario,
    system: System,
    requests: Requests | None = None,
    times: StepTimes | None = None,
) -> Simulation:
    """Simulate one scenario on its system; `requests` in place of its own.

    Raises:
        SpecError: a kept concurrency over separate prefill and decode replicas.

    """
    w = s.workload
    coming = requests_of(w) if requests is None else requests
    if s.prefill_replicas:
        if w.concurrency:
            raise SpecError(
                "the simulation of prefill_replicas needs arrivals", hint="give --rate instead"
            )
        return simulate_pools(
            system, coming, s.prefill_replicas, s.replicas, prefix_hit=w.prefix_hit
        )
    return simulate(
        system,
        coming,
        concurrency=w.concurrency,
        replicas=s.replicas,
        prefix_hit=w.prefix_hit,
        times=times,
    )


def simulated_point(found: Evaluated, row: int) -> tuple[dict[str, Value], dict[str, list[float]]]:
    """Return the simulated metrics of one row, and how its first engine fared over time.

    None throughout where the model does not fit or may not be asked.
    """
    if row not in found.answered():
        return dict.fromkeys(f"{n}_{p}" for n in LATENCIES for p in STATISTICS), {}
    sim = run(found.scenarios[row], found.system(row))
    return simulated(sim), timeline(sim)


def timeline(sim: Simulation, n: int = 200) -> dict[str, list[float]]:
    """Return the first engine's state at `n` moments evenly spaced, as columns to plot."""
    t = sim.timeline()
    if not t["time_s"].size:
        return {}
    moments = np.linspace(0.0, t["time_s"][-1], n)
    # A row is the state until its time: the next one at or after a moment.
    rows = np.minimum(np.searchsorted(t["time_s"], moments), len(t["time_s"]) - 1)
    names = ("running", "decoding", "waiting", "kv_utilisation")
    return {"time_s": moments.tolist()} | {name: t[name][rows].tolist() for name in names}


def simulated(sim: Simulation, slo: Slo | None = None) -> dict[str, Value]:
    """Return the metrics of a simulation: those of `planner.metrics.SIMULATED` it has."""
    means = sim.means
    values: Mapping[str, float] = {
        f"{name}_{p}": s.at(p) for name, s in sim.latency.items() for p in STATISTICS
    } | {
        "simulated_output_tokens_per_s": sim.output_tokens_per_s,
        "gpu_utilisation": means["gpu_utilisation"],
        "waiting": means["waiting"],
        "max_waiting": means["max_waiting"],
        "preemptions": sim.preemptions,
        "refused_requests": int(sim.refused.sum()),
    }
    if slo is not None:
        values = {**values, "goodput_per_s": sim.goodput(slo), "met_share": sim.met_share(slo)}
    return {name: float(v) if np.isfinite(v) else None for name, v in values.items()}
