"""Simulated requests a second, what-if points a second, a budget: figures, never assertions.

Run: python tests/bench/bench_serving.py
"""

import time

import numpy as np

from planner.inputs.loading import load_model
from planner.inputs.workload import WorkloadSpec
from planner.questions.budget.budget import budget
from planner.questions.what_if import what_if
from planner.scenario.scenario import conditions, resolve
from planner.scenario.simulated import requests_of
from planner.serving.simulate import simulate


def simulation() -> None:
    """10,000 requests of 1,000 output tokens, fixed and lognormal, at three rates and all at once."""
    arch = load_model("llama-3-8b").arch()
    system = resolve(conditions(on="h100-sxm", max_batched_tokens=2048)).system(arch)
    for rate in (2.0, 5.0, 8.0, None):
        for cv in (0.0, 0.8):
            spec = WorkloadSpec(
                input_tokens=1024,
                output_tokens=1000,
                input_cv=cv,
                output_cv=cv,
                **({"rate_per_s": rate, "n_requests": 10_000} if rate else {"burst": 10_000}),
            )
            requests = requests_of(spec)
            wall, cpu = time.perf_counter(), time.process_time()
            sim = simulate(system, requests)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(
                f"simulate {f'{rate:g}/s' if rate else 'at once':>8}, lengths cv {cv:g}: "
                f"{cpu:.2f} s CPU, {wall:.2f} s wall, {sim.events:,} events, {sim.steps:,} steps, "
                f"{int(np.sum(sim.requests.output_tokens)):,} tokens"
            )


def points() -> None:
    """1,000 points of a what-if, closed loop and open loop."""
    for vary in (
        ["concurrency=1..250:1", "tp=1,2", "dtype=bf16,fp8"],
        ["rate=0.05/s..12.5/s:0.05", "tp=1,2", "dtype=bf16,fp8"],
    ):
        cpu = time.process_time()
        answer = what_if("llama-3-8b", vary, on="h100-sxm")
        cpu = time.process_time() - cpu
        print(f"what-if {vary[0]}: {len(answer.points)} points in {cpu:.2f} s CPU")


def budgets() -> None:
    """Four configurations within an SLO, each searched by simulation."""
    cpu = time.process_time()
    answer = budget("llama-3-8b", on=["h100-sxm"], ttft="500ms", tpot="25ms", rate=12.0)
    cpu = time.process_time() - cpu
    print(f"budget: {len(answer.plans)} configurations in {cpu:.2f} s CPU")


if __name__ == "__main__":
    simulation()
    points()
    budgets()
