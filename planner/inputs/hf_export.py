"""A ModelSpec as the config.json that transformers and vLLM build it from."""

import json
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.family import FAMILIES, Family, Traits
from planner.inputs.model import ModelSpec
from planner.writer import write_whole


def to_hf(spec: ModelSpec) -> dict[str, Any]:
    """Return a config.json that transformers and vLLM build this shape from.

    Checked for every preset against transformers 4.57 and 5.23; the tests do so for the installed one.

    A Llama whose n_heads does not divide its d_model, such as Panda-1B, is written as a Mistral without
    a window: the same network, whose config class lacks Llama's check.

    Raises:
        SpecError: the family cannot express the shape.

    """
    family: Family = spec.family
    if family == "llama" and spec.d_model % spec.n_heads and not _has_bias(spec):
        family = "mistral"
    traits = FAMILIES[family]
    _check(spec, traits)
    config: dict[str, Any] = {
        "architectures": [traits.architecture],
        "model_type": family,
        "torch_dtype": "bfloat16",
        "hidden_size": spec.d_model,
        "intermediate_size": spec.d_ff,
        "num_hidden_layers": spec.n_layers,
        "num_attention_heads": spec.n_heads,
        "num_key_value_heads": spec.n_kv_heads,
        "vocab_size": spec.vocab_size,
        "tie_word_embeddings": spec.tied_embeddings,
        "max_position_embeddings": spec.max_position_embeddings,
        "rope_theta": spec.rope_theta,
        "bos_token_id": 0,
        "eos_token_id": 1 if spec.vocab_size > 1 else 0,
        "pad_token_id": None,
        "initializer_range": 0.02,
        "use_cache": True,
        **traits.constants,
    }
    if not traits.latent:  # DeepSeek's states the parts of a head one by one
        config["head_dim"] = spec.head_dim
    if traits.attention_bias or traits.latent:
        config["attention_bias"] = spec.attention_bias
    if traits.mlp_bias:
        config["mlp_bias"] = spec.mlp_bias
    if family == "gemma2":
        config["query_pre_attn_scalar"] = spec.head_dim
    return config | _window_keys(spec, traits) | _expert_keys(spec, traits)


def _has_bias(spec: ModelSpec) -> bool:
    return spec.attention_bias or spec.mlp_bias


def _check(spec: ModelSpec, traits: Traits) -> None:
    """Refuse what the family's config cannot say."""
    wide, heads = spec.d_model, spec.n_heads
    n_local = round(spec.local_fraction * spec.n_layers)
    expected = {"alternate": (spec.n_layers + 1) // 2, "all": spec.n_layers}.get(traits.window)
    for wrong, message in (
        (not spec.mlp_gated, "has no MLP without a gate"),
        (bool(spec.layers), "has no layers of a further kind"),
        (
            traits.divisible_width and wide % heads,
            f"needs n_heads {heads} to divide d_model {wide}",
        ),
        (
            traits.fixed_head_dim and spec.head_dim * heads != wide,
            f"needs head_dim {spec.head_dim} × n_heads {heads} to equal d_model {wide}",
        ),
        (
            spec.window is not None and expected is not None and n_local != expected,
            f"has {expected} local layers of {spec.n_layers}, and here are {n_local}",
        ),
        (
            spec.window is None and traits.window == "alternate",
            "needs a window",
        ),
    ):
        if wrong:
            raise SpecError(
                f"{spec.name}: a {spec.family} config {message}", hint="change the shape or family"
            )


def _window_keys(spec: ModelSpec, traits: Traits) -> dict[str, Any]:
    if not traits.window:
        return {}
    keys: dict[str, Any] = {"sliding_window": spec.window}
    if traits.window == "upper":
        n_full = spec.n_layers - round(spec.local_fraction * spec.n_layers)
        keys |= {"use_sliding_window": spec.window is not None, "max_window_layers": n_full}
    return keys


def _expert_keys(spec: ModelSpec, traits: Traits) -> dict[str, Any]:
    if not traits.experts:
        return {}
    keys: dict[str, Any] = {
        traits.experts: spec.n_experts,
        "num_experts_per_tok": spec.n_active_experts,
        "moe_intermediate_size": spec.d_ff_expert,
    }
    if traits.experts == "num_local_experts":  # Mixtral knows one width only
        del keys["moe_intermediate_size"]
        keys["intermediate_size"] = spec.d_ff_expert
    if traits.latent:
        keys |= {
            "n_shared_experts": spec.n_shared_experts,
            "first_k_dense_replace": spec.n_dense_layers,
            "kv_lora_rank": spec.kv_latent_dim - spec.rope_dim,
            "q_lora_rank": spec.q_latent_dim or None,
            "qk_rope_head_dim": spec.rope_dim,
            "qk_nope_head_dim": spec.head_dim,
            "v_head_dim": spec.head_dim,
        }
    return keys


def export_hf(spec: ModelSpec, folder: str | Path) -> Path:
    """Write `folder`/config.json, whole or not at all, and return its path.

    Raises:
        SpecError: the family cannot express the shape.
        OutputError: the folder cannot be made or written.

    """
    path = Path(folder) / "config.json"
    write_whole(path, json.dumps(to_hf(spec), indent=2) + "\n", folders=True)
    return path
