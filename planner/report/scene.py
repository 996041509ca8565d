"""A result file brought back to life: the system, workload and law it was computed under.

Figures need more points than a result holds (contours, curves, sensitivities). They come from the
same library calls as the result itself, under the inputs it records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from planner.columns import Arch, System, Table, as_rows
from planner.errors import PlannerError, SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.fields import validate
from planner.inputs.law import default_law, load_law
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.workload import WorkloadSpec
from planner.questions.predict import DEFAULT_TOKENS
from planner.results import Candidate
from planner.scenario.shapes import Conditions, evaluate
from planner.scenario.system import serve

SHAPE = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")
HINT = "the result's inputs name something this machine does not have"


@dataclass(frozen=True, slots=True)
class Scene:
    """Conditions of a result, and its shapes by name: the baseline first, then the picks."""

    conditions: Conditions
    shapes: Mapping[str, Mapping[str, Any]]
    exact: Mapping[str, Arch] = field(
        default_factory=dict
    )  # of models that need not be Llama-style

    def arch(self, name: str) -> Arch:
        """Return the columns of one shape."""
        return as_rows(self.exact[name]) if name in self.exact else arch_of([self.shapes[name]])

    def system(self, name: str) -> System:
        """Return the system that serves one shape, every field a plain float."""
        return self.conditions.served.system(single(self.arch(name)))

    def evaluate(self, shapes: Sequence[Mapping[str, Any]] | Arch) -> Table:
        """Return what the library predicts of `shapes` under the result's conditions."""
        arch = shapes if isinstance(shapes, Arch) else arch_of(shapes)
        return evaluate(arch, self.conditions)


def single(arch: Arch) -> Arch:
    """Return one-row columns as plain floats."""
    return Arch(**{f.name: float(np.ravel(getattr(arch, f.name))[0]) for f in fields(Arch)})


def repeat(arch: Arch, n: int) -> Arch:
    """Return a one-row shape `n` times, so that it can meet a column of conditions."""
    one = single(arch)
    return replace(one, n_layers=np.full(n, one.n_layers))


def arch_of(shapes: Sequence[Mapping[str, Any]]) -> Arch:
    """Return candidates of a result as columns; their weights add up to the result's own count."""
    columns = {k: np.array([float(s[k]) for s in shapes]) for k in SHAPE}
    n_params = np.array([float(s["n_params"]) for s in shapes])
    matrices = np.array([float(s["n_params_non_embedding"]) for s in shapes])
    table = columns["vocab_size"] * columns["d_model"]
    # Norms and biases are under 0.1 %: what is left beyond one embedding is a second one, or they.
    untied = (n_params - matrices > 1.9 * table).astype(float)
    gated = columns["n_layers"] * columns["d_model"] * columns["d_ff"]
    attention = (
        columns["n_layers"]
        * columns["d_model"]
        * columns["head_dim"]
        * (2 * columns["n_heads"] + 2 * columns["n_kv_heads"])
    )
    return Arch(
        **columns,
        untied=untied,
        mlp_matrices=np.rint((matrices - attention) / gated).clip(2, 3),
        extra_params=n_params - matrices - table * (1 + untied),
    )


def shapes_of(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the shapes a result is about by name: baseline and picks, or the one predicted."""
    if result["kind"] == "predict":
        return {result.get("name") or "model": result}
    named = {"baseline": result.get("baseline")} | dict(result.get("picks") or {})
    return {name: shape for name, shape in named.items() if shape}


def scene_of(result: Mapping[str, Any]) -> Scene:
    """Rebuild the conditions of a result from its inputs.

    Raises:
        SpecError: the inputs are not those of a prediction, or name an unknown device or law.

    """
    inputs = result["inputs"]
    shapes = shapes_of(result)
    if not shapes:
        raise SpecError("this result holds no shape", hint="use one of recommend or predict")
    engine = validate(EngineSpec, inputs.get("engine", {}), "inputs.engine")
    workload = validate(WorkloadSpec, inputs.get("workload", {}), "inputs.workload")
    first = next(iter(shapes.values()))
    try:
        served = serve(str(inputs.get("on")), engine, profile=inputs.get("profile"))
        law = (
            load_law(inputs["law"])
            if inputs.get("law")
            else default_law(float(inputs.get("params") or first["n_params_non_embedding"]))[0]
        )
    except PlannerError as error:
        raise SpecError(f"inputs: {error}", hint=error.hint or HINT) from None
    tokens = inputs.get("tokens") or DEFAULT_TOKENS
    conditions = Conditions(
        served, workload.columns(), law, float(tokens), bool(inputs.get("depth_term", False))
    )
    model = inputs.get("model") if result["kind"] == "predict" else None
    spec = validate(ModelSpec, model, "inputs.model") if model else None
    return Scene(conditions, shapes, {next(iter(shapes)): spec.arch()} if spec else {})


def of_models(names: Sequence[str], *, on: str, within: Scene | None = None) -> Scene:
    """Return a scene of models by preset, path, or name in `within`, under one set of conditions.

    Without `within` the conditions are the defaults of `predict` on device `on`.

    Raises:
        UnknownName: no such model or device.

    """
    known = within.shapes if within else {}
    specs = {name: load_model(name) for name in names if name not in known}
    if within is not None:
        conditions = within.conditions
    else:
        first = specs[names[0]]
        law, _ = default_law(first.n_params_non_embedding)
        served = serve(on, EngineSpec())
        conditions = Conditions(served, WorkloadSpec().columns(), law, DEFAULT_TOKENS)
    archs = {name: spec.arch() for name, spec in specs.items()}
    exact = dict(within.exact) if within else {}
    shapes = {n: known[n] if n in known else _summary(specs[n]) for n in names}
    return Scene(conditions, shapes, exact | archs)


def _summary(spec: ModelSpec) -> dict[str, Any]:
    keys = (*SHAPE, "n_params", "n_params_non_embedding", "gqa", "mlp_attn_ratio", "d_over_sqrt_n")
    return {k: getattr(spec, k) for k in keys}


def with_batch(conditions: Conditions, batch: float | Any) -> Conditions:
    """Return the same conditions at another batch, or a column of them."""
    return replace(conditions, workload=replace(conditions.workload, batch=batch))


def as_result(result: "Candidate | Mapping[str, Any] | Any") -> dict[str, Any]:
    """Return the JSON form of a result object; a mapping is returned as it is."""
    return dict(result) if isinstance(result, Mapping) else result.to_dict()
