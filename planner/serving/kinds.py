"""The workload kinds: for each, what users of it see in closed form, and where that holds.

A closed form gives columns by name, each computed when it is asked for: a search over millions of
shapes asks for two of them, a table for all. Names are those of `planner.metrics`; besides them

    mix            steps and how many of each an engine takes in a second, by phase
    span_s         engine seconds the mix is told for: of the whole batch, or of a request
    waits          where requests wait for memory
    late           where more arrives than can be served
    used           share of the replicas that have work
    prompt_share   of the engine's time, spent on prompts
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from planner.columns import Step, System, Workload
from planner.cost.memory import max_concurrency
from planner.equation import EQUATIONS
from planner.serving import batch, closed_loop
from planner.serving.open_loop import Flow, open_loop, saturation_per_s
from planner.serving.pools import Pools, closed, disaggregated
from planner.serving.speculative import engine_step_s
from planner.units import PerS, Scalar

Means = dict[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of all replicas together."""

    workload: Workload  # batch: requests there are, or in flight, over all replicas
    rate_per_s: PerS = np.nan  # arrivals, where requests come by the clock
    burstiness: Scalar = 1.0
    input_cv: Scalar = 0.0
    replicas: Scalar = 1.0
    prefill_replicas: Scalar = 0.0  # above 0: prompts are theirs, decoding the others'


@dataclass(frozen=True, slots=True)
class Kind:
    """One way for requests to come."""

    name: str
    words: str
    means: Callable[[System, Load], Means]
    holds: str  # where the closed form does; the tests hold it to the simulation there
    by_the_clock: bool = False  # arrivals do not wait for others to end
    per: str = "request"  # what `span_s` is of
    pools: Callable[[System, Load], Means] | None = None  # with prompts and decoding apart
    # The equation of a metric, where it has one: at what one engine is asked.
    equations: Mapping[str, str] = field(default_factory=dict)
    engine: Callable[[Load], Workload] = lambda load: load.workload


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return `make`, called at most once."""
    kept: list[Any] = []

    def call() -> Any:
        if not kept:
            kept.append(make())
        return kept[0]

    return call


def _share(load: Load) -> tuple[Workload, Scalar]:
    """Return the fullest replica's requests, and how many of it all of them make.

    Requests are whole: three on two replicas are two on one of them, which is what users wait for.
    """
    w = load.workload
    each = np.maximum(np.ceil(w.batch / load.replicas - 1e-9), 1.0)
    return replace(w, batch=each), w.batch / each


def _whole(load: Load) -> Workload:
    """One engine's share of a closed loop."""
    return _share(load)[0]


def _ends(load: Load) -> Workload:
    """One engine's share of a batch: a loop of as many requests as it keeps in flight."""
    w = _whole(load)
    return replace(w, n_requests=w.batch)


CLOSED = {
    "ttft_s": "closed_ttft_s",
    "tpot_s": "closed_tpot_s",
    "e2e_s": "closed_e2e_s",
    "idle_ttft_s": "idle_ttft_s",
    "decode_step_s": "decode_step_s",
    "duration_s": "run_s",
    "output_tokens_per_s": "closed_output_tokens_per_s",
}
BATCH = CLOSED | {
    "decode_step_s": "full_batch_step_s",
    "duration_s": "batch_s",
    "output_tokens_per_s": "batch_output_tokens_per_s",
}


def _looped(s: System, run: Workload, used: Scalar, equations: Mapping[str, str]) -> Means:
    """Return what runs share whose requests wait for others to end, of what one engine is asked."""
    own = {n: e for n, e in equations.items() if n != "output_tokens_per_s"}  # of all replicas
    means: Means = {name: partial(EQUATIONS[e], s, run) for name, e in own.items()}
    return means | {"used": lambda: used, "late": lambda: False}


def _batch(s: System, load: Load) -> Means:
    """All requests are there at the start; users wait for those ahead of them."""
    (w, used), run = _share(load), _ends(load)
    spent = _once(lambda: batch.batch_s(s, w))

    def mix() -> dict[str, tuple[Step, Any]]:
        prefill, decode = batch.prefill_step(s, w), batch.decode_step(s, w, batch.running(s, w))
        prefill_s = batch.prefill_all_s(s, w)
        decode_s = spent() - prefill_s
        return {
            "prefill": (prefill, prefill_s / engine_step_s(s, prefill) / spent()),
            "decode": (decode, decode_s / engine_step_s(s, decode) / spent()),
        }

    return _looped(s, run, used / np.maximum(load.replicas, 1.0), BATCH) | {
        "duration_s": spent,
        "requests_per_s": lambda: w.batch / spent() * used,
        "in_flight": lambda: batch.running(s, w) * used,
        "prompt_share": lambda: batch.prefill_all_s(s, w) / spent(),
        "mix": mix,
        "span_s": spent,
        "waits": lambda: w.batch > max_concurrency(s, w),
    }


def _closed(s: System, load: Load) -> Means:
    """A number of requests is kept in flight, dealt to the replicas evenly."""
    w, used = _share(load)
    cycle = _once(lambda: closed_loop.cycle_s(s, w))
    here = _once(lambda: closed_loop.in_flight(s, w))

    def mix() -> dict[str, tuple[Step, Any]]:
        together, steps = closed_loop.prompts_a_step(s, w), closed_loop.decode_steps(w)
        others = np.minimum(closed_loop.steps_for_others(s, w), steps)
        beside = s.limits.chunked_prefill * others
        prompt = closed_loop.prompt_step(s, w, closed_loop.riding_beside(s, w), together)
        decode = Step(decode_seqs=here(), decode_context=closed_loop.mean_context(w))
        return {
            "prefill": (prompt, here() / together / cycle()),
            "decode": (decode, (steps - beside) / cycle()),
        }

    def prompt_share() -> Any:
        decoding_s = closed_loop.decode_steps(w) * closed_loop.decode_step_s(s, w)
        return np.clip(1 - decoding_s / cycle(), 0.0, 1.0)

    made = closed_loop.closed_output_tokens_per_s
    return _looped(s, w, used / np.maximum(load.replicas, 1.0), CLOSED) | {
        "duration_s": lambda: np.where(np.isfinite(w.n_requests), closed_loop.run_s(s, w), np.nan),
        "requests_per_s": lambda: made(s, w) / w.output_tokens * used,
        "in_flight": lambda: here() * s.parallel.pp * used,
        "prompt_share": prompt_share,
        "mix": mix,
        "span_s": lambda: cycle() / here(),
        "waits": lambda: w.batch / s.parallel.pp > here() * (1 + 1e-9),
    }


def _open(s: System, load: Load) -> Means:
    """Requests arrive by the clock, dealt to replicas and pipeline batches evenly."""
    engines = load.replicas * s.parallel.pp
    flow = Flow(load.rate_per_s / engines, load.burstiness, load.input_cv)
    found = _once(lambda: open_loop(s, load.workload, flow))
    means = _opened(s, load, found, engines, lambda: found().prompt_share)
    means["prompt_share"] = lambda: np.clip(found().prompt_share, 0.0, 1.0)  # as of a closed loop
    # How much is served needs no search for how many decode at once.
    means["saturation_per_s"] = _once(lambda: saturation_per_s(s, load.workload) * engines)
    return means


def _open_pools(s: System, load: Load) -> Means:
    pools = Pools(load.prefill_replicas, load.replicas)
    flow = Flow(load.rate_per_s, load.burstiness, load.input_cv)
    return _pooled(s, load, _once(lambda: disaggregated(s, load.workload, pools, flow)))


def _closed_pools(s: System, load: Load) -> Means:
    pools = Pools(load.prefill_replicas, load.replicas)
    rate, found = closed(s, load.workload, pools)
    return _pooled(s, replace(load, rate_per_s=rate), lambda: found)


def _pooled(s: System, load: Load, found: Callable[[], Any]) -> Means:
    """Open loops whose `found` speaks of both pools together."""
    share = load.prefill_replicas / (load.prefill_replicas + load.replicas)
    means = _opened(s, load, found, 1.0, lambda: 0.0)
    means["used"] = lambda: 1 - share  # what a decoding replica is told to do, all of them share
    means["in_flight"] = lambda: found().decoding * load.replicas * s.parallel.pp
    means["prompt_share"] = lambda: share
    return means


def _opened(
    s: System, load: Load, found: Callable[[], Any], engines: Scalar, still: Callable[[], Any]
) -> Means:
    """Return what open loops share; `found` speaks of one of so many engines.

    `still` is the share of the time that prompts take from those who decode.
    """
    w = load.workload
    each = load.rate_per_s / (load.replicas * s.parallel.pp)

    def mix() -> dict[str, tuple[Step, Any]]:
        o = found()
        context = closed_loop.mean_context(w)
        decode = Step(decode_seqs=np.maximum(o.decoding, 1.0), decode_context=context)
        prompt = closed_loop.prompt_step(s, w, o.decoding, 1.0)
        busy = np.minimum(o.decoding, 1.0) * (1 - still())
        return {"prefill": (prompt, each), "decode": (decode, busy / np.maximum(o.tpot_s, 1e-12))}

    def step_s() -> Any:
        met = Step(decode_seqs=found().decoding + 1.0, decode_context=closed_loop.mean_context(w))
        return engine_step_s(s, met)

    means: Means = {
        "ttft_s": lambda: found().ttft_s,
        "tpot_s": lambda: found().tpot_s,
        "e2e_s": lambda: found().e2e_s,
        "idle_ttft_s": lambda: batch.idle_ttft_s(s, w),
        "decode_step_s": step_s,
        "saturation_per_s": lambda: found().saturation_per_s * engines,
        "requests_per_s": lambda: np.minimum(load.rate_per_s, means["saturation_per_s"]()),
        "in_flight": lambda: found().decoding * engines,
        "mix": mix,
        "span_s": lambda: 1 / each,
        "used": lambda: 1.0,
        "waits": lambda: False,
        "late": lambda: load.rate_per_s >= means["saturation_per_s"](),
    }
    return means


BATCH_KIND = Kind(
    "batch",
    "an offline batch: all requests are there at the start",
    _batch,
    "requests of one length that all fit in memory; beyond it duration within 15 %",
    per="batch",
    equations=BATCH,
    engine=_ends,
)
BURST_KIND = replace(
    BATCH_KIND,
    name="burst",
    words="requests that arrive at once at an idle engine",
    holds="as a batch",
)
CLOSED_KIND = Kind(
    "concurrency",
    "a number of requests is kept in flight, each replaced as it ends",
    _closed,
    "1 to 64 in flight that all fit in memory, prompts up to three tenths of the time",
    pools=_closed_pools,
    equations=CLOSED,
    engine=_whole,
)
RATE_KIND = Kind(
    "rate",
    "requests arrive at a mean rate, whether or not others have ended",
    _open,
    "up to 85 % of saturation",
    by_the_clock=True,
    pools=_open_pools,
    equations={"idle_ttft_s": "idle_ttft_s"},
)
TRACE_KIND = replace(
    RATE_KIND,
    name="trace",
    words="recorded arrivals and lengths; in closed form their mean rate and lengths",
    holds="as a rate, and where the trace is about as steady as its mean",
)
KINDS: dict[str, Kind] = {
    k.name: k for k in (BATCH_KIND, BURST_KIND, CLOSED_KIND, RATE_KIND, TRACE_KIND)
}
