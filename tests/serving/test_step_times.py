"""Tabulated step times are those of the cost model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.columns import Step
from planner.cost.step import step_s
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve
from planner.serving.speculative import engine_step_s, with_draft
from planner.serving.step_times import StepTimes

MODELS = ("llama-3-8b", "surefire-1b", "gemma-2-2b", "qwen3-30b-a3b", "deepseek-v2-lite")
ON = resolve(conditions(on="a100-sxm-80gb", max_batched_tokens=2048))
SYSTEMS = {m: ON.system(load_model(m).arch()) for m in MODELS}
TIMES = {m: StepTimes(s, 40_000) for m, s in SYSTEMS.items()}
CONTEXT = st.floats(2, 30_000)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(MODELS), st.integers(1, 256), CONTEXT)
def test_a_decode_step(model, seqs, context):
    exact = step_s(SYSTEMS[model], Step(decode_seqs=float(seqs), decode_context=context))
    assert TIMES[model].decode(seqs, context) == pytest.approx(float(exact), rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(1, 2048),
    st.integers(0, 8),
    st.integers(0, 256),
    CONTEXT,
    st.floats(1, 20_000),
)
def test_a_step_with_prompts(model, tokens, prompts, seqs, context, keys):
    prompts, keys = min(prompts, tokens), max(keys, tokens / 2)
    step = Step(float(tokens), float(prompts), keys, float(seqs), context)
    found = TIMES[model].mixed(tokens, keys, prompts, seqs, context)
    # Several prompts are taken as one as long, which tells where windows end within them.
    near = 5e-3 if model == "gemma-2-2b" and prompts != 1 else 1e-3
    assert found == pytest.approx(float(step_s(SYSTEMS[model], step)), rel=near)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 64), st.floats(10, 5000), st.integers(1, 2000))
def test_a_run_of_steps_is_their_sum(seqs, context, steps):
    times = TIMES["llama-3-8b"]
    one_by_one = sum(times.decode(seqs, context + i) for i in range(steps))
    assert times.run(seqs, context, steps) == pytest.approx(one_by_one, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 64), st.floats(10, 5000), st.integers(1, 2000), st.floats(0.001, 60))
def test_the_first_step_to_end_after_a_moment(seqs, context, steps, moment):
    times = TIMES["surefire-1b"]
    k = times.steps_until(seqs, context, steps, moment)
    assert 1 <= k <= steps
    assert k == steps or times.run(seqs, context, k) >= moment
    assert k == 1 or times.run(seqs, context, k - 1) < moment


def test_with_a_draft_model_a_step_is_a_tokens_share_of_a_check():
    s = with_draft(SYSTEMS["llama-3-8b"], load_model("llama-3.2-1b").arch(), 4.0, 0.7)
    times = StepTimes(s, 10_000)
    exact = engine_step_s(s, Step(decode_seqs=16.0, decode_context=3000.0))
    assert times.decode(16, 3000.0) == pytest.approx(float(exact), rel=1e-3)
    assert times.decode(1, 3000.0) < TIMES["llama-3-8b"].decode(1, 3000.0)
