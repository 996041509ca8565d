"""What a latency budget buys: the load each configuration carries, the plan, and where the time goes."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.price import load_prices
from planner.questions.budget.attribution import changes, operators
from planner.questions.budget.feasible import lit, named, require_light, require_someone, word
from planner.questions.budget.max_load import Carried, Replica, relaxed, saturating
from planner.questions.recommend.ask import Time, seconds
from planner.questions.what_if import basis, finite, say, warnings
from planner.results import SCHEMA, Estimate, flat_rows
from planner.scenario.legal import require_room
from planner.scenario.scenario import DEFAULTS, Points, Price, evaluate
from planner.serving.slo import Slo

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
RELAX = (1.25, 2.0)
LATENCIES = {"ttft_s": "ttft_s", "tpot_s": "tpot_s", "itl_s": "tpot_s", "e2e_s": "tpot_s"}


@dataclass(frozen=True, slots=True)
class Budget:
    """The answer of `budget`."""

    inputs: Mapping[str, Any]
    command: str
    basis: Mapping[str, str]
    warnings: tuple[str, ...]
    plans: tuple[Mapping[str, Any], ...]  # a configuration each, best first
    fewest_gpus: Mapping[str, Any] | None
    cheapest: Mapping[str, Any] | None
    relax: tuple[Mapping[str, Any], ...]  # what a looser limit would buy the first plan
    operators: tuple[Mapping[str, Any], ...]  # where its milliseconds go
    changes: tuple[Mapping[str, Any], ...]  # what would win them back
    elapsed_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON contract of `planner budget --json`."""
        return {
            "schema": SCHEMA,
            "kind": "budget",
            "command": self.command,
            "inputs": dict(self.inputs),
            "basis": dict(self.basis),
            "warnings": list(self.warnings),
            "plans": [_jsonable(p) for p in self.plans],
            "fewest_gpus": _jsonable(self.fewest_gpus),
            "cheapest": _jsonable(self.cheapest),
            "relax": list(self.relax),
            "operators": list(self.operators),
            "changes": list(self.changes),
            "elapsed_s": self.elapsed_s,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat CSV row a plan."""
        return flat_rows(self.plans)

    def __rich__(self) -> Any:
        """Render as terminal tables."""
        from planner.report.budget import budget

        return budget(self)


def _jsonable(plan: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in plan.items()}


def budget(
    model: str | ModelSpec,
    slo: Slo | None = None,
    *,
    ttft: Time = None,
    tpot: Time = None,
    itl: Time = None,
    e2e: Time = None,
    at: str = "p99",
    on: Sequence[str] = ("a100-sxm-40gb",),
    dtypes: Sequence[str] = ("bf16",),
    tps: Sequence[int] = (1, 2, 4, 8),
    rate_per_s: float | None = None,
    settings: Mapping[str, Any] | None = None,
    usd_per_hour: float | None = None,
    prices: str | None = None,
    profile: str | None = None,
    command: str = "",
) -> Budget:
    """Return what each configuration carries within `slo`, and how many devices `rate_per_s` takes.

    Args:
        model: a preset's name, a path, or a spec.
        slo: limits [s] and the statistic at which they hold; or by the words below.
        ttft: longest time to first token, ``"300ms"`` or seconds.
        tpot: longest mean time per output token after the first.
        itl: longest gap between two tokens.
        e2e: longest time to the last token.
        at: statistic at which they hold: mean, p50, p90, p95, p99.
        on: hardware ids or paths.
        dtypes: weight formats to consider; one a device cannot compute in is left out.
        tps: tensor-parallel degrees to consider.
        rate_per_s: arrivals to serve in all; None: how much one replica carries.
        settings: other knobs, by name.
        usd_per_hour: price of a device; else `prices`, a TOML; else the list that ships.
        prices: path of a price list.
        profile: speed profile, name or path.
        command: recorded in the result.

    Raises:
        Infeasible: a limit below the speed of light, or that nothing meets even when idle; the
            model fits nowhere. Says which bound, and the nearest feasible value.
        SpecError: no limit at all, or a value that cannot be.
        UnknownName: no such model, hardware or profile.

    """
    started = time.perf_counter()
    if slo is None:
        asked = {"ttft": ttft, "tpot": tpot, "itl": itl, "e2e": e2e}
        limits = {f"{k}_s": seconds(v, f"--{k}") for k, v in asked.items()}
        slo = Slo(**{k: v for k, v in limits.items() if v is not None}, at=at)
    if not slo.limits:
        raise SpecError("no limit to keep", hint="give --ttft, --tpot, --itl or --e2e")
    if slo.at not in STATISTICS:
        raise SpecError(f"--at: {slo.at!r} is no statistic", hint=f"one of {', '.join(STATISTICS)}")
    spec = load_model(model)
    base = {**(settings or {}), "profile": profile}
    rows = _configurations(on, dtypes, tps, base)
    price = Price(usd_per_hour, None if usd_per_hour is not None else load_prices(prices))
    points = evaluate(spec, [saturating(r) for r in rows], price)
    require_room(spec, points)
    fits = [i for i in range(len(rows)) if points.table["bound"][i] != "does not fit"]
    require_light(points, fits, slo)
    replicas = {i: Replica(points, i) for i in fits if lit(points, i, slo)}
    carried = {i: replica.carries(slo) for i, replica in replicas.items()}
    require_someone(points, carried, slo)
    plans = [_plan(points, i, carried[i], rate_per_s, slo) for i in carried]
    plans.sort(key=_worth)
    able = [p for p in plans if p["rate_per_s"] > 0]
    best = next(i for i in carried if named(points, i) == able[0]["configuration"])
    return Budget(
        inputs={
            "model": spec.model_dump(mode="json"),
            "slo": slo.limits | {"at": slo.at},
            "on": list(on),
            "dtypes": list(dtypes),
            "tps": list(tps),
            "rate_per_s": rate_per_s,
            "settings": {k: say(v) for k, v in {**DEFAULTS, **base}.items() if v != np.inf},
        },
        command=command,
        basis=basis(points, price, simulated=True),
        warnings=warnings(points, {}),
        plans=tuple(plans),
        fewest_gpus=min(
            able, key=lambda p: (p["n_devices"], p["usd_per_hour"] or 0.0, -p["rate_per_s"])
        ),
        cheapest=_cheapest(able, rate_per_s),
        relax=tuple(_relaxing(replicas[best], slo, carried[best])),
        operators=tuple(operators(points, best, carried[best])),
        changes=tuple(changes(spec, points, best, carried[best], price)),
        elapsed_s=time.perf_counter() - started,
    )


def _configurations(
    on: Sequence[str], dtypes: Sequence[str], tps: Sequence[int], base: Mapping[str, Any]
) -> list[dict[str, Any]]:
    from planner.inputs.device import load_device

    rows, refused = [], None
    for device in on:
        spec = load_device(device)
        for dtype in dtypes:
            try:
                spec.flops_per_s(dtype)
            except SpecError as error:
                refused = error
                continue
            rows += [{**base, "on": device, "dtype": dtype, "tp": tp} for tp in tps]
    if not rows:
        raise refused or SpecError("no configuration to consider", hint="give --on and --dtype")
    return rows


def _plan(points: Points, i: int, c: Carried, rate_per_s: float | None, slo: Slo) -> dict[str, Any]:
    t, served = points.table, points.served[i]
    spread, wider = served.profile.spread, served.wider
    each = int(t["n_devices"][i])
    copies = 1
    if rate_per_s is not None and c.rate_per_s > 0:
        copies = math.ceil(rate_per_s / c.rate_per_s)
    usd = finite(t["usd_per_hour"][i])
    row: dict[str, Any] = {
        "configuration": named(points, i),
        "on": points.settings[i]["on"],
        "dtype": points.settings[i]["dtype"],
        "tp": points.settings[i]["tp"],
        "replicas": copies if c.rate_per_s > 0 else 0,
        "n_devices": copies * each if c.rate_per_s > 0 else 0,
        "rate_per_s": c.rate_per_s,
        "rate_per_s_per_device": c.rate_per_s / each,
        "share_of_saturation": c.rate_per_s / float(t["saturation_per_s"][i]),
        "binds": c.binds,
    }
    for name, value in c.seen.items():
        sd = {"ttft_s": spread.prefill}.get(LATENCIES[name], spread.decode) * wider
        row[name] = Estimate.lognormal(value, sd) if np.isfinite(value) else None
    sim = c.simulation
    if sim is not None and c.rate_per_s > 0:
        row |= {
            "output_tokens_per_s": Estimate.lognormal(
                sim.output_tokens_per_s, spread.throughput * wider
            ),
            "goodput_per_s": sim.goodput(slo),
            "gpu_utilisation": float(sim.means["gpu_utilisation"]),
            "kv_utilisation": float(sim.means["kv_utilisation"]),
            "waiting": float(sim.means["waiting"]),
        }
    row["usd_per_hour"] = None if usd is None or c.rate_per_s == 0 else usd * copies
    if row["usd_per_hour"] is not None:
        served_per_s = rate_per_s if rate_per_s is not None else c.rate_per_s
        mtok = served_per_s * points.settings[i]["output_tokens"] * 3600 / 1e6
        row["usd_per_output_mtok"] = row["usd_per_hour"] / mtok
    return row


def _worth(plan: Mapping[str, Any]) -> tuple[Any, ...]:
    """Order plans: those that can, by price where known, else by devices; most load first."""
    able = plan["rate_per_s"] > 0
    usd = plan.get("usd_per_output_mtok")
    per_device = -plan["rate_per_s_per_device"]
    return (not able, usd is None, usd or 0.0, plan["n_devices"], per_device)


def _cheapest(able: Sequence[Mapping[str, Any]], rate_per_s: float | None) -> Any:
    """Return the plan of the lowest bill, or per request where no rate was asked for."""
    priced = [p for p in able if p["usd_per_hour"] is not None]
    key = "usd_per_hour" if rate_per_s is not None else "usd_per_output_mtok"
    return min(priced, key=lambda p: p[key], default=None)


def _relaxing(replica: Replica, slo: Slo, now: Carried) -> list[dict[str, Any]]:
    """Return the load a looser limit would let the same configuration carry."""
    rows = []
    options = [(f"{word(n)} × {f:g}", relaxed(slo, n, f)) for n in slo.limits for f in RELAX]
    if slo.at in ("p95", "p99"):
        options.append((f"at p90 instead of {slo.at}", Slo(**slo.limits, at="p90")))
    for what, looser in options:
        c = replica.carries(looser)
        gain = c.rate_per_s / now.rate_per_s - 1 if now.rate_per_s else None
        rows.append({"relax": what, "rate_per_s": c.rate_per_s, "gain": gain, "binds": c.binds})
    return rows
