"""What no cut of the work may change: FLOPs over all devices, bytes of weights and cache, seconds saved."""

import numpy as np
import pytest

from planner.columns import Step
from planner.cost import memory, params
from planner.cost.operators.attention.kinds import attention_layers
from planner.cost.step import breakdown, device_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve

STEP = Step(
    prefill_tokens=1000.0, prefill_seqs=2.0, prefill_context=250.0, decode_seqs=32.0, decode_context=2000.0
)  # fmt: skip
ALONE = Step(decode_seqs=1.0, decode_context=16.0)
MODELS = ["llama-3.1-8b", "gemma-2-9b", "mixtral-8x7b", "deepseek-v2-lite", "deepseek-v3",
          "qwen3-next-80b-a3b", "bamba-9b-v2"]  # fmt: skip
CUTS = [{"tp": 2}, {"tp": 4}, {"tp": 4, "ep": 2}, {"tp": 4, "ep": 4}, {"tp": 2, "pp": 2}]


def system(name, **cut):
    model = load_model(name)
    if model.n_experts == 1:
        cut.pop("ep", 0)
    return resolve(conditions(on="h200-sxm", **cut)).system(model.arch())


def copied_flops(s, tp):
    """What each device computes of QKV for itself: latent attention's ways down."""
    a = s.arch
    tokens = 2.0 * (STEP.prefill_tokens + STEP.decode_seqs) * attention_layers(a) * a.d_model
    return tokens * (tp - 1) * (a.q_latent_dim + a.kv_latent_dim)


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_flops_over_all_devices_are_those_of_one(name, cut):
    if not load_model(name).kv_latent_dim and load_model(name).n_kv_heads < cut["tp"]:
        cut = cut | {"tp": 2}  # beyond that, key and value heads are copied
        cut |= {"ep": min(cut.get("ep", 1), 2)}
    one, many = breakdown(system(name), STEP), breakdown(system(name, **cut), STEP)
    devices = cut["tp"]  # a stage of a pipeline is counted with the others: a step takes all layers
    for part, cost in one.items():
        copies = devices if part == "route" else 1
        more = copied_flops(system(name), devices) if part == "qkv" else 0.0
        total = devices * float(many[part].flops)
        assert total == pytest.approx(copies * float(cost.flops) + more, rel=1e-9), part


@pytest.mark.parametrize("name", MODELS)
def test_a_token_multiplies_every_weight_it_meets_once(name):
    """2 FLOPs a weight; experts that a token does not visit are not met."""
    model, s = load_model(name), system(name)
    attention = ("attention_prefill", "attention_decode", "recurrent_prefill", "recurrent_decode")
    flops = sum(float(c.flops) for part, c in breakdown(s, ALONE).items() if part not in attention)
    met = flops / 2 - model.vocab_size * model.d_model
    assert met == pytest.approx(float(params.n_active_params_non_embedding(s.arch)), rel=0.01)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mistral-7b-v0.3", "llama-3.3-70b"])
def test_a_lone_token_reads_every_weight_once_and_its_own_cache(name):
    s, model = system(name), load_model(name)
    parts = breakdown(s, ALONE)
    products = ("qkv", "attention_output", "mlp_up", "mlp_down", "lm_head")
    read = sum(float(parts[p].bytes_) for p in products)
    matrices = 2.0 * (model.n_params_non_embedding + model.vocab_size * model.d_model)
    assert read == pytest.approx(matrices, rel=0.002)  # activations in and out are the rest
    held = float(memory.weight_bytes(s))
    untied = 0 if model.tied_embeddings else 2.0 * model.vocab_size * model.d_model
    assert held == pytest.approx(matrices + untied, rel=0.003)  # and tables of rotary angles


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3", "deepseek-v2-lite"])
def test_decoding_reads_the_cache_that_memory_holds(name):
    """A token more in every context is that many cached bytes more to read."""
    s = system(name)
    near, far = (
        float(breakdown(s, Step(decode_seqs=8.0, decode_context=c))["attention_decode"].bytes_)
        for c in (1000.0, 3000.0)
    )
    assert far - near == pytest.approx(8 * 2000 * float(memory.kv_bytes_per_token(s)), rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_so_many_devices_are_never_more_than_so_many_times_as_fast(name):
    one = breakdown(system(name), STEP)
    for tp in (2, 4, 8):
        if load_model(name).n_heads % tp:
            continue
        many = breakdown(system(name, tp=tp), STEP)
        assert device_s(system(name, tp=tp), STEP) >= device_s(system(name), STEP) / tp
        for part, cost in one.items():
            if part != "overhead":
                assert float(many[part].seconds) >= float(cost.seconds) / tp * (1 - 1e-9), part


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b"])
def test_no_operator_beats_the_nameplate(name):
    """Of its own device: a share of the peak rate and of the bandwidth, in every format."""
    for dtype in ("bf16", "fp8"):
        s = system(name, dtype=dtype)
        for part, cost in breakdown(s, STEP).items():
            flops_s = float(cost.flops) / float(s.device.flops_per_s)
            bytes_s = float(cost.bytes_) / float(s.device.hbm_bytes_per_s)
            assert float(np.max(cost.seconds)) >= max(flops_s, bytes_s) * (1 - 1e-9), part
