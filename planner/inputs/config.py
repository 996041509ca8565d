"""One config.json, looked up by the recipe of its type: names the file and key where one will not do."""

from collections.abc import Mapping
from typing import Any

from planner.errors import SpecError
from planner.inputs.recipe import Recipe, Switch
from planner.inputs.stack import LARGEST

TOML_HINT = "describe the model in a TOML with [[stacks]]: see docs/how-to/describe-a-model.md"
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
    "mamba_heads": ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads"),
    "mamba_inner": ("mamba_d_ssm",),
    "mamba_width": ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim"),
    "mamba_expand": ("mamba_expand", "expand"),
    "mamba_state": ("mamba_d_state", "ssm_state_size", "state_size"),
    "mamba_groups": ("mamba_n_groups", "n_groups", "mamba_ngroups"),
    "mamba_kernel": ("mamba_d_conv", "conv_kernel"),
    "mamba_rank": ("mamba_dt_rank", "time_step_rank"),
}  # fmt: skip


class Config:
    """Looks up what a config says, by its recipe; names the file and key where one will not do."""

    def __init__(self, config: Mapping[str, Any], recipe: Recipe, where: str) -> None:
        self.stated, self.recipe, self.where = config, recipe, where

    def fault(self, key: str, message: str, hint: str) -> SpecError:
        return SpecError(f"{self.where}: {key}: {message}", hint=hint)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what a key says; where it is absent or "auto", what the type's class takes."""
        value = self.stated[key] if key in self.stated else self.recipe.defaults.get(key)
        return default if value is None or value == "auto" else value

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
