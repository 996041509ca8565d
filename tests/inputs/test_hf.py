"""Exports build the very model in transformers, come back unchanged, and hostile files are refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.errors import OutputError, SpecError
from planner.inputs.hf import export_hf, from_config, from_hf, to_hf
from planner.inputs.loading import load_model, model_names
from planner.inputs.model import ModelSpec
from planner.inputs.tower import tower_of

LLAMA = to_hf(load_model("llama-3.2-1b"))
EXPORTED = [name for name in model_names() if load_model(name).family != "other"]
TOWER = ("tower_params", "tower_copied", "tower_token_elements", "tower_most_tokens")
NOT_SHAPE = {"name", "source", "family", "weights_format"}


def shape(spec):
    return spec.model_dump(exclude=NOT_SHAPE)


@pytest.fixture
def built():
    """Return a function that builds a folder's config in transformers, without memory."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def build(folder):
        config = transformers.AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            return transformers.AutoModelForCausalLM.from_config(config)

    return build


@pytest.mark.torch
@pytest.mark.parametrize("name", EXPORTED)
def test_transformers_builds_what_we_count(name, built, tmp_path):
    spec = load_model(name)
    export_hf(spec, tmp_path)
    model = built(tmp_path)
    assert sum(p.numel() for p in model.parameters()) == spec.n_params
    assert model.config.rope_parameters["rope_theta"] == spec.rope_theta
    assert str(model.config.dtype) == "torch.bfloat16"


@pytest.mark.torch
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "olmo2"])
def test_transformers_agrees_on_biases(family, built, tmp_path):
    config = LLAMA | {
        "model_type": family,
        "num_hidden_layers": 2,
        "attention_bias": True,
        "mlp_bias": family == "llama",
        "sliding_window": 128,
    }
    spec = from_config(config)
    export_hf(spec, tmp_path)
    assert sum(p.numel() for p in built(tmp_path).parameters()) == spec.n_params


@pytest.mark.parametrize("name", EXPORTED)
def test_a_preset_comes_back_unchanged(name):
    spec = load_model(name)
    decoder = spec.model_copy(
        update=dict.fromkeys(TOWER, 0) | {"tower_copied": False}
    )  # what encodes images is not written
    assert shape(from_config(to_hf(spec))) == shape(decoder)


@pytest.mark.torch
def test_an_export_runs_and_its_heads_need_not_divide_its_width(built, tmp_path):
    """Panda-1B has 72 heads at width 2560, which Llama's config class refuses."""
    torch = pytest.importorskip("torch")
    export_hf(load_model("panda-1b").model_copy(update={"n_layers": 1}), tmp_path)
    model = built(tmp_path)
    assert model.config.model_type == "mistral"
    assert model.config.sliding_window is None
    assert model(torch.zeros(1, 3, dtype=torch.long, device="meta")).logits.shape == (1, 3, 128256)


def _legal(values):
    try:
        return ModelSpec.model_validate(values)
    except ValidationError:
        return None


dense = st.builds(
    lambda family, kv, group, head, d, ff, layers, tied, window: _legal(
        {
            "name": "any",
            "family": family,
            "n_layers": layers,
            "d_model": d,
            "n_heads": kv * group,
            "n_kv_heads": kv,
            "head_dim": head,
            "d_ff": ff,
            "vocab_size": 1000,
            "tied_embeddings": tied,
            **({"window": window, "local_fraction": 1.0} if window and family != "llama" else {}),
        }
    ),
    st.sampled_from(["llama", "mistral", "qwen3"]),
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(1, 128).map(lambda i: 2 * i),
    st.integers(1, 10**5),
    st.integers(1, 10**5),
    st.integers(1, 200),
    st.booleans(),
    st.none() | st.integers(1, 10**5),
).filter(bool)


@given(dense)
def test_any_legal_dense_shape_round_trips(spec):
    assert shape(from_config(json.loads(json.dumps(to_hf(spec))))) == shape(spec)


@given(
    st.integers(2, 64),
    st.integers(1, 64),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(4, 40),
    st.sampled_from([0, 96]),
)
def test_any_legal_latent_expert_shape_round_trips(n, active, shared, dense_layers, layers, rank):
    spec = ModelSpec(
        name="any",
        family="deepseek_v3",
        n_layers=layers,
        d_model=512,
        n_heads=8,
        n_kv_heads=8,
        head_dim=64,
        d_ff=1024,
        vocab_size=1000,
        n_experts=n,
        n_active_experts=min(n, active),
        n_shared_experts=shared,
        d_ff_expert=256,
        n_dense_layers=dense_layers,
        kv_latent_dim=160,
        q_latent_dim=rank,
        rope_dim=32,
    )
    assert shape(from_config(to_hf(spec))) == shape(spec)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CONFIGS = [to_hf(load_model(n)) for n in ("llama-3.2-1b", "gemma-2-2b", "qwen2.5-7b")]
CONFIGS += [to_hf(load_model(n)) for n in ("qwen3-30b-a3b", "deepseek-v2-lite")]
KEYS = sorted(set().union(*CONFIGS))


@settings(max_examples=200)
@given(st.sampled_from(CONFIGS), st.sampled_from(KEYS), json_values)
def test_any_value_in_any_key_is_read_or_refused_in_words(config, key, value):
    try:
        from_config(config | {key: value})
    except SpecError as error:
        assert str(error).startswith("config: ")
        assert error.hint


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("hidden_size", float("nan"), "config: hidden_size: nan is not a whole number"),
        ("hidden_size", -5, "config: hidden_size: -5 is not between 1 and"),
        ("hidden_size", 10**30, "is not between 1 and"),
        ("hidden_size", None, "config: hidden_size: missing"),
        ("num_hidden_layers", 0, "config: num_hidden_layers: 0 is not between"),
        ("num_key_value_heads", 7, "n_kv_heads 7 must divide n_heads 32"),
        ("tie_word_embeddings", "yes", "config: tie_word_embeddings: 'yes' is not true or false"),
        ("rope_theta", float("nan"), "config: rope_theta"),
        ("model_type", "bert", "config: model_type: bert has an encoder's layers"),
        ("model_type", "lama", "config: model_type: 'lama' is not a type planner knows"),
        ("model_type", None, "config: model_type: None is not"),
        ("model_type", ["llama"], "is not a type"),
    ],
)
def test_a_bad_value_names_its_key(key, value, says):
    with pytest.raises(SpecError) as caught:
        from_config({k: v for k, v in LLAMA.items() if k != "architectures"} | {key: value})
    assert says in str(caught.value)


def test_an_unknown_type_names_the_nearest_and_the_file_that_describes_any():
    with pytest.raises(SpecError) as caught:
        from_config(LLAMA | {"model_type": "qwen33", "architectures": None})
    assert "did you mean 'qwen3'?" in caught.value.hint and "[[stacks]]" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [b"", b"{", json.dumps(LLAMA)[:200].encode(), b"[]", b"3", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "brace", "truncated", "list", "number", "not text", "deep"],
)
def test_a_broken_file_is_named(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"config\.json: not"):
        from_hf(path)


def test_a_folder_without_a_config_says_so(tmp_path):
    with pytest.raises(SpecError, match=r"config\.json: No such file"):
        load_model(tmp_path)


def test_configs_as_found_in_the_wild():
    """Keys left out, nulls, rotary base where transformers 5 puts it, windows switched off."""
    qwen = from_config(
        {
            "model_type": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "sliding_window": 131072,
            "use_sliding_window": False,
            "max_window_layers": 28,
            "max_position_embeddings": 131072,
            "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"},
        },
        name="Qwen2.5-7B",
    )
    assert shape(qwen) == shape(load_model("qwen2.5-7b"))
    llama = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"} | {"head_dim": None}
    assert from_config(llama).gqa == 1
    assert from_config(llama).head_dim == 64


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("gemma-2-2b", {"n_heads": 10, "n_kv_heads": 5}, "needs n_heads 10 to divide d_model 2304"),
        ("phi-3-mini", {"head_dim": 64}, "head_dim 64 × n_heads 32 to equal d_model 3072"),
        ("gemma-2-2b", {"local_fraction": 0.1}, "has 13 local layers of 26"),
        ("gemma-2-2b", {"window": None, "local_fraction": 0.0}, "needs a window"),
        ("llama-3.2-1b", {"mlp_gated": False}, "has no MLP without a gate"),
    ],
)
def test_a_shape_the_family_cannot_express_is_refused(name, change, says):
    with pytest.raises(SpecError) as caught:
        to_hf(load_model(name).model_copy(update=change))
    assert says in str(caught.value)


def test_an_export_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "config.json").mkdir()  # cannot be replaced by a file
    with pytest.raises(OutputError, match=r"config\.json"):
        export_hf(load_model("llama-3.2-1b"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_an_export_into_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_hf(load_model("llama-3.2-1b"), tmp_path / "file")


def test_an_export_replaces_the_whole_file(tmp_path):
    (tmp_path / "config.json").write_text("x" * 10**5)
    path = export_hf(load_model("llama-3.2-1b"), tmp_path)
    assert json.loads(path.read_text()) == LLAMA
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@given(
    st.dictionaries(
        st.sampled_from(
            ["hidden_size", "num_hidden_layers", "intermediate_size", "mlp_ratio", "patch_size",
             "image_size", "model_type", "spatial_merge_size", "depth", "embed_dim"]
        ),
        st.none() | st.booleans() | st.integers(-5, 10**30) | st.floats() | st.text(max_size=4)
        | st.lists(st.integers(0, 4), max_size=2),
    )
)  # fmt: skip
def test_whatever_a_vision_config_holds_the_decoder_is_read(vision):
    """Weights of an encoder are a count, or there is none."""
    found = tower_of({"vision_config": vision, "model_type": "llava"}, 4096)
    for name in found:
        assert name in TOWER and 0 <= found[name] < 10**26
