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
    counted: range | None = None  # requests that are measured; None: all, of a run with an end

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

    @property
    def steady(self) -> bool:
        """Whether the run is a part of one without an end."""
        return self.counted is not None

    @cached_property
    def duration_s(self) -> float:
        """From the first arrival to the last token."""
        if not self.served.any():
            return 0.0
        return float(np.nanmax(self.finish_s) - np.nanmin(self.arrival_s))

    @property
    def _rows(self) -> slice:
        return slice(None) if self.counted is None else slice(self.counted.start, self.counted.stop)

    @cached_property
    def _span_s(self) -> float:
        """Time in which the requests that are counted came, or all of them ended."""
        if self.counted is None:
            return self.duration_s
        sent = self.arrival_s[self.counted.start : self.counted.stop + 1]
        return float(sent[-1] - sent[0]) if len(sent) > 1 else 0.0

    def _rate(self, amount: float) -> float:
        return amount / self._span_s if self._span_s > 0 else 0.0

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens of served requests over the run; of those counted, over the time they came."""
        return self._rate(float((self.requests.output_tokens * self.served)[self._rows].sum()))

    @property
    def sent_per_s(self) -> float:
        """Requests that came a second, of those counted."""
        return self._rate(float(len(self.requests.arrival_s[self._rows])))

    @property
    def requests_per_s(self) -> float:
        """Served requests over the run; of those counted, over the time in which they came."""
        return self._rate(float(self.served[self._rows].sum()))

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
        return self._rate(float(self.met(slo)[self._rows].sum()))

    def met_share(self, slo: Slo) -> float:
        """Share of all requests, refused ones included, that met every limit.

        Args:
            slo: limits, s.

        """
        good = self.met(slo)[self._rows]
        return float(good.mean()) if len(good) else 1.0

    @cached_property
    def latency(self) -> dict[str, Summary]:
        """TTFT, TPOT, end-to-end, over requests; ITL, over gaps between tokens."""
        gaps = np.array([g for log in self.logs for g in log.gaps], dtype=float).reshape(-1, 2)
        return {
            "ttft_s": summary(self.ttft_s[self._rows]),
            "tpot_s": summary(self.tpot_s[self._rows]),
            "itl_s": summary(gaps[:, 0], gaps[:, 1]),
            "e2e_s": summary(self.e2e_s[self._rows]),
        }

    def error(self, name: str) -> float:
        """Return the standard error of a latency's mean over the mean: ten batches of requests agree so.

        Args:
            name: ttft_s, tpot_s or e2e_s.

        """
        seen = getattr(self, name)[self._rows]
        seen = seen[np.isfinite(seen)]
        if len(seen) < 20 or not self.steady:
            return 0.0
        batches = np.array([part.mean() for part in np.array_split(seen, 10)])
        return float(batches.std(ddof=1) / np.sqrt(10) / batches.mean())

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
        decoding, squares, running, waiting, blocks, busy, span = np.sum(
            [log.integrals for log in self.logs] or [[0.0] * 7], axis=0
        ).tolist()
        span = max(span, 1e-300)
        return {
            "running": running / span,
            "waiting": waiting / span,
            "kv_utilisation": blocks / max(self.n_blocks, 1) / span,
            "gpu_utilisation": busy / span,
            "decoding": squares / decoding if decoding else 0.0,  # as a token meets them
            "max_waiting": float(max((log.max_waiting for log in self.logs), default=0)),
        }


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
        cuts=bool(s.limits.cuts_prompts),
        ahead=bool(s.limits.async_scheduling),
        reserves=bool(s.limits.reserves_output),
        looks_every=int(s.limits.recv_interval),
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
    counted: range | None = None,
    stop_early: bool = False,
) -> Simulation:
    """Serve `requests` on `replicas` of one system, dealt to them in turn.

    With `concurrency`, arrivals are ignored: that many are in flight in all, and each is replaced
    as it ends. `prefix_hit` is the share of every prompt already cached; `cached`, that prompts
    arrive computed, with their first token made. A request longer than the cache is refused, and
    the rest served. With `counted`, the run is a part of one without an end: it stops when those have
    ended, and averages are over the time in which they came. Deterministic.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        requests: arrivals in s, lengths in tokens, a request each.
        concurrency: requests kept in flight, or None.
        replicas: engines, a count.
        prefix_hit: share of the prompt in the prefix cache.
        cached: whether step times are looked up.
        times: step times to look up, s.
        counted: requests that are measured, a range of their numbers.
        stop_early: whether to stop once the last of them has come, for their rate alone.

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
    # In turn among engines; in a closed loop among clients, each of whom stays with one.
    turn = np.arange(len(kept)) % (concurrency or engines) % engines
    logs = []
    for e in range(engines):
        rows = kept[turn == e]
        share = requests.at(rows)
        prompt = share.input_tokens
        held = prompt if cached else np.minimum((prompt * prefix_hit).astype(np.int64), prompt - 1)
        in_flight = None if concurrency is None else (concurrency - e + engines - 1) // engines
        lists = (share.arrival_s, prompt - held, held, share.output_tokens)
        measured = None
        if counted is not None:
            ends = np.searchsorted(rows, (counted.start, counted.stop))
            measured = (int(ends[0]), int(ends[1]))
        engine = Engine(
            times,
            r,
            *(column.tolist() for column in lists),
            in_flight=in_flight,
            front_end=s.front_end,
            measured=measured,
            stop_early=stop_early,
        )
        logs.append(engine.simulate())
        done = np.array([engine.first, engine.finish, engine.arrival])
        first[rows], finish[rows], arrival[rows] = np.where(done < 0, np.nan, done)
        longest_gap[rows] = longest_gaps(logs[-1], first[rows], finish[rows])
    size = (r.n_blocks, float(capacity))
    return Simulation(
        requests, arrival, first, finish, refused, tuple(logs), *size, longest_gap, counted
    )


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
