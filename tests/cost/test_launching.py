"""Steps that no graph replays: the host launches kernel by kernel, and devices wait for it."""

import pytest

from planner.columns import Step
from planner.cost.step import device_s, launches, launching_s, step_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve

ONE_TOKEN = Step(prefill_tokens=1.0, prefill_seqs=1.0, prefill_context=2.0)
DECODE = Step(decode_seqs=8.0, decode_context=1000.0)


def system(model, **engine):
    return resolve(conditions(**engine)).system(load_model(model).arch())


def test_a_prompt_of_one_token_takes_what_was_measured():
    """82.6 ms launched one by one, 23.1 as a graph: github.com/sgl-project/sglang/pull/12160."""
    s = system("deepseek-v3", on="h200-sxm", engine="sglang==0.5.3", tp=8, dtype="fp8")
    assert step_s(s, ONE_TOKEN) == pytest.approx(82.6e-3, rel=0.2)
    assert device_s(s, ONE_TOKEN) < 23.1e-3


@pytest.mark.parametrize(
    ("engine", "bare"),
    [("sglang", True), ("tensorrt-llm", True), ("vllm==0.6", True), ("vllm", False)],
)
def test_graphs_replay_decoding_and_in_vllm_prompts_too(engine, bare):
    s = system("llama-3.1-8b", on="h100-sxm", engine=engine)
    assert (launching_s(s, ONE_TOKEN) > 0) == bare
    assert launching_s(s, DECODE) == 0


def test_eager_decoding_waits_for_the_host():
    """4.8 ms a step of 12 plain layers under vLLM on H200: github.com/deepspeedai/DeepSpeed/pull/8352."""
    lazy, eager = (
        system("gpt2", on="h200-sxm", engine="vllm", enforce_eager=e) for e in (False, True)
    )
    one = Step(decode_seqs=1.0, decode_context=144.0)
    assert step_s(eager, one) == pytest.approx(4.8e-3, rel=0.25)
    assert step_s(lazy, one) < 2e-3


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite"])
def test_more_is_launched_where_there_is_more_to_launch(model):
    dense, narrow, shared = (
        system(model, on="h100-sxm", engine="sglang", **more)
        for more in ({}, {"dtype": "fp8"}, {"tp": 2})
    )
    n = dense.arch.n_layers
    assert 7 * n < launches(dense, ONE_TOKEN) < 40 * n
    assert launches(narrow, ONE_TOKEN) > launches(dense, ONE_TOKEN)  # inputs are narrowed first
    assert launches(shared, ONE_TOKEN) == pytest.approx(launches(dense, ONE_TOKEN) + 2 * n + 1)
