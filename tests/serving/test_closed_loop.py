"""The closed loop in closed form is what the simulated scheduler does."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from planner.columns import FrontEnd, Workload
from planner.equation import remembering
from planner.inputs.loading import load_model
from planner.scenario.evaluate import Evaluation, see
from planner.scenario.scenario import Resolved, Scenario, conditions, resolve
from planner.serving import closed_loop as steady
from planner.serving.requests import fixed
from planner.serving.simulate import simulate
from planner.serving.step_times import StepTimes

LENGTHS = [(4096, 1024), (1024, 128), (128, 512), (1000, 300)]


@cache
def system(**engine):
    arch = load_model("llama-3-8b").arch()
    made = resolve(conditions(on="a100-sxm-80gb", **engine)).system(arch)
    limits = replace(made.limits, async_scheduling=0.0)  # the engine alone, steps made as they come
    return replace(made, front_end=FrontEnd(), limits=limits)


@cache
def table(budget, chunked):
    return StepTimes(system(max_batched_tokens=budget, chunked_prefill=chunked), 6000)


@cache
def both(budget, n_in, n_out, concurrency, cycles, chunked=True):
    """Return TTFT, TPOT, end to end and tokens/s: closed form, then simulated."""
    s = system(max_batched_tokens=budget, chunked_prefill=chunked)
    n = concurrency * cycles
    w = Workload(float(n_in), float(n_out), float(concurrency), float(n))
    with remembering():
        formula = (
            steady.closed_ttft_s(s, w),
            steady.closed_tpot_s(s, w),
            steady.closed_e2e_s(s, w),
            steady.closed_output_tokens_per_s(s, w),
        )
    sim = simulate(s, fixed(n, n_in, n_out), concurrency=concurrency, times=table(budget, chunked))
    latency = sim.latency
    return (
        np.array([float(x) for x in formula]),
        np.array(
            [latency[q].mean for q in ("ttft_s", "tpot_s", "e2e_s")] + [sim.output_tokens_per_s]
        ),
    )


ENGINES = {
    "asynchronous": {"engine": "vllm", "engine_version": "0.19"},
    "in step": {"engine": "vllm", "engine_version": "0.10"},
    "prompts first": {"engine": "sglang", "engine_version": "0.5"},
    "whole prompts beside": {"engine": "tensorrt-llm", "engine_version": "1.0"},
    "whole prompts first": {"engine": "vllm", "engine_version": "0.6.3"},
}
MOST_PROMPTS = 0.3  # of the time: the domain


@cache
def errors(engine):
    """Return how far the closed form is from the simulation, over its domain: TTFT, TPOT, rate."""
    rows = []
    for n_in, n_out in ((128, 128), (1024, 256), (4096, 1024)):
        for concurrency in (1, 4, 16, 64):
            for cv in (0.0, 0.3):
                c = conditions(
                    on="h100-sxm",
                    input_tokens=n_in,
                    output_tokens=n_out,
                    concurrency=concurrency,
                    input_cv=cv,
                    output_cv=cv,
                    **ENGINES[engine],
                )
                s = Scenario.of("llama-3-8b", c)
                one = Evaluation(Resolved.of(c), s.model.arch())
                w = one.workload
                cycle = steady.cycle(one.system, w)
                prompts = (concurrency - 1) * cycle.extra_s / cycle.whole_s
                crowded = 1.2 * concurrency > one["max_concurrency"]
                if prompts > MOST_PROMPTS or crowded:
                    continue
                names = ("ttft_s", "tpot_s", "requests_per_s")
                formula = np.array([float(np.ravel(one[n])[0]) for n in names])
                seen = see(one, s)
                rows.append(formula / [seen.values[n] for n in names] - 1)
    assert len(rows) > 14
    return np.abs(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["asynchronous", *(pytest.param(n, marks=pytest.mark.slow) for n in [*ENGINES][1:])]
)
def test_a_loop_without_an_end_is_the_simulations_within_its_domain(engine):
    """1 to 64 in flight, spreads of 0 and 0.3, room for all, prompts up to 0.3 of the time."""
    ttft, tpot, rate = errors(engine).T
    assert tpot.max() <= 0.05 and rate.max() <= 0.05
    assert np.median(ttft) <= 0.02 and np.quantile(ttft, 0.9) <= 0.20 and ttft.max() <= 0.40


@pytest.mark.parametrize(("n_in", "n_out"), LENGTHS)
@pytest.mark.parametrize("concurrency", [1, 8, 32])
@pytest.mark.parametrize("budget", [2048, 8192])
def test_a_chunked_batch_agrees_within_3_percent(n_in, n_out, concurrency, budget):
    """One cycle: start-up burst and drain."""
    formula, simulated = both(budget, n_in, n_out, concurrency, 1)
    assert formula[1:] == pytest.approx(simulated[1:], rel=0.03)


@pytest.mark.parametrize(("n_in", "n_out"), [(4096, 1024), (1024, 128), (4096, 512)])
@pytest.mark.parametrize("concurrency", [32, 64])
@pytest.mark.parametrize("budget", [2048, 8192])
def test_the_start_up_burst_agrees_within_3_percent(n_in, n_out, concurrency, budget):
    """All arrive at once and nobody comes after: TTFT is queueing behind each other's prompts."""
    formula, simulated = both(budget, n_in, n_out, concurrency, 1)
    assert formula[0] == pytest.approx(simulated[0], rel=0.03)


@pytest.mark.parametrize(("n_in", "n_out"), [*LENGTHS, (2048, 1)])
@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_a_batch_of_whole_prompts_agrees_within_1_percent(n_in, n_out, concurrency):
    """Prompts in steps of their own."""
    formula, simulated = both(8192, n_in, n_out, concurrency, 1, chunked=False)
    there = ~np.isnan(simulated)
    assert formula[there] == pytest.approx(simulated[there], rel=0.01)


def test_ttft_of_a_closed_loop_holds_the_burst_and_the_queue_for_a_place():
    s = system(max_batched_tokens=2048)
    w = Workload(4096.0, 512.0, 64.0, 64.0)
    alone = steady.closed_ttft_s(s, replace(w, batch=1.0, n_requests=1.0))
    assert steady.closed_ttft_s(s, w) > 20 * alone  # half the others' prompts come first
    crowd = replace(w, batch=400.0, n_requests=np.inf)
    waits = steady.place_wait_s(s, crowd)
    served = steady.requests_per_s(s, crowd)
    waiting = 400.0 - steady.in_flight(s, crowd)
    assert waits * served == pytest.approx(waiting, rel=1e-9)  # Little's law


def test_scalars_and_columns_agree():
    s = system(max_batched_tokens=2048)
    each = np.array([1.0, 7.0, 64.0, 300.0])
    columns = steady.closed_ttft_s(s, Workload(1000.0, 200.0, each, 4 * each))
    rows = [steady.closed_ttft_s(s, Workload(1000.0, 200.0, b, 4 * b)) for b in each]
    assert columns == pytest.approx(np.array(rows), rel=1e-12)


def test_more_requests_in_flight_never_lower_throughput_by_more_than_a_step():
    s = system(max_batched_tokens=2048)
    w = Workload(4096.0, 1024.0, np.arange(1.0, 300.0))
    speed = steady.closed_output_tokens_per_s(s, w)
    assert np.all(np.diff(speed) > -0.015 * speed[1:])  # row 97 begins another tile
    assert np.all(np.diff(steady.closed_e2e_s(s, w)) > 0)
