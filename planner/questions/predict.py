"""One model in one scenario: everything `recommend` says of a shape, with its breakdown."""

from typing import Any

from planner.columns import as_rows
from planner.inputs.engine import EngineSpec
from planner.inputs.model import ModelSpec
from planner.inputs.serve_written import serve_command
from planner.inputs.workload import WorkloadSpec
from planner.questions.asking import asked
from planner.results import Asked, Prediction
from planner.scenario import legal
from planner.scenario.evaluate import CANDIDATE, CLOSED, SIMULATED, Evaluation, operators, see
from planner.scenario.intervals import candidate, draw_losses
from planner.scenario.scenario import Resolved, Scenario, conditions
from planner.warnings import serving_warnings


@asked('predict("llama-3.1-8b", on="h100-sxm")')
def predict(
    model: str | ModelSpec,
    *,
    engine: EngineSpec | str | None = None,
    workload: WorkloadSpec | None = None,
    command: str = "",
    **settings: Any,
) -> Prediction:
    """Predict speed, memory, loss and accuracy of `model`.

    Args:
        model: a preset's name, a path, or a spec.
        engine: how it is served, by name or as a spec; default vLLM in bf16 on one device.
        workload: how requests come; default an offline batch of 64, 4096 tokens in, 1024 out.
        command: recorded in the result.
        settings: any option by name: ``on="h100-sxm"``, ``tp=2``, ``rate="4/s"``, ``tokens="1T"``.

    Raises:
        UnknownName: no such model, option, hardware, law or profile.
        SpecError: a value that cannot be, or a parallelism that cuts a head.
        Infeasible: not one request fits in memory; says by how much.
        WrongType: an argument of another type.

    Example:
        >>> p = predict("llama-3.1-8b", on="h100-sxm", concurrency=1)
        >>> print(f"{1e3 * p.candidate.tpot_s.value:.0f} ms, bound by {p.candidate.bound}")
        7 ms, bound by hbm
        >>> p.candidate.tpot_s.low < p.candidate.tpot_s.value < p.candidate.tpot_s.high
        True

    """
    scenario = Scenario.of(model, conditions(engine, workload, **settings))
    return predict_scenario(scenario, command=command)


def predict_scenario(s: Scenario, *, command: str = "") -> Prediction:
    """Return the prediction of a scenario; raises as `predict` does."""
    legal.require_legal(s)
    resolved = Resolved.of(s, s.model.n_params_non_embedding)
    one = Evaluation(resolved, s.model.arch())
    if (short := legal.lacking(s)) > 0:
        raise legal.does_not_fit(s, short)
    seen = see(one, s)
    table = one.table(CANDIDATE)
    arch = as_rows(s.model.arch())
    assert resolved.trained
    draws = draw_losses(table, arch, resolved.trained)
    more = {"breakdown": operators(one), "serve": serve_command(s.model, s) or None}
    found = candidate(s.model.name, s.model, draws, 0, resolved, more, seen)
    said = (*found.warnings, *serving_warnings([s], table, [0]))
    return Prediction(
        command=command,
        inputs=Asked(**dict(s)),
        basis=resolved.basis | {"latency": CLOSED if seen is None else SIMULATED},
        warnings=said,
        candidate=found.model_copy(update={"warnings": said}),
    )
