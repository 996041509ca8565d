"""Predict a kernel, then measure it, and keep both."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import torch

from planner.inputs.measurement import Measurement, Setting, content_key
from planner_calibration import runs
from planner_calibration.measure.kernels.cases import DTYPES, Case
from planner_calibration.measure.kernels.peaks import Peaks
from planner_calibration.measure.machine import Machine, clock_hz, torch_name
from planner_calibration.measure.timing import time_calls


def measure(
    cases: Iterable[Case],
    *,
    on: Machine,
    dtype: str,
    peak: Peaks,
    store: Any = None,
    repeats: int = 7,
    sample_s: float = 0.02,
    seen: Callable[[Measurement], None] = lambda row: None,
) -> list[Measurement]:
    """Measure each case not yet in `store`; a row holds the prediction beside the time.

    A kernel that runs out of memory, or that the device does not have, becomes a row that says so.
    """
    device, threads = ("cuda" if on.kind == "cuda" else "cpu"), torch.get_num_threads()
    engine = torch_name()
    have = runs.done(store) if store else set()
    rows = []
    for case in cases:
        what: dict[str, Setting] = {**case.shape, "dtype": dtype, "threads": threads}
        if content_key(case.kind, what, on.id, engine) in have:
            continue
        common: dict[str, Any] = {"engine": engine, "machine": on.id}
        before = clock_hz()
        try:
            calls = case.make(device, DTYPES[dtype])
            # One thread: its own clock, which stands still while others have the core.
            now = time.thread_time if threads == 1 else time.perf_counter
            timing = time_calls(calls, device=device, repeats=repeats, sample_s=sample_s, now=now)
        except RuntimeError as error:
            common["status"] = "oom" if isinstance(error, torch.OutOfMemoryError) else "failed"
            common["message"] = str(error)[:200]
        else:
            common |= {
                "values": {
                    **asdict(timing),
                    "bound_s": peak.bound_s(case, dtype),
                    "flops_per_s": case.flops / timing.median_s,
                    "bytes_per_s": case.bytes(dtype) / timing.median_s,
                },
                "environment": {
                    **on.environment,
                    "clock_before_hz": before,
                    "clock_after_hz": clock_hz(),
                },
            }
        row = Measurement.of(case.kind, what, **common)
        rows.append(row)
        if store:
            runs.append(store, row)
        seen(row)
    return rows
