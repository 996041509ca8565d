"""What is conserved: operators share out the weights, the work and the time of a step."""

from dataclasses import replace

import numpy as np
import pytest

from planner.columns import Parallel, Step
from planner.cost import memory, params
from planner.cost.operators.attention.kinds import KINDS
from planner.cost.operators.head import embedding_params
from planner.cost.step import OPERATORS, PARTS, breakdown, device_s, step_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve

MODELS = ("llama-3.1-8b", "gemma-2-9b", "mixtral-8x7b", "deepseek-v2-lite", "qwen2.5-0.5b")
MIXED = Step(512.0, 2.0, 300.0, 32.0, 2048.0)


def system(model, **engine):
    return resolve(conditions(on="h100-sxm", **engine)).system(load_model(model).arch())


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_of_the_operators_are_the_models_matrices(model):
    a = load_model(model).arch()
    shared_out = sum(o.weights(a) for o in OPERATORS)
    whole = params.n_params_non_embedding(a) + embedding_params(a)
    assert shared_out == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b"])
def test_devices_share_the_flops(model):
    s = system(model)
    alone = breakdown(s, MIXED)
    for tp in (2.0, 4.0, 8.0):
        shared = breakdown(replace(s, parallel=Parallel(tp=tp)), MIXED)
        for name, cost in alone.items():
            whole = 1.0 if name == "route" else tp  # every device scores all experts
            assert shared[name].flops * whole == pytest.approx(cost.flops, rel=1e-12), name


@pytest.mark.parametrize("model", MODELS)
def test_seconds_of_the_operators_add_up_to_the_step(model):
    s = system(model)
    for step in (MIXED, Step(512.0, 1.0, 256.0), Step(decode_seqs=8.0, decode_context=900.0)):
        costs = breakdown(s, step)
        assert sum(c.seconds for c in costs.values()) == pytest.approx(step_s(s, step), rel=1e-12)
        kernels = sum(c.seconds for n, c in costs.items() if n != "overhead")
        assert kernels == pytest.approx(device_s(s, step), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_the_caches_of_the_kinds_of_layers_add_up(model):
    s = system(model)
    a = s.arch
    shares = [float(k.share(a)) for k in KINDS]
    assert sum(shares) == pytest.approx(1.0)
    cached = sum(
        share * a.n_layers * k.softmax.kv_elements(a) * s.precision.kv_bytes
        for share, k in zip(shares, KINDS, strict=True)
        if k.softmax
    )
    assert float(memory.kv_bytes_per_token(s)) == pytest.approx(cached, rel=1e-12)
    assert memory.state_bytes_per_sequence(s) == 0.0


def test_every_part_of_a_step_has_words_and_a_cause():
    a = load_model("llama-3.1-8b").arch()
    for part in PARTS.values():
        assert part.words and "_" not in part.words and part.cause
        assert not part.is_in(a) or float(part.cause_of(a)) > 0
    words = [part.words for part in PARTS.values()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("part", ["prompts", "decoding"])
def test_an_operator_looks_only_at_what_it_says(part):
    s = system("llama-3.1-8b", tp=2)
    other = {
        "prompts": replace(MIXED, decode_seqs=64.0, decode_context=9000.0),
        "decoding": replace(MIXED, prefill_tokens=64.0, prefill_context=9000.0),
    }[part]
    for o in OPERATORS:
        if o.looks_at == part:
            assert np.asarray(o.seconds(s, MIXED)) == np.asarray(o.seconds(s, other)), o.name
