"""Presets: shapes whose counts are the published ones, found by the names people write."""

import csv
import io
import json
import re

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import SpecError, UnknownName
from planner.inputs.loading import load_model
from planner.inputs.names import slug
from planner.inputs.presets import format_in_name, preset_named, presets
from planner.questions.predict import predict

# As safetensors indexes and model cards state them; those of gpt-oss are of OpenAI's model card.
PUBLISHED = {
    "deepseek-v3": "671.0B",
    "deepseek-v2": "235.7B",
    "kimi-k2": "1026408209408",
    "qwen3-30b-a3b": "30.5B",
    "qwen3-235b-a22b": "235093634560",
    "qwen3-coder-480b-a35b": "480154875392",
    "gpt-oss-20b": "20.9B",
    "gpt-oss-120b": "116.8B",
    "mixtral-8x22b": "140.6B",
    "mistral-large-123b": "122.6B",
    "gemma-7b": "8537680896",
    "smollm3-3b": "3075098624",
    "phi-4": "14.7B",
    "phi-4-mini": "3.8B",
    "granite-3.1-8b": "8170848256",
    "ministral-3-14b": "13.5B",
}
ACTIVE = {
    "deepseek-v3": "37B",
    "kimi-k2": "32B",
    "qwen3-235b-a22b": "22B",
    "qwen3-30b-a3b": "3.3B",
    "mixtral-8x22b": "39B",
}
WITHOUT_INPUT_EMBEDDING = {"gpt-oss-120b": "5.1B", "gpt-oss-20b": "3.6B"}


def matches(n, printed):
    """Say whether a count is the printed one, rounded or cut to its digits."""
    if printed.isdigit():
        return n == int(printed)
    digits, unit = re.fullmatch(r"([\d.]+)([MBT])", printed).groups()
    step = 10.0 ** -len(digits.partition(".")[2])
    return -step / 2 <= n / {"M": 1e6, "B": 1e9, "T": 1e12}[unit] - float(digits) < step


@pytest.mark.parametrize("name", presets())
def test_a_preset_counts_what_its_makers_state(name):
    preset = presets()[name]
    assert matches(preset.spec.n_params, preset.published)
    assert preset.spec.source.startswith("https://")
    assert preset.hub or "arxiv.org" in preset.spec.source


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name):
    assert matches(load_model(name).n_params, PUBLISHED[name])


@pytest.mark.parametrize("name", ACTIVE)
def test_active_counts_are_the_published_ones(name):
    assert matches(load_model(name).n_active_params, ACTIVE[name])


@pytest.mark.parametrize("name", WITHOUT_INPUT_EMBEDDING)
def test_active_counts_are_the_published_ones_where_the_embedding_is_left_out(name):
    spec = load_model(name)
    active = spec.n_active_params - spec.vocab_size * spec.d_model
    assert matches(active, WITHOUT_INPUT_EMBEDDING[name])


def test_there_are_many():
    assert len(presets()) >= 80


def test_a_count_that_is_off_is_seen():
    assert matches(8_489_553_920, "8.4B") and matches(65_285_660_672, "65.2B")  # cut, not rounded
    assert not matches(8_589_553_920, "8.4B") and not matches(8_030_261_249, "8030261248")


WRITTEN = {
    "llama-3.1-8b": [
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "Llama-3.1-8B",
        "llama_3.1_8b",
        "models--meta-llama--Llama-3.1-8B-Instruct",
        "meta-llama--Llama-3.1-8B",
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8",
        "nvidia/Llama-3.1-8B-Instruct-FP8",
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit",
        "Llama-3.1-8B-Instruct w8a8",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    ],
    "llama-3.3-70b": [
        "meta-llama/Llama-3.3-70B-Instruct",
        "Llama-3.3-70B",
        "nvidia/Llama-3.3-70B-Instruct-FP4",
        "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic",
        "amd/Llama-3.3-70B-Instruct-MXFP4-Preview",
    ],
    "llama-2-7b": ["meta-llama/Llama-2-7b-chat-hf", "Llama2-7B", "TheBloke/Llama-2-7B-Chat-GPTQ"],
    "llama-3-8b": ["meta-llama/Meta-Llama-3-8B-Instruct", "Meta-Llama-3-8B"],
    "qwen3-8b": ["Qwen/Qwen3-8B", "Qwen/Qwen3-8B-Base", "Qwen/Qwen3-8B-FP8", "Qwen3-8B (SGLang)"],
    "qwen2.5-7b": ["Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen2.5-Coder-7B-Instruct"],
    "qwen2.5-72b": ["moonshotai/Kimi-Dev-72B", "Qwen/Qwen2.5-72B-Instruct-AWQ"],
    "qwen3-30b-a3b": ["Qwen/Qwen3-30B-A3B", "Qwen3-30B-A3B-GPTQ-Int4"],
    "qwen3-30b-a3b-2507": ["Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "Qwen3-Coder-30B-A3B-Instruct"],
    "deepseek-v3": [
        "deepseek-ai/DeepSeek-R1-0528",
        "/models/DeepSeek-R1-0528",
        "nvidia/DeepSeek-R1-0528-NVFP4-v2",
        "deepseek-ai/DeepSeek-V3.1",
    ],
    "deepseek-v2-lite": ["DeepSeek-V2-Lite-Chat (before MLA)"],
    "gpt-oss-120b": ["openai/gpt-oss-120b", "gpt-oss-120b"],
    "mixtral-8x7b": ["mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"],
    "mistral-7b-v0.3": ["mistralai/Mistral-7B-Instruct-v0.3"],
    "mistral-small-3.1-24b": ["RedHatAI/Mistral-Small-3.1-24B-Instruct-2503-quantized.w4a16"],
    "gemma-2-27b": ["google/gemma-2-27b-it"],
    "phi-4": ["microsoft/phi-4", "Phi-4"],
    "kimi-k2": ["moonshotai/Kimi-K2-Instruct", "kimi-k2"],
    "tinyllama-1.1b": ["TinyLlama/TinyLlama-1.1B-Chat-v1.0"],
}


@pytest.mark.parametrize("known", WRITTEN)
def test_models_are_known_by_the_names_people_write(known):
    for text in WRITTEN[known]:
        assert preset_named(text) == known, text
        spec = presets()[known].spec
        found, own = load_model(text), {"name", "weights_format"}
        assert found.model_dump(exclude=own) == spec.model_dump(exclude=own)
        assert found.name == (text if format_in_name(text) else spec.name)
        assert found.weights_format == (format_in_name(text) or spec.weights_format)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "fp8"),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", "int8"),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w4a16", "int4"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "w8a16"),
        ("Qwen/Qwen3-14B-AWQ", "int4"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "nvfp4"),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "fp4"),
        ("unsloth/Llama-3.1-8B-bnb-4bit", "nf4"),
        ("Qwen/Qwen3-8B-GGUF", ""),
        ("Qwen/Qwen3-8B", ""),
    ],
)
def test_a_name_says_how_weights_are_stored(text, found):
    assert format_in_name(text) == found


@pytest.mark.parametrize(
    ("model", "dtype", "warned"),
    [
        ("Qwen/Qwen3-8B-FP8", "bf16", True),
        ("Qwen/Qwen3-8B-FP8", "fp8", False),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "nvfp4", False),
        ("CodeLlama-13B-Instruct-fp16", "bf16", False),
        ("Qwen/Qwen3-8B", "fp8", False),
    ],
)
def test_a_format_that_is_not_the_names_is_said(model, dtype, warned):
    found = predict(model, on="b200", dtype=dtype, concurrency=4)
    assert ("stored-format" in [w.code for w in found.warnings]) == warned


def test_no_name_means_two_models():
    found = {}
    for name, preset in presets().items():
        for other in (
            name,
            preset.spec.name,
            *preset.hub,
            *(h.partition("/")[2] for h in preset.hub),
        ):
            assert not other or found.setdefault(slug(other), name) == name, other


@pytest.mark.parametrize(
    "text",
    [
        "Qwen/Qwen3.5-11B",
        "llama",
        "instruct",
        "FP8",
        "",
        "meta-llama/Llama-3.1-9B",
        "Qwen3-8B-Next",
    ],
)
def test_another_model_is_not_taken_for_a_neighbour(text):
    assert preset_named(text) is None
    with pytest.raises((UnknownName, SpecError)) as caught:
        load_model(text)
    assert caught.value.hint


def test_the_table_prints_as_csv():
    printed = CliRunner().invoke(app, ["models", "list", "--csv"]).output
    rows = {r["name"]: r for r in csv.DictReader(io.StringIO(printed))}
    assert set(rows) == set(presets())
    row = rows["qwen3-30b-a3b"]
    assert (row["n_params"], row["hub"].split()[0]) == ("30532122624", "Qwen/Qwen3-30B-A3B")
    assert row["source"] == "https://huggingface.co/Qwen/Qwen3-30B-A3B/blob/main/config.json"


CONFIGS = {n: json.loads(p.row["config"]) for n, p in presets().items() if p.row.get("config")}


OTHERWISE = {
    "longcat-flash": "this release makes weights for experts that do nothing",
    "kimi-linear-48b-a3b": "this release has no linear_attn_config, and six full layers of its own",
}


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_builds_what_a_config_counts(name):
    """Without memory, from the words of the table alone; types of remote code it does not know."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    stated = {k: v for k, v in CONFIGS[name].items() if k != "quantization_config"}
    kind = stated.pop("model_type")
    if kind not in transformers.CONFIG_MAPPING:
        pytest.skip(f"transformers has no {kind}")
    if why := OTHERWISE.get(name):
        pytest.skip(why)
    with torch.device("meta"):
        config = transformers.CONFIG_MAPPING[kind](**stated)
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == presets()[name].spec.n_params
