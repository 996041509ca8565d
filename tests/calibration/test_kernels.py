"""Kernel timing: honest buffers, a known clock's truth, and a hardware file that loads."""

from dataclasses import replace
from datetime import date

import pytest

torch = pytest.importorskip("torch")

from planner_calibration import runs
from planner_calibration.measure.kernels import cases, measure, peaks
from planner_calibration.measure.machine import Machine, machine
from planner_calibration.measure.timing import time_calls
from planner_calibration.show import kernel_line

from planner.cost.memory import usable_bytes
from planner.data import catalogue
from planner.inputs.device import load_device
from planner.questions.validate.kernel_rows import kernel_system

pytestmark = pytest.mark.torch

PEAK = peaks.Peaks({"float32": 1e11}, 1e10, 32e6)


class Clock:
    """A clock that moves when the work does, in binary fractions of a second."""

    def __init__(self, seconds):
        self.t, self.seconds = 0.0, seconds

    def work(self):
        self.t += next(self.seconds)

    def __call__(self):
        return self.t


def test_a_known_time_comes_back():
    clock = Clock(iter([0.25] * 1000))
    timing = time_calls([clock.work] * 3, now=clock, repeats=5)
    assert timing.median_s == timing.min_s == 0.25
    assert timing.iqr_s == 0 and not timing.clock_drifted and timing.repeats == 5


def test_a_drifting_clock_is_flagged():
    slower = (0.25 * 1.05**i for i in range(1000))
    clock = Clock(slower)
    assert time_calls([clock.work], now=clock, repeats=6).clock_drifted


def test_buffers_together_exceed_the_cache_twice():
    assert cases.rotation(1e6, 32e6) * 1e6 >= 64e6
    assert cases.rotation(1e9, 32e6) == 2


@pytest.mark.parametrize(
    "case",
    [
        cases.gemm(4, 32, 16, 1e4),
        cases.attention_prefill(16, 4, 2, 8, 1e4),
        cases.attention_decode(2, 16, 4, 2, 8, 1e4),
        cases.gated_activation(4, 32, 1e4),
        cases.copy(100, 1e4),
    ],
    ids=lambda c: c.kind,
)
def test_every_kernel_becomes_a_row_with_its_prediction(case, tmp_path):
    on, store = machine("cpu"), tmp_path / "k.jsonl"
    options = {"on": on, "dtype": "float32", "peak": PEAK, "store": store, "sample_s": 1e-4}
    (row,) = measure.measure([case], repeats=3, **options)
    assert row.status == "ok" and row.values["bound_s"] > 0 and row.values["median_s"] > 0
    assert f"{100 * row.values['bound_s'] / row.values['median_s']:.0f} %" in kernel_line(row)
    assert measure.measure([case], repeats=3, **options) == []  # on record already
    assert len(runs.load(store).rows) == 1


def test_the_bound_is_the_longer_of_arithmetic_and_traffic():
    case = cases.gemm(1, 100, 100, 0)
    assert PEAK.bound_s(case, "float32") == case.elements * 4 / 1e10
    big = cases.gemm(10_000, 100, 100, 0)
    assert PEAK.bound_s(big, "float32") == big.flops / 1e11


def test_a_kernel_that_fails_is_a_row(monkeypatch):
    broken = cases.Case(
        "gemm", {"m": 1}, 1.0, 1.0, lambda *a: [lambda: torch.zeros(2, 3) @ torch.zeros(2, 3)]
    )
    (row,) = measure.measure([broken], on=machine("cpu"), dtype="float32", peak=PEAK)
    assert row.status == "failed" and "shapes" in row.message


def test_a_proposed_hardware_file_loads(tmp_path):
    """The planner then predicts on a device nobody listed."""
    on = Machine("cpu-test-2c", "cpu", "Test CPU, 2 cores", 16e9, {})
    found = peaks.Peaks({"float32": 6e10, "bfloat16": 1.2e11}, 2e10, 32e6)
    path = tmp_path / "mine.toml"
    path.write_text(peaks.propose(on, found, threads=2, today=date(2026, 1, 1)))
    device = load_device(str(path))
    assert device.dense_flops_per_s == {"fp32": 6e10, "bf16": 1.2e11}
    assert device.hbm_bytes_per_s == 2e10 and device.n_sms == 2
    on_it = kernel_system(device.columns("bf16"), [2.0] * 5)
    assert float(usable_bytes(on_it)) == pytest.approx(
        16e9, rel=0.001
    )  # what a program found, once
    board = replace(on, environment={"power_limit": "[N/A]"})
    assert "100 W" in peaks.propose(board, found, threads=2, today=date(2026, 1, 1))


def test_a_device_of_the_catalogue_keeps_its_file():
    from planner_calibration.measure.kernels.command import _proposed

    on = Machine("nvidia-h200", "cuda", "NVIDIA H200", 150e9, {})
    text, words = _proposed(on, peaks.Peaks({"bfloat16": 8e14}, 4e12, 5e7))
    assert text == catalogue("hardware")["h200-sxm"].read_text() and "h200-sxm" in words


@pytest.mark.slow
def test_an_all_reduce_sums_over_real_processes():
    from planner_calibration.measure.kernels import all_reduce

    rows = all_reduce.measure(2, [1024, 65536], machine("cpu"), repeats=3)
    assert [r.what["elements"] for r in rows] == [1024, 65536]
    assert all(r.values["median_s"] > 0 for r in rows)
