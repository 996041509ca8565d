"""What does not fit names one change, in the order people try them, and that change helps."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner as pl
from planner.errors import Infeasible, PlannerError
from planner.inputs.device import device_names
from planner.inputs.loading import load_model
from planner.inputs.profile import load_profile
from planner.report.asked import resolved
from planner.scenario import legal
from planner.scenario.intervals import candidates
from planner.scenario.scenario import Scenario, conditions
from planner.writer import toml

MODELS = ["llama-3.1-8b", "llama-3.1-70b", "gemma-3-27b", "mixtral-8x7b", "deepseek-v2-lite",
          "qwen3-next-80b-a3b", "gpt-oss-120b", "bamba-9b-v2"]  # fmt: skip


def hinted(error):
    """Return the settings that a hint names; None where it names no flag."""
    named = re.findall(r"--([a-z-]+)(?: (\S+))?", error.hint)
    if length := re.search(r"at most (\d+) tokens", error.hint):
        return {"input_tokens": int(length[1]) - 1, "output_tokens": 1}
    return {name.replace("-", "_"): value or True for name, value in named}


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 2)  # an example costs up to a second
@given(
    st.sampled_from(MODELS),
    st.sampled_from(device_names()),
    st.sampled_from(["vllm==0.6.4", "vllm==0.11", "vllm==0.19", "vllm", "sglang", "tensorrt-llm"]),
    st.integers(1000, 120_000),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_the_change_that_a_hint_names_helps(model, on, engine, tokens, fraction):
    asked = {"on": on, "engine": engine, "memory_fraction": fraction, "input_tokens": tokens,
             "output_tokens": 1, "concurrency": 1}  # fmt: skip
    try:
        pl.predict(model, **asked)
    except Infeasible as error:
        assert "GiB short" in str(error)
        changes = hinted(error)
        if changes:
            pl.predict(model, **asked | changes)
        else:
            assert "a device with more memory" in error.hint
    except PlannerError:
        pass  # the device has not the format, say


@pytest.mark.parametrize(
    ("settings_", "flag"),
    [
        ({"max_num_seqs": 1024, "input_tokens": 36_000}, "--max-num-seqs"),
        ({"max_num_seqs": 1, "max_batched_tokens": 65_536}, "--max-batched-tokens"),
        ({"max_num_seqs": 1, "memory_fraction": 0.75, "max_batched_tokens": 512, "input_tokens": 25_000}, "--memory-fraction"),
        ({"max_num_seqs": 1, "max_batched_tokens": 512, "memory_fraction": 0.97,
          "input_tokens": 70_000}, "--kv-dtype fp8"),
        ({"max_num_seqs": 1, "max_batched_tokens": 512, "memory_fraction": 0.97, "kv_dtype": "fp8",
          "max_model_len": 131_072}, "--max-model-len"),
    ],
)  # fmt: skip
def test_changes_come_in_the_order_people_try_them(settings_, flag):
    """Llama-3.1-8B on a card of 24 GB."""
    with pytest.raises(Infeasible) as error:
        pl.predict("llama-3.1-8b", on="rtx-4090", engine="vllm==0.19", concurrency=1,
                   **{"output_tokens": 100} | settings_)  # fmt: skip
    assert flag in error.value.hint


def test_requests_longer_than_the_engine_takes_are_refused():
    s = Scenario.of("llama-3.1-8b", conditions(max_model_len=1000, input_tokens=1000))
    assert legal.refusal(s).code == "length"


def test_an_engine_that_cannot_hold_its_longest_request_does_not_start():
    """Whatever is asked of it then; in a table it is marked, alone it is an error."""
    asked = {
        "on": "a10",
        "engine": "vllm==0.19",
        "concurrency": 1,
        "input_tokens": 100,
        "output_tokens": 10,
    }
    found = pl.what_if("llama-3.1-8b", {"max_model_len": [4096, 131_072]}, **asked)
    assert [p.bound == legal.NO_ROOM for p in found.points] == [False, True]
    with pytest.raises(Infeasible, match="131072 tokens"):
        pl.predict("llama-3.1-8b", max_model_len=131_072, **asked)


def test_a_stated_cache_has_to_fit_the_device_too():
    asked = {"on": "h100-sxm", "concurrency": 1, "input_tokens": 100, "output_tokens": 10}
    assert pl.predict("llama-3.1-8b", kv_cache_bytes=40e9, **asked)
    with pytest.raises(Infeasible, match="GiB short") as error:
        pl.predict("llama-3.1-8b", kv_cache_bytes=400e9, **asked)
    assert "leave out --kv-cache-bytes" in error.value.hint
    for fraction in (0.5, 0.99):  # a stated cache leaves the share aside
        found = pl.predict("llama-3.1-8b", kv_cache_bytes=40e9, memory_fraction=fraction, **asked)
        assert found.candidate.metrics["kv_room_bytes"].value == pytest.approx(40e9, rel=1e-3)


def test_a_search_refuses_requests_that_the_engine_would():
    with pytest.raises(PlannerError, match="--max-model-len 512 is shorter"):
        pl.recommend(params="3B", tokens="100B", max_model_len=512)


def test_memory_of_a_profile_holds_for_the_versions_whose_logs_it_is_of(tmp_path):
    """Vllm 0.19 and 0.32 take alike, 0.6 does not; and no other engine is spoken of."""
    made = load_profile("h100-vllm").model_copy(
        update={"engine_version": "0.19.0", "memory": {"outside_bytes": 2.0 * 2**30}}
    )
    path = tmp_path / "mine.toml"
    path.write_text(toml(made.model_dump(exclude_none=True)))
    for engine, applied in (("vllm==0.19", True), ("vllm", True), ("vllm==0.6.4", False)):
        asked = {"on": "h100-sxm", "engine": engine, "batch": 1, "profile": str(path)}
        told = pl.predict("llama-3.1-8b", **asked).candidate.metrics["outside_torch_bytes"].value
        assert (told == pytest.approx(2.0 * 2**30)) == applied, engine


def test_models_that_the_law_cannot_tell_apart_have_a_loss_each():
    """Of shapes that differ in their vocabulary alone, or in nothing, every one is a row."""
    at = resolved(pl.recommend(1e9, 1e11))
    own = load_model("llama-3.2-1b")
    other = own.model_copy(update={"vocab_size": 64000})
    found = candidates({"own": own, "other": other, "again": own}, at)
    assert found["own"].loss == found["again"].loss != found["other"].loss
    assert [*candidates({"own": own, "again": own}, at)] == ["own", "again"]
