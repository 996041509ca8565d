"""Small configs of the kinds people have, with what each should give."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner as pl
from planner.errors import SpecError
from planner.inputs.hf import from_config
from planner.inputs.loading import load_model
from planner.inputs.presets import presets
from planner.inputs.recipe import recipes

FILES = Path(__file__).parents[1] / "files"


@pytest.mark.parametrize(
    ("name", "n_params", "kv_bytes", "past_window", "head"),
    [
        ("c02_dflash_head", 1_048_626_432, 20_480, 20_480, "draft"),
        ("c04_embedder", 7_110_660_096, 131_072, 0, "none"),
        ("c08_kimi_k2", 1_026_408_209_408, 70_272, 70_272, "lm"),
        ("c09_gemma1", 8_537_680_896, 458_752, 458_752, "lm"),
        ("c10_vision_wrapper", 3_880_263_168, 139_264, 20_480, "lm"),
    ],
)
def test_what_each_gives(name, n_params, kv_bytes, past_window, head):
    m = load_model(FILES / name)
    assert m.n_params == n_params and m.head == head
    assert (m.kv_bytes_per_token, m.kv_bytes_past_window) == (kv_bytes, past_window)


def test_a_checkpoint_in_fp8_is_served_in_fp8_and_another_dtype_is_said():
    """8.03B weights, 1.05B of them embeddings in 16 bits: 9.08 GB."""
    found = pl.predict(FILES / "c06_fp8_checkpoint", on="h100-sxm")
    assert found.candidate.metrics["weight_bytes"].value == pytest.approx(9.08e9, rel=1e-3)
    asked = pl.predict(FILES / "c06_fp8_checkpoint", on="h100-sxm", dtype="bf16")
    assert asked.candidate.metrics["weight_bytes"].value == pytest.approx(16.06e9, rel=1e-3)
    assert "stored-format" in {w.code for w in asked.warnings}
    assert "stored-format" not in {w.code for w in found.warnings}


def test_positions_beyond_the_models_own_are_said():
    m = load_model(FILES / "c09_gemma1").model_copy(update={"max_position_embeddings": 4096})
    long = pl.predict(m, on="h100-sxm", input_tokens=4000, output_tokens=200)
    assert "beyond-positions" in {w.code for w in long.warnings}
    short = pl.predict(m, on="h100-sxm", input_tokens=3000, output_tokens=200)
    assert "beyond-positions" not in {w.code for w in short.warnings}


def test_a_model_without_an_lm_head_is_said_to_be_one():
    found = pl.predict(FILES / "c04_embedder", on="h100-sxm")
    assert "no-lm-head" in {w.code for w in found.warnings}


QUANTISED = {
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "int4": {"quant_method": "awq", "bits": 4},
    "w8a16": {"quant_method": "gptq", "bits": 8},
    "nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "mxfp4": {"quant_method": "mxfp4"},
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4"},
    "int8": {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {
                "weights": {"num_bits": 8, "type": "int"},
                "input_activations": {"num_bits": 8, "type": "int"},
            }
        },
    },
}


@pytest.mark.parametrize("name", QUANTISED)
def test_formats_as_checkpoints_say_them(name):
    config = json.loads((FILES / "c06_fp8_checkpoint" / "config.json").read_text())
    m = from_config(config | {"quantization_config": QUANTISED[name]})
    assert m.weights_format == name and not m.attention_kept


def test_modelopts_own_file_beside_the_config(tmp_path):
    config = json.loads((FILES / "c06_fp8_checkpoint" / "config.json").read_text())
    config.pop("quantization_config")
    (tmp_path / "config.json").write_text(json.dumps(config))
    beside = {
        "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head", "*self_attn*"]}
    }
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
    m = load_model(tmp_path)
    assert m.weights_format == "nvfp4" and m.attention_kept


def test_what_a_checkpoint_keeps_in_16_bits_weighs_so():
    """gpt-oss-120b in MXFP4, experts alone quantised: 65.2 GB on the hub; vLLM's log says 64.38 GiB, as it
    holds 2880 columns as 3072.
    """
    m = load_model("gpt-oss-120b")
    found = pl.predict(m, on="h200-sxm")
    assert found.candidate.metrics["weight_bytes"].value == pytest.approx(64.38 * 2**30, rel=0.005)


CONFIGS = [json.loads(p.row["config"]) for p in presets().values() if p.row.get("config")]
CONFIGS += [{"model_type": k, "hidden_size": 64, "num_hidden_layers": 4} for k in recipes()]
JUNK = [None, True, False, 0, -1, 1, 7, 2.5, 1e300, math.nan, math.inf, "", "x", [], [1], ["a"], [None],
        {}, {"a": 1}, "LLLG", 10**12, [[]], {"0": {}}, {"x": {"head_dim": 3}}]  # fmt: skip
MORE = ["layer_types", "layers_block_type", "hybrid_override_pattern", "quantization_config",
        "architectures", "text_config", "linear_attn_config", "mlp_layer_types", "moe_layer_freq",
        "num_key_value_heads", "head_dim", "sliding_window", "attn_layer_indices", "per_layer_config",
        "num_experts_per_tok", "v_head_dim", "intermediate_size", "dflash_config"]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_any_value_in_any_key_of_any_type_is_read_or_refused_in_words(data):
    config = dict(data.draw(st.sampled_from(CONFIGS)))
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from([*config, *MORE]))
        config[key] = data.draw(st.sampled_from(JUNK))
    try:
        m = from_config(config)
    except SpecError as error:
        assert error.hint
        return
    assert m.n_params > 0 and json.dumps(m.summary(), allow_nan=False)


LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 128256,
         "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"num_experts": 8, "num_experts_per_tok": 2}, "no equation for 8 experts"),
        ({"layer_types": ["mamba"] * 32}, "no equation for a layer of 'mamba'"),
        ({"layer_types": [None, 1]}, "is no list of words"),
        ({"num_hidden_layers": 10**8}, "more than any model's"),
        ({"num_attention_heads": 0}, "0 is no count of heads"),
        ({"architectures": ["Qwen3MoeForCausalLM"]}, "contradicted by architectures"),
    ],
)
def test_what_a_type_has_no_equation_for_is_refused_by_its_key(more, says):
    with pytest.raises(SpecError, match=says):
        from_config(LLAMA | more)


@pytest.mark.parametrize(
    ("classes", "head"),
    [
        (["LlamaForCausalLM"], "lm"),
        (["InternVLChatModel"], "lm"),
        (["Qwen2_5OmniModel"], "lm"),
        (["ChatGLMModel"], "lm"),
        (["LlamaModel"], "none"),
        (["Qwen3ForSequenceClassification"], "score"),
        (["InternLM2ForRewardModel"], "score"),
    ],
)
def test_heads_by_the_class(classes, head):
    assert from_config(LLAMA | {"architectures": classes}).head == head


@pytest.mark.parametrize("method", ["hqq", "aqlm", "torchao", "foo9"])
def test_a_format_nobody_knows_is_said(method):
    m = from_config(LLAMA | {"quantization_config": {"quant_method": method, "nbits": 4}})
    assert m.unread_format == method and not m.weights_format
    found = pl.predict(m, on="h100-sxm")
    assert any(method in w.message for w in found.warnings if w.code == "stored-format")


@pytest.mark.parametrize(
    ("ignored", "kept"),
    [
        (["lm_head"], False),
        (["*self_attn*", "lm_head"], True),
        (["re:.*self_attn.*"], True),
        (["vision_tower.encoder.layers.0.self_attn.k_proj", "lm_head"], False),
        (["model.layers.0.self_attn.q_proj"], False),
        ([f"model.layers.{i}.self_attn.q_proj" for i in range(32)], True),
    ],
)
def test_attention_that_is_kept_is_that_of_most_layers(ignored, kept):
    own = {"quant_method": "fp8", "modules_to_not_convert": ignored}
    assert from_config(LLAMA | {"quantization_config": own}).attention_kept == kept


def test_the_hubs_cache_names_its_model(tmp_path):
    folder = tmp_path / "models--meta-llama--Llama-3.1-8B" / "snapshots" / "1a2b"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    assert load_model(folder).name == "meta-llama/Llama-3.1-8B"


def test_published_counts_that_hang_on_one_switch():
    """OPT-350M and StableLM 2 12B as transformers builds them; Zamba 7B without its list of layers."""
    opt = {"model_type": "opt", "hidden_size": 1024, "num_hidden_layers": 24, "ffn_dim": 4096,
           "num_attention_heads": 16, "word_embed_proj_dim": 512, "do_layer_norm_before": False,
           "max_position_embeddings": 2048, "vocab_size": 50272}  # fmt: skip
    assert from_config(opt).n_params == 331_196_416
    stable = {"model_type": "stablelm", "hidden_size": 5120, "num_hidden_layers": 40,
              "intermediate_size": 13824, "num_attention_heads": 32, "num_key_value_heads": 8,
              "vocab_size": 100352, "qk_layernorm": True, "use_parallel_residual": True}  # fmt: skip
    assert from_config(stable).n_params == 12_143_185_920
    zamba = {"model_type": "zamba", "hidden_size": 3712, "num_hidden_layers": 76,
             "attn_layer_period": 6, "attn_layer_offset": 4}  # fmt: skip
    assert from_config(zamba).n_params == 7_232_490_496


def test_auto_is_what_the_class_takes():
    jamba = next(c for c in CONFIGS if c.get("attn_layer_period"))
    auto, stated = (from_config({**jamba, "mamba_dt_rank": rank}) for rank in ("auto", 256))
    assert auto.n_params == stated.n_params


def test_a_name_no_system_could_have_is_unknown():
    with pytest.raises(SpecError, match="no model called"):
        load_model("a" * 300)
