"""Points through the simulated scheduler: percentiles, goodput, queues, which no closed form has."""

from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.workload import WorkloadSpec
from planner.scenario.scenario import Points
from planner.serving.load import requests_of
from planner.serving.simulate import Simulation, simulate
from planner.serving.simulate_pools import simulate_pools
from planner.serving.slo import Slo

N_REQUESTS = 1000
POINTS = ("p50", "p90", "p95", "p99")
_NAMES = [f"{q}_{p}" for q in ("ttft_s", "tpot_s", "itl_s", "e2e_s") for p in POINTS]


def workload(setting: Any, n: int | None = None) -> WorkloadSpec:
    """Return the workload a setting asks for."""
    keys = ("input_tokens", "output_tokens", "prefix_hit", "burstiness")
    more = {k: setting[k] for k in ("input_cv", "output_cv", "trace", "seed") if setting.get(k)}
    rate = setting["rate"]
    return WorkloadSpec(
        **{k: setting[k] for k in keys},
        **more,
        batch=setting["concurrency"],
        rate_per_s=rate,
        n_requests=n or (None if setting.get("trace") else _enough(setting)),
    )


def _enough(setting: Any) -> int:
    """Return how many requests a run needs for its burst not to rule it."""
    if setting["rate"]:
        return N_REQUESTS
    return int(max(N_REQUESTS, 4 * setting["concurrency"]))


def run(points: Points, row: int, n: int | None = None) -> Simulation:
    """Simulate one row.

    Raises:
        SpecError: a closed loop over separate prefill and decode replicas.

    """
    setting = points.settings[row]
    w = workload(setting, n)
    system = points.system(row)
    if setting["prefill_replicas"]:
        if not w.open_loop:
            raise SpecError(
                "the simulation of prefill_replicas needs arrivals", hint="vary rate instead"
            )
        return simulate_pools(
            system,
            requests_of(w),
            setting["prefill_replicas"],
            setting["replicas"],
            prefix_hit=w.prefix_hit,
        )
    return simulate(
        system,
        requests_of(w),
        concurrency=None if w.open_loop else w.batch,
        replicas=setting["replicas"],
        prefix_hit=w.prefix_hit,
    )


def simulated_point(points: Points, row: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the simulated figures of one row, and how its first engine fared over time.

    None throughout where the model does not fit.
    """
    if points.table["bound"][row] == "does not fit":
        return dict.fromkeys(_NAMES), {}
    sim = run(points, row)
    return simulated(sim), timeline(sim)


def timeline(sim: Simulation, n: int = 200) -> dict[str, Any]:
    """Return the first engine's state at `n` moments evenly spaced, as columns to plot."""
    t = sim.timeline()
    if not t["time_s"].size:
        return {}
    moments = np.linspace(0.0, t["time_s"][-1], n)
    # A row is the state until its time: the next one at or after a moment.
    rows = np.minimum(np.searchsorted(t["time_s"], moments), len(t["time_s"]) - 1)
    names = ("running", "decoding", "waiting", "kv_utilisation")
    return {"time_s": moments.tolist()} | {name: t[name][rows].tolist() for name in names}


def simulated(sim: Simulation, slo: Slo | None = None) -> dict[str, Any]:
    """Return the figures of a simulation, flat."""
    out: dict[str, Any] = {}
    for name, s in sim.latency.items():
        for p in POINTS:
            value = s.at(p)
            out[f"{name}_{p}"] = float(value) if np.isfinite(value) else None
    means = sim.means
    out |= {
        "simulated_output_tokens_per_s": sim.output_tokens_per_s,
        "gpu_utilisation": float(means["gpu_utilisation"]),
        "waiting": float(means["waiting"]),
        "max_waiting": float(means["max_waiting"]),
        "preemptions": sim.preemptions,
        "refused": int(sim.refused.sum()),
    }
    if slo is not None:
        out |= {"goodput_per_s": sim.goodput(slo), "met_share": sim.met_share(slo)}
    return out
