"""What a latency budget buys: the load each configuration carries, the plan, and where the time goes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from planner.errors import SpecError
from planner.inputs.deployment import DEFAULT_DEVICE
from planner.inputs.device import device_names
from planner.inputs.engine import EngineSpec
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.serve_written import serve_command
from planner.inputs.workload import WorkloadSpec
from planner.metrics import LATENCIES, SERVING, STATISTICS
from planner.questions.asking import asked, several
from planner.questions.budget.attribution import HARDLY, changes, operators
from planner.questions.budget.bounds import named, require_any_plan, require_possible, within_bounds
from planner.questions.budget.max_load import MaxLoad, Replica, at_rate, relaxed
from planner.questions.what_if import basis
from planner.results import Budget, Estimate, Plan
from planner.scenario import legal
from planner.scenario.evaluate import SIMULATED, Evaluated, evaluate
from planner.scenario.intervals import estimates
from planner.scenario.options import ALL, plain, seconds, settings_of
from planner.scenario.scenario import Scenario, conditions
from planner.scenario.simulated import simulated
from planner.serving.percentiles import Slo
from planner.warnings import serving_warnings

RELAX = (1.25, 2.0)
Time = str | float | None  # text with a unit, or seconds


@asked('budget("llama-3.1-8b", tpot="20ms", on=["h100-sxm"])')
def budget(
    model: str | ModelSpec,
    slo: Slo | None = None,
    *,
    ttft: Time = None,
    tpot: Time = None,
    itl: Time = None,
    e2e: Time = None,
    at: str = "p99",
    on: str | Sequence[str] = (DEFAULT_DEVICE,),
    dtypes: str | Sequence[str] = ("bf16",),
    tps: int | Sequence[int] = (1, 2, 4, 8),
    rate: str | float | None = None,
    command: str = "",
    progress: Callable[[int], None] | None = None,
    engine: EngineSpec | str | None = None,
    workload: WorkloadSpec | None = None,
    **settings: Any,
) -> Budget:
    """Return what each configuration carries within `slo`, and how many devices `rate` takes.

    Args:
        model: a preset's name, a path, or a spec.
        slo: limits [s] and the statistic at which they hold; or by the words below.
        ttft: longest time to first token, ``"300ms"`` or seconds.
        tpot: longest mean time per output token after the first.
        itl: longest gap between two tokens.
        e2e: longest time to the last token.
        at: statistic at which they hold: mean, p50, p90, p95, p99.
        on: hardware ids or paths; ``"all"``: every device there is.
        dtypes: weight formats to consider; one a device cannot compute in is left out.
        tps: tensor-parallel degrees to consider; one that cuts a head is left out.
        rate: arrivals to serve in all, ``"12/s"``; None: how much one replica carries.
        command: recorded in the result.
        progress: called with the number of configurations searched so far.
        engine: the rest of the engine's settings.
        workload: lengths and the like.
        settings: any other option by name.

    Raises:
        Infeasible: a limit below what nameplate rates allow, or that nothing meets even when idle;
            the model fits nowhere. Says which bound, and the nearest feasible value.
        SpecError: no limit at all, a value that cannot be, or no configuration that may be asked.
        UnknownName: no such model, option, hardware or profile.
        WrongType: an argument of another type.

    Example:
        >>> b = budget("llama-3.1-8b", tpot="20ms", on="h100-sxm", tps=[1, 2], rate="4/s")
        >>> b.plans[0].n_devices >= b.fewest_gpus.n_devices
        True
        >>> b.fewest_gpus.serve.startswith("vllm serve meta-llama/Llama-3.1-8B")
        True

    """
    started = time.perf_counter()
    slo = slo or _slo({"ttft_s": ttft, "tpot_s": tpot, "itl_s": itl, "e2e_s": e2e}, at)
    require_limits(slo)
    spec = load_model(model)
    base = settings_of(engine, workload) | settings
    wanted = None if rate is None else conditions(rate=rate).workload.rate_per_s
    dtypes, tps = settings.pop("dtype", dtypes), settings.pop("tp", tps)
    on = [d for o in several(on, "on") for d in (device_names() if o == ALL else [o])]
    dtypes, tps = several(dtypes, "dtypes"), several(tps, "tps", int)
    grid = [{"on": d, "dtype": f, "tp": tp} for d in on for f in dtypes for tp in tps]
    scenarios = [at_rate(Scenario.of(spec, conditions(**base | row)), HARDLY) for row in grid]
    found = evaluate(scenarios)
    legal.require_room(found)
    fits = found.answered()
    require_possible(found, fits, slo)
    replicas = {i: Replica(found, i) for i in fits if within_bounds(found, i, slo)}
    loads: dict[int, MaxLoad] = {}
    for i, replica in replicas.items():
        loads[i] = replica.max_load(slo)
        if progress:
            progress(len(loads))
    require_any_plan(found, loads, slo)
    most = {i: replica.most for i, replica in replicas.items()}
    plans = _plans(found, loads, wanted, slo, most)
    able = [plan for plan in plans if plan.rate_per_s > 0]
    best = next(i for i in loads if named(scenarios[i]) == able[0].configuration)
    return Budget(
        inputs={
            "model": spec.model_dump(mode="json"),
            "slo": slo.limits | {"at": slo.at},
            "on": list(on),
            "dtypes": list(dtypes),
            "tps": list(tps),
            "rate_per_s": wanted,
            "settings": {k: plain(v) for k, v in base.items()},
        },
        command=command,
        basis=basis(found) | {"latency": SIMULATED},
        warnings=serving_warnings(scenarios, found.table, range(len(grid))),
        plans=tuple(plans),
        fewest_gpus=min(able, key=lambda p: (p.n_devices, p.usd_per_hour or 0.0, -p.rate_per_s)),
        cheapest=_cheapest(able),
        relax=tuple(_relaxing(replicas[best], slo, loads[best])),
        operators=tuple(operators(found, best, loads[best])),
        changes=tuple(changes(scenarios[best], loads[best])),
        elapsed_s=time.perf_counter() - started,
    )


def _slo(asked: Mapping[str, Time], at: str) -> Slo:
    limits = {name: seconds(v, LATENCIES[name].flag) for name, v in asked.items()}
    return Slo(**{name: v for name, v in limits.items() if v is not None}, at=at)


def require_limits(slo: Slo) -> None:
    """Refuse a budget that limits nothing.

    Raises:
        SpecError: no limit, or a statistic that is none.

    """
    if not slo.limits:
        flags = [x.flag for x in LATENCIES.values()]
        raise SpecError("no limit to keep", hint=f"give {', '.join(flags[:-1])} or {flags[-1]}")
    if slo.at not in ("mean", *STATISTICS):
        known = ", ".join(("mean", *STATISTICS))
        raise SpecError(f"--at: {slo.at!r} is no statistic", hint=f"one of {known}")


def _plans(
    found: Evaluated,
    loads: Mapping[int, MaxLoad],
    wanted: float | None,
    slo: Slo,
    most: Mapping[int, float],
) -> list[Plan]:
    """Return a plan a configuration, best first: by price where known, else by devices."""
    copies = {
        i: math.ceil(wanted / load.rate_per_s) if wanted and load.rate_per_s > 0 else 1
        for i, load in loads.items()
    }
    # What the plan does as a whole: the same question what-if answers, so the same numbers.
    rates = {i: wanted or load.rate_per_s or HARDLY for i, load in loads.items()}
    asked = [at_rate(found.scenarios[i], rate, copies[i]) for i, rate in rates.items()]
    whole = evaluate(asked, simulate=True)
    plans = [
        _plan(found, i, load, whole, row, copies[i], slo, most[i])
        for row, (i, load) in enumerate(loads.items())
    ]

    def worth(p: Plan) -> tuple[Any, ...]:
        usd = p.metrics["usd_per_request"]
        able = p.rate_per_s > 0
        return (not able, usd is None, usd or 0.0, p.n_devices, -p.rate_per_s_per_device)

    return sorted(plans, key=worth)


def _plan(
    found: Evaluated, i: int, load: MaxLoad, whole: Evaluated, row: int, copies: int, slo: Slo,
    most: float,
) -> Plan:  # fmt: skip
    s, d, able = found.scenarios[i], found.deployment(i), load.rate_per_s > 0
    metrics = estimates(whole.table, row, d, SERVING, whole.seen(row))
    if not able:
        metrics = dict.fromkeys(metrics)
        metrics["n_devices"] = 0.0
    # What users see is the simulation's, at the limits' statistic.
    for name, value in load.latencies.items():
        sd = d.load_sd(LATENCIES[name].spread)
        metrics[name] = Estimate.lognormal(value, sd) if math.isfinite(value) else None
    if able:
        seen = simulated(load.simulation, slo)
        kept = ("goodput_per_s", "met_share", "gpu_utilisation", "waiting")
        metrics |= {name: seen[name] for name in kept}
        metrics["kv_utilisation"] = float(load.simulation.means["kv_utilisation"])
    each = s.engine.n_devices * (s.replicas + s.prefill_replicas)
    return Plan(
        configuration=named(s),
        on=s.on,
        dtype=s.engine.dtype,
        tp=s.engine.tp,
        replicas=copies if able else 0,
        rate_per_s=load.rate_per_s,
        rate_per_s_per_device=load.rate_per_s / each,
        share_of_saturation=load.rate_per_s / most,
        binds=load.binds,
        serve=serve_command(s.model, s) or None,
        metrics=metrics,
    )


def _cheapest(able: Sequence[Plan]) -> Plan | None:
    """Return the plan of the lowest bill for what it serves."""
    priced = [p for p in able if p.usd_per_request is not None]
    return min(priced, key=lambda p: p.usd_per_request, default=None)


def _relaxing(replica: Replica, slo: Slo, now: MaxLoad) -> list[dict[str, Any]]:
    """Return the load a looser limit would let the same configuration carry."""
    rows = []
    limits = [(n, LATENCIES[n].title) for n in slo.limits]
    options = [(f"{title} × {f:g}", relaxed(slo, n, f)) for n, title in limits for f in RELAX]
    if slo.at in ("p95", "p99"):
        options.append((f"at p90 instead of {slo.at}", Slo(**slo.limits, at="p90")))
    for what, looser in options:
        load = replica.max_load(looser)
        gain = load.rate_per_s / now.rate_per_s - 1 if now.rate_per_s else None
        row = {"relax": what, "rate_per_s": load.rate_per_s, "gain": gain, "binds": load.binds}
        rows.append(row)
    return rows
