"""Model shapes as text."""

from collections.abc import Mapping
from typing import Any

from planner.inputs.model import ModelSpec
from planner.inputs.presets import presets
from planner.report.parts import Grid
from planner.report.text import Fitted
from planner.units import show, significant

_COLUMNS = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")


def models_table(specs: Mapping[str, ModelSpec]) -> Fitted:
    """Return one line a model, by id."""
    rows = []
    for name, spec in specs.items():
        shape = [str(getattr(spec, column)) for column in _COLUMNS]
        rows.append([name, spec.family, *shape, show(spec.n_params)])
    keep = [9, 5, 9, 9, 8, 8, 4, 9, 3, 9]
    return Fitted(Grid(["model", "family", *_COLUMNS, "n_params"], rows, keep=keep, left=2))


def models_rows(specs: Mapping[str, ModelSpec]) -> list[dict[str, Any]]:
    """Return a row a model: its name here and on the hub, its parameters, and its source."""
    ours = presets()
    return [
        {
            "name": name,
            "hub": " ".join(ours[name].hub) if name in ours else "",
            "n_params": spec.n_params,
            "n_active_params": spec.n_active_params,
            "published": ours[name].published if name in ours else "",
            "source": spec.source,
        }
        for name, spec in specs.items()
    ]


def model_text(spec: ModelSpec) -> str:
    """Return a model's shape and what follows from it, a line each; neutral fields are left out."""
    neutral = {k: f.default for k, f in type(spec).model_fields.items()}
    stated = {k: v for k, v in spec.model_dump().items() if k in _COLUMNS or v != neutral[k]}
    derived = {
        k: significant(v) if isinstance(v, float) else f"{v:,}"
        for k, v in spec.summary().items()
        if k not in neutral
    }
    lines = {k: v for k, v in stated.items() if k not in ("name", "source", "stacks")} | derived
    for i, stack in enumerate(spec.stacks, start=1):
        own = {k: v for k, v in stack.model_dump().items() if k != "n_layers"}
        own |= {f"recurrent {k}": v for k, v in own.pop("recurrent", {}).items()}
        said = ", ".join(k if v is True else f"{k} {v}" for k, v in own.items())
        lines[f"stack {i}"] = f"{stack.n_layers} layers: {said}"
    width = max(map(len, lines))
    body = [f"  {key:{width}}  {value}" for key, value in lines.items()]
    return "\n".join(
        [spec.name, *body] + ([f"  {'source':{width}}  {spec.source}"] * bool(spec.source))
    )
