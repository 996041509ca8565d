"""Which layer of a config is what, by the many ways configs have of saying so."""

from planner.inputs.config import TOML_HINT, Config

LOCAL = ("sliding_attention", "chunked_attention", "local_attention", "sliding")
FULL = ("full_attention", "attention", "global_attention", "global", "full", "indexed_attention")
RECURRENT = ("linear_attention", "mamba", "recurrent", "conv", "linear", "rwkv")


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
    if places := c.listed("hybrid_layer_pattern"):
        return [LOCAL[0] if places[i % len(places)] == 1 else FULL[0] for i in range(n)]
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
    every = c.get("sliding_window_pattern") or c.get("_sliding_window_pattern")
    every = every or c.get("global_attn_every_n_layers") or r.pattern
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
