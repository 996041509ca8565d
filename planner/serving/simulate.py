"""Simulate a system under a load: replicas, pipeline batches, and what users of it would see."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.columns import System, Workload
from planner.cost.memory import kv_tokens
from planner.serving.percentiles import Slo, Summary, met, summary
from planner.serving.pools import transfer_s
from planner.serving.requests import Requests
from planner.serving.scheduler import Engine, Log, Rules
from planner.serving.step_times import StepTimes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """What happened to every request, and the state of the engines over time.

    Times are NaN for what a request never had: a refused one has none, one without output no TTFT.
    """

    requests: Requests
    arrival_s: Floats  # as it happened: in a closed loop, when the request was sent
    first_s: Floats  # clock at the first token
    finish_s: Floats
    refused: NDArray[np.bool_]  # longer than the cache
    logs: tuple[Log, ...]  # one an engine
    n_blocks: int  # of one engine
    capacity_tokens: float  # longest request an engine can hold
    longest_gap_s: Floats  # between two tokens of a request; NaN for fewer than two

    @property
    def ttft_s(self) -> Floats:
        """Time to first token."""
        return self.first_s - self.arrival_s

    @property
    def e2e_s(self) -> Floats:
        """Time from arrival to the last token."""
        return self.finish_s - self.arrival_s

    @property
    def tpot_s(self) -> Floats:
        """Mean time per output token after the first; NaN for fewer than two."""
        further = self.requests.output_tokens - 1.0
        return np.where(
            further > 0, (self.finish_s - self.first_s) / np.maximum(further, 1), np.nan
        )

    @property
    def served(self) -> NDArray[np.bool_]:
        """Requests that ended."""
        return ~np.isnan(self.finish_s)

    @cached_property
    def duration_s(self) -> float:
        """From the first arrival to the last token."""
        if not self.served.any():
            return 0.0
        return float(np.nanmax(self.finish_s) - np.nanmin(self.arrival_s))

    def _rate(self, amount: float) -> float:
        return amount / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens of served requests over the run."""
        return self._rate(float(self.requests.output_tokens[self.served].sum()))

    @property
    def requests_per_s(self) -> float:
        """Served requests over the run."""
        return self._rate(float(self.served.sum()))

    def met(self, slo: Slo) -> NDArray[np.bool_]:
        """Which requests met every limit; a limit on ITL holds for a request's longest gap.

        Args:
            slo: limits, s.

        """
        times = {"ttft_s": self.ttft_s, "tpot_s": self.tpot_s, "e2e_s": self.e2e_s}
        return met(slo, times | {"itl_s": self.longest_gap_s}) & self.served

    def goodput(self, slo: Slo) -> float:
        """Requests per second that met every limit.

        Args:
            slo: limits, s.

        """
        return self._rate(float(self.met(slo).sum()))

    def met_share(self, slo: Slo) -> float:
        """Share of all requests, refused ones included, that met every limit.

        Args:
            slo: limits, s.

        """
        good = self.met(slo)
        return float(good.mean()) if len(good) else 1.0

    @cached_property
    def latency(self) -> dict[str, Summary]:
        """TTFT, TPOT, end-to-end, over requests; ITL, over gaps between tokens."""
        gaps = np.array([g for log in self.logs for g in log.gaps], dtype=float).reshape(-1, 2)
        return {
            "ttft_s": summary(self.ttft_s),
            "tpot_s": summary(self.tpot_s),
            "itl_s": summary(gaps[:, 0], gaps[:, 1]),
            "e2e_s": summary(self.e2e_s),
        }

    @property
    def steps(self) -> int:
        """Engine steps, all engines."""
        return sum(log.steps for log in self.logs)

    @property
    def events(self) -> int:
        """What the simulation had to look at: steps with prompts, and runs of decode steps."""
        return sum(log.events for log in self.logs)

    @property
    def preemptions(self) -> int:
        """Times a sequence lost its blocks."""
        return sum(log.preemptions for log in self.logs)

    def timeline(self, engine: int = 0) -> dict[str, Floats]:
        """Return one engine's state after each event, as columns that can be plotted.

        Args:
            engine: number of an engine.

        """
        rows = np.array(self.logs[engine].timeline, dtype=float).reshape(-1, 6)
        names = ("time_s", "decoding", "running", "waiting", "kv_blocks", "busy_s")
        columns = dict(zip(names, rows.T, strict=True))
        columns["kv_utilisation"] = columns["kv_blocks"] / max(self.n_blocks, 1)
        return columns

    @cached_property
    def means(self) -> dict[str, float]:
        """Averages over time and engines: running, waiting, busy share, share of the cache in use."""
        totals = dict.fromkeys(("running", "waiting", "kv_utilisation"), 0.0)
        busy, span, peak = 0.0, 0.0, 0.0
        for e in range(len(self.logs)):
            t = self.timeline(e)
            if not t["time_s"].size:
                continue
            widths = np.diff(t["time_s"], prepend=0.0)
            for name in totals:
                totals[name] += float(widths @ t[name])
            busy += t["busy_s"][-1]
            span += t["time_s"][-1]
            peak = max(peak, float(t["waiting"].max()))
        span = max(span, 1e-300)
        averages = {name: total / span for name, total in totals.items()}
        return averages | {"gpu_utilisation": busy / span, "max_waiting": peak}


def rules(s: System, w: Workload) -> Rules:
    """Return the limits of one pipeline batch of a replica: a pp-th of places and blocks.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: mean lengths, tokens: where layers keep a window, blocks are counted as if they kept all.

    """
    pp = max(int(s.parallel.pp), 1)
    block = int(s.limits.block_tokens)
    seqs = max(int(s.limits.max_num_seqs) // pp, 1)
    return Rules(
        max_num_seqs=seqs,
        max_batched_tokens=max(int(s.limits.max_batched_tokens), seqs),
        block_tokens=block,
        n_blocks=int(kv_tokens(s, w)) // block // pp,
        chunked=bool(s.limits.chunked_prefill),
    )


def simulate(
    s: System,
    requests: Requests,
    *,
    concurrency: int | None = None,
    replicas: int = 1,
    prefix_hit: float = 0.0,
    cached: bool = False,
    times: StepTimes | None = None,
) -> Simulation:
    """Serve `requests` on `replicas` of one system, dealt to them in turn.

    With `concurrency`, arrivals are ignored: that many are in flight in all, and each is replaced
    as it ends. `prefix_hit` is the share of every prompt already cached; `cached`, that prompts
    arrive computed, with their first token made. A request longer than the cache is refused, and
    the rest served. Deterministic.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        requests: arrivals in s, lengths in tokens, a request each.
        concurrency: requests kept in flight, or None.
        replicas: engines, a count.
        prefix_hit: share of the prompt in the prefix cache.
        cached: whether step times are looked up.
        times: step times to look up, s.

    """
    pp = max(int(s.parallel.pp), 1)
    engines = pp * replicas
    if concurrency is not None:
        engines = min(engines, concurrency)  # with fewer requests than engines, the others idle
    given, made = requests.input_tokens, requests.output_tokens
    means = [float(v.mean()) if len(v) else 1.0 for v in (given, made)]
    r = rules(s, Workload(means[0], means[1], batch=1.0))
    capacity = r.n_blocks * r.block_tokens
    refused = requests.input_tokens + requests.output_tokens > capacity
    n = len(requests)
    arrival = requests.arrival_s.copy()
    first, finish, longest_gap = (np.full(n, np.nan) for _ in range(3))
    longest = int((requests.input_tokens + requests.output_tokens).max(initial=1))
    times = times or StepTimes(s, min(longest, max(capacity, 1)) + 1.0)
    kept = np.flatnonzero(~refused)
    logs = []
    for e in range(engines):
        rows = kept[e::engines]
        share = requests.at(rows)
        prompt = share.input_tokens
        held = prompt if cached else np.minimum((prompt * prefix_hit).astype(np.int64), prompt - 1)
        in_flight = None if concurrency is None else (concurrency - e + engines - 1) // engines
        lists = (share.arrival_s, prompt - held, held, share.output_tokens)
        engine = Engine(times, r, *(column.tolist() for column in lists), in_flight=in_flight)
        logs.append(engine.simulate())
        done = np.array([engine.first, engine.finish, engine.arrival])
        first[rows], finish[rows], arrival[rows] = np.where(done < 0, np.nan, done)
        longest_gap[rows] = longest_gaps(logs[-1], first[rows], finish[rows])
    size = (r.n_blocks, float(capacity))
    return Simulation(requests, arrival, first, finish, refused, tuple(logs), *size, longest_gap)


def longest_gaps(log: Log, first_s: Floats, finish_s: Floats) -> Floats:
    """Return the longest gap between two tokens of each request; NaN for fewer than two.

    Every request that decodes when an event ends has met its gap, or the part of it since its first
    token. A preempted one also waited for its own prompt.

    Args:
        log: what happened, step by step.
        first_s: time of each first token, s.
        finish_s: time of each last token, s.

    """
    longest = np.full(len(first_s), np.nan)
    ends, gaps = np.array(log.met, dtype=float).reshape(-1, 2).T
    start = np.searchsorted(ends, first_s, side="right")
    stop = np.searchsorted(ends, finish_s, side="right")
    some = np.flatnonzero(stop > start)  # NaN sorts last: requests that never were have none
    if some.size:
        begin, end = start[some], stop[some]
        after = np.stack([np.minimum(begin + 1, end), end], axis=1).ravel()
        later = np.maximum.reduceat(np.append(gaps, 0.0), after)[::2]
        later = np.where(end > begin + 1, later, 0.0)
        # The first gap began with the first token, however long others waited.
        own = np.minimum(gaps[begin], ends[begin] - first_s[some])
        longest[some] = np.maximum(own, later)
    for i, gap in log.recomputed.items():
        longest[i] = np.fmax(longest[i], gap)
    return longest


def simulate_pools(
    s: System, requests: Requests, prefill: int, decode: int, *, prefix_hit: float = 0.0
) -> Simulation:
    """Serve `requests` by `prefill` replicas, which make first tokens, and `decode` ones, the rest.

    A cache of mean size travels in mean time. Requests longer than a decode replica's cache are
    refused before they start.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        requests: arrivals in s, lengths in tokens, a request each.
        prefill: engines of the prefill pool.
        decode: engines of the decode pool.
        prefix_hit: share of the prompt in the prefix cache.

    """
    probe = simulate(s, requests.at(slice(0, 0)), replicas=1)
    fits = requests.input_tokens + requests.output_tokens <= probe.capacity_tokens
    going = requests.at(fits)
    prompts = replace(going, output_tokens=np.minimum(going.output_tokens, 1))
    first = simulate(s, prompts, replicas=prefill, prefix_hit=prefix_hit)
    mean = float(going.input_tokens.mean()) if len(going) else 1.0
    arrives = first.finish_s + float(transfer_s(s, Workload(mean, 1.0, 1.0)))
    order = np.argsort(arrives, kind="stable")
    rows = order[going.output_tokens[order] > 1]
    second = simulate(
        s, replace(going.at(rows), arrival_s=arrives[rows]), replicas=decode, cached=True
    )
    n = len(requests)
    first_s, finish_s, gap_s = (np.full(n, np.nan) for _ in range(3))
    kept = np.flatnonzero(fits)
    first_s[kept], finish_s[kept] = first.first_s, first.finish_s
    finish_s[kept[rows]] = second.finish_s
    gap_s[kept[rows]] = np.fmax(second.longest_gap_s, second.first_s - first.first_s[rows])
    logs, size = first.logs + second.logs, (first.n_blocks, first.capacity_tokens)
    return Simulation(requests, requests.arrival_s, first_s, finish_s, ~fits, logs, *size, gap_s)
