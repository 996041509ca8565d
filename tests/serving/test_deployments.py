"""Speculative decoding, and prompts and decoding on replicas of their own."""

import numpy as np
import pytest

from planner.columns import Step, Workload
from planner.cost import memory
from planner.cost.step import step_s
from planner.inputs.loading import load_model
from planner.inputs.workload import WorkloadSpec
from planner.scenario.scenario import conditions, load_of
from planner.scenario.simulated import requests_of
from planner.serving.open_loop import Flow
from planner.serving.pools import Pools, closed, disaggregated, transfer_s
from planner.serving.simulate import simulate, simulate_pools
from planner.serving.speculative import engine_step_s, tokens_a_check, with_draft


@pytest.fixture(scope="module")
def large(make):
    return make("llama-3-8b", "a100-sxm-80gb", max_batched_tokens=2048)


@pytest.fixture(scope="module")
def draft():
    return load_model("llama-3.2-1b").arch()


@pytest.mark.parametrize(("k", "alpha", "tokens"), [(4, 0.8, 3.3616), (1, 0.5, 1.5), (5, 0.0, 1.0)])
def test_tokens_a_check_yields(large, draft, k, alpha, tokens):
    """(1 - α^(k+1)) / (1 - α): Leviathan et al., arXiv 2211.17192, equation 1."""
    s = with_draft(large, draft, float(k), alpha)
    assert tokens_a_check(s.speculation) == pytest.approx(tokens)


def test_drafts_pay_where_memory_binds_and_cost_where_they_are_refused(large, draft):
    step = Step(decode_seqs=1.0, decode_context=2000.0)
    plain = step_s(large, step)
    assert engine_step_s(with_draft(large, draft, 4.0, 0.8), step) < 0.7 * plain
    assert engine_step_s(with_draft(large, draft, 4.0, 0.0), step) > plain


def test_a_draft_takes_its_part_of_the_memory(large, draft):
    s = with_draft(large, draft, 4.0, 0.7)
    assert memory.kv_capacity_tokens(s) < memory.kv_capacity_tokens(large)


def test_simulated_speculation_is_the_closed_forms(large, draft):
    s = with_draft(large, draft, 4.0, 0.7)
    spec = WorkloadSpec(input_tokens=500, output_tokens=400, rate_per_s=0.5, n_requests=300)
    seen = simulate(s, requests_of(spec)).latency["tpot_s"].mean
    step = Step(decode_seqs=2.5, decode_context=700.0)
    assert seen == pytest.approx(float(engine_step_s(s, step)), rel=0.15)


def test_pools_closed_form_and_simulation_agree(large):
    spec = WorkloadSpec(
        input_tokens=2000, output_tokens=300, rate_per_s=3.0, n_requests=1500, seed=2
    )
    drawn = requests_of(spec)
    seen = simulate_pools(large, drawn, 2, 1)
    assert seen.served.all()
    rate = len(drawn) / float(drawn.arrival_s[-1])
    o = disaggregated(
        large, load_of([conditions(workload=spec)]).workload, Pools(2.0, 1.0), Flow(rate)
    )
    assert float(o.tpot_s) == pytest.approx(seen.latency["tpot_s"].mean, rel=0.05)
    # Dealing requests in turn makes arrivals at each replica more even than Poisson's.
    assert float(o.ttft_s) == pytest.approx(seen.latency["ttft_s"].mean, rel=0.15)


def test_separate_pools_keep_prompts_out_of_decodings_way(large):
    spec = WorkloadSpec(input_tokens=4000, output_tokens=200, rate_per_s=2.0, n_requests=400)
    drawn = requests_of(spec)
    apart = simulate_pools(large, drawn, 1, 1)
    mixed = simulate(large, drawn, replicas=2)
    assert apart.latency["itl_s"].p99 < 0.5 * mixed.latency["itl_s"].p99


def test_a_closed_loop_over_pools_keeps_as_many_in_flight_as_asked(large):
    w = Workload(2000.0, 300.0, np.array([4.0, 32.0, 200.0]))
    rate, o = closed(large, w, Pools(1.0, 1.0))
    assert rate * o.e2e_s == pytest.approx(w.batch, rel=0.02)
    assert np.all(np.diff(rate) >= 0)


def test_the_cache_travels_at_the_networks_pace(large):
    w = Workload(2000.0, 300.0, 1.0)
    least = memory.kv_bytes_per_token(large) * 2000 / large.device.node_link_bytes_per_s
    assert least < transfer_s(large, w) < 3 * least
