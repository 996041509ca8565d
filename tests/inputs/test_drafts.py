"""A draft weighs what its published class and its public checkpoint do; an unknown kind is refused."""

import json
import math
from pathlib import Path

import pytest

from planner.cost.memory import weight_bytes
from planner.errors import SpecError
from planner.inputs.hf import from_config, from_hf
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.scenario.legal import refusal
from planner.scenario.scenario import Scenario, conditions, resolve
from planner.serving.speculative import draft_system

FILES = Path(__file__).parent.parent / "files"
QWEN3_8B = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
}
TAPS = [1, 9, 17, 25, 33]
DFLASH = QWEN3_8B | {
    "architectures": ["DFlashDraftModel"],
    "num_hidden_layers": 5,
    "dflash_config": {"target_layer_ids": TAPS},
}
DSPARK = QWEN3_8B | {
    "architectures": ["Qwen3DSparkModel"],
    "num_hidden_layers": 5,
    "target_layer_ids": TAPS,
    "markov_rank": 256,
    "markov_head_type": "vanilla",
    "enable_confidence_head": True,
    "confidence_head_with_markov": True,
}
EAGLE3 = QWEN3_8B | {
    "architectures": ["LlamaForCausalLMEagle3"],
    "model_type": "llama",
    "num_hidden_layers": 1,
    "draft_vocab_size": 32000,
}
# RedHatAI/DeepSeek-V4-Flash-speculator.dflash: reads four streams of each of five layers.
DFLASH_V4 = {
    "architectures": ["DFlashDraftModel"],
    "speculators_model_type": "dflash",
    "draft_vocab_size": 32000,
    "aux_hidden_state_layer_ids": [3, 13, 23, 32, 42],
    "transformer_layer_config": {
        "model_type": "llama",
        "hc_mult": 4,
        "hidden_size": 4096,
        "intermediate_size": 2048,
        "num_hidden_layers": 5,
        "num_attention_heads": 64,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 129280,
    },
}
HEADER = 8_000  # bytes that a file has beside its tensors, at most


# Sizes in bytes of public files, as ai-dynamo/aiconfigurator states them
# (tests/unit/sdk/speculation/test_dense_draft_schemes.py, commit 6290c16), and of what else is in
# them: the target's tables, token ids, and what norms of 32 bits take more.
@pytest.mark.parametrize(
    ("config", "file_bytes", "other"),
    [
        pytest.param(DFLASH, 2_097_259_104, 0, id="z-lab/Qwen3-8B-DFlash-b16"),
        pytest.param(
            DSPARK, 4_742_170_330, 4 * 151936 * 4096, id="deepseek-ai/dspark_qwen3_8b_block7"
        ),
        pytest.param(
            EAGLE3, 799_493_246, 8 * 32000 + 151936 + 2 * 4 * 4096, id="Tengyunw/qwen3_8b_eagle3"
        ),
        pytest.param(
            DFLASH_V4,
            3_607_596_760,
            2 * 129280 * 4096 + 8 * 32000 + 129280,
            id="RedHatAI/DeepSeek-V4-Flash-speculator.dflash",
        ),
    ],
)
def test_checkpoints_weigh_what_their_files_do(config, file_bytes, other):
    assert 0 < file_bytes - other - 2 * from_config(config).n_params < HEADER


def test_eagle_3_1_with_latent_attention_weighs_its_tensors():
    # lightseekorg/kimi-k3-eagle3.1-mla: shapes and 3,682,441,216 bytes beside the embedding; the same
    # shapes in InternLM/lmdeploy's test of kimi_k25_eagle3.
    shapes = [
        (7168, 21504), (7168,), (7168,), (7168,), (7168,), (7168,), (1536, 14336), (1536,),
        (12288, 1536), (576, 14336), (512,), (16384, 512), (7168, 8192), (7168,), (18432, 7168),
        (18432, 7168), (7168, 18432), (7168,), (163840, 7168),
    ]  # fmt: skip
    spec = from_config(
        {
            "architectures": ["Eagle3DeepseekV2ForCausalLM"],
            "model_type": "kimi_k2",
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "num_hidden_layers": 1,
            "num_attention_heads": 64,
            "num_key_value_heads": 1,
            "q_lora_rank": 1536,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "vocab_size": 163840,
            "draft_vocab_size": 163840,
            "eagle_config": {"eagle_aux_hidden_state_layer_ids": [2, 30, 58]},
            "fc_norm": True,
        }
    )
    assert spec.n_params == sum(map(math.prod, shapes)) == 3_682_441_216 // 2
    assert spec.kv_bytes_per_token == (512 + 64) * 2


def test_domino_weighs_its_tensors():
    # Huang2020/Qwen3-8B-Domino-b16: its GRU and projection, by the shapes in its file, on a DFlash.
    own = [(3072, 4096), (3072, 1024), (256, 5120), (151936, 256)]
    head = {"projector_type": "domino", "emb_dim": 256, "gru_hidden_dim": 1024}
    both = {"target_layer_ids": TAPS} | head
    spec = from_config(DFLASH | {"dflash_config": both})  # SpecForge, configs/qwen3-8b-domino.json
    assert spec.n_params == from_config(DFLASH).n_params + sum(map(math.prod, own))
    named = from_config(DFLASH | {"architectures": ["DominoDraftModel"], "dflash_config": both})
    assert named.n_params == spec.n_params


def test_dflash_2_weighs_what_its_card_says():
    # z-lab/Qwen3.8-27B-DFlash2: 1.924 G parameters in bf16, a file of 3.85 GB.
    spec = from_config(
        {
            "architectures": ["DFlash2DraftModel"],
            "model_type": "qwen3",
            "hidden_size": 5120,
            "intermediate_size": 17408,
            "num_hidden_layers": 5,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 248320,
            "dflash_config": {
                "target_layer_ids": [5, 19, 33, 47, 61],
                "conv_kernel_size": 2,
                "conv_group_size": 16,
                "selector_rank": 256,
                "selector_top_k": 16,
            },
        }
    )
    assert round(spec.n_params / 1e9, 3) == 1.924


# The table of github.com/SafeAILab/EAGLE's README, of the configs in its eagle/train.
@pytest.mark.parametrize(
    ("name", "shape", "billions"),
    [
        ("EAGLE-Vicuna-7B-v1.3", (4096, 11008, 32, 32), 0.24),
        ("EAGLE-Vicuna-13B-v1.3", (5120, 13824, 40, None), 0.37),
        ("EAGLE-Vicuna-33B-v1.3", (6656, 17920, 52, 13), 0.56),
        ("EAGLE-llama2-chat-70B", (8192, 28672, 64, 8), 0.99),
        ("EAGLE-LLaMA3-Instruct-8B", (4096, 14336, 32, 8), 0.25),
    ],
)
def test_eagle_weighs_what_its_authors_say(name, shape, billions, tmp_path):
    keys = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    config = {k: v for k, v in zip(keys, shape, strict=True) if v is not None}
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000}
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    spec = from_hf(folder)
    assert round(spec.n_params / 1e9, 2) == billions
    assert spec.head == "draft"


def test_eagle_3_weighs_what_a_card_says():
    # thomaskiefer/EAGLE3-Apertus-8B-Instruct-2509: LlamaForCausalLMEagle3, ~513M.
    config = EAGLE3 | {"intermediate_size": 21504, "vocab_size": 131072}
    assert round(from_config(config).n_params / 1e6) == 513


TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 200,
    "rms_norm_eps": 1e-6,
}
D, Q, KV, V = 64, 8 * 16, 2 * 16, 200


@pytest.fixture
def build():
    """Return a function that builds layers of a type in transformers, and torch's modules."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("transformers").models

    def layers(kind, n, *, wide=False):
        made = {
            "llama": (models.llama.modeling_llama.LlamaDecoderLayer, models.llama.LlamaConfig),
            "qwen2": (models.qwen2.modeling_qwen2.Qwen2DecoderLayer, models.qwen2.Qwen2Config),
            "qwen3": (models.qwen3.modeling_qwen3.Qwen3DecoderLayer, models.qwen3.Qwen3Config),
        }[kind]
        found = torch.nn.ModuleList(
            made[0](made[1](**TINY, num_hidden_layers=n), i) for i in range(n)
        )
        if wide:  # EAGLE-3's first layer, as speculators patches one of transformers'
            attn = found[0].self_attn
            attn.q_proj = torch.nn.Linear(2 * D, Q, bias=False)
            attn.k_proj = torch.nn.Linear(2 * D, KV, bias=False)
            attn.v_proj = torch.nn.Linear(2 * D, KV, bias=False)
            found[0].hidden_norm = torch.nn.RMSNorm(D)
        return found

    return torch.nn, layers


def count(*modules):
    return sum(
        p.numel() for m in modules for p in (m.parameters() if hasattr(m, "parameters") else [m])
    )


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "classes", "more", "bias"),
    [
        ("llama", ["LlamaForCausalLMEagle"], {}, True),  # SGLang's Linear has one
        ("llama", ["LlamaForCausalLMEagle"], {"bias": False}, False),
        ("llama", ["EagleLlamaForCausalLM"], {}, False),  # vLLM's has none
        ("qwen2", ["Qwen2ForCausalLMEagle"], {}, True),
        ("llama", ["EAGLEModel"], {"eagle_fc_bias": True}, True),
    ],
)
@pytest.mark.parametrize("n", [1, 2])
def test_eagle_is_layers_that_a_pair_enters(build, kind, classes, more, bias, n):
    nn, layers = build
    made = layers(kind, n)
    made[0].input_layernorm = nn.Identity()
    config = TINY | {"model_type": kind, "num_hidden_layers": n}
    if classes == ["EAGLEModel"]:  # vLLM's, with the layers in a table
        config = {"model_type": "eagle", "model": config | {"architectures": ["LlamaForCausalLM"]}}
        classes = []
    spec = from_config(config | {"architectures": classes} | more)
    assert spec.n_params == count(made, nn.Linear(2 * D, D, bias=bias))


@pytest.mark.torch
@pytest.mark.parametrize("norms", [False, True])
def test_eagle_of_speculators(build, norms):
    nn, layers = build
    made = layers("llama", 1)
    extra = [nn.RMSNorm(D), nn.RMSNorm(D)] if norms else []  # of the embedding, before the LM head
    made[0].input_layernorm = made[0].input_layernorm if norms else nn.Identity()
    own = TINY | {"model_type": "llama", "num_hidden_layers": 32}  # one layer is built
    config = {
        "architectures": ["EagleSpeculator", "LlamaDecoderLayer"],
        "speculators_model_type": "eagle",
        "fusion_bias": norms,
        "layernorms": norms,
        "transformer_layer_config": own,
    }
    assert from_config(config).n_params == count(made, nn.Linear(2 * D, D, bias=norms), *extra)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_eagle_3_and_p_eagle_of_speculators(build, kind, n, norm, mask, trained):
    nn, layers = build
    made = [layers(kind, n, wide=True), nn.Linear(3 * D, D, bias=False), nn.RMSNorm(D)]
    made += [nn.Linear(D, 50, bias=False)]  # a head of its own, of the draft's vocabulary
    made += [nn.RMSNorm(3 * D)] * norm + [nn.Embedding(V, D)] * trained
    made += [nn.Parameter(nn.RMSNorm(3 * D).weight)] * mask
    config = {
        "architectures": ["PEagleDraftModel" if mask else "Eagle3Speculator"],
        "speculators_model_type": "peagle" if mask else "eagle3",
        "draft_vocab_size": 50,
        "target_hidden_size": None,
        "norm_before_fc": norm,
        "embed_requires_grad": trained,
        "transformer_layer_config": TINY | {"model_type": kind, "num_hidden_layers": n},
    }
    spec = from_config(config)
    assert spec.n_params == count(*made)
    assert spec.vocab_size == 50


@pytest.mark.torch
def test_p_eagle_of_specforge(build):
    # configs/qwen3-8b-peagle.json and modeling/draft/peagle.py; vLLM knows it by `ptd_token_id`.
    nn, layers = build
    made = [layers("llama", 4, wide=True), nn.Linear(3 * D, D, bias=False), nn.RMSNorm(D)]
    made += [nn.Linear(D, V, bias=False), nn.Parameter(nn.RMSNorm(3 * D).weight)]
    config = TINY | {"model_type": "llama", "num_hidden_layers": 4, "draft_vocab_size": V}
    assert from_config(config | {"architectures": ["PEagleDraftModel"]}).n_params == count(*made)
    config |= {"architectures": ["LlamaForCausalLM"], "ptd_token_id": 7}
    assert from_config(config).n_params == count(*made)


@pytest.mark.torch
def test_a_head_that_states_no_vocabulary_is_the_targets(build):
    nn, layers = build
    made = [layers("qwen3", 1, wide=True), nn.Linear(5 * D, D, bias=False), nn.RMSNorm(D)]
    config = TINY | {"model_type": "qwen3", "num_hidden_layers": 1, "target_layer_ids": TAPS}
    assert from_config(config | {"architectures": ["Qwen3Eagle3Model"]}).n_params == count(*made)


@pytest.mark.torch
def test_a_draft_of_another_width_reads_the_targets_and_has_its_own_embedding(build):
    nn, layers = build
    made = [layers("llama", 1, wide=True), nn.Linear(3 * 100, D, bias=False), nn.RMSNorm(D)]
    made += [nn.Linear(D, 50, bias=False), nn.Embedding(V, D)]
    config = TINY | {"model_type": "kimi_k2", "num_hidden_layers": 1, "draft_vocab_size": 50}
    config |= {"architectures": ["LlamaForCausalLMEagle3"], "target_hidden_size": 100}
    assert from_config(config).n_params == count(*made)


@pytest.mark.torch
@pytest.mark.parametrize("head", ["vanilla", "gated", "rnn"])
@pytest.mark.parametrize("vocabulary", [V, 50])
@pytest.mark.parametrize("with_markov", [False, True])
def test_dspark_is_dflash_and_two_heads(build, head, vocabulary, with_markov):
    # DeepSpec, modeling/dspark/markov_head.py and common.py; vLLM's w1 reads the target's tokens.
    nn, layers = build
    made = [layers("qwen3", 2), nn.Linear(3 * D, D, bias=False), nn.RMSNorm(D), nn.RMSNorm(D)]
    made += [nn.Linear(D, 50, bias=False)] * (vocabulary == 50)
    made += [nn.Embedding(V, 8), nn.Linear(8, vocabulary, bias=False)]
    made += {
        "vanilla": [],
        "gated": [nn.Linear(D + 8, 8)],
        "rnn": [nn.Linear(2 * 8 + D, 3 * 8)],
    }[head]
    made += [nn.Linear(D + 8 * with_markov, 1)]
    config = {
        "architectures": ["DSparkDraftModel"],
        "speculators_model_type": "dspark",
        "draft_vocab_size": vocabulary,
        "aux_hidden_state_layer_ids": [1, 2, 3],
        "markov_rank": 8,
        "markov_head_type": head,
        "enable_confidence_head": True,
        "confidence_head_with_markov": with_markov,
        "transformer_layer_config": TINY | {"model_type": "qwen3", "num_hidden_layers": 2},
    }
    assert from_config(config).n_params == count(*made)


def test_a_dspark_without_its_heads_is_dflash():  # as deepseek-ai/dflash_qwen3_8b_block7
    bare = DSPARK | {"markov_rank": 0, "enable_confidence_head": False}
    assert from_config(bare).n_params == from_config(DFLASH).n_params


def test_the_dflash_head_people_have():
    spec = load_model(FILES / "c02_dflash_head")
    assert spec.n_params == 1_048_626_432
    assert spec.kv_bytes_per_token == 5 * 2 * 8 * 128 * 2


@pytest.mark.parametrize(
    "name",
    ["MedusaModel", "DeepSeekMTPModel", "DeepseekV3ForCausalLMNextN", "MLPSpeculatorPreTrainedModel",
     "Gemma4DSparkModel", "KimiK3DSpark5MLADraftModel", "EagleLlama4ForCausalLM"],
)  # fmt: skip
def test_an_unknown_draft_is_refused_by_name(name):
    with pytest.raises(SpecError, match=name) as caught:
        from_config(DFLASH | {"architectures": [name]})
    assert "EAGLE-3" in caught.value.hint
    assert 'head = "draft"' in caught.value.hint


def test_layers_and_heads_of_no_known_kind_are_refused():
    own = TINY | {"model_type": "gpt_oss", "num_hidden_layers": 1}
    with pytest.raises(SpecError, match="layers of gpt_oss"):
        from_config({"architectures": ["Eagle3Speculator"], "transformer_layer_config": own})
    with pytest.raises(SpecError, match="markov_head_type"):
        from_config(DSPARK | {"markov_head_type": "attention"})


def test_a_small_model_is_no_draft():
    config = TINY | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    assert from_config(config | {"num_hidden_layers": 1}, name="tiny-eagles").head == "lm"
    assert from_config(config | {"num_hidden_layers": 2}, name="eagle-2-layers").head == "lm"


def test_a_draft_is_not_served_by_itself():
    alone = Scenario.of(str(FILES / "c02_dflash_head"), conditions(on="h100-sxm"))
    found = refusal(alone)
    assert found is not None
    assert "is a draft" in found.message
    assert "--draft" in found.hint


@pytest.mark.parametrize(("dtype", "width"), [("bf16", 2), ("fp8", 1)])
def test_a_drafts_own_weights_are_in_memory_once(dtype, width):
    path = str(FILES / "c02_dflash_head")
    asked = conditions(on="h100-sxm", draft=path, acceptance=0.7, dtype=dtype)
    target = load_model("llama-3.1-8b")
    system = resolve(asked).system(target.arch())
    assert refusal(Scenario.of(target, asked)) is None
    assert weight_bytes(draft_system(system)) == 1_048_626_432 * width


def test_a_table_describes_a_draft_of_another_kind():
    layer = {"n_layers": 1, "n_heads": 8, "n_kv_heads": 2, "head_dim": 16, "d_ff": 96}
    shape = {k: layer[k] for k in ("n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff")}
    spec = ModelSpec(
        name="own", family="other", d_model=D, vocab_size=V, head="draft", stacks=[layer], **shape
    )
    assert spec.n_params == D * (2 * Q + 2 * KV) + 3 * D * 96
