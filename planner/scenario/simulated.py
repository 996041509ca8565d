"""Scenarios through the simulated scheduler: what users see where requests arrive, and how sure that is.

A workload with an end (a batch, a burst, a trace, `n_requests`) is run from its first request to its
last. One without is met in its middle: a loop starts with those in flight part-way through their
outputs, arrivals are let come for twice as long as a request stays, and the next thousand requests are
measured while others follow. Of replicas that fare alike one is run.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from planner import limits
from planner.columns import FrontEnd, System, Workload
from planner.cost.memory import kv_tokens
from planner.errors import SpecError
from planner.inputs.workload import WorkloadSpec
from planner.metrics import STATISTICS
from planner.results import Value
from planner.scenario.scenario import (
    SHAREGPT_MOST,
    Scenario,
    lengths_of,
    prefix_hit_of,
    spread_of,
    trace_of,
)
from planner.serving.percentiles import Slo
from planner.serving.requests import Drawn, Requests, draw, part_way
from planner.serving.simulate import Simulation, simulate, simulate_pools
from planner.serving.step_times import StepTimes

N_REQUESTS = 1000  # measured of a run without an end: a p99 stands on ten of them
FEW = 4  # simulations that are not worth other processes
MOST_REPLICAS = 4  # run, where requests do not divide evenly among more of them


def requests_of(w: WorkloadSpec, n: int | None = None) -> Requests:
    """Return the workload's requests, drawn once: the same seed gives the same requests.

    `n` of them, else as many as the workload says, else enough for its start not to rule it.

    Raises:
        SpecError: the trace cannot be read.

    """
    n = n or w.n_requests
    if w.trace:
        seen = trace_of(w).requests
        if w.rate_per_s and len(seen) > 1:
            seen = seen.faster(w.rate_per_s * float(seen.arrival_s[-1]) / (len(seen) - 1) or 1.0)
        return seen.at(slice(0, n)) if n else seen
    at_once = w.burst or (None if w.rate_per_s or w.concurrency else w.batch)
    n = n or at_once or max(N_REQUESTS, 4 * (w.concurrency or 0))
    limits.require("events", n, f"a simulation of {n:,} requests")
    least, given_cv, made_cv = spread_of(w)
    most = SHAREGPT_MOST if w.lengths == "sharegpt" else (np.inf, np.inf)
    drawn = draw(
        Drawn(
            n,
            w.input_tokens,
            w.output_tokens,
            given_cv,
            made_cv,
            least,
            *most,
            rate_per_s=w.rate_per_s,
            burstiness=w.burstiness,
            seed=w.seed,
        )
    )
    if w.listed:
        listed: Requests = lengths_of(w)
        rows = np.random.default_rng(w.seed).integers(len(listed), size=n)
        return replace(listed.at(rows), arrival_s=drawn.arrival_s)
    return drawn


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run without an end: which requests count, and of how many replicas it is run."""

    requests: Requests
    counted: range
    concurrency: int | None
    replicas: int


def _in_flight(w: WorkloadSpec, times: StepTimes, rate_per_s: float) -> float:
    """Return about how many requests one engine has in flight, by Little's law."""
    limits = times.system.limits
    prompt = max(int(w.input_tokens * (1 - w.prefix_hit)), 1)
    whole = min(prompt, int(limits.max_batched_tokens))
    prompt_s = prompt / whole * times.mixed(whole, w.input_tokens - whole / 2, 1, 0, 0.0)
    left = 1 - min(rate_per_s * prompt_s, 0.9)
    seqs, most = 1.0, float(limits.max_num_seqs)
    for _ in range(20):
        token_s = times.decode(max(round(seqs), 1), w.input_tokens + w.output_tokens / 2) / left
        seqs = min(max(rate_per_s * (w.output_tokens * token_s + prompt_s), 1.0), most)
    return seqs


def part_of(s: Scenario, times: StepTimes) -> Part:
    """Return what is run of a workload without an end."""
    w, pp = s.workload, s.engine.pp
    if w.concurrency:
        replicas = min(s.replicas, w.concurrency)
        if replicas > 1:
            replicas = 1 if w.concurrency % replicas == 0 else min(replicas, MOST_REPLICAS)
        kept = max(round(w.concurrency * replicas / min(s.replicas, w.concurrency)), 1)
        warm, n = kept, max(N_REQUESTS, 2 * kept)
        coming = requests_of(w, warm + n + 2 * kept + 1)
        return Part(part_way(coming, kept, w.seed), range(warm, warm + n), kept, replicas)
    assert w.rate_per_s
    # Dealt in turn, the gaps of one replica are sums of as many as there are replicas.
    each = w.rate_per_s / s.replicas
    own = w.model_copy(
        update={
            "rate_per_s": each,
            "burstiness": min(w.burstiness * s.replicas, 1e6),
        }
    )
    there = pp * _in_flight(w, times, each / pp)
    warm, n = int(2 * there) + 50, max(N_REQUESTS, int(2 * there))
    coming = requests_of(own, warm + n + int(1.5 * there) + 51)
    return Part(coming, range(warm, warm + n), None, 1)


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
    if w.kind == "batch":  # handed to the engine by the program that holds it
        system = replace(system, front_end=FrontEnd())
    if requests is None and endless(w) and not s.prefill_replicas:
        times = times or step_times(s, system)
        part = part_of(s, times)
        return simulate(
            system,
            part.requests,
            concurrency=part.concurrency,
            replicas=part.replicas,
            prefix_hit=prefix_hit_of(w),
            times=times,
            counted=part.counted,
        )
    coming = requests_of(w) if requests is None else requests
    if s.prefill_replicas:
        if w.concurrency:
            raise SpecError(
                "the simulation of prefill_replicas needs arrivals", hint="give --rate instead"
            )
        return simulate_pools(
            system, coming, s.prefill_replicas, s.replicas, prefix_hit=prefix_hit_of(w)
        )
    return simulate(
        system,
        coming,
        concurrency=w.concurrency,
        replicas=s.replicas,
        prefix_hit=prefix_hit_of(w),
        times=times,
    )


def step_times(s: Scenario, system: System) -> StepTimes:
    """Return step times to look up, for contexts as long as any request's."""
    w = s.workload
    if w.trace:
        seen = trace_of(w).requests
        return StepTimes(system, float((seen.input_tokens + seen.output_tokens).max()) + 1.0)
    spread = w.lengths or w.input_cv or w.output_cv
    return StepTimes(system, (8 if spread else 1) * (w.input_tokens + w.output_tokens) + 1.0)


def endless(w: WorkloadSpec) -> bool:
    """Whether a workload has no end of its own."""
    return w.kind in ("concurrency", "rate") and w.n_requests is None


def saturation_per_s(s: Scenario, system: System, times: StepTimes | None = None) -> float:
    """Return the requests a second that one replica completes with all its places taken."""
    w = s.workload
    held = Workload(float(w.input_tokens), float(w.output_tokens), 1.0)
    room = float(kv_tokens(system, held)) / (w.input_tokens + w.output_tokens / 2)
    most = int(min(system.limits.max_num_seqs, 1.1 * room + 2)) * s.engine.pp
    own = w.model_copy(
        update={
            "rate_per_s": None,
            "n_requests": None,
            "trace": None,
            "lengths": w.trace or w.lengths,
        }
    )
    n = max(most, N_REQUESTS // 2)
    coming = part_way(requests_of(own, 2 * most + n + 2), most, w.seed)
    sim = simulate(
        system,
        coming,
        concurrency=most,
        prefix_hit=prefix_hit_of(w),
        times=times,
        counted=range(2 * most, 2 * most + n),
        stop_early=True,
    )
    return sim.sent_per_s


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of a simulation: figures by name, how the first engine fared, and its own error."""

    values: Mapping[str, float]
    errors: Mapping[str, float]  # of means, relative: what another seed would change
    timeline: Mapping[str, list[float]]


def seen_of(s: Scenario, system: System, times: StepTimes | None = None) -> Seen:
    """Simulate a scenario and return its figures, of all its replicas; NaN where queues never end."""
    w = s.workload
    times = times or step_times(s, system)
    most = np.inf
    if w.kind == "rate" and w.rate_per_s and not s.prefill_replicas:
        most = saturation_per_s(s, system, times) * s.replicas
        if w.rate_per_s >= most and endless(w):
            return Seen({"saturation_per_s": most, "requests_per_s": most, "late": 1.0}, {}, {})
    sim = run(s, system, times=times)
    scale, rate = 1.0, sim.requests_per_s
    if sim.steady:  # a part of all replicas was run
        engines = len(sim.logs) / s.engine.pp
        scale = min(s.replicas, w.concurrency or s.replicas) / engines
        rate = w.rate_per_s or rate * scale
    values = {name: x.mean for name, x in sim.latency.items()} | {
        "requests_per_s": rate,
        "in_flight": sim.means["running"] * len(sim.logs) * scale,
        "late": 0.0,
    }
    if np.isfinite(most):
        values["saturation_per_s"] = most
    if not sim.steady:
        values["duration_s"] = sim.duration_s
    errors = {name: sim.error(name) for name in ("ttft_s", "tpot_s", "e2e_s")}
    more = {name: v for name, v in simulated(sim).items() if isinstance(v, int | float)}
    return Seen(more | values, errors, timeline(sim))


class Job(NamedTuple):
    """A scenario on its system, to be simulated."""

    scenario: Scenario
    system: System


_jobs: Sequence[Job] = ()  # what forked workers inherit


def _do(i: int) -> Seen:
    return seen_of(*_jobs[i])


def _begin(counts: bool, parent: int) -> None:
    """Start a worker: it counts its seconds as its parent does, and ends with it."""
    limits.die_with(parent)
    if counts:
        limits.start_clock()


def simulate_all(jobs: Sequence[Job]) -> list[Seen]:
    """Simulate many scenarios, on as many cores as there are."""
    global _jobs
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    if cores < 2 or len(jobs) < FEW:
        return [seen_of(*job) for job in jobs]
    _jobs = jobs
    others = set(multiprocessing.active_children())
    try:
        context = multiprocessing.get_context("fork")
        began = (limits.counts(), os.getpid())
        with ProcessPoolExecutor(
            cores, mp_context=context, initializer=_begin, initargs=began
        ) as pool:
            return list(pool.map(_do, range(len(jobs)), chunksize=max(len(jobs) // cores // 8, 1)))
    finally:
        _jobs = ()
        # A pool that a limit cut short may leave workers waiting for work, and Python waits for them.
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
            worker.join()


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
        "itl_s": sim.latency["itl_s"].mean,
        "gpu_utilisation": means["gpu_utilisation"],
        "waiting": means["waiting"],
        "max_waiting": means["max_waiting"],
        "preemptions": sim.preemptions,
        "refused_requests": int(sim.refused.sum()),
    }
    if slo is not None:
        values = {**values, "goodput_per_s": sim.goodput(slo), "met_share": sim.met_share(slo)}
    return {name: float(v) if np.isfinite(v) else None for name, v in values.items()}
