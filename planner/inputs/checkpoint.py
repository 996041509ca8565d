"""What a checkpoint's files say beside the layers: what follows them, and what they are stored in."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_DRAFTS = re.compile(r"eagle|dflash|dspark|domino|medusa|speculator|draft|mtp|nextn", re.IGNORECASE)
_SCORES = re.compile(r"For(Sequence|Token)Classification|Reward|ForScore|CrossEncoder")
# Chat and any-to-any models are called so too, and have a head (vLLM, models/registry.py).
_BARE = re.compile(
    r"(?<!LMHead)(?<!Chat)(?<!ChatGLM)(?<!Omni)(?<!Ultravox)(?<!LM)Model$|ForTextEncoding|Embedding|Encoder$"
)


def classes(config: Json) -> list[str]:
    """Return the names of the classes a config says its model is of."""
    found = config.get("architectures")
    found = [found] if isinstance(found, str) else found
    return [a for a in found if isinstance(a, str)] if isinstance(found, list) else []


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def head_of(config: Json) -> str:
    """Return what follows the layers, by the class that `architectures` names.

    `lm` is a product with the vocabulary, `score` one with a few labels, `none` nothing, and `draft`
    what the target of a draft has.
    """
    names = classes(config)
    kinds = [str(config.get(k) or "") for k in ("model_type", "speculators_model_type")]
    if any(map(_DRAFTS.search, names)) or any(map(_DRAFTS.search, kinds)):
        return "draft"
    if any(map(_SCORES.search, names)):
        return "score"
    return "none" if names and all(map(_BARE.search, names)) else "lm"


def format_of(config: Json, beside: Json) -> str:
    """Return the number format of a quantised checkpoint's matrices; nothing where it is of 16 bits.

    Args:
        config: the config.json, whose `quantization_config` says so.
        beside: the hf_quant_config.json of ModelOpt, if there is one.

    """
    own = _mapping(config.get("quantization_config") or config.get("compression_config"))
    own = own or _mapping(_mapping(config.get("text_config")).get("quantization_config"))
    if not own:
        return _modelopt(_mapping(beside.get("quantization")))
    method = str(own.get("quant_method") or own.get("quant_algo") or "").lower()
    bits = own.get("bits", own.get("w_bit", own.get("weight_bits")))
    if method in ("fp8", "fbgemm_fp8", "ptpc_fp8", "finegrained_fp8"):
        return "fp8"
    if method in ("mxfp4", "nvfp4"):
        return method
    if method.startswith("modelopt") or own.get("quant_algo"):
        return _modelopt(_mapping(own.get("quantization")) or own)
    if method in (
        "awq",
        "gptq",
        "auto-round",
        "autoround",
        "intel/auto-round",
        "gptqmodel",
        "marlin",
    ):
        return {8: "w8a16", 4: "int4", None: "int4"}.get(bits, "")
    if method in ("bitsandbytes", "bnb"):
        return "int8" if own.get("load_in_8bit") else "nf4" if own.get("load_in_4bit") else ""
    if method in ("compressed-tensors", "compressed_tensors", "sparseml"):
        return _compressed(own)
    if method == "quark":
        return _quark(own)
    return ""


def _modelopt(own: Json) -> str:
    """By ModelOpt's `quant_algo`."""
    algo = str(own.get("quant_algo") or "").upper()
    if "NVFP4" in algo or "FP4" in algo:
        return "mxfp4" if algo.startswith("MXFP4") else "nvfp4"
    if "W4A16" in algo or "W4A8" in algo or "INT4" in algo:
        return "int4"
    return "fp8" if "FP8" in algo else "int8" if "INT8" in algo or "W8A8" in algo else ""


def _groups(own: Json) -> list[Json]:
    return [g for g in _mapping(own.get("config_groups")).values() if isinstance(g, Mapping)]


def _compressed(own: Json) -> str:
    """By the first group's weights and activations."""
    for group in _groups(own):
        weights, inputs = _mapping(group.get("weights")), group.get("input_activations")
        bits, kind = weights.get("num_bits"), str(weights.get("type") or "int")
        if kind == "float":
            block = weights.get("group_size")
            return "fp8" if bits == 8 else "mxfp4" if block == 32 else "nvfp4"
        if bits == 8:
            return "int8" if inputs else "w8a16"
        return "int4" if bits == 4 else ""
    return ""


def _quark(own: Json) -> str:
    """By AMD Quark's global configuration."""
    weight = _mapping(own.get("global_quant_config")).get("weight")
    weight = weight[0] if isinstance(weight, list) and weight else weight
    kind = str(_mapping(weight).get("dtype") or "")
    known = {"fp4": "mxfp4", "fp8": "fp8", "int8": "int8", "int4": "int4", "uint4": "int4"}
    return next((name for start, name in known.items() if kind.startswith(start)), "")


def unread_format(config: Json, beside: Json) -> str:
    """Return how a quantised checkpoint says it is stored, where that is no format we know."""
    own = config.get("quantization_config") or config.get("compression_config")
    own = own or beside.get("quantization")
    if not own or format_of(config, beside):
        return ""
    said = _mapping(own)
    plain = said.get("load_in_4bit") is False and not said.get("load_in_8bit")
    named = said.get("quant_method") or said.get("quant_algo") or said.get("bits") or "its own way"
    return "" if plain else str(named)[:40]


def keeps_attention(config: Json, beside: Json, n_layers: int) -> bool:
    """Whether a quantised checkpoint keeps its attention in 16 bits, as the modules it leaves out say.

    A pattern speaks of all layers; names of single modules count where they are of most layers.
    """
    own, modelopt = (
        _mapping(config.get("quantization_config")),
        _mapping(beside.get("quantization")),
    )
    lists = [own.get(k) for k in ("modules_to_not_convert", "ignore", "ignored_layers", "exclude")]
    lists += [modelopt.get("exclude_modules"), own.get("exclude_modules")]
    found: set[str] = set()
    for module in (str(m) for names in lists if isinstance(names, list) for m in names):
        if re.search(r"vision|visual|audio|tower|norm|bias|kv_b", module):
            continue
        if module.startswith("re:"):
            with contextlib.suppress(re.error):
                if re.match(module[3:], "model.layers.0.self_attn.o_proj"):
                    return True
        elif "self_attn" in module:
            layer = re.search(r"layers\.(\d+)\.", module)
            if layer is None:
                return True
            found.add(layer[1])
    return 2 * len(found) > n_layers
