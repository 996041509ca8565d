"""Crafted traffic: bursts, a request nobody can hold, nothing to say, ten thousand at once."""

import time
from dataclasses import replace

import numpy as np
import pytest

from planner.inputs.workload import WorkloadSpec
from planner.scenario.simulated import requests_of
from planner.serving.percentiles import Slo
from planner.serving.requests import Requests, fixed
from planner.serving.simulate import simulate


def requests(*rows):
    arrival, given, made = zip(*rows, strict=True)
    return Requests(np.array(arrival, float), np.array(given), np.array(made))


def test_a_request_longer_than_the_cache_is_refused_and_the_rest_served(tight, times):
    sim = simulate(tight, requests((0, 100, 10), (0, 5000, 10), (0.1, 300, 50)), times=times)
    assert sim.refused.tolist() == [False, True, False]
    assert sim.served.tolist() == [True, False, True]
    assert np.isnan(sim.ttft_s[1]) and sim.met_share(Slo(ttft_s=1e9)) == pytest.approx(2 / 3)


def test_a_request_without_output_ends_with_its_prompt(tight, times):
    sim = simulate(tight, requests((0, 100, 0), (0, 100, 1), (0, 100, 2)), times=times)
    assert sim.served.all() and np.isnan(sim.first_s[0])
    assert sim.finish_s[0] == sim.first_s[1] == sim.finish_s[1] < sim.finish_s[2]
    assert np.isnan(sim.tpot_s[:2]).all() and sim.tpot_s[2] > 0


def test_ten_thousand_at_once(small, times):
    sim = simulate(small, fixed(10_000, 100, 20), times=times)
    assert sim.served.all() and sim.means["max_waiting"] > 9000
    assert np.all(np.diff(sim.first_s) >= 0)  # first come, first served


def test_bursts_and_a_giant_between_them(tight, times):
    burst = [(t, 200, 40) for t in (0.0, 5.0) for _ in range(30)]
    sim = simulate(tight, requests(*sorted([*burst, (2.0, 10_000, 5)])), times=times)
    assert sim.refused.sum() == 1 and sim.served.sum() == 60
    t = sim.timeline()
    assert t["waiting"].max() > 20 and t["kv_utilisation"].max() <= 1


def test_sequences_that_outgrow_the_cache_are_set_back_and_end_all_the_same(tight, times):
    sim = simulate(tight, fixed(16, 80, 400), times=times)
    assert sim.preemptions > 0 and sim.served.all()
    assert sum(n for _, n in sim.logs[0].gaps) == 16 * 399


def test_a_prefix_in_the_cache_saves_its_share_of_the_prompt(small, times):
    cold, warm = (
        simulate(small, fixed(64, 1000, 2), times=times, prefix_hit=h) for h in (0.0, 0.75)
    )
    assert warm.logs[0].prompt_tokens == 64 * 250
    assert warm.latency["ttft_s"].mean < 0.4 * cold.latency["ttft_s"].mean


def test_fewer_requests_than_replicas_leave_some_idle(small, times):
    sim = simulate(small, fixed(6, 100, 10), times=times, concurrency=2, replicas=4)
    assert sim.served.all() and len(sim.logs) == 2


def test_cost_grows_with_events_not_with_tokens(small, times):
    """Ten times the tokens of the same requests: the same events, but for further chunks."""
    short, long = (simulate(small, fixed(200, 64, n), times=times) for n in (100, 1000))
    assert long.steps > 8 * short.steps and long.events < 1.2 * short.events


def test_ten_thousand_requests_of_a_thousand_tokens(make):
    """Under 2 s on one idle core; CPU time is what this process used, whoever else is busy."""
    s = make("llama-3-8b", "h100-sxm", max_batched_tokens=2048)
    spec = WorkloadSpec(input_tokens=1024, output_tokens=1000, rate_per_s=6.0, n_requests=10_000)
    drawn = requests_of(spec)
    started = time.process_time()
    sim = simulate(s, drawn)
    assert sim.served.all() and time.process_time() - started < 4  # twice, for slow machines


@pytest.mark.parametrize("chunked", [True, False])
def test_a_request_is_late_by_its_own_longest_gap(make, chunked):
    """`--itl` counts: the longest gap of any request is the longest there was, and none is shorter
    than a request's mean.
    """
    s = make("llama-3.2-1b", "a100-sxm-80gb", chunked_prefill=chunked, max_batched_tokens=2048)
    spec = WorkloadSpec(input_tokens=1500, output_tokens=60, rate_per_s=12.0, n_requests=300)
    sim = simulate(s, requests_of(spec))
    assert np.nanmax(sim.longest_gap_s) == pytest.approx(sim.latency["itl_s"].max)
    assert np.all(sim.longest_gap_s >= sim.tpot_s * (1 - 1e-9))
    limit = float(np.median(sim.longest_gap_s))
    assert 0.3 < sim.met_share(Slo(itl_s=limit)) < 0.7
    assert sim.goodput(Slo(itl_s=limit)) < sim.goodput(Slo())


def test_goodput_counts_requests_within_every_limit(small, times):
    spec = WorkloadSpec(input_tokens=1000, output_tokens=100, rate_per_s=3.0, n_requests=400)
    sim = simulate(small, requests_of(spec), times=times)
    latency = sim.latency
    half = Slo(e2e_s=latency["e2e_s"].p50)
    assert sim.met_share(half) == pytest.approx(0.5, abs=0.01)
    assert sim.goodput(half) == pytest.approx(sim.requests_per_s / 2, rel=0.03)
    assert sim.goodput(Slo()) == pytest.approx(sim.requests_per_s)


def test_percentiles_are_in_order_and_itl_averages_to_tpot(small, times):
    spec = WorkloadSpec(input_tokens=800, output_tokens=200, rate_per_s=2.0, n_requests=300)
    sim = simulate(small, requests_of(spec), times=times)
    for s in sim.latency.values():
        assert s.p50 <= s.p90 <= s.p95 <= s.p99 <= s.max
    assert sim.latency["itl_s"].mean == pytest.approx(sim.latency["tpot_s"].mean, rel=1e-6)


def test_pipeline_batches_share_the_cache_and_the_load(make, times):
    s = make(max_batched_tokens=512, max_num_seqs=16, pp=2)
    sim = simulate(s, fixed(64, 200, 50), concurrency=16)
    assert sim.served.all() and len(sim.logs) == 2


@pytest.mark.parametrize("every", [1, 10, 30])
def test_a_newcomer_waits_until_the_scheduler_looks(small, every):
    """It looks after its first prompt, and each so many decode steps after that; at once when idle."""
    s = replace(small, limits=replace(small.limits, recv_interval=float(every)))
    first = simulate(s, requests((0, 100, 200)))
    start, step_s = first.first_s[0], first.tpot_s[0]
    late = start + 33.5 * step_s  # amid the 34th step after the first token
    both = simulate(s, requests((0, 100, 200), (late, 100, 2), (1e3, 100, 2)))
    looked = start + {1: 34, 10: 40, 30: 60}[every] * step_s
    prompt_s = both.first_s[2] - 1e3  # of a lone one
    assert both.first_s[1] == pytest.approx(looked + prompt_s, rel=0.02)
    assert prompt_s == pytest.approx(start, rel=1e-6)
