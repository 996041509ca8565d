"""The call behind `planner calibrate kernels`."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from planner.data import catalogue
from planner.errors import UnknownName
from planner.inputs.device import device_named
from planner.inputs.files import Content
from planner.inputs.measurement import Measurement
from planner.units import show
from planner.writer import write_whole
from planner_calibration import runs
from planner_calibration.measure.kernels import all_reduce, cases, measure, peaks
from planner_calibration.measure.machine import Machine, machine
from planner_calibration.words import choice

SIZES = ("small", "full")
REDUCED = tuple(1 << k for k in range(10, 25, 2))  # elements of an all-reduce


def run(
    store: Path,
    *,
    size: str,
    device: str | None,
    dtype: str | None,
    threads: int,
    repeats: int,
    ranks: int,
    propose: Path | None,
    say: Callable[[str], None],
    line: Callable[[Measurement], str],
) -> None:
    """Find the peaks, then predict and measure every case not yet in `store`.

    Raises:
        SpecError: no such size or dtype.
        OutputError: a file cannot be written.

    """
    if threads:
        torch.set_num_threads(threads)
    on = machine(device)
    gpu = on.kind == "cuda"
    dtype = choice(dtype or ("bfloat16" if gpu else "float32"), list(cases.DTYPES), "--dtype")
    size = choice(size or ("full" if gpu else "small"), SIZES, "--size")
    cache = peaks.measured_cache_bytes(on)
    others = [d for d in cases.DTYPES if gpu or d != "float16"]
    dtypes = tuple(d for d in others if d == dtype or propose is not None)
    found = peaks.find_peaks("cuda" if gpu else "cpu", dtypes, cache)
    rates = ", ".join(f"{d} {show(rate, 'flop/s')}" for d, rate in found.flops_per_s.items())
    say(f"{on.name}: {rates}")
    say(f"memory {show(found.bytes_per_s, 'byte/s')}, last cache {show(cache, 'byte')}")
    if propose is not None:
        text, words = _proposed(on, found)
        write_whole(propose, text, folders=True)
        say(f"wrote {propose}{words}")
    rows = measure.measure(
        cases.sweep(size, cache),
        on=on,
        dtype=dtype,
        peak=found,
        store=store,
        repeats=repeats,
        seen=lambda row: say(line(row)),
    )
    if ranks > 1:
        for row in all_reduce.measure(ranks, REDUCED, on, dtype, repeats):
            runs.append(store, row)
            rows.append(row)
            say(line(row))
    drifted = sum(bool(row.values.get("clock_drifted")) for row in rows)
    say(
        f"{len(rows)} kernels in {store}" + (f", the clock drifted in {drifted}" if drifted else "")
    )


def _proposed(on: Machine, found: peaks.Peaks) -> tuple[str, str]:
    """Return a hardware file for a device: its own of the catalogue where there is one."""
    try:
        known = device_named(on.name)
    except UnknownName:
        text = peaks.propose(on, found, threads=torch.get_num_threads(), today=date.today())
        return text, ""
    file = Content.of(catalogue("hardware")[known], hint="reinstall planner")
    return file.text(hint="reinstall planner"), f", as the catalogue has {known}"
