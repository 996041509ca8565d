"""Hugging Face's config.json, read into a ModelSpec."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.data import is_file, is_folder
from planner.errors import SpecError
from planner.inputs import checkpoint, drafts
from planner.inputs.config import TOML_HINT, Config
from planner.inputs.family import FAMILIES, Family
from planner.inputs.fields import validate
from planner.inputs.files import read_json
from planner.inputs.hf_export import export_hf, to_hf
from planner.inputs.layer_parts import model_extra
from planner.inputs.layer_types import mlps_of
from planner.inputs.layers import stacks_of
from planner.inputs.model import ModelSpec
from planner.inputs.recipe import Recipe, recipes
from planner.inputs.stack import Stack
from planner.inputs.tower import tower_of

__all__ = ["export_hf", "from_config", "from_hf", "to_hf"]

Json = Mapping[str, Any]


def from_hf(path: str | Path) -> ModelSpec:
    """Read a config.json, named by its path or by its folder's.

    Only the shape is read: rotary scaling, dropout and the like cost nothing here.

    Raises:
        SpecError: the file is missing or malformed, lacks a key, or is of an unsupported family.

    """
    path = Path(path)
    path = path / "config.json" if is_folder(path) else path
    hint = "give a Hugging Face config.json, or a folder that holds one"
    config = read_json(path, hint=hint)
    if not isinstance(config, dict):
        raise SpecError(f"{path}: not a JSON object", hint=hint)
    beside = path.with_name("hf_quant_config.json")
    quantised = read_json(beside) if is_file(beside) else {}
    return from_config(
        config,
        where=str(path),
        name=_folder_name(path.absolute().parent),
        beside=quantised if isinstance(quantised, dict) else {},
    )


def _folder_name(folder: Path) -> str:
    """Return a folder's name; in the hub's cache (models--ORG--NAME/snapshots/…) the model's."""
    cached = next((p for p in folder.parts if p.startswith("models--")), "")
    return cached.removeprefix("models--").replace("--", "/") or folder.name


def from_config(
    config: Json, *, where: str = "config", name: str = "", beside: Json = MappingProxyType({})
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
    more["unread_format"] = checkpoint.unread_format(config, beside)
    if (draft := drafts.kind_of(config, called, where)) is not None:
        return _draft(draft, config, where, more | {"name": called or draft.name, "head": "draft"})
    kind, recipe = recipe_of(text, config, where)
    name = called or kind
    text = text if text is config else {**recipe.inner, **text}
    c = Config(text, recipe, where)
    if head == "score":
        said = config.get("id2label")
        labels = len(said) if isinstance(said, Mapping) and said else 2
        more["other_params"] = c.number("d_model") * c.number("num_labels", labels)
    stacks = stacks_of(c)
    kept = checkpoint.keeps_attention(config, beside, c.number("n_layers"))
    more["attention_kept"] = bool(more["weights_format"]) and kept
    family = next((f for f in FAMILIES if f == kind), None)
    spec = _of_family(c, family, stacks) if family else None
    if spec is None:
        spec = _of_stacks(c, stacks)
        more["other_params"] += spec["other_params"]
    more |= tower_of(config, spec["d_model"]) | {"rope_stretch": _rope_stretch(c)}
    return validate(
        ModelSpec,
        spec | more | {"name": name},
        where,
        hint="correct that key, or check the model_type",
    )


def text_part(config: Json) -> Json:
    """Return the decoder's part of a config that wraps it with towers."""
    for key in ("text_config", "language_config", "llm_config", "thinker_config"):
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            shared = {k: config[k] for k in ("tie_word_embeddings",) if k in config}
            own = {"model_type": config.get("model_type")} | dict(inner) | shared
            return text_part(own)
    return config


def recipe_of(text: Json, config: Json, where: str) -> tuple[str, Recipe]:
    """Return a decoder's type and recipe: by its model_type, else by its class.

    Raises:
        SpecError: it is of no known type, or of one whose layers planner has no equation for.

    """
    known = recipes()
    types = (text.get("model_type"), config.get("model_type"))
    named = [k if k in known else k.lower() for k in types if isinstance(k, str)]
    classes = checkpoint.classes(config)
    by_class = [k for k, r in known.items() if r.architecture and r.architecture in classes]
    found = [k for k in named if k in known] + by_class
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
    recipe = known[found[0]]
    for kind in by_class if text is config else ():  # a wrapper's class is not its text's
        if (known[kind].experts, known[kind].recurrent) != (recipe.experts, recipe.recurrent):
            said = f"{where}: model_type: {found[0]} is contradicted by architectures ({kind}'s)"
            raise SpecError(said, hint="correct the one that is wrong: their layers differ")
    return found[0], recipe


def _of_stacks(c: Config, stacks: list[Stack]) -> dict[str, Any]:
    """Return the fields of a model of stacks; the model's own are those of most layers."""
    r, d = c.recipe, c.number("d_model", low=1)
    most = max(stacks, key=lambda x: (x.n_heads > 0, x.n_layers))
    vocab = c.number("vocab_size", low=1)
    norm = d * (2 if c.on(r.norm_bias) else 1)
    other = norm * (r.final_norms + r.embedding_norm) + vocab * c.on(r.head_bias)
    other += model_extra(c)
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


def _draft(kind: drafts.Kind, config: Json, where: str, more: dict[str, Any]) -> ModelSpec:
    """Return a draft: its layers, and what it has besides that its target has not."""
    c = drafts.config_of(kind, config, where)
    spec = _of_stacks(c, stacks_of(c))
    more["other_params"] = spec["other_params"] + drafts.own_params(kind, c)
    more["vocab_size"] = c.number("draft_vocab_size", spec["vocab_size"], low=1)
    return validate(ModelSpec, spec | more, where, hint="correct that key")


def _of_family(c: Config, family: Family, stacks: list[Stack]) -> dict[str, Any] | None:
    """Return the fields of a model of one of the families that are written, too.

    None where its layers differ by more than these say: a window, and dense layers before experts.
    """
    traits, first = FAMILIES[family], stacks[0]
    n = sum(x.n_layers for x in stacks)
    routed, dense = ([x for x in stacks if (x.n_experts > 1) == has] for has in (True, False))
    n_dense = sum(x.n_layers for x in dense) if routed else 0
    windows = {x.window for x in stacks} - {None}
    shape = ("n_heads", "n_kv_heads", "head_dim", "kv_latent_dim", "q_latent_dim", "rope_dim")
    alike = len({tuple(getattr(x, k) for k in shape) for x in stacks}) == 1 and len(windows) < 2
    last = mlps_of(c, n)[:n_dense] == [("dense",)] * n_dense
    values = c.number("v_head_dim", first.head_dim) == first.head_dim
    if not (alike and last and values) or (n_dense and not traits.latent):
        return None
    fields: dict[str, Any] = {
        "family": family,
        "n_layers": n,
        "d_model": c.number("d_model"),
        **{k: getattr(first, k) for k in shape},
        "d_ff": c.number("d_ff"),
        "vocab_size": c.number("vocab_size", low=1),
        "tied_embeddings": c.on("tie_word_embeddings"),
        "attention_bias": c.on("attention_bias"),
        "mlp_bias": c.on("mlp_bias"),
        "max_position_embeddings": c.number("max_position_embeddings", 131072, low=1),
        "rope_theta": _rope_theta(c.stated),
    }
    if routed:
        own = {k: getattr(routed[0], k) for k in ("n_experts", "n_active_experts")}
        fields |= own | {"d_ff_expert": routed[0].d_ff, "n_dense_layers": n_dense}
        fields["n_shared_experts"] = round(routed[0].n_shared_experts)
    if windows:
        local = sum(x.n_layers for x in stacks if x.window)
        fields |= {"window": windows.pop(), "local_fraction": local / n}
    return fields


def _rope_stretch(c: Config) -> float:
    """Times the longest text that angles are tabulated: linear scaling stretches the table.

    Local layers have one of their own, unstretched.
    """
    config = c.stated
    if c.recipe.positions or not c.recipe.rotary:
        return 0.0
    said = config.get("rope_scaling") or config.get("rope_parameters")
    said = said if isinstance(said, Mapping) else {}
    tables = [t for t in said.values() if isinstance(t, Mapping)] or [said]  # one a kind of layer
    local = len(tables) == 1 and bool(config.get("rope_local_base_freq"))
    return min(sum(map(_stretch, tables)) + local, 1e4)


def _stretch(scaling: Mapping[str, Any]) -> float:
    factor = scaling.get("factor")
    linear = (scaling.get("rope_type") or scaling.get("type")) == "linear"
    known = isinstance(factor, int | float) and 0 < factor <= 1000
    return float(factor) if linear and known and factor else 1.0


def _rope_theta(config: Json) -> Any:
    nested = config.get("rope_parameters")  # where transformers 5 keeps it
    theta = nested.get("rope_theta") if isinstance(nested, dict) else None
    theta = config.get("rope_theta") if theta is None else theta
    return 10000.0 if theta is None else theta
