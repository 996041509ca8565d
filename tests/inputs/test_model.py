"""A shape's counts are the published ones, its columns agree, and nonsense is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.cost import params
from planner.cost.operators.attention.kinds import kv_elements_per_token
from planner.errors import SpecError, UnknownName
from planner.inputs.loading import load_model, model_names
from planner.inputs.model import ModelSpec, llama_candidate, llama_extra_params

# As the model pages on huggingface.co and the safetensors indexes behind them state it. DeepSeek's
# 671,026,419,200 includes 58 × 256 routing biases, which transformers keeps as buffers.
PUBLISHED = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "phi-3-mini": 3_821_079_552,
    "olmo-2-1b": 1_484_916_736,
    "olmo-2-7b": 7_298_617_344,
    "olmo-2-13b": 13_716_198_400,
    "olmo-2-32b": 32_234_279_936,
    "mixtral-8x7b": 46_702_792_704,
    "qwen3-30b-a3b": 30_532_122_624,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_419_200 - 58 * 256,
}

# Bian et al., arXiv 2510.18245, Table 1: x, r and GQA as printed; the table's r of LLaMA-3.2-3B,
# 4.80, repeats the row above, and its own definition gives 3.0.
TABLE_1 = {
    "llama-3.2-1b": ("0.066", "4.80", 4),
    "panda-1b": ("0.082", "1.07", 4),
    "surefire-1b": ("0.082", "3.6", 9),
    "llama-3.2-3b": ("0.058", "3.0", 3),
    "panda-3b": ("0.077", "1.0", 3),
    "surefire-3b": ("0.077", "1.0", 7),
    "panda-3b-1bfit": ("0.076", "1.23", 3),
}
SMALL = {
    "name": "small",
    "n_layers": 2,
    "d_model": 64,
    "n_heads": 4,
    "n_kv_heads": 2,
    "head_dim": 16,
    "d_ff": 128,
    "vocab_size": 100,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name):
    assert load_model(name).n_params == PUBLISHED[name]


@pytest.mark.parametrize("name", model_names())
def test_every_preset_is_sourced_and_its_columns_count_exactly(name):
    spec = load_model(name)
    assert spec.source.startswith("https://")
    arch = spec.arch()
    assert params.n_params(arch) == spec.n_params
    assert spec.n_active_params <= spec.n_params
    assert params.n_params_non_embedding(arch) == spec.n_params_non_embedding
    active = params.n_active_params(arch) + arch.extra_params
    assert math.isclose(active, spec.n_active_params, rel_tol=1e-12)


@pytest.mark.parametrize("name", TABLE_1)
def test_table_1_to_the_printed_digits(name):
    x, r, group = TABLE_1[name]
    spec = load_model(name)
    assert f"{spec.d_over_sqrt_n:.3f}" == x
    assert f"{spec.mlp_attn_ratio:.{len(r) - 2}f}" == r
    assert spec.gqa == group


def test_the_papers_models_of_one_size_share_n_within_2_percent():
    """The paper compares at fixed non-embedding N; these follow from the shapes it prints."""
    for names in (
        ("llama-3.2-1b", "panda-1b", "surefire-1b"),
        ("llama-3.2-3b", "panda-3b", "surefire-3b", "panda-3b-1bfit"),
    ):
        sizes = [load_model(name).n_params_non_embedding for name in names]
        assert max(sizes) / min(sizes) < 1.021


def test_active_counts_are_the_published_ones():
    """Mixtral 12.9B (arXiv 2401.04088); Qwen3 3.3B (its model page)."""
    assert f"{load_model('mixtral-8x7b').n_active_params / 1e9:.1f}" == "12.9"
    assert f"{load_model('qwen3-30b-a3b').n_active_params / 1e9:.2f}" == "3.35"


def test_latent_attention_caches_what_deepseek_says():
    """DeepSeek-V2 (arXiv 2405.04434, section 2.1.4): 512 + 64 elements a layer and token."""
    assert kv_elements_per_token(load_model("deepseek-v2-lite").arch()) == 512 + 64
    assert kv_elements_per_token(load_model("llama-3.1-8b").arch()) == 2 * 8 * 128


def test_windows_reach_the_columns():
    gemma, llama = load_model("gemma-2-2b").arch(), load_model("llama-3.1-8b").arch()
    assert (gemma.window, gemma.local_fraction) == (4096, 0.5)
    assert (llama.window, llama.local_fraction) == (np.inf, 0)


@given(
    n_layers=st.integers(1, 200),
    d_model=st.integers(1, 200).map(lambda i: 128 * i),
    n_kv_heads=st.integers(1, 16),
    group=st.integers(1, 16),
    head_dim=st.sampled_from([64, 128]),
    d_ff=st.integers(1, 500).map(lambda i: 128 * i),
)
def test_a_column_of_candidates_counts_as_one_spec_at_a_time(
    n_layers, d_model, n_kv_heads, group, head_dim, d_ff
):
    spec = llama_candidate(
        np.float64(n_layers), d_model, group * n_kv_heads, n_kv_heads, head_dim, d_ff
    )
    arch = spec.arch()
    assert params.n_params(arch) == spec.n_params
    assert params.n_params_non_embedding(arch) == spec.n_params_non_embedding
    assert arch.extra_params == llama_extra_params(n_layers, d_model)
    assert math.isclose(params.mlp_attn_ratio(arch), spec.mlp_attn_ratio)
    assert math.isclose(params.d_over_sqrt_n(arch), spec.d_over_sqrt_n)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n_kv_heads": 3}, "n_kv_heads 3 must divide n_heads 4"),
        ({"n_kv_heads": 8}, "n_kv_heads 8 must divide n_heads 4"),
        ({"d_model": 0}, "greater than 0"),
        ({"d_model": -64}, "greater than 0"),
        ({"d_model": math.nan}, "valid integer"),
        ({"d_model": 64.5}, "valid integer"),
        ({"d_model": "64"}, "valid integer"),
        ({"n_layers": True}, "valid integer"),
        ({"vocab_size": 10**12}, "less than or equal to"),
        ({"head_dim": 15}, "head_dim 15 must be even"),
        ({"rope_theta": math.nan}, "finite"),
        ({"rope_theta": math.inf}, "finite"),
        ({"local_fraction": 0.5}, "window and local_fraction go together"),
        ({"family": "llama", "window": 64, "local_fraction": 1.0}, "family llama has no window"),
        ({"family": "mistral", "attention_bias": True}, "family mistral has no attention_bias"),
        ({"n_experts": 8, "d_ff_expert": 64}, "family llama has no experts"),
        ({"family": "mixtral", "n_experts": 8}, "n_experts above 1 and d_ff_expert go together"),
        ({"n_active_experts": 2}, "n_active_experts 2 exceeds n_experts 1"),
        ({"n_shared_experts": 1}, "need n_experts above 1"),
        ({"family": "deepseek_v2"}, "family deepseek_v2 needs a kv_latent_dim"),
        ({"kv_latent_dim": 64}, "family llama has no kv_latent_dim"),
        ({"rope_dim": 64}, "need kv_latent_dim"),
        ({"family": "gpt-5"}, "'llama'"),
        ({"d_modell": 64}, "Extra inputs are not permitted"),
    ],
)
def test_nonsense_is_refused_in_words(change, says):
    with pytest.raises(ValidationError) as caught:
        ModelSpec.model_validate(SMALL | change)
    assert says in str(caught.value)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(UnknownName) as caught:
        load_model("lama-3.2-1b")
    assert "llama-3.2-1b" in caught.value.hint


MINE = """
name = "Mine"
n_layers = 16
d_model = 2048
n_heads = 32
n_kv_heads = 8
head_dim = 64
d_ff = 4096
vocab_size = 128256
"""


def test_a_misspelt_key_in_toml_names_file_and_key(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace("d_model", "d_modell"))
    with pytest.raises(SpecError, match=r"mine\.toml: d_model"):
        load_model(path)


def test_a_users_preset_comes_first(tmp_path, monkeypatch):
    (tmp_path / "llama-3.2-1b.toml").write_text(MINE)
    monkeypatch.setenv("PLANNER_MODELS_PATH", str(tmp_path))
    for name in ("llama-3.2-1b", "meta-llama/Llama-3.2-1B-Instruct"):
        assert load_model(name).d_ff == 4096


@pytest.mark.parametrize("gone", ["no/such/place", "gone.toml", "gone.json"])
def test_a_path_that_is_not_there_says_so(gone):
    with pytest.raises(SpecError, match=r"[Nn]o such file"):
        load_model(gone)
