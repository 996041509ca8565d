"""One model on one system: everything `recommend` says of a shape, with its breakdown."""

from dataclasses import replace
from typing import Any

import numpy as np

from planner.columns import Arch, as_rows
from planner.errors import Infeasible, SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.law import default_law, load_law
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.question import MAX_TOKENS, MIN_TOKENS
from planner.inputs.workload import WorkloadSpec
from planner.results import Prediction
from planner.scenario.intervals import candidate, judge, operators
from planner.scenario.shapes import ACCURACY_BASIS, Conditions, evaluate
from planner.scenario.system import serve
from planner.units import show

DEFAULT_TOKENS = 1e11  # the paper's training budget; only the loss depends on it


def predict(
    model: str | ModelSpec,
    *,
    on: str = "a100-sxm-40gb",
    engine: EngineSpec | None = None,
    workload: WorkloadSpec | None = None,
    tokens: float = DEFAULT_TOKENS,
    law: str | None = None,
    profile: str | None = None,
    command: str = "",
) -> Prediction:
    """Predict speed, memory, loss and accuracy of `model`.

    Args:
        model: a preset's name, a path, or a spec.
        on: hardware id or path.
        engine: how it is served; default vLLM in bf16 on one device.
        workload: an offline batch; default 64 requests, 4096 tokens in, 1024 out.
        tokens: training tokens, for the loss.
        law: name or path of the loss law; default: the one fitted nearest the model's size.
        profile: name or path of the speed profile; default: the nearest there is.
        command: recorded in the result.

    Raises:
        UnknownName: no such model, hardware, law or profile.
        Infeasible: not one request fits in memory; says by how much.

    """
    spec = load_model(model)
    if not MIN_TOKENS <= tokens <= MAX_TOKENS:
        raise SpecError(
            f"--tokens {tokens:g} is outside {MIN_TOKENS:g} to {MAX_TOKENS:g}",
            hint="give the tokens it was trained on, e.g. 100B",
        )
    engine, workload = engine or EngineSpec(), workload or WorkloadSpec()
    chosen, law_basis = (
        (load_law(law), f"law {law}, as asked") if law else default_law(spec.n_params_non_embedding)
    )
    require_whole_heads(spec, engine.tp)
    served = serve(on, engine, profile=profile)
    conditions = Conditions(served, workload.columns(), chosen, tokens)
    arch = as_rows(spec.arch())
    table = {k: np.asarray(v) for k, v in evaluate(arch, conditions).items()}
    require_room(spec, arch, conditions)
    judged = judge(table, arch, conditions)
    result = candidate(spec.name, judged, 0, conditions)
    parts = operators(served.system(spec.arch()), conditions)
    return Prediction(
        inputs=_inputs(spec, on, engine, workload, tokens)
        | {"law": chosen.name, "profile": profile},
        command=command,
        basis={"speed": served.basis, "loss": law_basis, "accuracy": ACCURACY_BASIS},
        warnings=result.warnings,
        candidate=replace(result, breakdown=parts),
    )


def require_whole_heads(spec: ModelSpec, tp: int) -> None:
    """Refuse a tensor parallelism that would cut a head.

    Raises:
        SpecError: `tp` does not divide n_heads, or neither divides nor is divided by n_kv_heads.

    """
    kv = spec.n_kv_heads
    if spec.n_heads % tp or (kv % tp and tp % kv):
        fits = [t for t in (1, 2, 4, 8, 16) if spec.n_heads % t == 0 and not (kv % t and t % kv)]
        raise SpecError(
            f"--tp {tp} cannot cut {spec.name}: {spec.n_heads} heads, {kv} KV heads",
            hint=f"choose --tp {' or '.join(map(str, fits))}",
        )


def require_room(spec: ModelSpec, arch: Arch, c: Conditions) -> None:
    """Refuse a model of which not one request fits.

    Raises:
        Infeasible: by how many GB it does not fit, and the smallest fix.

    """
    from planner.cost import memory

    system = c.served.system(arch)
    if float(np.ravel(memory.max_concurrency(system, c.workload))[0]) >= 1:
        return
    length = c.workload.input_tokens + c.workload.output_tokens
    shares = system.parallel.tp * system.parallel.pp
    need = (
        memory.weight_bytes(system)
        + memory.activation_peak_bytes(system)
        + system.limits.reserve_bytes
        + memory.kv_bytes_per_token(system) * length / shares
    )
    room = system.device.hbm_bytes * system.limits.memory_fraction
    short = float(np.ravel(need)[0] - room)
    fits = 2 ** int(np.ceil(np.log2(max(float(np.ravel(need)[0]) * shares / room, 1.0))))
    raise Infeasible(
        f"{spec.name} does not fit {c.served.device.name}: {show(short, 'byte')} short for one "
        f"request of {length:.0f} tokens",
        hint=f"try --tp {fits}, a smaller --dtype, or a device with more memory",
    )


def _inputs(
    spec: ModelSpec, on: str, engine: EngineSpec, workload: WorkloadSpec, tokens: float
) -> dict[str, Any]:
    return {
        "model": spec.model_dump(mode="json"),
        "on": on,
        "engine": engine.model_dump(mode="json"),
        "workload": workload.model_dump(mode="json"),
        "tokens": tokens,
    }
