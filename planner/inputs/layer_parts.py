"""What a layer is made of: mixers and MLPs, their shapes, and the weights beside that cost no time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from planner.inputs.config import TOML_HINT, Config
from planner.inputs.layer_types import layer_types

INDEX_SCALED = 128  # elements of an index in 8 bits that share a float32 scale  [vLLM, indexer.py]


@dataclass(frozen=True, slots=True)
class Part:
    """A mixer or an MLP of a layer: fields of its `Stack`, and weights that cost no time."""

    fields: dict[str, Any]
    other: int = 0


def heads_of(c: Config, i: int, kind: str = "full") -> tuple[int, int, int, int]:
    """Return query heads, key/value heads, and widths of a key and a value, of a layer."""
    heads = c.of_layer("n_heads", i)
    if heads < 1:
        raise c.fault("num_attention_heads", f"{heads} is no count of heads", "write e.g. 32")
    kv = c.of_layer("n_kv_heads", i, c.inner("attn_config").number("kv_n_heads", heads))
    if c.get("multi_query") and not c.get("new_decoder_architecture"):
        kv = 1
    width = c.of_layer("head_dim", i, 0) or c.number("d_model") // heads  # as most classes do
    values = c.number("v_head_dim", width)
    if kind == "local":
        heads, kv = (
            c.number("swa_num_attention_heads", heads),
            c.number("swa_num_key_value_heads", kv),
        )
        width, values = c.number("swa_head_dim", width), c.number("swa_v_head_dim", values)
    elif c.get("global_head_dim"):
        width = values = c.number("global_head_dim")
        kv = c.number("num_global_key_value_heads", kv) if c.get("attention_k_eq_v") else kv
    return heads, kv, width, values


def _attention(c: Config, i: int, window: int | None = None) -> Part:
    r, d = c.recipe, c.number("d_model")
    kind = "full" if window is None else "local"
    heads, kv, width, values = heads_of(c, i, kind)
    own = i < c.number("n_layers") - c.number("num_kv_shared_layers", 0)
    if c.get("use_cla"):  # cross-layer attention  [arXiv 2405.12981]
        own = own and i % c.number("cla_share_factor", 2, low=1) == 0
    q, k, v = heads * width, kv * width, kv * values
    if (width + values) % 2:
        raise c.fault("v_head_dim", f"{values} beside {width} has no half", TOML_HINT)
    other = (q + k + v) * c.on(r.qkv_bias) + d * c.on(r.out_bias)
    other += heads * (c.on(r.sinks) or (r.local_sinks and kind == "local"))
    if r.qk_norm and (not r.qk_norm_if or c.on(r.qk_norm_if)):
        each = 2 * width if r.qk_norm == "head" else q + k
        other += each * (2 if r.qk_norm_bias else 1) + (width if r.value_norm else 0)
        other -= width if not own else 0
    if c.get("attention_k_eq_v") and own and kind == "full":
        other -= v * d
    gate = r.gate if not r.gate_if or c.on(r.gate_if) else ""
    other += heads * d if gate == "head" else 0
    other += q if gate == "full" and c.on(r.qkv_bias) else 0
    shape = {"n_heads": heads, "n_kv_heads": kv, "head_dim": (width + values) // 2}
    return Part(shape | {"output_gate": gate == "full", "window": window, "own_kv": own}, other)


def _local(c: Config, i: int) -> Part:
    chunk = c.get("attention_chunk_size")
    part = _attention(c, i, c.number("attention_chunk_size" if chunk else "window", low=1))
    return Part(part.fields | {"chunked": bool(chunk)}, part.other)


def _latent(c: Config, i: int) -> Part:
    """Projections by way of low ranks, and an indexer where attention is sparse."""
    d, heads = c.number("d_model"), c.number("n_heads")
    nope, rope = c.number("qk_nope_head_dim"), c.number("qk_rope_head_dim")
    values, rank, latent = (
        c.number("v_head_dim"),
        c.number("q_lora_rank", 0),
        c.number("kv_lora_rank"),
    )
    width = (nope + values) // 2
    other = rank + latent
    other += (nope - width) * heads * (rank or d) + (values - width) * heads * d
    if c.on("attention_bias"):
        other += rank + latent + rope + d
    if c.get("index_n_heads"):
        n, size = c.number("index_n_heads"), c.number("index_head_dim")
        other += rank * n * size + d * size + 2 * size + d * n
    if c.recipe.gate == "full":
        other += d * heads * values
    shape = {"n_heads": heads, "n_kv_heads": heads, "head_dim": width, "rope_dim": rope}
    sparse = c.number("index_head_dim") if c.get("index_n_heads") else 0
    shape |= {"index_bytes": sparse + 4 * math.ceil(sparse / INDEX_SCALED)}
    return Part(shape | {"kv_latent_dim": latent + rope, "q_latent_dim": rank}, other)


def _shared(c: Config, i: int) -> Part:
    """Zamba's block of attention and MLP, beside a mixer; few sets of weights serve all such layers."""
    d, ff = c.number("d_model"), c.number("d_ff")
    wide = c.number("attention_hidden_size", 2 * d)
    heads, kv = c.number("n_heads"), c.number("n_kv_heads")
    width = c.number("attention_head_dim", wide // max(heads, 1))
    block = wide * (heads + 2 * kv) * width + heads * width * d + 3 * d * ff + wide + d
    stated = d * (heads + 2 * kv) * width + heads * width * d + 3 * d * ff
    kinds = layer_types(c, c.number("n_layers"))
    uses, sets = kinds.count("hybrid"), min(c.number("num_mem_blocks", 1), kinds.count("hybrid"))
    adapter = c.number("adapter_rank", 0) * (d + 2 * ff)
    if c.get("use_shared_attention_adapter"):
        adapter += 3 * c.number("adapter_rank", 0) * (wide + heads * width)
    # What the sets weigh beside what every use is counted for goes with the first of them.
    first = kinds.index("hybrid") == i
    other = d * d + adapter + (sets * block - uses * stated if first else 0)
    shape = {"n_heads": heads, "n_kv_heads": kv, "head_dim": width, "d_ff": ff}
    return Part(shape, other)


def _recurrent(c: Config, inner: int, checkpoints: int = 0, **widths: float) -> Part:
    """Return a recurrent mixer; convolution, decay and norms count, and cost no time of their own."""
    kept = c.get("mamba_ssm_cache_dtype") or c.get("mamba_ssm_dtype")
    wide = {"state_element_bytes": 4.0} if kept == "float32" else {}
    fields = {"recurrent": {"inner_params": inner} | wide | widths}
    return Part(fields | {"state_checkpoints": checkpoints})


def _delta(c: Config, i: int) -> Part:
    """Gated delta net.  [arXiv 2412.06464]"""
    nk, nv = c.number("linear_num_key_heads"), c.number("linear_num_value_heads")
    dk, dv = c.number("linear_key_head_dim"), c.number("linear_value_head_dim")
    kernel = c.number("linear_conv_kernel_dim", 4)
    mixed, out = 2 * nk * dk + nv * dv, nv * dv
    return _recurrent(
        c,
        mixed * kernel + 2 * nv + dv,
        in_width=mixed + out + 2 * nv,
        out_width=out,
        state_elements=nv * dk * dv,
        conv_elements=mixed * (kernel - 1),
    )


def _kda(c: Config, i: int) -> Part:
    """Kimi delta attention: a gate for each channel, by way of a low rank.  [arXiv 2510.26692]"""
    own = c.inner("linear_attn_config")
    heads = own.number("num_heads", 0) or c.number("linear_num_heads")
    width = own.number("head_dim", 0) or c.number("linear_head_dim")
    kernel = own.number("short_conv_kernel_size", c.number("linear_conv_kernel_dim", 4))
    inner = heads * width
    low = 2 * width * inner  # from the low rank up, of decay and of output gate
    return _recurrent(
        c,
        low + 3 * inner * kernel + heads + inner + width,
        in_width=3 * inner + 2 * width + heads,
        out_width=inner,
        state_elements=heads * width * width,
        conv_elements=3 * inner * (kernel - 1),
        state_element_bytes=4.0,
    )


def _mamba2(c: Config, i: int) -> Part:
    """State space with scalar decay a head.  [Dao and Gu 2024, arXiv 2405.21060]"""
    heads = c.number("mamba_heads")
    d = c.number("d_model")
    inner = c.number("mamba_inner", 0)
    width = c.number("mamba_width", 0)
    inner = inner or heads * width or d * c.number("mamba_expand", 2)
    state = c.number("mamba_state")
    groups = c.number("mamba_groups", 1)
    kernel = c.number("mamba_kernel", 4)
    mixed = inner + 2 * groups * state
    bias = any(c.get(k) for k in ("mamba_conv_bias", "use_conv_bias"))
    projected = any(c.get(k) for k in ("mamba_proj_bias", "use_bias", "add_bias_linear"))
    normed = c.get("mamba_rms_norm", True)
    other = mixed * (kernel + bias) + 3 * heads + (inner if normed else 0)
    other += (inner + mixed + heads + d) if projected else 0
    return _recurrent(
        c,
        other,
        checkpoints=1,
        in_width=inner + mixed + heads,
        out_width=inner,
        state_elements=inner * state,
        conv_elements=mixed * (kernel - 1),
    )


def _mamba(c: Config, i: int) -> Part:
    """Selective state space.  [Gu and Dao 2023, arXiv 2312.00752]"""
    d = c.number("d_model")
    inner = d * c.number("mamba_expand", 2)
    inner = c.number("intermediate_size", inner) if c.recipe.mixer == "mamba" else inner
    state = c.number("mamba_state", 16)
    rank = c.number("mamba_rank", math.ceil(d / 16))
    kernel = c.number("mamba_kernel", 4)
    bias = any(c.get(k) for k in ("mamba_conv_bias", "use_conv_bias"))
    other = inner * (kernel + bias) + inner * (rank + 2 * state) + inner * rank + inner
    other += inner * state + inner + (rank + 2 * state if c.recipe.recurrent == "jamba" else 0)
    return _recurrent(
        c,
        other,
        in_width=2 * inner,
        out_width=inner,
        state_elements=inner * state,
        conv_elements=inner * (kernel - 1),
    )


def _lightning(c: Config, i: int) -> Part:
    """Linear attention with a fixed decay.  [MiniMax-01, arXiv 2501.08313]"""
    heads, _, width, _ = heads_of(c, i)
    inner = heads * width
    return _recurrent(
        c, inner, in_width=4 * inner, out_width=inner, state_elements=heads * width * width
    )


def _convolution(c: Config, i: int) -> Part:
    """Gated short convolution.  [LFM2]"""
    d, kernel = c.number("d_model"), c.number("conv_L_cache", 3)
    other = d * kernel + (5 * d if c.on("conv_bias") else 0)
    return _recurrent(c, other, in_width=3 * d, out_width=d, conv_elements=d * (kernel - 1))


def _lru(c: Config, i: int) -> Part:
    """Real-gated linear recurrent unit.  [Griffin, arXiv 2402.19427]"""
    d, heads = c.number("d_model"), c.number("n_heads")
    width, kernel = c.number("lru_width", d), c.number("conv1d_width", 4)
    other = 2 * width + d + width * (kernel + 1) + 3 * width + 2 * width * (width // max(heads, 1))
    return _recurrent(
        c,
        other,
        in_width=2 * width,
        out_width=width,
        state_elements=width,
        conv_elements=width * (kernel - 1),
    )


def _dense(c: Config, i: int) -> Part:
    d, ff = c.number("d_model"), c.of_layer("d_ff", i, 4 * c.number("d_model"))
    gated = c.on(c.recipe.gated)
    if c.get("block_auto_adjust_ff_dim"):  # LFM2's
        scale = c.get("block_ffn_dim_multiplier", 1.0)
        scale = scale if isinstance(scale, int | float) and 0 < scale < 100 else 1.0
        ff = int(scale * int(2 * ff / 3))
        multiple = c.number("block_multiple_of", 1, low=1)
        ff = -(-ff // multiple) * multiple
    shared = i >= c.number("n_layers") - c.number("num_kv_shared_layers", 0)
    ff = 2 * ff if c.get("use_double_wide_mlp") and shared else ff
    ff = ff // 2 if c.recipe.half_ff else ff
    bias = ((2 if gated else 1) * ff + d) * c.on(c.recipe.mlp_bias)
    return Part({"d_ff": ff, "mlp_gated": gated}, bias)


def _experts(c: Config, i: int) -> Part:
    r, d = c.recipe, c.number("d_model")
    n, active = c.of_layer("n_experts", i), c.of_layer("n_active_experts", i)
    ff = c.of_layer("d_ff_expert", i, c.of_layer("d_ff", i, 0))
    if ff < 1:
        raise c.fault("moe_intermediate_size", "0 is no width of an expert", "write e.g. 1408")
    shared = c.number("d_ff_shared", 0) or c.of_layer("n_shared_experts", i, 0) * ff
    gated = c.on(r.gated)
    other = n * c.on(r.router_bias) + n * r.score_bias + d * c.number("zero_expert_num", 0)
    other += d * (r.shared_gate and shared > 0)
    other += n * ((2 if gated else 1) * ff + d) * r.expert_bias
    shape = {"n_experts": n, "n_active_experts": active, "n_shared_experts": shared / ff}
    return Part(shape | {"d_ff": ff, "mlp_gated": gated}, other)


MIXERS: dict[str, Callable[[Config, int], Part]] = {
    "attention": _attention,
    "local": _local,
    "latent": _latent,
    "delta": _delta,
    "kda": _kda,
    "mamba": _mamba,
    "jamba": _mamba,
    "mamba2": _mamba2,
    "lightning": _lightning,
    "convolution": _convolution,
    "lru": _lru,
    "shared": _shared,
}
MLPS: dict[str, Callable[[Config, int], Part]] = {
    "dense": _dense,
    "experts": _experts,
}


def _per_layer_inputs(c: Config, i: int, mlp: str) -> int:
    """Gemma's embedding of a token for each layer: gate, projection, norm."""
    d, own = c.number("d_model"), c.number("hidden_size_per_layer_input", 0)
    return 2 * d * own + d if own else 0


def _gemma4(c: Config, i: int, mlp: str) -> int:
    """And where experts stand beside the MLP, their router's scales and three norms."""
    d = c.number("d_model")
    return _per_layer_inputs(c, i, mlp) + (4 * d + c.number("n_experts") if mlp == "experts" else 0)


def _gemma3n(c: Config, i: int, mlp: str) -> int:
    """And alternating updates, and a low-rank residual.  [arXiv 2301.13310, 2411.07501]"""
    d, n = c.number("d_model"), c.number("altup_num_inputs", 4)
    altup = 2 * d + n * n + n * n * n + n * d
    return _per_layer_inputs(c, i, mlp) + altup + 2 * d * c.number("laurel_rank", 64) + d


# What only one type has in a layer: weights that cost no time, or none to speak of.
EXTRAS: dict[str, Callable[[Config, int, str], int]] = {
    "gemma3n": _gemma3n,
    "gemma4": _gemma4,
    "xielu": lambda c, i, mlp: 2,
    "bitnet": lambda c, i, mlp: c.number("d_model") + c.number("d_ff"),
    "diffllama": lambda c, i, mlp: 4 * heads_of(c, i)[2],
    "post_norms": lambda c, i, mlp: 2 * c.number("d_model") * c.on("use_post_norm"),
    "expert_norm": lambda c, i, mlp: c.number("d_model") * (mlp == "experts"),
    "gate_bias": lambda c, i, mlp: c.number("n_heads"),
    "last_bias": lambda c, i, mlp: c.number("d_model") * (i + 1 == c.number("n_layers")),
    "falcon": lambda c, i, mlp: 2 * c.number("d_model") * _falcon_norms(c),
    "stablelm": lambda c, i, mlp: -2 * c.number("d_model") * c.on("use_parallel_residual"),
    "doge": lambda c, i, mlp: (
        2 * c.number("d_model") + heads_of(c, i)[1] * (1 + c.number("d_model"))
    ),
}


def _falcon_norms(c: Config) -> int:
    """Norms of a layer beyond the first."""
    if c.get("new_decoder_architecture"):
        return c.number("num_ln_in_parallel_attn", 2) - 1
    return 0 if c.get("parallel_attn", True) else 1


def model_extra(c: Config) -> int:
    """Weights that only one type has, outside the layers: Gemma's tables of inputs layer by layer."""
    d, own = c.number("d_model"), c.number("hidden_size_per_layer_input", 0)
    if narrow := c.number(
        "word_embed_proj_dim", 0
    ):  # OPT-350M embeds in fewer, and has no last norm
        norm = 0 if c.get("do_layer_norm_before", True) is not False else 2 * d
        more = (narrow - d) * c.number("vocab_size") + 2 * narrow * d if narrow != d else 0
        return more - norm
    if c.recipe.extra not in ("gemma3n", "gemma4") or not own:
        return 0
    width = own * c.number("n_layers")
    found = c.number("vocab_size_per_layer_input", c.number("vocab_size")) * width + d * width + own
    if c.recipe.extra == "gemma3n":
        found += 2 * (c.number("altup_num_inputs", 4) - 1) * d * d
    return found
