"""Tensor and pipeline parallelism, experts and windows inside a step."""

from dataclasses import replace

import numpy as np
import pytest

from planner.columns import Parallel, Speculation, Step
from planner.cost.memory import kv_bytes_per_token, weight_bytes
from planner.cost.operators.attention.kinds import prefill_keys
from planner.cost.operators.gemm import group_tiles
from planner.cost.operators.mlp import experts_touched, mlp_gemms
from planner.cost.step import breakdown, step_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve
from planner.serving.speculative import check_step

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


@pytest.mark.parametrize("window", [100.0, 1024.0, 4096.0, 10_000.0])
@pytest.mark.parametrize(
    ("cached", "new"), [(0, 8192), (0, 700), (3000, 1000), (9000, 64), (512, 1)]
)
def test_prompts_see_what_their_windows_leave(window, cached, new):
    """Token by token: the mean of the lesser, not the lesser of the mean."""
    a = replace(system().arch, window=window, local_fraction=1.0)
    seen = np.minimum(np.arange(new) + cached + 0.5, window).mean()
    w = Step(3.0 * new, 3.0, cached + new / 2)
    assert prefill_keys(a, w) == pytest.approx(seen, rel=1e-3)


@pytest.mark.parametrize("tokens", [4, 16, 64, 128, 192, 256, 400, 512, 1024, 4096])
@pytest.mark.parametrize(("n_experts", "active"), [(8, 2), (64, 6), (256, 8)])
def test_experts_take_the_tiles_that_chance_gives_them(n_experts, active, tokens):
    """Routing drawn: tiles of the tokens that each expert has, counted."""
    s = expert_system(float(n_experts), float(active))
    rng = np.random.default_rng(0)
    tile, drawn = float(s.kernels.gemm_tile_rows), []
    for _ in range(40):
        scores = rng.random((tokens, n_experts))
        chosen = np.argpartition(scores, active, axis=1)[:, :active]
        drawn.append(np.ceil(np.bincount(chosen.ravel(), minlength=n_experts) / tile).sum())
    (g, *_) = mlp_gemms(s, Step(decode_seqs=float(tokens)), down=False)
    assert g.groups * group_tiles(s, g) == pytest.approx(np.mean(drawn), rel=0.12)


@pytest.mark.parametrize("context", [1000.0, 32_000.0, 120_000.0])
@pytest.mark.parametrize("seqs", [1.0, 8.0, 64.0])
def test_checking_drafts_reads_the_cache_once(context, seqs):
    """A check of k + 1 tokens costs a decode step and at most as many; near one where it reads most."""
    s, w = system(), Step(decode_seqs=seqs, decode_context=context)
    plain, check = step_s(s, w), step_s(s, check_step(Speculation(s.arch, 4.0, 0.7), w))
    assert plain <= check <= 5 * plain
    if seqs * context > 200_000:
        assert check < 1.35 * plain


def test_a_message_that_leaves_the_node_takes_longer():
    """Two all-reduces a layer and one gather, each at least the 19 us that nccl-tests#150 prints."""
    sixteen = system(tp=16.0)
    wide = replace(sixteen, parallel=replace(sixteen.parallel, devices_per_node=16.0))
    more = (
        breakdown(sixteen, DECODE)["communication"].seconds
        - breakdown(wide, DECODE)["communication"].seconds
    )
    assert more > (2 * 32 + 1) * 19e-6
