"""Bugs found in other planners, each with a test that would catch it here."""

from dataclasses import replace

import numpy as np
import pytest

import planner as pl
from planner.columns import Step, System, Workload
from planner.cost.memory import kv_bytes_per_token
from planner.cost.operators.head import embedding_params, lm_head_s
from planner.cost.params import n_params_non_embedding
from planner.cost.step import breakdown, step_s
from planner.data import catalogue
from planner.inputs.device import load_device
from planner.inputs.engine import EngineSpec
from planner.inputs.loading import load_model
from planner.inputs.profile import load_profile
from planner.questions.validate.measured import engine_settings
from planner.scenario.scenario import conditions, resolve

PROMPT = Step(prefill_tokens=2048.0, prefill_seqs=2.0, prefill_context=512.0)
DECODE = Step(decode_seqs=64.0, decode_context=2000.0)
PROFILES = sorted(catalogue("calibration"))


def system(model="llama-3.1-8b", on="a100-sxm-80gb", **engine) -> System:
    return resolve(conditions(on=on, **engine)).system(load_model(model).arch())


def reshaped(s, **changes):
    return replace(s, arch=replace(s.arch, **changes))


def test_grouped_queries_read_less_cache():
    """LLM-Viewer and BLIS read every query head's own keys."""
    grouped, full = system(), reshaped(system(), n_kv_heads=32.0)
    few, many = (breakdown(s, DECODE)["attention_decode"] for s in (grouped, full))
    assert many.bytes_ == pytest.approx(4 * few.bytes_, rel=0.02)
    assert many.seconds > 2.5 * few.seconds
    assert many.flops == few.flops  # scores are counted by query head


def test_head_dim_is_its_own():
    """LLM-Viewer and BLIS assume d_model / n_heads."""
    s = system()
    assert kv_bytes_per_token(reshaped(s, head_dim=256.0)) == 2 * kv_bytes_per_token(s)
    assert step_s(reshaped(s, head_dim=256.0), DECODE) > step_s(s, DECODE)


def test_a_gated_mlp_has_three_matrices():
    """llm-analysis left out the third one of SwiGLU."""
    s, tokens = system(), PROMPT.prefill_tokens
    parts = breakdown(s, PROMPT)
    layers = sum(parts[n].flops for n in ("qkv", "attention_output", "mlp_up", "mlp_down"))
    assert layers == pytest.approx(2 * tokens * n_params_non_embedding(s.arch), rel=1e-12)


def test_a_decode_step_writes_one_token_of_cache():
    """llm-analysis stores the whole cache every step."""
    s = system()
    read = breakdown(s, DECODE)["attention_decode"].bytes_
    cache = DECODE.decode_seqs * DECODE.decode_context * kv_bytes_per_token(s)
    assert cache <= read <= 1.05 * cache
    assert breakdown(s, DECODE)["kv_write"].bytes_ == 0  # part of the attention kernel


def test_the_lm_head_counts_and_only_for_last_positions():
    """InferSim and GenZ leave it out; a prompt needs logits of its last position only."""
    s = system()
    head = breakdown(s, DECODE)["lm_head"]
    assert head.flops == 2 * DECODE.decode_seqs * s.arch.vocab_size * s.arch.d_model
    assert head.bytes_ > embedding_params(s.arch)  # half of the two matrices, at 2 bytes
    assert step_s(reshaped(s, vocab_size=2.5e5), DECODE) > step_s(s, DECODE)
    assert breakdown(s, PROMPT)["lm_head"].flops == head.flops * PROMPT.prefill_seqs / 64


def test_bandwidth_has_decimal_prefixes():
    """GenZ takes a TB/s for 2^40."""
    assert load_device("h100-sxm").hbm_bytes_per_s == 3.35e12
    assert load_device("a100-sxm-40gb").hbm_bytes_per_s == 1555e9


def test_each_phase_has_an_efficiency_of_its_own():
    """GenZ has one knob: with decode right, its prefill is 1.5 times off."""
    s = system()
    slower = replace(s, kernels=replace(s.kernels, decode_hbm_eff=0.4))
    assert step_s(slower, PROMPT) == step_s(s, PROMPT)
    assert step_s(slower, DECODE) > step_s(s, DECODE)
    throttled = replace(s, kernels=replace(s.kernels, sustained_clock=0.5))
    assert step_s(throttled, PROMPT) > 1.5 * step_s(s, PROMPT)
    few = replace(DECODE, decode_seqs=8.0)  # far from the ridge
    assert step_s(throttled, few) < 1.02 * step_s(s, few)


@pytest.mark.parametrize("name", PROFILES)
def test_no_constant_implies_more_than_peak(name):
    """BLIS's fit comes to 167 to 271 % of peak."""
    for key, value in (load_profile(name).kernels | load_profile(name).benchmark).items():
        if key.endswith(("_eff", "sustained_clock")):
            assert 0 < value <= 1, f"{name}: {key} = {value}"


@pytest.mark.parametrize("name", PROFILES)
def test_no_operator_beats_the_nameplate(name):
    profile = load_profile(name)
    rng = np.random.default_rng(0)
    n = 500
    device = profile.devices[0] if profile.devices else "a100-sxm-40gb"
    engine = EngineSpec() if profile.engine == "any" else EngineSpec(name=profile.engine)
    served = resolve(conditions(engine, on=device, profile=name))
    arch = replace(
        load_model("llama-3.1-8b").arch(),
        n_layers=rng.integers(1, 90, n) * 1.0,
        d_model=rng.integers(4, 200, n) * 64.0,
        n_heads=rng.integers(1, 16, n) * 8.0,
        d_ff=rng.integers(4, 400, n) * 64.0,
    )
    s = served.system(arch)
    for step in (PROMPT, DECODE, Step(decode_seqs=1.0, decode_context=5.0)):
        for key, op in breakdown(s, step).items():
            if key == "lm_head":
                continue  # its logits are gone over in the cache
            assert np.all(op.seconds >= op.flops / s.device.flops_per_s * (1 - 1e-12)), key
            assert np.all(op.seconds >= 0.9 * op.bytes_ / s.device.hbm_bytes_per_s), key


def test_an_old_engine_is_itself():
    """A tool (aiconfigurator) silently takes the newest data for an old version."""
    row = {"engine": "vLLM", "engine_version": "0.6.3", "dtype": "float16"}
    asked = conditions(**engine_settings(row)).engine
    assert (asked.name, asked.version, asked.generation) == ("vllm", "0.6.3", "vllm-0.6")
    assert not asked.chunked_prefill
    assert "vllm-0.6" in resolve(conditions(on="h100-sxm", **engine_settings(row))).basis


def test_a_default_says_that_it_is_one():
    """InferSim's default efficiencies are silent."""
    assert "class default" in resolve(conditions(on="l4")).basis
    other = resolve(conditions(on="a100-sxm-40gb", engine="torch"))
    assert "engine constants of" in other.basis
    assert other.spread_factor > resolve(conditions(engine="tensorrt-llm==0.12")).spread_factor


def test_parts_add_up_to_the_step():
    s, w = system(), Workload(512.0, 64.0, 8.0)
    mixed = Step(512.0, 1.0, 256.0, w.batch, 300.0)
    for step in (PROMPT, DECODE, mixed):
        parts = breakdown(s, step)
        assert sum(p.seconds for p in parts.values()) == pytest.approx(step_s(s, step), rel=1e-12)


def test_a_draft_before_experts_is_answered():
    """A prompt's step beside no decoding has no tokens for any expert: it divided by none."""
    found = pl.predict("mixtral-8x7b", on="h100-sxm", tp=4, draft="llama-3.2-1b", batch=8)
    alone = pl.predict("mixtral-8x7b", on="h100-sxm", tp=4, batch=8)
    assert 0 < alone.candidate.metrics["tpot_s"].value < 3 * found.candidate.metrics["tpot_s"].value


def test_a_head_in_sixteen_bits_computes_at_their_rate_under_layers_in_eight():
    """At 4096 rows its arithmetic, at the datasheet's 16-bit peak, is a floor of its time."""
    rows, peak = 4096.0, 989.4e12
    step = Step(decode_seqs=rows, decode_context=1.0)
    floor_s = 2 * rows * 4096 * 128_256 / peak
    assert lm_head_s(system(on="h100-sxm", dtype="fp8"), step) > floor_s
