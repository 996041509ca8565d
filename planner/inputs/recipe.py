"""What sets one `model_type` of Hugging Face apart, as its file of facts says: `presets/recipes.toml`.

A recipe says of a type what its config.json does not: norms, biases, gates, what its recurrent layers
are. Values that name a key of the config are looked up there. Read from the modelling code of
transformers 5.24 (github.com/huggingface/transformers), which the tests count against.
"""

import functools
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from planner.inputs.fields import Spec, validate
from planner.inputs.files import read_toml

FILE = Path(__file__).parent.parent / "presets" / "recipes.toml"
Switch = bool | str  # or the key of the config that switches it


class Recipe(Spec):
    """One type. The defaults are Llama's."""

    like: str = ""  # the type whose recipe this one changes
    architecture: str = ""  # the class transformers and vLLM look for, if it tells the type
    refused: str = ""  # why it is not read: what planner has no equation for
    keys: dict[str, str] = Field(
        default_factory=dict
    )  # our name of a shape's number: the key, if it is an unusual one
    defaults: dict[str, Any] = Field(
        default_factory=dict
    )  # what the type's class takes where the config says nothing

    inner: dict[str, Any] = Field(default_factory=dict)  # more defaults, within a wrapper's config
    without: list[str] = Field(
        default_factory=list
    )  # defaults of `like` that this type's class lacks

    norms: int = 2  # of d_model, a layer
    final_norms: int = 1
    norm_bias: Switch = False
    qkv_bias: Switch = False
    out_bias: Switch = False
    mlp_bias: Switch = False
    head_bias: Switch = False
    qk_norm: Literal["", "head", "full"] = ""  # over a head, or over all of them at once
    qk_norm_if: str = ""
    qk_norm_bias: bool = False
    value_norm: bool = False
    sinks: Switch = False  # a logit a head that attends to nothing
    local_sinks: bool = False  # in layers that look back a window only
    gate: Literal["", "full", "head"] = (
        ""  # on attention's output: as wide as the queries, or a head
    )
    gate_if: str = ""
    gated: Switch = True  # the MLP has a gate
    positions: str = ""  # key of how many positions are learned
    positions_more: int = 0
    embedding_norm: bool = False
    rotary: bool = True  # angles are tabulated for it

    mixer: Literal["attention", "mamba", "mamba2"] = "attention"  # where no layer types are stated
    recurrent: str = ""  # what a layer is that is no attention
    window: Literal["", "all", "alternate", "upper", "pattern"] = ""
    pattern: int = 0  # every so many layers, one looks at all
    experts: bool = False
    router_bias: Switch = False
    expert_bias: bool = False
    score_bias: bool = False  # a learned correction of each expert's score
    shared_gate: bool = False  # a scalar gate on the shared expert
    shared: bool = False  # a block of attention and MLP that layers share
    beside: bool = False  # a recurrent mixer beside the attention of every layer
    double: bool = False  # two attentions and two MLPs a layer, beside its experts
    half_ff: bool = False  # the stated width is of gate and up together
    extra: str = ""  # of `layer_parts.EXTRAS`: what only this type has


@functools.cache
def recipes() -> dict[str, Recipe]:
    """Return the recipe of every type, parents filled in."""
    stated: dict[str, dict[str, Any]] = read_toml(FILE)

    def whole(name: str) -> dict[str, Any]:
        own = stated[name]
        parent = whole(own["like"]) if own.get("like") else {}
        merged = {k: v for k, v in parent.items() if k not in ("architecture", "refused")} | own
        merged["keys"] = parent.get("keys", {}) | own.get("keys", {})
        kept = {
            k: v for k, v in parent.get("defaults", {}).items() if k not in own.get("without", ())
        }
        return merged | {"defaults": kept | own.get("defaults", {})}

    return {name: validate(Recipe, whole(name), f"{FILE.name}: {name}") for name in stated}
