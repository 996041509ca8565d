"""Tensor and pipeline parallelism, experts and windows inside a step."""

from dataclasses import replace

import pytest

from planner.columns import Parallel, Step
from planner.cost.memory import kv_bytes_per_token, weight_bytes
from planner.cost.operators.mlp import experts_touched
from planner.cost.step import breakdown, step_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve

DECODE = Step(decode_seqs=16.0, decode_context=4000.0)


def system(**parallel):
    s = resolve(conditions(on="h100-sxm")).system(load_model("llama-3.1-8b").arch())
    return replace(s, parallel=Parallel(**parallel))


def test_key_value_heads_replicate_beyond_their_number():
    eight, sixteen = system(tp=8.0), system(tp=16.0)
    read = [breakdown(s, DECODE)["attention_decode"].bytes_ for s in (eight, sixteen)]
    assert read[1] == pytest.approx(read[0], rel=0.02)  # one head each, either way
    assert kv_bytes_per_token(sixteen) == 2 * kv_bytes_per_token(eight)
    halved = weight_bytes(eight) / 2  # but for norms, rotary tables and key/value heads
    assert halved < weight_bytes(sixteen) < 1.06 * halved


def test_tensor_parallelism_is_faster_but_never_tp_times():
    one, four = step_s(system(), DECODE), step_s(system(tp=4.0), DECODE)
    assert one / 4 < four < one


def test_a_pipeline_passes_all_layers_and_hands_over():
    one, two = step_s(system(), DECODE), step_s(system(pp=2.0), DECODE)
    assert one < two < 1.05 * one


def expert_system(n_experts, active):
    s = system()
    shape = {"n_experts": n_experts, "n_active_experts": active, "d_ff": 14336.0 / active}
    return replace(s, arch=replace(s.arch, **shape))


def test_a_batch_touches_more_experts_than_a_token():
    """Even routing: E (1 - (1 - k/E)^tokens) experts are read."""
    s = expert_system(64.0, 4.0)
    assert experts_touched(s, Step(decode_seqs=1.0)) == pytest.approx(4.0)
    assert experts_touched(s, Step(decode_seqs=16.0)) == pytest.approx(64 * (1 - (15 / 16) ** 16))
    assert experts_touched(s, Step(decode_seqs=4096.0)) == pytest.approx(64.0)
    assert experts_touched(system(), DECODE) == 1


def test_experts_cost_what_a_dense_model_costs_where_one_token_decodes():
    one = Step(decode_seqs=1.0, decode_context=100.0)
    dense, routed = system(), expert_system(64.0, 4.0)
    ups = [breakdown(s, one)["mlp_up"] for s in (dense, routed)]
    assert ups[1].flops == pytest.approx(ups[0].flops)
    assert ups[1].bytes_ == pytest.approx(ups[0].bytes_, rel=0.01)
    assert breakdown(routed, DECODE)["mlp_up"].bytes_ > 5 * ups[0].bytes_


def test_local_layers_look_back_a_window_only():
    s = system()
    local = replace(s, arch=replace(s.arch, window=1000.0, local_fraction=0.5))
    read = [breakdown(x, DECODE)["attention_decode"].bytes_ for x in (s, local)]
    assert read[1] == pytest.approx(read[0] * (0.5 + 0.5 * 1000 / 4000), rel=0.01)
