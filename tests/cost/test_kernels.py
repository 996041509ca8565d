"""Times of single kernels: their shape in every direction that matters."""

from dataclasses import replace

import numpy as np
import pytest

from planner.columns import Parallel
from planner.cost.operators.attention.decode import decode_attention_s
from planner.cost.operators.attention.prefill import prefill_attention_s
from planner.cost.operators.communication import all_reduce_bytes, all_reduce_s
from planner.cost.operators.elementwise import elementwise_s
from planner.cost.operators.gemm import Gemm, gemm_bytes, gemm_flops, gemm_s, whole_waves
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve


def system(on="a100-sxm-80gb", **engine):
    return resolve(conditions(on=on, **engine)).system(load_model("llama-3.1-8b").arch())


def gemm(s, m, n, k):
    return float(gemm_s(s, Gemm(m, n, k, s.precision.weight_bytes)))


def test_the_last_wave_counts_whole():
    assert whole_waves(54.0, 108.0) == 0.5  # less than one wave: the depth is split
    assert whole_waves(108.0, 108.0) == 1
    assert whole_waves(109.0, 108.0) == 2


def test_small_products_are_bound_by_bandwidth_and_latency():
    s = system()
    one, eight = gemm(s, 1.0, 4096.0, 4096.0), gemm(s, 8.0, 4096.0, 4096.0)
    assert eight == pytest.approx(one, rel=0.02)
    weights_s = 2 * 4096**2 / s.device.hbm_bytes_per_s
    assert 1.1 * weights_s < one < 2.0 * weights_s


def test_small_weights_reach_less_of_the_bandwidth():
    """Of A100's bandwidth the tables say 0.17 at 1-4 MB, 0.57 at 16-40 MB, 0.7 at 100-400 MB."""
    s = system()

    def efficiency(n, k):
        return 2 * n * k / gemm(s, 1.0, n, k) / s.device.hbm_bytes_per_s

    assert 0.1 < efficiency(1024.0, 1024.0) < 0.25
    assert 0.45 < efficiency(4096.0, 4096.0) < 0.7
    assert 0.65 < efficiency(16384.0, 8192.0) < 0.9


def test_large_products_approach_the_matrix_rate():
    s = system()
    n = 8192.0
    rate = 2 * n**3 / gemm(s, n, n, n)
    assert 0.6 < rate / s.device.flops_per_s < 0.95


def test_weight_only_formats_read_less_and_compute_in_16_bits():
    plain, narrow = system(), system(dtype="int4")
    assert gemm(narrow, 1.0, 8192.0, 8192.0) < 0.55 * gemm(plain, 1.0, 8192.0, 8192.0)
    assert gemm(narrow, 8192.0, 8192.0, 8192.0) == pytest.approx(
        gemm(plain, 8192.0, 8192.0, 8192.0), rel=0.03
    )


def test_eight_bit_products_pay_for_quantising_activations():
    plain, fp8 = system("h100-sxm"), system("h100-sxm", dtype="fp8")
    assert gemm(fp8, 1.0, 256.0, 256.0) > gemm(plain, 1.0, 256.0, 256.0)
    assert gemm(fp8, 8192.0, 16384.0, 4096.0) < gemm(plain, 8192.0, 16384.0, 4096.0)


def test_experts_pad_their_own_tiles():
    """Sixteen experts of one row each are sixteen tiles, not one."""
    s = system()
    together = Gemm(16.0, 1024.0, 4096.0, 2.0)
    apart = replace(together, groups=16.0)
    assert gemm_flops(apart) == gemm_flops(together)
    assert gemm_bytes(s, apart) > 15 * 1024 * 4096 * 2
    assert gemm_s(s, apart) > 5 * gemm_s(s, together)


def prefill(s, prompts, length):
    return float(prefill_attention_s(s, prompts * length, length / 2, 32.0, 8.0, 4 * 128.0))


def test_prompt_attention_grows_with_the_square_of_the_prompt():
    s = system()
    ratio = prefill(s, 1.0, 32768.0) / prefill(s, 1.0, 16384.0)
    assert 3.7 < ratio < 4.1


def test_short_prompts_reach_less_of_the_matrix_rate():
    """Of A100's rate the tables say 0.28 at 256 to 1k tokens, 0.55 beyond 4k."""
    s = system()

    def efficiency(prompts, length):
        flops = 2 * 32 * 128 * prompts * length**2
        return flops / prefill(s, prompts, length) / s.device.attention_flops_per_s

    assert 0.2 < efficiency(16.0, 512.0) < 0.35
    assert 0.48 < efficiency(4.0, 8192.0) < 0.6


def decode(s, seqs, context, kv_heads=8.0, heads=32.0):
    return float(
        decode_attention_s(
            s, seqs, context, kv_heads, heads / kv_heads, 512.0 * kv_heads, 4 * 128.0
        )
    )


def test_one_sequence_draws_as_much_bandwidth_as_its_heads_allow():
    """FlashAttention splits a head's keys over so many multiprocessors and no more."""
    s = system("h100-sxm")
    few_heads = decode(s, 1.0, 131072.0, kv_heads=1.0) - decode(s, 1.0, 256.0, kv_heads=1.0)
    many_heads = decode(s, 1.0, 131072.0, kv_heads=8.0) - decode(s, 1.0, 256.0, kv_heads=8.0)
    assert many_heads < 4 * few_heads


def test_short_contexts_cost_a_block_for_each_sequence_and_head():
    s = system()
    assert decode(s, 2048.0, 2.0) > 0.8 * decode(s, 2048.0, 64.0)
    assert decode(s, 2048.0, 2.0) > 6 * decode(s, 256.0, 2.0)


def test_a_ring_moves_two_shares_less_one():
    s = replace(system(), parallel=Parallel(tp=4.0))
    assert all_reduce_bytes(s, 1e9) == 1.5e9
    assert all_reduce_s(replace(s, parallel=Parallel(tp=1.0)), 1e9) == 0
    big = all_reduce_s(s, 1e9)
    assert big == pytest.approx(1.5e9 / (s.device.link_bytes_per_s * s.kernels.link_eff), rel=0.01)


def test_tensor_parallelism_across_nodes_takes_the_network():
    s = system()
    within = all_reduce_s(replace(s, parallel=Parallel(tp=8.0)), 1e8)
    across = all_reduce_s(replace(s, parallel=Parallel(tp=16.0)), 1e8)
    assert across > 5 * within


def test_nothing_to_do_takes_no_time():
    s = system()
    assert decode(s, 0.0, 100.0) == 0
    assert prefill(s, 0.0, 100.0) == 0
    assert elementwise_s(s, 0.0) == s.kernels.launch_s
    assert np.isfinite(gemm(s, 1.0, 1.0, 1.0))
