"""What if: one model under many settings, each with its figures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.price import load_prices
from planner.results import SCHEMA, Estimate, flat_rows
from planner.scenario.legal import require_room
from planner.scenario.options import KNOBS, Times, product, read_knobs
from planner.scenario.scenario import DEFAULTS, Points, Price, evaluate
from planner.scenario.simulated import simulated_point

MOST_TIMELINES = 16
ESTIMATES = {
    "ttft_s": "ttft_s",
    "tpot_s": "tpot_s",
    "e2e_s": "tpot_s",
    "output_tokens_per_s": "output_tokens_per_s",
}
FIGURES = (
    "requests_per_s",
    "total_tokens_per_s",
    "output_tokens_per_s_per_device",
    "in_flight",
    "max_concurrency",
    "saturation_per_s",
    "kv_utilisation",
    "mfu",
    "mbu",
    "n_devices",
    "usd_per_hour",
    "usd_per_input_mtok",
    "usd_per_output_mtok",
    "watts",
    "joules_per_token",
)


def finite(value: Any) -> Any:
    """Return a number JSON can hold: None for what does not exist or has no bound."""
    return float(value) if np.isfinite(value) else None


def say(value: Any) -> Any:
    """Return a setting's value as JSON can hold it."""
    return f"{value.factor:g}x" if isinstance(value, Times) else value


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer of `what_if`: a row a setting."""

    inputs: Mapping[str, Any]
    command: str
    basis: Mapping[str, str]
    warnings: tuple[str, ...]
    vary: tuple[str, ...]  # what the rows differ in
    points: tuple[Mapping[str, Any], ...]  # settings, estimates, figures
    elapsed_s: float
    timelines: tuple[Mapping[str, Any], ...] = ()  # of each point, where few were simulated

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON contract of `planner what-if --json`."""
        rows = [
            {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in p.items()}
            for p in self.points
        ]
        more = {"timelines": [dict(t) for t in self.timelines]} if self.timelines else {}
        return more | {
            "schema": SCHEMA,
            "kind": "what-if",
            "command": self.command,
            "inputs": dict(self.inputs),
            "basis": dict(self.basis),
            "warnings": list(self.warnings),
            "vary": list(self.vary),
            "points": rows,
            "elapsed_s": self.elapsed_s,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat CSV row a point."""
        return flat_rows(self.points)

    def __rich__(self) -> Any:
        """Render as a terminal table."""
        from planner.report.what_if import what_if

        return what_if(self)


def what_if(
    model: str | ModelSpec,
    vary: Sequence[str] | Mapping[str, Sequence[Any]] = (),
    *,
    settings: Mapping[str, Any] | None = None,
    usd_per_hour: float | None = None,
    prices: str | None = None,
    simulate: bool = False,
    profile: str | None = None,
    command: str = "",
) -> WhatIf:
    """Return what `model` does under every combination of the varied knobs.

    Args:
        model: a preset's name, a path, or a spec.
        vary: ``name=values`` texts as on the command line, or names and lists of values.
        settings: values of knobs that stay as they are; `points.DEFAULTS` for the rest.
        usd_per_hour: price of a device; else `prices`; else the list that ships.
        prices: path of a price list, TOML.
        simulate: run every point through the scheduler as well, for percentiles.
        profile: speed profile, name or path; default: the nearest there is.
        command: recorded in the result.

    Returns:
        Frozen rows; `.points[0]["tpot_s"].value` [s], `.rows()`, `.to_dict()`. Latencies are means
        of the closed form; None where the load is more than can be served.

    Raises:
        UnknownName: no such model, knob, hardware or profile.
        SpecError: a value or a shape that cannot be.
        Infeasible: the model fits under none of the settings; says by how much.

    """
    started = time.perf_counter()
    spec = load_model(model)
    knobs = dict(vary) if isinstance(vary, Mapping) else read_knobs(vary)
    base = {**(settings or {}), "profile": profile}
    rows = [base | row for row in product(knobs)]
    price = Price(usd_per_hour, None if usd_per_hour is not None else load_prices(prices))
    points = evaluate(spec, rows, price)
    require_room(spec, points)
    names = tuple(knobs)
    sims = [simulated_point(points, i) for i in range(len(rows))] if simulate else []
    sampled = [figures for figures, _ in sims] or None
    timelines = tuple(t for _, t in sims) if len(sims) <= MOST_TIMELINES else ()
    return WhatIf(
        inputs={
            "model": spec.model_dump(mode="json"),
            "settings": {k: say(v) for k, v in ({**DEFAULTS, **base}).items() if _plain(v)},
            "vary": {k: [say(v) for v in values] for k, values in knobs.items()},
        },
        command=command,
        basis=basis(points, price, simulate),
        warnings=warnings(points, knobs),
        vary=names,
        points=tuple(point(points, i, names, sampled) for i in range(len(rows))),
        elapsed_s=time.perf_counter() - started,
        timelines=timelines,
    )


def _plain(value: Any) -> bool:
    return not (isinstance(value, float) and not np.isfinite(value))


def point(points: Points, i: int, names: Sequence[str], sampled: Any = None) -> dict[str, Any]:
    """Return one row: what it differs in, estimates, figures."""
    setting, t = points.settings[i], points.table
    row: dict[str, Any] = {n: say(setting[n]) for n in names}
    for name, spread in ESTIMATES.items():
        value = float(t[name][i])
        sd = float(t[f"sd_{spread}"][i])
        row[name] = Estimate.lognormal(value, sd) if np.isfinite(value) else None
    row |= {n: finite(t[n][i]) for n in FIGURES if n in t}
    row["bound"] = str(t["bound"][i])
    if any(KNOBS[n].turns in ("model", "shape") for n in names):
        row["n_params"] = points.archs[i].n_params
    if sampled is not None:
        row |= sampled[i]
    return row


def basis(points: Points, price: Price, simulated: bool) -> dict[str, str]:
    """Return where the figures are from, in words."""
    speed = dict.fromkeys(s.basis for s in points.served)
    return {
        "speed": "; ".join(speed),
        "latency": "simulated scheduler, mean and percentiles; closed form for the rest"
        if simulated
        else "closed form, means",
        "price": "as given"
        if price.usd_per_hour is not None
        else (price.prices.basis if price.prices else "none"),
    }


def warnings(points: Points, knobs: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """Return what a reader should know before believing the rows."""
    t, said = points.table, []
    lost = int(np.sum(t["bound"] == "does not fit"))
    if lost:
        said.append(f"{lost} of {len(points.settings)} settings do not fit in memory")
    late = int(np.sum(t["bound"] == "saturated"))
    if late:
        said.append(f"{late} settings are asked for more than they can serve: queues never end")
    if np.any(t["bound"] == "capacity"):
        said.append(
            "where bound by capacity, requests wait for memory and are set back: throughput is some "
            "10 % optimistic, TTFT rough until the queue is long; --simulate says better"
        )
    unpriced = {s["on"] for i, s in enumerate(points.settings) if np.isnan(t["usd_per_hour"][i])}
    if unpriced - {
        s["on"] for i, s in enumerate(points.settings) if t["bound"][i] == "does not fit"
    }:
        said.append(f"no price known for {', '.join(sorted(unpriced))}: give --usd-per-hour")
    if any(KNOBS[n].turns == "shape" for n in knobs):
        said.append("a changed shape is another model: it has to be trained, and loses differently")
    if any(a.n_experts > 1 or a.window or a.kv_latent_dim for a in points.archs):
        said.append(
            "experts, windows and latent attention are costed from their equations, uncalibrated"
        )
    if any(s["draft"] for s in points.settings):
        said.append("the acceptance of drafts is an assumption: measure it on your traffic")
    return tuple(said)
