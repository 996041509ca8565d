"""A profile's constants are named and within physics, ours and a user's."""

import pytest

import planner as pl
from planner.data import bundled
from planner.errors import SpecError
from planner.inputs.profile import load_profile
from planner.questions.predict import predict
from planner.scenario.scenario import conditions, resolve

NAMES = sorted(p.stem for p in bundled("calibration").glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_profile_loads_and_names_its_data(name):
    profile = load_profile(name)
    assert profile.data and profile.columns()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gemm_hbm_eff", "gemm_hbm_ef", "no such constant"),
        ("gemm_hbm_eff = ", "gemm_hbm_eff = -", "outside physics"),
        ("gemm_hbm_eff = 0.", "gemm_hbm_eff = 1.", "outside physics"),
    ],
)
def test_a_profile_outside_physics_is_refused_by_file_and_key(tmp_path, old, new, message):
    text = (bundled("calibration") / "class-default.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecError, match=message) as caught:
        predict("llama-3.2-1b", profile=str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("on", "engine", "profile", "wider"),
    [
        ("h200-sxm", "sglang==0.5.3", "h100-sglang", 1),
        ("h200-sxm", "sglang==0.5.9", "h100-sglang-0.5.5", 1),
        ("h200-sxm", "sglang", "h100-sglang-0.5.5", 1),
        ("b200", "tensorrt-llm==1.1", "b200-tensorrt-llm-1", 1),
        ("b200", "tensorrt-llm==1.3", "b200-tensorrt-llm-1.2", 1),
        ("b200", "tensorrt-llm==0.12", "b200-tensorrt-llm-1", 1.5),  # nearest in time, not vLLM
        ("h100-sxm", "tensorrt-llm==0.12", "h100-tensorrt-llm", 1),
        ("mi325x", "sglang", "mi300x-sglang-0.5.5", 1.5),
        ("h100-sxm", "vllm==0.4", "h100-vllm-0.6", 1),
        ("b200", "vllm==0.6", "b200-vllm", 1.5),
    ],
)
def test_the_profile_nearest_in_device_then_in_time_is_taken(on, engine, profile, wider):
    found = resolve(conditions(on=on, engine=engine))
    assert (found.profile.name, found.spread_factor) == (profile, wider)


@pytest.mark.parametrize(
    ("engine", "unseen"),
    [
        ("vllm", {"deepseek-r1", "mixtral-8x7b", "gemma-3-12b"}),
        ("sglang==0.5.3", {"llama-3.1-8b", "gemma-3-12b"}),
    ],
)
def test_layers_that_a_profile_has_not_seen_widen_the_interval(engine, unseen):
    """VLLM's runs on these devices are of Llama, SGLang's of R1: experts, latent attention."""
    spans = {}
    for model in ("llama-3.1-8b", "mixtral-8x7b", "gemma-3-12b", "deepseek-r1"):
        m = pl.predict(model, on="h200-sxm", engine=engine, concurrency=4, tp=8).candidate.metrics
        spans[model] = m["decode_step_s"].high / m["decode_step_s"].low
    assert {m for m, span in spans.items() if span > 1.05 * min(spans.values())} == unseen
