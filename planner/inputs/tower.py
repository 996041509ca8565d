"""What encodes images beside a decoder: its weights, from a wrapper's `vision_config`.

It counts for memory alone; the decoder's counts are without it. What joins the two differs by model
and is taken as two matrices from the encoder's merged patches to the decoder's width.
"""

from collections.abc import Mapping
from typing import Any

KEYS = {
    "width": ("hidden_size", "embed_dim", "width", "d_model"),
    "layers": ("num_hidden_layers", "depth", "layers", "num_layers", "encoder_layers"),
    "inner": ("intermediate_size", "encoder_ffn_dim", "mlp_dim"),
}
GATED = ("pixtral", "qwen2_5_vl", "qwen2_5_omni", "glm4v", "dots")  # types whose MLPs have a gate
COPIED = ("pixtral",)  # and those that vLLM holds whole on each device
DEFAULTS: dict[str, dict[str, int]] = {  # transformers', where a config leaves them out
    "pixtral": {"width": 1024, "layers": 24, "inner": 4096},
    "siglip_vision_model": {"width": 768, "layers": 12, "inner": 3072},
    "clip_vision_model": {"width": 768, "layers": 12, "inner": 3072},
    "qwen2_5_vl": {"width": 1280, "layers": 32, "inner": 3420},
}

DEFAULT_MERGE = {
    "moonvit": 2,
    "qwen2_5_vl": 2,
    "qwen2_vl": 2,
    "qwen3_vl": 2,
    "qwen3_5": 2,
    "qwen3_5_moe": 2,
}
# Tensors as wide as the encoder that attention holds at once: input and residual, queries, keys and
# values twice, one of them in float32 before and after its rotation.
ALIVE = 12
LARGEST = 10**6  # of any width, depth or count of an encoder
MOST_TOKENS = 16384  # that Qwen's processors let one image have


def tower_of(config: Mapping[str, Any], d_model: int) -> dict[str, Any]:
    """Return the fields of a model that say what stands beside its decoder; none where nothing does.

    Args:
        config: what config.json holds.
        d_model: width of the decoder.

    """
    own = config.get("vision_config")
    if not isinstance(own, Mapping):
        return {}
    kind = str(own.get("model_type") or config.get("model_type") or "")
    known = DEFAULTS.get(kind, {})

    def number(name: str) -> int:
        return next((n for k in KEYS[name] if (n := _whole(own.get(k)))), known.get(name, 0))

    width, layers = number("width"), number("layers")
    ratio = own.get("mlp_ratio")
    times = ratio if isinstance(ratio, int | float) and 0 < ratio < 100 else 4.0
    inner = number("inner") or round(width * times)
    matrices = 3 if kind.startswith(GATED) else 2
    merged = width * _merge(config, own) ** 2
    joined = merged * d_model + d_model * d_model
    params = layers * (4 * width * width + matrices * width * inner) + joined
    if not (layers and width):
        return {}
    copied = {"tower_copied": True} if kind.startswith(COPIED) else {}
    most = {"tower_most_tokens": MOST_TOKENS} if kind.startswith("qwen") else {}
    elements = ALIVE * width * _patches_a_token(config, own)
    return {"tower_params": params, "tower_token_elements": elements, **copied, **most}


def _whole(value: Any) -> int:
    """Return a count that a config states; 0 for what is none."""
    return value if type(value) is int and 0 < value <= LARGEST else 0


def _patches_a_token(config: Mapping[str, Any], own: Mapping[str, Any]) -> int:
    tokens, side, patch = (
        _whole(part.get(key))
        for part, key in ((config, "mm_tokens_per_image"), (own, "image_size"), (own, "patch_size"))
    )
    if tokens and side and patch:
        return max((side // patch) ** 2 // tokens, 1)
    ratio = own.get("pixel_shuffle_ratio")
    if isinstance(ratio, int | float) and 0.01 < ratio < 1:
        return round(1 / ratio**2)
    return _merge(config, own) ** 2


def _merge(config: Mapping[str, Any], own: Mapping[str, Any]) -> int:
    said = _whole(own.get("spatial_merge_size")) or _whole(config.get("spatial_merge_size"))
    return said or DEFAULT_MERGE.get(str(own.get("model_type")), 1)
