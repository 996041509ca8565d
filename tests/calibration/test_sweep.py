"""Sweeps: what is on record is skipped, and a dead worker costs its own run alone."""

import os

from planner_calibration import runs
from planner_calibration.measure.sweep import Planned, sweep

from planner.inputs.measurement import Measurement, content_key


def work(job):
    if job == "dies":
        os._exit(9)
    return [Measurement.of("gemm", {"m": job}, values={"median_s": 1.0})]


def plan(jobs):
    def failed(job):
        return lambda message: [Measurement.of("gemm", {"m": job}, status="crash", message=message)]

    return [Planned((content_key("gemm", {"m": j}, "", ""),), failed(j), j) for j in jobs]


def test_what_is_on_record_is_not_run_again(tmp_path):
    store = tmp_path / "a.jsonl"
    first = sweep(plan([1, 2]), work, store)
    again = sweep(plan([1, 2, 3, 3]), work, store)
    assert (first.done, again.done, again.skipped) == (2, 1, 3)
    assert len(runs.load(store).rows) == 3


def test_a_dead_worker_costs_its_own_run_alone(tmp_path):
    store = tmp_path / "a.jsonl"
    tally = sweep(plan([1, "dies", 2, 3]), work, store, workers=2, retries=1)
    loaded = runs.load(store)
    states = {r.what["m"]: r.status for r in loaded.rows}
    assert states == {1: "ok", 2: "ok", 3: "ok", "dies": "crash"}
    assert tally.failed == 1 and not loaded.duplicates


def test_a_failed_run_is_tried_again_next_time(tmp_path):
    store = tmp_path / "a.jsonl"
    runs.append(store, Measurement.of("gemm", {"m": 1}, status="timeout"))
    assert sweep(plan([1]), work, store).done == 1
    assert [r.status for r in runs.load(store).rows] == ["ok"]
