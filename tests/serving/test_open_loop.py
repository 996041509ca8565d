"""The open loop against queueing theory, and against the simulation."""

import numpy as np
import pytest

from planner.columns import Workload
from planner.inputs.workload import WorkloadSpec
from planner.scenario.scenario import conditions, load_of
from planner.scenario.simulated import requests_of
from planner.serving.open_loop import Flow, open_loop
from planner.serving.requests import fixed
from planner.serving.simulate import simulate

PROMPT = 512  # exactly the small system's budget: one prompt a step, so a queue with one server


def service_s(times):
    return times.mixed(PROMPT, PROMPT / 2, 1, 0, 0.0)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_prompt_a_step_and_no_decoding_is_an_m_d_1_queue(small, times, load):
    """Mean wait ρ s / (2 (1 - ρ)).  [Pollaczek 1930, Khinchine 1932]"""
    s_ = service_s(times)
    spec = WorkloadSpec(
        input_tokens=PROMPT, output_tokens=1, rate_per_s=load / s_, n_requests=25_000, seed=3
    )
    drawn = requests_of(spec)
    load = len(drawn) * s_ / float(drawn.arrival_s[-1])  # as chance would have it
    theory = load * s_ / (2 * (1 - load))
    waited = simulate(small, drawn, times=times).latency["ttft_s"].mean - s_
    assert waited == pytest.approx(theory, rel=0.05)
    formula = open_loop(small, load_of([conditions(workload=spec)]).workload, Flow(load / s_))
    assert float(formula.ttft_s) - s_ == pytest.approx(theory, rel=0.02)


@pytest.mark.parametrize(("burstiness", "at_least"), [(0.25, 2.0), (0.5, 1.3)])
def test_bursts_wait_longer(small, times, burstiness, at_least):
    """Kingman: the wait grows with the squared variation of the gaps."""
    rate = 0.6 / service_s(times)

    def waited(b):
        spec = WorkloadSpec(
            input_tokens=PROMPT, output_tokens=1, rate_per_s=rate, burstiness=b, n_requests=8_000
        )
        return simulate(small, requests_of(spec), times=times).latency["ttft_s"].mean - service_s(
            times
        )

    assert waited(burstiness) > at_least * waited(1.0)


def test_beyond_saturation_throughput_is_the_closed_loops_and_the_queue_grows(small, times):
    w = Workload(1000.0, 200.0, 16.0)
    most = float(open_loop(small, w, Flow(1.0)).saturation_per_s)
    spec = WorkloadSpec(input_tokens=1000, output_tokens=200, rate_per_s=2 * most, n_requests=1500)
    sim = simulate(small, requests_of(spec), times=times)
    assert sim.requests_per_s == pytest.approx(most, rel=0.03)
    ttft = sim.ttft_s
    assert ttft[-100:].mean() > 3 * ttft[100:300].mean()
    assert np.isinf(open_loop(small, w, Flow(2 * most)).ttft_s)


@pytest.mark.parametrize(("n_in", "n_out"), [(2000, 500), (300, 300)])
@pytest.mark.parametrize("load", [0.1, 0.6])
def test_closed_form_and_simulation_agree(make, n_in, n_out, load):
    """TPOT and end to end within 3 %, TTFT within 12 %: its queue is a batch queue."""
    s = make("llama-3-8b", "a100-sxm-80gb", max_batched_tokens=2048)
    w = Workload(float(n_in), float(n_out), 1.0)
    rate = load * float(open_loop(s, w, Flow(1.0)).saturation_per_s)
    spec = WorkloadSpec(
        input_tokens=n_in, output_tokens=n_out, rate_per_s=rate, n_requests=2500, seed=5
    )
    requests = requests_of(spec)
    seen = simulate(s, requests).latency
    drawn = len(requests) / float(requests.arrival_s[-1])  # chance: 1.6 % about the rate asked for
    formula = open_loop(s, load_of([conditions(workload=spec)]).workload, Flow(drawn))
    assert float(formula.tpot_s) == pytest.approx(seen["tpot_s"].mean, rel=0.03)
    assert float(formula.e2e_s) == pytest.approx(seen["e2e_s"].mean, rel=0.03)
    assert float(formula.ttft_s) == pytest.approx(seen["ttft_s"].mean, rel=0.12)


def test_load_up_never_means_latency_down(small):
    w = Workload(1000.0, 200.0, 1.0)
    most = float(open_loop(small, w, Flow(1.0)).saturation_per_s)
    o = open_loop(small, w, Flow(np.linspace(0.01, 0.99, 60) * most))
    for column in (o.ttft_s, o.tpot_s, o.e2e_s):
        assert np.all(np.diff(column) > 0)


def test_a_burst_of_ten_thousand_at_once_is_served_in_order(small, times):
    sim = simulate(small, fixed(10_000, 50, 20), times=times)
    assert sim.served.all() and np.all(np.diff(sim.first_s) >= 0)
