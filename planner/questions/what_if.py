"""What if: one model under many settings, each with its metrics."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from planner.inputs.engine import EngineSpec
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.workload import WorkloadSpec
from planner.metrics import SERVING
from planner.questions.asking import asked, several
from planner.results import Limited, Point, WhatIf
from planner.scenario import legal
from planner.scenario.evaluate import CLOSED, SIMULATED, Evaluated, evaluate
from planner.scenario.intervals import estimates
from planner.scenario.options import (
    LOADS,
    OPTIONS,
    option,
    plain,
    product,
    read_vary,
    settings_of,
    shape,
)
from planner.scenario.scenario import Scenario, conditions, trace_of
from planner.warnings import CHANGED_SHAPE, NOT_SIMULATED, serving_warnings

MOST_TIMELINES = 16
MOST_SIMULATED = 512  # points of a grid; of larger ones the closed form is shown, and said so
IN_FLIGHT = 64  # requests kept in flight, where nobody says how they come


@asked('what_if("llama-3.1-8b", {"concurrency": [1, 8]}, on="h100-sxm")')
def what_if(
    model: str | ModelSpec,
    vary: str | Sequence[str] | Mapping[str, Any] = (),
    *,
    engine: EngineSpec | str | None = None,
    workload: WorkloadSpec | None = None,
    command: str = "",
    **settings: Any,
) -> WhatIf:
    """Return what `model` does under every combination of the varied options.

    Args:
        model: a preset's name, a path, or a spec.
        vary: ``name=values`` texts as on the command line, or names and lists of values.
        engine: how it is served where nothing varies it.
        workload: how requests come where nothing varies it; default 64 kept in flight.
        command: recorded in the result.
        settings: values of options that stay as they are, by name.

    Returns:
        Frozen rows; `.points[0].tpot_s.value` [s], `.rows()`, `.to_dict()`. Where requests arrive,
        latencies are means and percentiles of the simulated scheduler, of plain batches those of the
        closed form; None where the load is more than can be served. A setting that may not be
        asked (a parallelism that cuts a head, a format the device lacks) is a row that says so.

    Raises:
        UnknownName: no such model, option, hardware or profile.
        SpecError: a value or a shape that cannot be, or no row that may be asked.
        Infeasible: the model fits under none of the settings; says by how much.
        WrongType: an argument of another type.

    Example:
        >>> w = what_if("llama-3.1-8b", {"concurrency": [1, 8]}, on="h100-sxm")
        >>> [row["concurrency"] for row in w.rows()] == [1, 8]
        True
        >>> slow, fast = w.points
        >>> fast.output_tokens_per_s.value > 4 * slow.output_tokens_per_s.value
        True

    """
    started = time.perf_counter()
    spec = load_model(model)
    varied: dict[str, Any]
    if isinstance(vary, Mapping):
        varied = {n: v if isinstance(v, list | tuple) else [v] for n, v in vary.items()}
    else:
        varied = read_vary(several(vary, "vary"))
    base = settings_of(engine, workload) | settings
    if not any(name in LOADS for name in (*varied, *base)):
        base["concurrency"] = IN_FLIGHT
    rows = product(varied)
    scenarios = [scenario_of(spec, base | row) for row in rows]
    found = evaluate(scenarios, simulate=len(rows) <= MOST_SIMULATED)
    legal.require_room(found)
    sims = [found.seen(i) for i in range(len(rows))]
    models = any(OPTIONS[n].group == "model" for n in varied)
    points = [
        Point(
            settings={name: plain(value) for name, value in row.items()},
            metrics=metrics(found, i),
            bound=str(found.table["bound"][i]),
            refused=refusal(found.refused[i]),
            n_params=scenarios[i].model.n_params if models else None,
        )
        for i, row in enumerate(rows)
    ]
    changed = any(OPTIONS[n].group == "model" and n != "model" for n in varied)
    return WhatIf(
        inputs={
            "model": spec.model_dump(mode="json"),
            "settings": {k: plain(option(k).read(v)) for k, v in base.items()},
            "vary": {k: [plain(v) for v in values] for k, values in varied.items()},
        },
        command=command,
        basis=basis(found),
        warnings=(
            *serving_warnings(scenarios, found.table, range(len(rows))),
            *((CHANGED_SHAPE,) if changed else ()),
            *((NOT_SIMULATED,) if len(rows) > MOST_SIMULATED else ()),
        ),
        vary=tuple(varied),
        points=tuple(points),
        elapsed_s=time.perf_counter() - started,
        timelines=tuple(dict(x.timeline) if x else {} for x in sims)
        if any(sims) and len(sims) <= MOST_TIMELINES
        else (),
    )


def scenario_of(model: ModelSpec, settings: Mapping[str, Any]) -> Scenario:
    """Return one row's scenario: `settings` may name the model and change its shape."""
    own = {n: v for n, v in settings.items() if option(n).group == "model"}
    rest = {n: v for n, v in settings.items() if n not in own}
    named = own.pop("model", None)
    return Scenario.of(shape(load_model(named) if named else model, own), conditions(**rest))


def metrics(found: Evaluated, row: int) -> dict[str, Any]:
    """Return one row's metrics with their intervals; all None where it was refused."""
    if found.refused[row] is not None:
        return dict.fromkeys(SERVING)
    return estimates(found.table, row, found.deployment(row), SERVING, found.seen(row))


def refusal(found: legal.Refusal | None) -> Limited | None:
    """Return why a row may not be asked, as results record it."""
    if found is None:
        return None
    return Limited(limit=found.code, message=found.message, met=False)


def basis(found: Evaluated) -> dict[str, str]:
    """Return where the numbers are from, in words."""
    deployments = [e.resolved.deployment for e in found.groups]
    simulated = any(one is not None for e in found.groups for one in e.seen)
    names = "; ".join(dict.fromkeys(d.read_as for d in deployments if d.read_as))
    loads = [s.workload for s in found.scenarios if s.workload.trace]
    replayed = "; ".join(dict.fromkeys(trace_of(w).words for w in loads))
    said = {"names": names, "trace": replayed}
    return {name: text for name, text in said.items() if text} | {
        "speed": "; ".join(dict.fromkeys(d.basis for d in deployments)),
        "latency": SIMULATED if simulated else CLOSED,
        "price": "; ".join(dict.fromkeys(d.price_basis for d in deployments)),
    }
