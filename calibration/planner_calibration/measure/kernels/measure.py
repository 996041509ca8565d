"""Predict a kernel, then measure it, and keep both."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from planner.inputs.measurement import Measurement, Setting, content_key
from planner_calibration import runs
from planner_calibration.measure.kernels.cases import DTYPES, Case
from planner_calibration.measure.kernels.peaks import Peaks
from planner_calibration.measure.machine import Machine, clock_hz
from planner_calibration.measure.timing import time_calls


@dataclass(frozen=True, slots=True)
class Bound:
    """The roofline of one kernel: no time below it is possible at these peaks."""

    flops_per_s: float
    bytes_per_s: float

    def seconds(self, case: Case, dtype: str) -> float:
        """Return the longer of arithmetic and traffic. [Williams 2009]"""
        bytes_ = case.elements * DTYPES[dtype].itemsize
        return max(case.flops / self.flops_per_s, bytes_ / self.bytes_per_s)


def bound(peaks: Peaks, dtype: str) -> Bound:
    """Return the bound at measured peaks."""
    return Bound(peaks.flops_per_s[dtype], peaks.bytes_per_s)


def settings(case: Case, dtype: str, threads: int) -> dict[str, Setting]:
    """Return everything chosen, as a run records it."""
    return {**case.shape, "dtype": dtype, "threads": threads}


def measure(
    cases: Iterable[Case],
    *,
    on: Machine,
    dtype: str,
    limit: Bound,
    store: Any = None,
    repeats: int = 7,
    sample_s: float = 0.02,
    seen: Callable[[Measurement], None] = lambda row: None,
) -> list[Measurement]:
    """Measure each case not yet in `store`; a row holds the prediction beside the time.

    A kernel that runs out of memory, or that the device does not have, becomes a row that says so.
    """
    device, threads = ("cuda" if on.kind == "cuda" else "cpu"), torch.get_num_threads()
    engine = f"torch {torch.__version__}"
    have = runs.done(store) if store else set()
    rows = []
    for case in cases:
        what = settings(case, dtype, threads)
        if content_key(case.kind, what, on.id, engine) in have:
            continue
        common: dict[str, Any] = {"engine": engine, "machine": on.id}
        predicted = limit.seconds(case, dtype)
        before = clock_hz()
        try:
            calls = case.make(device, DTYPES[dtype])
            # One thread: its own clock, which stands still while others have the core.
            now = time.thread_time if threads == 1 else time.perf_counter
            timing = time_calls(calls, device=device, repeats=repeats, sample_s=sample_s, now=now)
        except torch.OutOfMemoryError as error:
            row = Measurement.of(case.kind, what, status="oom", message=str(error)[:200], **common)
        except RuntimeError as error:
            row = Measurement.of(
                case.kind, what, status="failed", message=str(error)[:200], **common
            )
        else:
            row = Measurement.of(
                case.kind,
                what,
                values={
                    **timing.values(),
                    "bound_s": predicted,
                    "flops_per_s": case.flops / timing.median_s,
                    "bytes_per_s": case.elements * DTYPES[dtype].itemsize / timing.median_s,
                },
                environment={
                    **on.environment,
                    "clock_before_hz": before,
                    "clock_after_hz": clock_hz(),
                },
                **common,
            )
        rows.append(row)
        if store:
            runs.append(store, row)
        seen(row)
    return rows
