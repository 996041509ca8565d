"""Speculative heads: drafts that read a target's hidden states, by the class their config.json names.

What counts is what a draft adds to its target. The embedding is the target's in every kind, unless a
config says that it was trained (`embed_requires_grad`) or the draft is of another width. Tables of
token ids (`d2t`, `t2d`) are no weights. A kind's layers are those of the type its class names.

- EAGLE and EAGLE-2: token and hidden state, 2d → d, then layers of which the first has no norm before
  its attention, and no last norm. LM head: the target's.
  [github.com/SafeAILab/EAGLE, eagle/model/cnets1.py; vLLM, models/llama_eagle.py]
- EAGLE-3: three hidden states of the target → d; the first layer's queries, keys and values read token
  and hidden state, each with a norm of its own. LM head: its own where `draft_vocab_size` is stated,
  else the target's. EAGLE-3.1 has a norm before the fusion. [eagle/traineagle3/cnets.py;
  vLLM, models/llama_eagle3.py; SGLang, models/llama_eagle3.py; speculators, models/eagle3]
- P-EAGLE: EAGLE-3, and the hidden states that stand for tokens not yet drafted.
  [arXiv 2602.01469; github.com/sgl-project/SpecForge, modeling/draft/peagle.py]
- DFlash: some hidden states of the target → d, with a norm, which the layers' keys and values read.
  The layers are Qwen3's, whatever the `model_type`. LM head: its own where `draft_vocab_size` is below
  `vocab_size`, else the target's. [SpecForge, modeling/draft/dflash.py; speculators, models/dflash]
- DFlash 2: and convolutions around attention and MLP, and a low-rank choice among candidates.
  [SpecForge, modeling/draft/dflash2.py]
- DSpark: DFlash, a Markov head of low rank over tokens, and a head of confidence.
  [github.com/deepseek-ai/DeepSpec, modeling/dspark; vLLM, models/qwen3_dspark.py]
- Domino: DFlash, a GRU over the tokens drafted, and a projection from it to the vocabulary.
  [arXiv 2605.29707; SpecForge, modeling/draft/domino.py]
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.errors import SpecError
from planner.inputs import checkpoint
from planner.inputs.config import Config
from planner.inputs.layer_parts import heads_of
from planner.inputs.recipe import recipes

Part = Callable[[Config], int]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of draft: the classes that are of it, and what it holds beside its layers."""

    name: str
    classes: str  # regular expression of the class in `architectures`
    algorithm: str  # what `speculators_model_type` says
    parts: tuple[Part, ...]
    layers: str = ""  # type whose layers it has; else by the class, or by `model_type`
    changes: Mapping[str, Any] = field(default_factory=dict)  # of that type's recipe
    markers: Mapping[str, str] = field(default_factory=dict)  # key that makes it another kind


def _width(c: Config) -> int:
    return c.number("d_model", low=1)


def _target_width(c: Config) -> int:
    """Of a hidden state of the target; some targets have several streams of them."""
    return c.number("target_hidden_size", _width(c)) * c.number("hc_mult", 1)


def _taps(c: Config, default: int) -> int:
    """Hidden states of the target that a draft reads."""
    keys = ("target_layer_ids", "aux_hidden_state_layer_ids", "eagle_aux_hidden_state_layer_ids")
    stated = next((c.get(k) for k in keys if isinstance(c.get(k), list) and c.get(k)), None)
    return len(stated) if stated else c.number("num_aux_hidden_states", default)


def _three(c: Config) -> int:
    return _taps(c, 3) if c.on("use_aux_hidden_state") else 0


def _pair_fusion(c: Config) -> int:
    """Token and hidden state → d; SafeAILab's and SGLang's have a bias unless told otherwise."""
    said = [c.get(k) for k in ("fusion_bias", "eagle_fc_bias", "bias")]
    names = checkpoint.classes(c.stated)
    usual = any(re.fullmatch(r"(?!Eagle)\w+ForCausalLM(Eagle)?", a) for a in names)
    bias = next((bool(b) for b in said if b is not None), usual)
    return 2 * _width(c) ** 2 + _width(c) * bias


def _pair_norms(c: Config) -> int:
    """HASS and TTT have norms that EAGLE lacks; EAGLE's first layer lacks one of its type's two."""
    own = 3 * bool(c.get("layernorms")) + 2 * bool(c.get("add_para_norm"))
    own += (c.get("skip_prenorm") is False) + (c.get("skip_output_norm") is False)
    return _width(c) * (own - 1)


def _three_fusion(c: Config) -> int:
    return _three(c) * _target_width(c) * _width(c)


def _three_norms(c: Config) -> int:
    """EAGLE-3.1's, before the fusion: one over all hidden states or one a hidden state."""
    return _three(c) * _target_width(c) * bool(c.get("fc_norm") or c.get("norm_before_fc"))


def _wide_layers(c: Config) -> int:
    """What queries, keys and values weigh more as they read token and hidden state, and their norm."""
    d, heads = _width(c), c.number("n_heads")
    if latent := c.number("kv_lora_rank", 0):
        rope = c.number("qk_rope_head_dim")
        down = c.number("q_lora_rank", 0) or heads * (c.number("qk_nope_head_dim") + rope)
        reading = down + latent + rope
    else:
        heads, kv, width, values = heads_of(c, 0)
        reading = heads * width + kv * (width + values)
    # In DeepSpec's class all layers read both.
    every = "Qwen3Eagle3Model" in checkpoint.classes(c.stated)
    return (c.number("n_layers") if every else 1) * (d * reading + d)


def _embedding(c: Config) -> int:
    own = c.get("embed_requires_grad") or c.number("target_hidden_size", _width(c)) != _width(c)
    return c.number("vocab_size") * _width(c) * bool(own)


def _draft_vocab(c: Config) -> int:
    return c.number("draft_vocab_size", c.number("vocab_size"))


def _stated_head(c: Config) -> int:
    tied = c.get("tie_word_embeddings") and _draft_vocab(c) == c.number("vocab_size")
    return _draft_vocab(c) * _width(c) * (c.get("draft_vocab_size") is not None and not tied)


def _mask(c: Config) -> int:
    return max(_three(c), 1) * _target_width(c)


def _context(c: Config) -> int:
    """DFlash's projection of the target's hidden states, its norm, and sinks where there are any."""
    taps = _taps(c, c.number("n_layers"))
    sinks = c.get("attention_sink_bias", c.get("add_swa_attention_sink_bias"))
    own = c.number("n_layers") * c.number("n_heads") * bool(sinks)
    return taps * _target_width(c) * _width(c) + _width(c) + own


def _smaller_head(c: Config) -> int:
    other = c.number("target_hidden_size", _width(c)) != _width(c)
    own = other or _draft_vocab(c) < c.number("vocab_size")
    return _draft_vocab(c) * _width(c) * own


def _markov(c: Config) -> int:
    d, rank = _width(c), c.number("markov_rank")
    kind = str(c.get("markov_head_type", "vanilla")).lower()
    more = {"vanilla": 0, "gated": (d + rank + 1) * rank, "rnn": (2 * rank + d + 1) * 3 * rank}
    if kind not in more:
        raise c.fault("markov_head_type", f"{kind!r} is not known", f"one of {', '.join(more)}")
    return (c.number("vocab_size") + _draft_vocab(c)) * rank + more[kind] * (rank > 0)


def _confidence(c: Config) -> int:
    reads = _width(c) + c.number("markov_rank") * bool(c.get("confidence_head_with_markov"))
    return (reads + 1) * bool(c.get("enable_confidence_head"))


def _recurrence(c: Config) -> int:
    d, state, inner = _width(c), c.number("gru_hidden_dim"), c.number("emb_dim")
    return 3 * state * (d + state) + (d + state) * inner + inner * _draft_vocab(c)


def _convolutions(c: Config) -> int:
    d, group = _width(c), c.number("conv_group_size", low=1)
    each = 2 * c.number("conv_kernel_size") * (d + d * (d // group))
    return 2 * c.number("n_layers") * each


def _selector(c: Config) -> int:
    return c.number("selector_rank") * (2 * c.number("vocab_size") + _width(c))


_EAGLE3 = (_three_fusion, _three_norms, _wide_layers, _stated_head, _embedding)
_DFLASH = (_context, _smaller_head, _embedding)
KINDS = (
    Kind(
        "EAGLE",
        r"(Llama|Mistral|Qwen2)ForCausalLMEagle|Eagle(Llama|Qwen2)ForCausalLM|EAGLEModel"
        r"|EagleSpeculator",
        "eagle",
        (_pair_fusion, _pair_norms, _embedding),
        changes={"final_norms": 0},
    ),
    Kind(
        "EAGLE-3",
        r"LlamaForCausalLMEagle3|E(agle|AGLE)3(Llama|Qwen2_5vl|Qwen3vl|DeepseekV[23])ForCausalLM"
        r"|Eagle3(Speculator|DraftModel)|Qwen3Eagle3Model",
        "eagle3",
        _EAGLE3,
        markers={"ptd_token_id": "P-EAGLE", "parallel_drafting": "P-EAGLE"},
    ),
    Kind(
        "P-EAGLE",
        r"PEagle(Speculator|DraftModel)|LlamaForCausalLMPeagle",
        "peagle",
        (*_EAGLE3, _mask),
    ),
    Kind(
        "DFlash",
        r"DFlash(Speculator|DraftModel)|DFlashQwen3ForCausalLM",
        "dflash",
        _DFLASH,
        layers="qwen3",
        markers={
            "conv_kernel_size": "DFlash 2",
            "gru_hidden_dim": "Domino",
            "markov_rank": "DSpark",
        },
    ),
    Kind(
        "DFlash 2",
        r"DFlash2(Speculator|DraftModel)",
        "dflash2",
        (*_DFLASH, _convolutions, _selector),
        layers="qwen3",
    ),
    Kind(
        "DSpark",
        r"(Qwen3)?DSpark(Model|DraftModel|Speculator|ForCausalLM)",
        "dspark",
        (*_DFLASH, _markov, _confidence),
        layers="qwen3",
    ),
    Kind(
        "Domino",
        r"Domino(Speculator|DraftModel)",
        "domino",
        (*_DFLASH, _recurrence),
        layers="qwen3",
    ),
)
_NAMES = {k.name: k for k in KINDS}
HINT = (
    f"{', '.join(_NAMES)} are read; describe another in a TOML with [[stacks]] and "
    'head = "draft": see docs/how-to/describe-a-model.md'
)
# Types whose layers a class has that does not say so by `model_type`.
_LAYERS = {"Llama|Mistral|vl|Deepseek": "llama", "Qwen2": "qwen2", "Qwen3": "qwen3"}
_PLAIN = re.compile(r"(Llama|Mistral|Qwen[23])ForCausalLM")  # what older drafts call themselves


def kind_of(config: Mapping[str, Any], name: str, where: str) -> Kind | None:
    """Return which kind of draft a config is of, or None for a model.

    EAGLE's own checkpoints have the class of a model: those of EAGLE-3 state a `draft_vocab_size`,
    and of EAGLE, one layer and a name with ``eagle``, by which vLLM tells them too.

    Args:
        config: what config.json holds.
        name: of the model.
        where: names it in errors.

    Raises:
        SpecError: it is a draft of no kind that is read.

    """
    names, stated = checkpoint.classes(config), _merged(config)
    said = [config.get(k) for k in ("speculators_model_type", "model_type")]
    plain = bool(names) and all(map(_PLAIN.fullmatch, names))
    found = next((k for k in KINDS if any(re.fullmatch(k.classes, a) for a in names)), None)
    found = found or next((k for k in KINDS if k.algorithm in said), None)
    if found is None and plain and "draft_vocab_size" in stated:
        found = _NAMES["EAGLE-3"]
    if found is None and plain and stated.get("num_hidden_layers") == 1 and _is_eagle(name):
        found = _NAMES["EAGLE"]
    if found is None and checkpoint.head_of(config) == "draft":
        what = ", ".join(names or [str(k) for k in said if k])
        raise SpecError(f"{where}: {what} is a draft of no kind planner knows", hint=HINT)
    other = [k for key, k in found.markers.items() if stated.get(key)] if found else []
    return _NAMES[other[0]] if other else found


def _is_eagle(name: str) -> bool:
    return bool(re.search(r"(^|[-_/])eagle[-_]", name, re.IGNORECASE))


def _merged(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return one table of what a config says of the draft, and of its layers in a table of their own."""
    tables = [config.get(k) for k in ("dflash_config", "eagle_config", "text_config")]
    tables += [config.get(k) for k in ("model", "transformer_layer_config")]
    found = dict(config)
    for table in tables:
        if isinstance(table, Mapping):
            found |= {k: v for k, v in table.items() if k != "architectures"}
    return {k: v for k, v in found.items() if v is not None}


def config_of(kind: Kind, config: Mapping[str, Any], where: str) -> Config:
    """Return what a draft's config says, with the recipe of its layers.

    Raises:
        SpecError: layers of a type that drafts of this kind are not read with.

    """
    stated = {"use_aux_hidden_state": True} | _merged(config)
    if stated.get("speculators_model_type") == "eagle":
        stated["num_hidden_layers"] = 1
    classes = re.compile(f"{kind.classes}|{_PLAIN.pattern}")
    names = [a for a in checkpoint.classes(config) if classes.fullmatch(a)]
    by_class = [t for word, t in _LAYERS.items() if any(re.search(word, a) for a in names)]
    own = kind.layers or [*by_class, str(stated.get("model_type"))][0]
    if own not in _LAYERS.values():
        said = f"{where}: model_type: an {kind.name} draft with layers of {own} is not known"
        raise SpecError(said, hint=HINT)
    recipe = recipes()[own]
    derived = ("head_dim", "num_key_value_heads") if own == "llama" else ()
    known = {k: v for k, v in recipe.defaults.items() if k not in derived}
    changed = recipe.model_copy(update={"defaults": known, "experts": False, **kind.changes})
    return Config(stated, changed, where)


def own_params(kind: Kind, c: Config) -> int:
    """Return the weights a draft has beside its layers and their last norm."""
    return sum(part(c) for part in kind.parts)
