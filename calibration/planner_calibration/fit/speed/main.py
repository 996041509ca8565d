"""`planner calibrate profiles DATA --out calibration/fits`: every shipped profile, bit for bit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads
from planner.inputs.files import read_csv
from planner.interval import Z
from planner.questions.validate.kernel_rows import KernelRows, group_kernels, predicted_s
from planner.questions.validate.measured import Run, runs_of
from planner.writer import write_whole
from planner_calibration.fit.speed import fleet
from planner_calibration.fit.speed.crossval import gain_spread, leave_one_out, ln_errors, spread
from planner_calibration.fit.speed.engines import EngineFit, fit_engine
from planner_calibration.fit.speed.fleet import Borrowed, Plan
from planner_calibration.fit.speed.kernels import KernelFit, fit_kernels
from planner_calibration.fit.speed.today import fit_today, rows_of, unseen
from planner_calibration.fit.write import constants, posterior, profile_toml

Vector = NDArray[np.float64]
FEW = 0.06  # the spread of a ratio of shapes, where nothing pairs up: LLM-Inference-Bench's own
COUNTED = ("", "hf_eager")  # flags of rows that count: transformers is eager, that's no fault
Report = Callable[[str], None]


def main(data_dir: Path, out_dir: Path, report: Report = print) -> list[Path]:
    """Fit every profile that ships.

    Args:
        data_dir: holds, in whatever folder, `e2e_calib.csv`, `kernels_calib.csv.gz` and
            `inferencex.csv`, as `planner validate` reads them.
        out_dir: where the profiles go.
        report: called with a line for each step.

    """
    runs, _ = runs_of(read_csv(_found(data_dir, "e2e_calib.csv")))
    groups = group_kernels(read_csv(_found(data_dir, "kernels_calib.csv.gz")))
    services = rows_of(_found(data_dir, "inferencex.csv"))
    kernels = {
        generation: fit_kernels([g for g in groups if g.device_id == device], Kernels())
        for generation, device in fleet.KERNEL_DEVICE.items()
    }
    for generation, k in kernels.items():
        report(f"{generation}: {_kernel_score(groups, fleet.KERNEL_DEVICE[generation], k)}")
    fits: dict[str, EngineFit] = {}
    profiles: dict[str, dict[str, Any]] = {}
    for plan in fleet.PLANS:
        chosen = runs_for(plan, runs)
        fits[plan.name], profiles[plan.name] = fit_plan(plan, chosen, kernels, fits)
        report(f"{plan.name}: {_score(profiles[plan.name])}")
    for plan in fleet.PLANS:
        if plan.formats:
            lend_formats(profiles[plan.name], profiles[plan.formats])
    for loan in fleet.BORROWED:
        profiles[loan.name] = borrow(loan, kernels[loan.architecture], profiles)
    strange: list[Vector] = []
    for service in fleet.TODAY:
        found, unseen_layers = fit_service(service, services, kernels["hopper"].kernels, profiles)
        profiles[service.name] = found
        strange.append(unseen_layers)
        report(f"{service.name}: {_score(found)}")
    profiles["class-default"] = class_default(profiles, services)
    layers = spread(np.concatenate(strange))
    report(f"layers that a fit has not seen: spread {layers:.1%}")
    for profile in profiles.values():
        profile["spread"] = {**profile["spread"], "layers": layers}
    comment = "Written by `planner calibrate profiles`; see calibration/LOG.md."
    paths = []
    for name, profile in profiles.items():
        paths.append(out_dir / f"{name}.toml")
        write_whole(paths[-1], profile_toml(profile, comment), folders=True)
    return paths


def _found(folder: Path, name: str) -> Path:
    """Return the file of a name in a folder or those within it."""
    return next(iter(sorted(folder.rglob(name))), folder / name)


def fit_service(
    plan: fleet.Today,
    runs: Sequence[Run],
    start: Kernels,
    profiles: Mapping[str, dict[str, Any]],
) -> tuple[dict[str, Any], Vector]:
    """Fit one engine of today, and score it on architectures left out of all engines on its devices.

    The errors of models with layers that no other there has are returned besides.
    """
    here = [r for r in runs if r.scenario.on in plan.devices]
    own = [r for r in here if r.scenario.engine.generation == plan.engine]
    overheads = Overheads(**profiles["h100-tensorrt-llm"]["overheads"])
    before = _fitted(profiles[plan.after]) if plan.after else None
    found = fit_today(own, start, overheads, before)
    errors = unseen(own, here, start, overheads)
    sd = spread(errors)
    profile = _head(plan.name, plan.architecture, plan.devices, plan.engine)
    profile |= {
        "engine_version": plan.engine_version,
        "fitted": fleet.FITTED,
        "layers": _kinds(own),
        "data": f"runs: {fleet.INFERENCEX}; kernels to start from: {fleet.KERNEL_DATA['hopper']}",
        "borrowed": "what the host does: h100-tensorrt-llm",
        "kernels": constants(found.kernels),
        "benchmark": alone(start, constants(found.kernels)),
        "overheads": constants(found.overheads),
        "spread": dict.fromkeys(("prefill", "decode", "throughput"), sd) | {"gain": FEW},
        "held_out": held_out(errors[np.isfinite(errors)], sd),
        "posterior": posterior(found.fits),
    }
    others = {
        a: _kinds([r for r in here if r.architecture != a]) for a in {r.architecture for r in own}
    }
    apart = [not r.scenario.model.layer_kinds <= {*others[r.architecture]} for r in own]
    return profile, errors[np.array(apart) & np.isfinite(errors)]


def _kinds(runs: Sequence[Run]) -> list[str]:
    """Return the kinds of layers among the models of runs."""
    return sorted({kind for r in runs for kind in r.scenario.model.layer_kinds})


def lend_formats(profile: dict[str, Any], lender: Mapping[str, Any]) -> None:
    """Take what 8 and 4 bits cost in whole runs from another engine on the same device."""
    own = profile["kernels"]
    lent = {n: lender["kernels"][n] for n in fleet.LENT_FORMATS}
    profile["benchmark"] |= {n: own[n] for n, v in lent.items() if own[n] != v}
    profile["kernels"] = own | lent
    profile["borrowed"] = f"what 8 and 4 bits cost: {lender['name']}"


def runs_for(plan: Plan, runs: Sequence[Run]) -> list[Run]:
    """Return the rows a plan is fitted on: its device and engine, nothing flagged."""
    return [
        r
        for r in runs
        if (r.scenario.on, r.scenario.engine.generation) == (plan.device, plan.engine)
        and r.flag in COUNTED
    ]


def fit_plan(
    plan: Plan, runs: Sequence[Run], kernels: Mapping[str, KernelFit], fits: Mapping[str, EngineFit]
) -> tuple[EngineFit, dict[str, Any]]:
    """Fit one profile and score it on architectures left out."""
    base, before = kernels[plan.architecture].kernels, fits.get(plan.after)

    def fit(some: Sequence[Run]) -> EngineFit:
        return fit_engine(some, base, before)

    found = fit(runs)
    unseen = leave_one_out(runs, fit)
    gain = gain_spread(runs, unseen)
    known = np.isfinite(unseen)
    prompts = np.array([r.scenario.workload.output_tokens <= 1 for r in runs])
    sd = spread(unseen)
    prefill = max(sd, spread(unseen[prompts])) if (prompts & known).any() else max(sd, 0.1)
    profile = _head(plan.name, plan.architecture, (plan.device, *plan.also), plan.engine)
    profile |= {
        "engine_version": plan.engine_version,
        "fitted": fleet.FITTED,
        "layers": _kinds(runs),
        "data": f"{fleet.KERNEL_DATA[plan.architecture]}; runs: {plan.data}",
    }
    if before:
        profile["borrowed"] = f"priors of {plan.after}"
    profile |= {
        "kernels": constants(found.kernels),
        "benchmark": alone(base, constants(found.kernels)),
        "overheads": constants(found.overheads),
        "spread": {
            "prefill": prefill,
            "decode": sd,
            "throughput": sd,
            "gain": gain if np.isfinite(gain) else FEW,
        },
        "held_out": held_out(unseen[known], sd),
        "posterior": posterior(found.fits),
    }
    return found, profile


def alone(benchmarked: Kernels, as_run: Mapping[str, float]) -> dict[str, float]:
    """Return the constants of kernels timed alone that whole runs insist on differently."""
    own = constants(benchmarked)
    return {n: own[n] for n, v in as_run.items() if own[n] != v and n != "sustained_clock"}


def held_out(errors: Vector, sd: float) -> dict[str, Any]:
    """Return the score on rows not seen."""
    ape = np.abs(np.exp(errors) - 1)
    return {
        "how": "each architecture left out of the fit in turn",
        "n": len(errors),
        "mean_ape": float(ape.mean()),
        "median_ape": float(np.median(ape)),
        "bias": float(np.exp(np.median(errors)) - 1),
        "coverage": float(np.mean(np.abs(errors) <= Z * sd)),
    }


def borrow(loan: Borrowed, k: KernelFit, profiles: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a profile of measured kernels and another engine's overheads, and say so."""
    lender = profiles[loan.lender]
    lent = {name: lender["kernels"][name] for name in fleet.LENT_KERNELS}
    lent |= {name: profiles[loan.formats]["kernels"][name] for name in fleet.LENT_FORMATS}
    profile = _head(loan.name, loan.architecture, loan.devices, loan.engine)
    return profile | {
        "engine_version": loan.engine_version,
        "fitted": fleet.FITTED,
        "data": lender["data"],
        "layers": lender["layers"],
        "borrowed": f"overheads of {loan.lender}: no runs of {loan.engine} were published",
        "wider": fleet.BORROWED_WIDER,
        "kernels": constants(replace(k.kernels, **lent)),
        "benchmark": alone(k.kernels, lent),
        "overheads": lender["overheads"],
        "spread": lender["spread"],
    }


def class_default(
    profiles: Mapping[str, dict[str, Any]], services: Sequence[Run]
) -> dict[str, Any]:
    """Return the average device: geometric means, and how far devices' own constants miss on others."""
    chosen = [profiles[name] for name in fleet.CLASS_DEFAULT]

    def mean(table: str, name: str) -> float:
        values = [max(p[table][name], 1e-12) for p in chosen]
        average = float(np.exp(np.mean(np.log(values))))
        return 0.0 if average < 1e-9 else average

    kernels = {f.name: mean("kernels", f.name) for f in fields(Kernels)}
    overheads = {f.name: mean("overheads", f.name) for f in fields(Overheads)}
    # How tiles are laid out has no average: the older way is the cautious one.
    layout = ("attention_tile_rows", "packs_gqa", "splits_mha")
    kernels |= {n: chosen[0]["kernels"][n] for n in layout} | {"splits_mha": 1.0}
    sd = spread(np.concatenate([_elsewhere(p, profiles[p.name], services) for p in fleet.TODAY]))
    profile = _head("class-default", "any", (), "any")
    return profile | {
        "fitted": fleet.FITTED,
        "data": f"average of {' and '.join(fleet.CLASS_DEFAULT)}; spread: runs of services on each "
        "generation of devices under the constants of the others",
        "kernels": kernels,
        "overheads": overheads,
        "spread": {
            "prefill": max(sd, *(p["spread"]["prefill"] for p in chosen)),
            "decode": sd,
            "throughput": sd,
            "gain": max(p["spread"]["gain"] for p in chosen),
        },
    }


def _elsewhere(plan: fleet.Today, profile: Mapping[str, Any], services: Sequence[Run]) -> Vector:
    """Return how far a profile misses on other generations' devices, under the same engine."""
    there = [
        r
        for r in services
        if r.scenario.on not in plan.devices and r.scenario.engine.generation == plan.engine
    ]
    return ln_errors(there, _fitted(profile))


def _fitted(profile: Mapping[str, Any]) -> EngineFit:
    return EngineFit(Kernels(**profile["kernels"]), Overheads(**profile["overheads"]), {})


def _head(name: str, architecture: str, devices: tuple[str, ...], engine: str) -> dict[str, Any]:
    head: dict[str, Any] = {"name": name, "architecture": architecture}
    if devices:
        head["devices"] = list(devices)
    return head | {"engine": engine}


def _score(profile: Mapping[str, Any]) -> str:
    h = profile["held_out"]
    return (
        f"{h['n']} rows of unseen architectures, mean error {h['mean_ape']:.1%}, "
        f"median {h['median_ape']:.1%}, bias {h['bias']:+.1%}"
    )


def _kernel_score(groups: Sequence[KernelRows], device: str, k: KernelFit) -> str:
    parts = []
    for g in groups:
        if g.device_id == device:
            ape = np.abs(predicted_s(g, k.kernels) / g.time_s - 1)
            parts.append(f"{g.op} {g.dtype} {np.median(ape):.1%}")
    return ", ".join(parts)
