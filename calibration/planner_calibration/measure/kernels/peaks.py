"""A machine's real peak and bandwidth, and the hardware file they make for a device nobody listed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import torch

from planner.units import show
from planner_calibration.measure.kernels import cases
from planner_calibration.measure.machine import Machine, cache_bytes, clock_hz
from planner_calibration.measure.timing import time_calls


@dataclass(frozen=True, slots=True)
class Peaks:
    """The best rates seen, at each dtype, and the memory's."""

    flops_per_s: dict[str, float]
    bytes_per_s: float
    cache_bytes: float


def find_peaks(device: str, dtypes: tuple[str, ...], cache: float) -> Peaks:
    """Time large products and large copies; the best of each is the peak."""
    on_gpu = device.startswith("cuda")
    now = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    sides = (4096, 8192) if on_gpu else (512, 1024)
    flops = {}
    for dtype in dtypes:
        rates = []
        for side in sides:
            case = cases.gemm(side, side, side, 0)
            timing = time_calls(
                case.make(device, cases.DTYPES[dtype]), device=device, repeats=5, now=now
            )
            rates.append(case.flops / timing.min_s)
        flops[dtype] = max(rates)
    # A copy also reads the lines it is about to overwrite on a CPU; a product of one row only reads.
    n = (1 << 28) if on_gpu else 1 << 24
    copy = cases.copy(n, 0)
    read = cases.gemm(1, n >> 12, 1 << 12, cache)
    rates = [
        c.elements
        * 4
        / time_calls(c.make(device, torch.float32), device=device, repeats=5, now=now).min_s
        for c in (copy, read)
    ]
    return Peaks(flops, max(rates), cache)


def measured_cache_bytes(on: Machine) -> float:
    """Return the last cache's size, as the device or the system reports it."""
    reported = on.environment.get("l2_bytes")
    return float(reported) if isinstance(reported, int) and reported else float(cache_bytes())


NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def propose(on: Machine, peaks: Peaks, *, threads: int, today: date) -> str:
    """Return a hardware TOML for this device, its numbers measured and said to be."""
    return "\n".join(_lines(on, peaks, threads, today)) + "\n"


def _lines(on: Machine, peaks: Peaks, threads: int, today: date) -> Iterator[str]:
    sms = on.environment.get("sms", threads)
    yield f'name = "{on.name}"'
    yield f'vendor = "{on.name.split()[0].lower()}"'
    yield f'architecture = "{on.id}"'
    yield f'form_factor = "{"socket" if on.kind == "cpu" else "unknown"}"'
    yield f'hbm_bytes = "{show(on.memory_bytes, "byte")}"'
    yield f'hbm_bytes_per_s = "{show(peaks.bytes_per_s, "byte/s")}"          # measured'
    yield f'l2_bytes = "{show(peaks.cache_bytes, "byte")}"'
    yield f"n_sms = {sms}"
    yield f'boost_clock_hz = "{(clock_hz() or 1e9) / 1e6:.0f} MHz"'
    yield f'link_bytes_per_s = "{show(peaks.bytes_per_s, "byte/s")}"         # no link measured: memory'
    yield 'link_kind = "memory"'
    yield f'tdp_w = "{_power(on)}"'
    yield 'source = "measured: planner calibrate kernels"'
    yield f"checked = {today.isoformat()}"
    yield 'notes = "Measured, not nameplate: efficiencies fitted on top of it are relative to this."'
    yield ""
    yield "[dense_flops_per_s]"
    for dtype, rate in peaks.flops_per_s.items():
        yield f'{NAMES[dtype]} = "{show(rate, "flop/s")}"'


def _power(on: Machine) -> str:
    limit = str(on.environment.get("power_limit") or "").split()
    return f"{float(limit[0]):.0f} W" if limit else "100 W"
