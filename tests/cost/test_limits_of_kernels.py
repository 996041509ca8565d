"""What no kernel may do: beat the device, gain nothing from a share, or count a key twice."""

from dataclasses import replace

import numpy as np
import pytest

from planner.columns import Step
from planner.cost.operators.attention.kinds import KINDS
from planner.cost.operators.attention.prefill import prefill_attention_s
from planner.cost.operators.gemm import Gemm, quantising_s
from planner.cost.step import breakdown
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve

PROMPT = Step(prefill_tokens=2000.0, prefill_seqs=1.0, prefill_context=1000.0)
BATCH = Step(decode_seqs=64.0, decode_context=3000.0)
LATENT = next(k for k in KINDS if k.name == "latent").softmax


def system(name="llama-3.1-8b", **engine):
    return resolve(conditions(on="h100-sxm", **engine)).system(load_model(name).arch())


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "gemma-2-9b"])
@pytest.mark.parametrize("step", [PROMPT, BATCH], ids=["prompt", "batch"])
def test_a_share_of_the_work_never_takes_longer_than_the_whole(name, step):
    one = breakdown(system(name), step)
    for tp in (2, 4):
        for part, cost in breakdown(system(name, tp=tp), step).items():
            if part not in ("communication", "overhead"):
                assert float(cost.seconds) <= float(one[part].seconds) * (1 + 1e-9), part


@pytest.mark.parametrize("rows", [64.0, 8192.0])
def test_activations_are_read_and_written_to_be_narrowed(rows):
    """Two bytes in, one out, no faster than memory; and it costs less than ten times that in bulk."""
    s = system(dtype="fp8")
    g = Gemm(rows, 4096.0, 4096.0, 1.0)
    least = rows * 4096 * 3 / float(s.device.hbm_bytes_per_s)
    assert float(quantising_s(s, g)) > least
    assert float(quantising_s(s, g)) < 20 * least + 20e-6


def test_heads_of_a_group_share_a_tile_of_a_short_prompt():
    """Eight query heads of eight tokens fill a tile of 64 rows where kernels pack them; alone an eighth."""
    s = system()
    packs, alone = (
        float(prefill_attention_s(
            replace(s, kernels=replace(s.kernels, packs_gqa=packed)), 800.0, 4.0, 64.0, 8.0, 512.0
        ))
        for packed in (1.0, 0.0)
    )  # fmt: skip
    assert packs < 0.6 * alone


@pytest.mark.parametrize("tp", [1, 4])
def test_a_prompts_latent_heads_have_keys_of_their_own(tp):
    """Keys and values are worked out for each head: nothing is grouped, so nothing shares a tile."""
    s = system("deepseek-v3", tp=tp)
    assert float(LATENT.prefill_kv_heads(s)) == 128 / tp
    assert float(LATENT.decode_kv_heads(s)) == 1.0  # and decoding meets one latent vector


def test_decoding_over_the_latent_cache_takes_its_published_flops():
    """Scores over 512 + 64 elements, values over 512, for each of 128 heads and 61 layers.  [DeepSeek-V3]"""
    s = system("deepseek-v3")
    near, far = (
        float(breakdown(s, Step(decode_seqs=1.0, decode_context=c))["attention_decode"].flops)
        for c in (1000.0, 2000.0)
    )
    assert far - near == pytest.approx(1000 * 61 * 128 * 2 * (576 + 512), rel=1e-9)


def test_groups_read_their_keys_once():
    """Bytes of decoding hang on key/value heads, not on query heads."""
    s = system()
    many = replace(s, arch=replace(s.arch, n_heads=s.arch.n_heads * 2))
    few, more = (float(breakdown(x, BATCH)["attention_decode"].bytes_) for x in (s, many))
    assert few == pytest.approx(more, rel=0.02)
    assert np.isfinite(few)
