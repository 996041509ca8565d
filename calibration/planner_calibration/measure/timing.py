"""The only file that times kernels: warm up, synchronise, repeat, median and spread, clock drift."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch

DRIFTED = 1.08  # slower (or faster) by this between the first and the last third: the clock moved

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call, as a run records them."""

    median_s: float
    iqr_s: float  # between the quartiles
    min_s: float
    repeats: float
    clock_drifted: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        """Summarise the times of one call, in the order they were taken."""
        third = max(1, len(samples) // 3)
        early, late = statistics.median(samples[:third]), statistics.median(samples[-third:])
        quartiles = statistics.quantiles(samples, n=4) if len(samples) > 1 else [0.0] * 3
        return cls(
            median_s=statistics.median(samples),
            iqr_s=quartiles[2] - quartiles[0],
            min_s=min(samples),
            repeats=float(len(samples)),
            clock_drifted=float(not 1 / DRIFTED < late / early < DRIFTED),
        )


def time_calls(
    calls: Sequence[Call],
    *,
    device: str = "cpu",
    repeats: int = 7,
    sample_s: float = 0.02,
    now: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time calls that do the same work on different buffers, taken in turn.

    Together the buffers exceed the cache, so each call finds its operands in memory, as in a real step.
    One sample goes round often enough to last `sample_s`. On a GPU a round is captured as a CUDA graph
    and timed by events, so the CPU's launches are not counted.
    """
    if device.startswith("cuda"):
        return Timing.of(_on_gpu(calls, repeats, sample_s))
    return Timing.of(_on_cpu(calls, repeats, sample_s, now))


def _on_cpu(
    calls: Sequence[Call], repeats: int, sample_s: float, now: Callable[[], float]
) -> list[float]:
    turn = itertools.cycle(calls)
    for call in calls[:2]:
        call()  # kernels picked, pages touched
    start = now()
    next(turn)()
    once = max(now() - start, 1e-7)
    n = max(1, min(10_000, round(sample_s / once)))
    samples = []
    for _ in range(repeats):
        start = now()
        for _ in range(n):
            next(turn)()
        samples.append((now() - start) / n)
    return samples


def captured(work: Call, warm_ups: int) -> "torch.cuda.CUDAGraph":
    """Return a CUDA graph of `work`, which is run a few times first."""
    import torch

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # warm up off the main stream, as capture demands
        for _ in range(warm_ups):
            work()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def _on_gpu(calls: Sequence[Call], repeats: int, sample_s: float) -> list[float]:
    import torch

    def each() -> None:
        for call in calls:
            call()

    graph = captured(each, warm_ups=2)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def rounds(n: int) -> float:
        begin.record()
        for _ in range(n):
            graph.replay()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3 / (n * len(calls))

    once = max(rounds(3) * len(calls), 1e-7)
    n = max(1, round(sample_s / once))
    return [rounds(n) for _ in range(repeats)]
