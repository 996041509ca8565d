"""Hugging Face's config.json, read into a ModelSpec."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.errors import SpecError
from planner.inputs import checkpoint, drafts, layers
from planner.inputs.family import FAMILIES, Family, Traits
from planner.inputs.fields import validate
from planner.inputs.files import read_json
from planner.inputs.hf_export import export_hf, to_hf
from planner.inputs.layers import TOML_HINT
from planner.inputs.model import ModelSpec
from planner.inputs.recipe import Recipe, recipes
from planner.inputs.stack import LARGEST, Stack

__all__ = ["export_hf", "from_config", "from_hf", "to_hf"]

Config = Mapping[str, Any]


class _Reader:
    """Looks up keys of one config, and names the file and key when one will not do."""

    def __init__(self, config: Config, where: str) -> None:
        self.config, self.where = config, where

    def fault(self, key: str, message: str, hint: str) -> SpecError:
        return SpecError(f"{self.where}: {key}: {message}", hint=hint)

    def whole(self, key: str, default: int | None = None, *, low: int = 1) -> int:
        """Return a whole number from `low`; `default` stands in where the key is absent or null."""
        value = self.config.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.fault(key, "missing", f"a config.json states {key}")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(key, f"{value!r} is not a whole number", "write e.g. 4096")
        if not low <= value <= LARGEST:
            raise self.fault(key, f"{value} is not between {low} and {LARGEST}", "write e.g. 4096")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.config.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, f"{value!r} is not true or false", "write true or false")
        return default if value is None else value


def from_hf(path: str | Path) -> ModelSpec:
    """Read a config.json, named by its path or by its folder's.

    Only the shape is read: rotary scaling, dropout and the like cost nothing here.

    Raises:
        SpecError: the file is missing or malformed, lacks a key, or is of an unsupported family.

    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    hint = "give a Hugging Face config.json, or a folder that holds one"
    config = read_json(path, hint=hint)
    if not isinstance(config, dict):
        raise SpecError(f"{path}: not a JSON object", hint=hint)
    beside = path.with_name("hf_quant_config.json")
    quantised = read_json(beside) if beside.is_file() else {}
    return from_config(
        config,
        where=str(path),
        name=path.absolute().parent.name,
        beside=quantised if isinstance(quantised, dict) else {},
    )


def from_config(
    config: Config, *, where: str = "config", name: str = "", beside: Config = MappingProxyType({})
) -> ModelSpec:
    """Return the shape a config states; `where` names it in errors.

    Args:
        config: what config.json holds.
        where: names it in errors.
        name: of the model; the config's own where there is none.
        beside: what hf_quant_config.json holds, where there is one.

    Raises:
        SpecError: as `from_hf`.

    """
    text = text_part(config)
    called = name or str(config.get("_name_or_path") or "")
    head = checkpoint.head_of(config)
    more: dict[str, Any] = {"head": head, "other_params": 0}
    more["weights_format"] = checkpoint.format_of(config, beside)
    more["attention_kept"] = bool(more["weights_format"]) and checkpoint.keeps_attention(
        config, beside
    )
    if (draft := drafts.kind_of(config, called, where)) is not None:
        return _draft(draft, config, where, more | {"name": called or draft.name, "head": "draft"})
    kind, recipe = recipe_of(text, config, where)
    name = called or kind
    c = layers.Config(text, recipe, where)
    if head == "score":
        said = config.get("id2label")
        labels = len(said) if isinstance(said, Mapping) and said else 2
        more["other_params"] = c.number("d_model") * c.number("num_labels", labels)
    if (family := _family(kind, text)) is not None:
        known = {k: v for k, v in recipe.defaults.items() if not isinstance(v, list)}
        stated = dict(text)
        if FAMILIES[family].experts:
            stated[FAMILIES[family].experts] = c.number("n_experts")
        spec = _of_family({**known, **stated}, family, where)
    else:
        spec = _of_stacks(c, layers.stacks_of(c))
        more["other_params"] += spec["other_params"]
    return validate(
        ModelSpec,
        spec | more | {"name": name},
        where,
        hint="correct that key, or check the model_type",
    )


def text_part(config: Config) -> Config:
    """Return the decoder's part of a config that wraps it with towers."""
    for key in ("text_config", "language_config", "llm_config", "thinker_config"):
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            shared = {k: config[k] for k in ("tie_word_embeddings",) if k in config}
            own = {"model_type": config.get("model_type")} | dict(inner) | shared
            return text_part(own)
    return config


def recipe_of(text: Config, config: Config, where: str) -> tuple[str, Recipe]:
    """Return a decoder's type and recipe: by its model_type, else by its class.

    Raises:
        SpecError: it is of no known type, or of one whose layers planner has no equation for.

    """
    known = recipes()
    named = [k for k in (text.get("model_type"), config.get("model_type")) if isinstance(k, str)]
    classes = checkpoint.classes(config)
    found = [k for k in named if k in known]
    found += [k for k, r in known.items() if r.architecture and r.architecture in classes]
    if not found:
        name = config.get("model_type")
        close = difflib.get_close_matches(
            str(name), [k for k in known if not known[k].refused], n=1
        )
        hint = f"did you mean {close[0]!r}? else {TOML_HINT}" if close else TOML_HINT
        raise SpecError(f"{where}: model_type: {name!r} is not a type planner knows", hint=hint)
    for kind in found:
        if known[kind].refused:
            said = f"{where}: model_type: {kind} has {known[kind].refused}"
            raise SpecError(said, hint=TOML_HINT)
    return found[0], known[found[0]]


def _family(kind: str, config: Config) -> Family | None:
    """Return the family that is written as well as read, unless a config has more than its plain form."""
    more = (
        config.get("mlp_only_layers")
        or config.get("decoder_sparse_step", 1) != 1
        or config.get("qk_nope_head_dim") != config.get("v_head_dim")
    )
    return next((f for f in FAMILIES if f == kind and not more), None)


def _of_stacks(c: layers.Config, stacks: list[Stack]) -> dict[str, Any]:
    """Return the fields of a model of stacks; the model's own are those of most layers."""
    r, d = c.recipe, c.number("d_model", low=1)
    most = max(stacks, key=lambda x: (x.n_heads > 0, x.n_layers))
    vocab = c.number("vocab_size", low=1)
    norm = d * (2 if c.on(r.norm_bias) else 1)
    other = norm * (r.final_norms + r.embedding_norm) + vocab * c.on(r.head_bias)
    other += layers.model_extra(c)
    if r.positions:
        other += d * (c.number(r.positions) + r.positions_more)
    tied = c.get("tie_word_embeddings", True)
    routed = max(stacks, key=lambda x: x.n_experts)
    experts = {k: getattr(routed, k) for k in ("n_experts", "n_active_experts")}
    experts |= {"d_ff_expert": routed.d_ff} if routed.n_experts > 1 else {}
    return {
        "family": "other",
        "n_layers": c.number("n_layers", low=1),
        "d_model": d,
        **{k: getattr(most, k) for k in ("n_heads", "n_kv_heads", "head_dim", "d_ff", "mlp_gated")},
        **experts,
        "vocab_size": vocab,
        "tied_embeddings": bool(tied),
        "stacks": [x.model_dump() for x in stacks],
        "other_params": other,
        "max_position_embeddings": c.number("max_position_embeddings", 131072, low=1),
        "rope_theta": _rope_theta(c.stated),
    }


def _draft(kind: drafts.Kind, config: Config, where: str, more: dict[str, Any]) -> ModelSpec:
    """Return a draft: its layers, and what it has besides that its target has not."""
    c = drafts.config_of(kind, config, where)
    spec = _of_stacks(c, layers.stacks_of(c))
    more["other_params"] = spec["other_params"] + drafts.own_params(kind, c)
    more["vocab_size"] = c.number("draft_vocab_size", spec["vocab_size"], low=1)
    return validate(ModelSpec, spec | more, where, hint="correct that key")


def _of_family(config: Config, family: Family, where: str) -> dict[str, Any]:
    """Return the fields of a model of one of the families that are written, too."""
    traits, read = FAMILIES[family], _Reader(config, where)
    d_model, n_heads = read.whole("hidden_size"), read.whole("num_attention_heads")
    n_layers = read.whole("num_hidden_layers")
    shape: dict[str, Any] = {
        "family": family,
        "n_layers": n_layers,
        "d_model": d_model,
        "n_heads": n_heads,
        "n_kv_heads": read.whole("num_key_value_heads", n_heads),
        "head_dim": read.whole("head_dim", traits.default_head_dim or d_model // n_heads),
        "d_ff": read.whole("intermediate_size"),
        "vocab_size": read.whole("vocab_size"),
        "tied_embeddings": read.flag("tie_word_embeddings", traits.tied_by_default),
        "attention_bias": read.flag("attention_bias", False),
        "mlp_bias": read.flag("mlp_bias", False),
        "max_position_embeddings": read.whole("max_position_embeddings", 131072),
        "rope_theta": _rope_theta(config),
    }
    return shape | _experts(traits, read) | _latent(traits, read) | _window(traits, read, n_layers)


def _rope_theta(config: Config) -> Any:
    nested = config.get("rope_parameters")  # where transformers 5 keeps it
    theta = nested.get("rope_theta") if isinstance(nested, dict) else None
    theta = config.get("rope_theta") if theta is None else theta
    return 10000.0 if theta is None else theta


def _experts(traits: Traits, read: _Reader) -> dict[str, Any]:
    if not traits.experts:
        return {}
    if read.whole("decoder_sparse_step", 1) != 1 or read.config.get("mlp_only_layers"):
        raise read.fault(
            "decoder_sparse_step", "dense layers in between are not supported", "use 1 and []"
        )
    dense_first = traits.latent
    return {
        "n_experts": read.whole(traits.experts),
        "n_active_experts": read.whole("num_experts_per_tok"),
        "n_shared_experts": read.whole("n_shared_experts", 0, low=0) if dense_first else 0,
        "d_ff_expert": read.whole("moe_intermediate_size", read.whole("intermediate_size")),
        "n_dense_layers": read.whole("first_k_dense_replace", 0, low=0) if dense_first else 0,
    }


def _latent(traits: Traits, read: _Reader) -> dict[str, Any]:
    if not traits.latent:
        return {}
    rope, head = read.whole("qk_rope_head_dim"), read.whole("qk_nope_head_dim")
    if read.whole("v_head_dim") != head:
        raise read.fault("v_head_dim", "differs from qk_nope_head_dim", "they must be equal")
    return {
        "head_dim": head,
        "rope_dim": rope,
        "kv_latent_dim": read.whole("kv_lora_rank") + rope,
        "q_latent_dim": read.whole("q_lora_rank", 0, low=0),
    }


def _window(traits: Traits, read: _Reader, n_layers: int) -> dict[str, Any]:
    """Which layers look back only so far: every family has its own way of saying so."""
    off = traits.window == "upper" and not read.flag("use_sliding_window", False)
    if not traits.window or off or read.config.get("sliding_window") is None:
        return {}
    kinds = read.config.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == n_layers:
        n_local = kinds.count("sliding_attention")
    elif traits.window == "alternate":
        n_local = (n_layers + 1) // 2
    elif traits.window == "upper":
        n_local = n_layers - min(n_layers, read.whole("max_window_layers", 28, low=0))
    else:
        n_local = n_layers
    window = read.whole("sliding_window")
    return {"window": window, "local_fraction": n_local / n_layers} if n_local else {}
