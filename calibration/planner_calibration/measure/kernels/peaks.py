"""A machine's real peak and bandwidth, and the hardware file they make for a device nobody listed."""

import re
import time
from dataclasses import dataclass
from datetime import date

import torch

from planner.inputs.formats import format_named
from planner.units import GIB, show
from planner.writer import toml
from planner_calibration.measure.kernels import cases
from planner_calibration.measure.machine import Machine, cache_bytes, clock_hz
from planner_calibration.measure.timing import time_calls


@dataclass(frozen=True, slots=True)
class Peaks:
    """The best rates seen, at each dtype, and the memory's."""

    flops_per_s: dict[str, float]
    bytes_per_s: float
    cache_bytes: float

    def bound_s(self, case: cases.Case, dtype: str) -> float:
        """Return the roofline, the longer of arithmetic and traffic: no time below it is possible.

        [Williams 2009]
        """
        return max(case.flops / self.flops_per_s[dtype], case.bytes(dtype) / self.bytes_per_s)


def find_peaks(device: str, dtypes: tuple[str, ...], cache: float) -> Peaks:
    """Time large products and large copies; the best of each is the peak."""
    on_gpu = device.startswith("cuda")
    now = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter

    def least_s(case: cases.Case, dtype: str) -> float:
        calls = case.make(device, cases.DTYPES[dtype])
        return time_calls(calls, device=device, repeats=5, now=now).min_s

    products = [cases.gemm(n, n, n, 0) for n in ((4096, 8192) if on_gpu else (512, 1024))]
    flops = {dtype: max(c.flops / least_s(c, dtype) for c in products) for dtype in dtypes}
    # A copy also reads the lines it is about to overwrite on a CPU; a product of one row only reads.
    n = (1 << 28) if on_gpu else 1 << 24
    moving = cases.copy(n, 0), cases.gemm(1, n >> 12, 1 << 12, cache)
    rates = [c.bytes("float32") / least_s(c, "float32") for c in moving]
    return Peaks(flops, max(rates), cache)


def measured_cache_bytes(on: Machine) -> float:
    """Return the last cache's size, as the device or the system reports it."""
    reported = on.environment.get("l2_bytes")
    return float(reported) if isinstance(reported, int) and reported else float(cache_bytes())


def propose(on: Machine, peaks: Peaks, *, threads: int, today: date) -> str:
    """Return a hardware TOML for this device, its numbers measured and said to be."""
    values = {
        "name": on.name,
        "vendor": on.name.split()[0].lower(),
        "architecture": on.id,
        "form_factor": "socket" if on.kind == "cpu" else "unknown",
        # Sheets say GB of what are GiB, and a program finds less: this is what one found.
        "hbm_bytes": f"{on.memory_bytes / GIB:.2f} GB",
        "hbm_offered": 1.0,
        "hbm_bytes_per_s": show(peaks.bytes_per_s, "byte/s"),
        "l2_bytes": show(peaks.cache_bytes, "byte"),
        "n_sms": on.environment.get("sms", threads),
        "boost_clock_hz": f"{(clock_hz() or 1e9) / 1e6:.0f} MHz",
        "link_bytes_per_s": show(peaks.bytes_per_s, "byte/s"),
        "link_kind": "memory",
        "tdp_w": _power(on),
        "source": "measured: planner calibrate kernels",
        "checked": today,
        "notes": "Measured, not nameplate: efficiencies fitted on top of it are relative to this. "
        "No link was measured: it is as fast as memory.",
        "dense_flops_per_s": {
            format_named(dtype).name: show(rate, "flop/s")
            for dtype, rate in peaks.flops_per_s.items()
        },
    }
    return toml(values)


def _power(on: Machine) -> str:
    limit = re.match(r"[\d.]+", str(on.environment.get("power_limit") or ""))  # "[N/A]" on some
    return f"{float(limit[0]):.0f} W" if limit else "100 W"
