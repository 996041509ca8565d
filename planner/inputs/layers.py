"""A config's layers, one by one: what each mixes tokens with and what its MLP is, and how many are alike."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from planner.errors import SpecError
from planner.inputs.fields import validate
from planner.inputs.recipe import Recipe, Switch
from planner.inputs.stack import LARGEST, Stack

# A number of a shape: the keys that state it, first come first served.
KEYS: dict[str, tuple[str, ...]] = {
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model", "n_embed"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads"),
    "n_kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_query_groups"),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels"),
    "d_ff": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff"),
    "vocab_size": ("vocab_size",),
    "n_experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "n_active_experts": (
        "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts",
    ),
    "d_ff_expert": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "n_shared_experts": (
        "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert",
    ),
    "d_ff_shared": (
        "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
    ),
    "window": ("sliding_window", "attention_window_size"),
}  # fmt: skip
MOST_LAYERS = 10_000
LOCAL = ("sliding_attention", "chunked_attention", "local_attention", "sliding")
FULL = ("full_attention", "attention", "global_attention", "global", "full", "indexed_attention")
RECURRENT = ("linear_attention", "mamba", "recurrent", "conv", "linear", "rwkv")


class Config:
    """Looks up what a config says, by its recipe; names the file and key where one will not do."""

    def __init__(self, config: Mapping[str, Any], recipe: Recipe, where: str) -> None:
        self.stated, self.recipe, self.where = config, recipe, where

    def fault(self, key: str, message: str, hint: str) -> SpecError:
        return SpecError(f"{self.where}: {key}: {message}", hint=hint)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what a key says; where it is absent, what the type's class takes."""
        value = self.stated[key] if key in self.stated else self.recipe.defaults.get(key)
        return default if value is None else value

    def listed(self, key: str) -> list[Any]:
        """Return a list the config states; nothing where it is none."""
        value = self.get(key)
        return value if isinstance(value, list) else []

    def inner(self, key: str) -> "Config":
        """Return a config within the config; an empty one where there is none."""
        value = self.get(key)
        own = value if isinstance(value, Mapping) else {}
        return Config(own, Recipe(), f"{self.where}: {key}")

    def number(self, name: str, default: int | None = None, *, low: int = 0) -> int:
        """Return a number of the shape, by our name or by a key of the config."""
        own = self.recipe.keys.get(name)
        keys = (own,) if own else KEYS.get(name, (name,))
        stated = [k for k in keys if k in self.stated] or [
            k for k in keys if k in self.recipe.defaults
        ]
        key = next((k for k in stated if self.get(k) is not None), (stated or list(keys))[0])
        value = self.get(key)
        if value is None and name == "n_layers" and (kinds := self.listed("layers_block_type")):
            return len(kinds)
        if value is None and default is not None:
            return max(default, low)
        if value is None:
            raise self.fault(key, "missing", f"a config.json states {key}")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(key, f"{value!r} is not a whole number", "write e.g. 4096")
        if not low <= value <= LARGEST:
            raise self.fault(key, f"{value} is not between {low} and {LARGEST}", "write e.g. 4096")
        return value

    def on(self, switch: Switch) -> bool:
        """Return a switch of the recipe: said outright, or by a key of the config."""
        if isinstance(switch, bool):
            return switch
        key, no = switch.removeprefix("!"), switch.startswith("!")
        value = self.get(key, False)
        if not isinstance(value, bool | int):
            raise self.fault(key, f"{value!r} is not true or false", "write true or false")
        return bool(value) != no

    def of_layer(self, name: str, layer: int, default: int | None = None) -> int:
        """Return a number that the config may state layer by layer."""
        for key in self.inner("per_layer_config").stated:
            own = self.inner("per_layer_config").inner(key)
            if key.lstrip("0") == str(layer or "") and name in own.stated:
                return own.number(name)
        key = next((k for k in KEYS.get(name, (name,)) if k in self.stated), name)
        value = self.get(key)
        if isinstance(value, list) and layer < len(value):
            value = value[layer]
            value = value[0] if isinstance(value, list) and value else value
            return Config({key: value}, Recipe(), self.where).number(key)
        return self.number(name, default)


@dataclass(frozen=True, slots=True)
class Part:
    """A mixer or an MLP of a layer: fields of its `Stack`, and weights that cost no time."""

    fields: dict[str, Any]
    other: int = 0


def stacks_of(c: Config) -> list[Stack]:
    """Return a config's stacks of like layers.

    Raises:
        SpecError: a key is missing or malformed, or a kind of layer is unknown: says which.

    """
    n, d = c.number("n_layers", low=1), c.number("d_model", low=1)
    if n > MOST_LAYERS:
        raise c.fault("num_hidden_layers", f"{n} layers are more than any model's", "write e.g. 32")
    norm = d * (2 if c.on(c.recipe.norm_bias) else 1)
    found: dict[Stack, int] = {}
    nothing = Part({})
    for i, (mixers, mlps) in enumerate(zip(mixers_of(c, n), mlps_of(c, n), strict=True)):
        extra = EXTRAS[c.recipe.extra](c, i, mlps[-1] if mlps else "") if c.recipe.extra else 0
        norms = c.recipe.norms if mixers and mlps else min(c.recipe.norms, 1)
        # Mixers or MLPs side by side are stacks of their own.
        pairs = zip_longest((MIXERS[m](c, i) for m in mixers), (MLPS[m](c, i) for m in mlps))
        for place, (mixer, mlp) in enumerate(pairs):
            mixer, mlp = mixer or nothing, mlp or nothing
            other = mixer.other + mlp.other + (norms * norm + extra if place == 0 else 0)
            fields = mixer.fields | mlp.fields | {"n_layers": 1, "other_params": other}
            stack = validate(Stack, fields, c.where)
            found[stack] = found.get(stack, 0) + 1
    return [stack.model_copy(update={"n_layers": count}) for stack, count in found.items()]


def mixers_of(c: Config, n: int) -> list[tuple[str, ...]]:
    """Return what every layer mixes tokens with: mixers by name; several work side by side."""
    kinds = layer_types(c, n)
    other = c.recipe.recurrent
    latent = c.get("kv_lora_rank") and c.get("use_mla") is not False
    attention = "latent" if latent else "attention"
    if c.recipe.double:
        return [(attention, attention)] * n
    found: list[tuple[str, ...]] = []
    for kind in kinds:
        if kind == "indexed_attention" and attention != "latent":
            raise c.fault("layer_types", f"no equation for a layer of {kind!r}", TOML_HINT)
        if kind in FULL:
            found.append((attention,))
        elif kind in LOCAL:
            found.append(("local",))
        elif kind in RECURRENT and other:
            found.append((other,))
        elif kind == "beside" and other:
            found.append((attention, other))
        elif kind == "hybrid" and other:
            found.append((other, "shared"))
        elif kind in ("mlp", "moe"):
            found.append(())
        else:
            raise c.fault("layer_types", f"no equation for a layer of {kind!r}", TOML_HINT)
    return found


TOML_HINT = "describe the model in a TOML with [[stacks]]: see docs/how-to/describe-a-model.md"


def _pattern(c: Config, n: int) -> list[str]:
    """Return the kinds of layers that Nemotron-H writes as letters."""
    pattern = c.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or not pattern:
        return []
    if len(pattern) != n:
        said = f"{len(pattern)} letters for {n} layers"
        raise c.fault("hybrid_override_pattern", said, "a letter a layer: M, *, - or E")
    letters = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
    return [letters.get(letter, letter) for letter in pattern]


def layer_types(c: Config, n: int) -> list[str]:
    """Return the kind of every layer, by the many ways configs have of saying so."""
    for key in ("layer_types", "layers_block_type", "block_types", "_block_types"):
        if kinds := c.listed(key):
            if not all(isinstance(k, str) for k in kinds):
                raise c.fault(key, "is no list of words", "a kind a layer, e.g. full_attention")
            return [kinds[i % len(kinds)] for i in range(n)]
    if c.recipe.shared:
        return _shared_places(c, n)
    if kinds := _pattern(c, n):
        return kinds
    for key in ("attn_layer_indices", "full_attn_idxs") if c.recipe.recurrent else ():
        if (places := c.listed(key)) or key in (*c.stated, *c.recipe.defaults):
            return ["attention" if i in places else "mamba" for i in range(n)]
    if places := c.inner("linear_attn_config").listed("full_attn_layers"):
        return ["attention" if i + 1 in places else "linear_attention" for i in range(n)]
    if kinds := c.listed("attn_type_list"):
        return ["attention" if kinds[i % len(kinds)] else "linear_attention" for i in range(n)]
    if c.get("attn_layer_period"):
        period, offset = c.number("attn_layer_period", low=1), c.number("attn_layer_offset", 0)
        return ["attention" if i % period == offset else "mamba" for i in range(n)]
    if c.recipe.recurrent and c.get("full_attention_interval"):
        every = c.number("full_attention_interval", low=1)
        return ["attention" if (i + 1) % every == 0 else "linear_attention" for i in range(n)]
    if c.recipe.mixer != "attention":
        return ["mamba"] * n
    return ["beside"] * n if c.recipe.beside else window_types(c, n)


def _shared_places(c: Config, n: int) -> list[str]:
    """Return where Zamba puts its shared block, where no list says so."""
    if places := c.listed("hybrid_layer_ids"):
        return ["hybrid" if i in places else "mamba" for i in range(n)]
    if not c.get("attn_layer_period"):
        raise c.fault("layers_block_type", "missing", "a config.json states layers_block_type")
    period, offset = c.number("attn_layer_period", low=1), c.number("attn_layer_offset", 0)
    rest = ["hybrid" if i % period == offset else "mamba" for i in range(n - 3)]
    return ["mamba", "mamba", "hybrid", *rest][:n]


def window_types(c: Config, n: int) -> list[str]:
    """Return which layers look back only a window, where no list says so."""
    r = c.recipe
    every = c.get("sliding_window_pattern") or c.get("_sliding_window_pattern") or r.pattern
    if not r.window or not c.get(r.keys.get("window", "sliding_window")):
        return ["full_attention"] * n
    if isinstance(every, str) and every:
        return [LOCAL[0] if every[i % len(every)] == "L" else FULL[0] for i in range(n)]
    if r.window == "upper":
        whole = n if not c.on("use_sliding_window") else c.number("max_window_layers", 28)
        return [FULL[0] if i < whole else LOCAL[0] for i in range(n)]
    if r.window == "alternate":
        every = 2
    if r.window == "all" or not every:
        return [LOCAL[0]] * n
    return [FULL[0] if (i + 1) % int(every) == 0 else LOCAL[0] for i in range(n)]


def mlps_of(c: Config, n: int) -> list[tuple[str, ...]]:
    """Return what the MLP of every layer is: dense, experts or none."""
    if c.recipe.double:
        return [("dense", "dense", "experts")] * n
    pattern = _pattern(c, n)
    stated = pattern or [str(k) for k in c.listed("layers_block_type")]
    blocks = [stated[i % len(stated)] for i in range(n)] if stated else []
    if pattern or {"mlp", "moe", "hybrid"} & set(blocks):  # layers alone: mixers have no MLP
        named: dict[str, tuple[str, ...]] = {"mlp": ("dense",), "moe": ("experts",)}
        return [named.get(k, ()) for k in blocks]
    if c.recipe.mixer != "attention" or c.recipe.shared:
        return [()] * n
    many = c.number("n_experts", 0)
    if many < 2 or c.get("is_moe") is False:
        return [("dense",)] * n
    if not c.recipe.experts:
        raise c.fault("num_experts", f"no equation for {many} experts in this type", TOML_HINT)
    return [("experts",) if has else ("dense",) for has in sparse_layers(c, n)]


def sparse_layers(c: Config, n: int) -> list[bool]:
    """Return which layers have experts, by the many ways configs have of saying so."""
    kinds = c.get("mlp_layer_types")
    if isinstance(kinds, list) and kinds:
        return [kinds[i % len(kinds)] in ("sparse", "moe") for i in range(n)]
    if kinds := c.listed("moe_layer_freq"):
        return [bool(kinds[i % len(kinds)]) for i in range(n)]
    if places := c.listed("moe_layers"):
        return [i in places for i in range(n)]
    if c.get("interleave_moe_layer_step"):
        step = c.number("interleave_moe_layer_step", low=1)
        return [(i + 1) % step == 0 for i in range(n)]
    if c.get("expert_layer_period"):
        period, offset = c.number("expert_layer_period", low=1), c.number("expert_layer_offset", 0)
        return [i % period == offset for i in range(n)]
    if c.get("moe_layer_start_index") is not None:
        start, every = c.number("moe_layer_start_index", 0), c.number("moe_layer_interval", 1)
        end = c.get("moe_layer_end_index")
        end = end if isinstance(end, int) else -1
        return [(i + 1) % every == 0 and start <= i <= (end % n) for i in range(n)]
    first = c.number("first_k_dense_replace", c.number("num_dense_layers", 0))
    alone = c.listed("mlp_only_layers")
    step = c.number("decoder_sparse_step", c.number("moe_layer_freq", 1), low=1)
    return [i >= first and i not in alone and (i + 1 - first) % step == 0 for i in range(n)]


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
    return _attention(c, i, c.number("attention_chunk_size" if chunk else "window", low=1))


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


def _recurrent(inner: int, **widths: int) -> Part:
    """Return a recurrent mixer; convolution, decay and norms count, and cost no time of their own."""
    return Part({"recurrent": widths | {"inner_params": inner}})


def _delta(c: Config, i: int) -> Part:
    """Gated delta net.  [arXiv 2412.06464]"""
    nk, nv = c.number("linear_num_key_heads"), c.number("linear_num_value_heads")
    dk, dv = c.number("linear_key_head_dim"), c.number("linear_value_head_dim")
    kernel = c.number("linear_conv_kernel_dim", 4)
    mixed, out = 2 * nk * dk + nv * dv, nv * dv
    return _recurrent(
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
        low + 3 * inner * kernel + heads + inner + width,
        in_width=3 * inner + 2 * width + heads,
        out_width=inner,
        state_elements=heads * width * width,
        conv_elements=3 * inner * (kernel - 1),
    )


def _mamba2(c: Config, i: int) -> Part:
    """State space with scalar decay a head.  [Dao and Gu 2024, arXiv 2405.21060]"""
    heads = _first(c, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
    d = c.number("d_model")
    inner = _first(c, "mamba_d_ssm", default=0)
    width = _first(c, "mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim", default=0)
    inner = inner or heads * width or d * _first(c, "mamba_expand", "expand", default=2)
    state = _first(c, "mamba_d_state", "ssm_state_size", "state_size")
    groups = _first(c, "mamba_n_groups", "n_groups", "mamba_ngroups", default=1)
    kernel = _first(c, "mamba_d_conv", "conv_kernel", default=4)
    mixed = inner + 2 * groups * state
    bias = any(c.get(k) for k in ("mamba_conv_bias", "use_conv_bias"))
    projected = any(c.get(k) for k in ("mamba_proj_bias", "use_bias", "add_bias_linear"))
    normed = c.get("mamba_rms_norm", True)
    other = mixed * (kernel + bias) + 3 * heads + (inner if normed else 0)
    other += (inner + mixed + heads + d) if projected else 0
    return _recurrent(
        other,
        in_width=inner + mixed + heads,
        out_width=inner,
        state_elements=inner * state,
        conv_elements=mixed * (kernel - 1),
    )


def _mamba(c: Config, i: int) -> Part:
    """Selective state space.  [Gu and Dao 2023, arXiv 2312.00752]"""
    d = c.number("d_model")
    inner = d * _first(c, "mamba_expand", "expand", default=2)
    inner = c.number("intermediate_size", inner) if c.recipe.mixer == "mamba" else inner
    state = _first(c, "mamba_d_state", "state_size", default=16)
    rank = _first(c, "mamba_dt_rank", "time_step_rank", default=math.ceil(d / 16))
    kernel = _first(c, "mamba_d_conv", "conv_kernel", default=4)
    bias = any(c.get(k) for k in ("mamba_conv_bias", "use_conv_bias"))
    other = inner * (kernel + bias) + inner * (rank + 2 * state) + inner * rank + inner
    other += inner * state + inner + (rank + 2 * state if c.recipe.recurrent == "jamba" else 0)
    return _recurrent(
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
        inner, in_width=4 * inner, out_width=inner, state_elements=heads * width * width
    )


def _convolution(c: Config, i: int) -> Part:
    """Gated short convolution.  [LFM2]"""
    d, kernel = c.number("d_model"), c.number("conv_L_cache", 3)
    other = d * kernel + (5 * d if c.on("conv_bias") else 0)
    return _recurrent(other, in_width=3 * d, out_width=d, conv_elements=d * (kernel - 1))


def _lru(c: Config, i: int) -> Part:
    """Real-gated linear recurrent unit.  [Griffin, arXiv 2402.19427]"""
    d, heads = c.number("d_model"), c.number("n_heads")
    width, kernel = c.number("lru_width", d), c.number("conv1d_width", 4)
    other = 2 * width + d + width * (kernel + 1) + 3 * width + 2 * width * (width // max(heads, 1))
    return _recurrent(
        other,
        in_width=2 * width,
        out_width=width,
        state_elements=width,
        conv_elements=width * (kernel - 1),
    )


def _first(c: Config, *keys: str, default: int | None = None) -> int:
    for key in keys:
        if isinstance(c.get(key), int) and not isinstance(c.get(key), bool):
            return c.number(key)
    if default is None:
        raise c.fault(keys[0], "missing", f"a config.json states {keys[0]}")
    return default


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
