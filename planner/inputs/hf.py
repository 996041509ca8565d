"""Hugging Face's config.json, read into a ModelSpec."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.family import FAMILIES, Traits
from planner.inputs.fields import validate
from planner.inputs.files import read_json
from planner.inputs.hf_export import export_hf, to_hf
from planner.inputs.model import LARGEST, ModelSpec

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
    return from_config(config, where=str(path), name=path.absolute().parent.name)


def from_config(config: Config, *, where: str = "config", name: str = "") -> ModelSpec:
    """Return the shape a config states; `where` names it in errors.

    Raises:
        SpecError: as `from_hf`.

    """
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise SpecError(
            f"{where}: model_type: {family!r} is not a family planner knows",
            hint=f"it knows {', '.join(FAMILIES)}",
        )
    traits, read = FAMILIES[family], _Reader(config, where)
    d_model, n_heads = read.whole("hidden_size"), read.whole("num_attention_heads")
    n_layers = read.whole("num_hidden_layers")
    shape: dict[str, Any] = {
        "name": name or str(config.get("_name_or_path") or "") or family,
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
    shape |= _experts(traits, read) | _latent(traits, read) | _window(traits, read, n_layers)
    return validate(ModelSpec, shape, where, hint="correct that key, or check the model_type")


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
