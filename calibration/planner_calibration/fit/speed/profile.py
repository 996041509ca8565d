"""From runs to a profile file: the call behind `planner calibrate fit`, and the TOML it writes."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.device import DeviceSpec, device_id, load_device
from planner.inputs.engine import engine_named, engines
from planner.inputs.fields import validate
from planner.inputs.measurement import Measurement
from planner.inputs.profile import ProfileSpec, load_profile, profile_for
from planner.writer import write_whole
from planner_calibration import runs
from planner_calibration.fit.memory.profile import Fitted as StartsFitted
from planner_calibration.fit.memory.profile import memory_of
from planner_calibration.fit.service import ServiceFit
from planner_calibration.fit.speed import rows
from planner_calibration.fit.speed.own_runs import TILE_ROWS, Corrected, correct
from planner_calibration.fit.write import constants, posterior, profile_toml

SPREADS = ("prefill", "decode", "throughput")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A profile corrected by runs, what it rests on, and the lines that were no runs."""

    name: str
    device_id: str
    device: DeviceSpec
    engine: str
    prior: ProfileSpec
    corrected: Corrected
    used: tuple[Measurement, ...]
    skipped: tuple[runs.Skipped, ...]


def check_name(name: str) -> None:
    """Refuse a name that is none for a profile's file.

    Raises:
        SpecError: it is none.

    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise SpecError(
            f"{name!r} is no name for a profile", hint="letters, digits, dots and dashes"
        )


def own_id(on: str) -> str:
    """Return what profiles call a device, named by id, by any other name or by the path of its file."""
    found = device_id(on)
    return Path(found).stem if found.endswith(".toml") else found


def generation(found: Sequence[Measurement], default: str = "vllm") -> str:
    """Return the name under which fits know the engine of serving runs; the default where none is known."""
    for row in found:
        if row.kind.startswith("serve"):
            name, version = engine_named(row.engine)
            return engines()[name].at(version).generation
    return default


def fit(
    paths: Sequence[Path],
    on: str,
    *,
    name: str,
    engine: str = "",
    prior: str | None = None,
    machine: str | None = None,
    n_starts: int = 3,
) -> Fitted:
    """Correct the profile nearest to `on` and `engine` with the runs in `paths`.

    Args:
        paths: run files, or folders of them.
        on: the hardware the runs were made on, an id or a TOML.
        name: of the new profile.
        engine: whose serving runs count: "vllm", "torch", …; empty takes the only one there is.
        prior: a profile to start from instead of the nearest that ships: what was fitted here counts once.
        machine: count only this machine's runs, where the files hold several.
        n_starts: of each fit.

    Raises:
        SpecError: the runs are of several engines or machines, or none can be used.

    """
    check_name(name)
    device = load_device(on)
    loaded = runs.load(paths)
    serving = [r for r in loaded.rows if r.kind == "serve_offline" and r.status == "ok"]
    engines = sorted({r.engine.split()[0] for r in serving})
    if not engine and len(engines) > 1:
        raise SpecError(
            f"these runs are of {' and '.join(engines)}", hint="choose one with --engine"
        )
    engine = engine or next(iter(engines), "any")
    chosen = [
        r
        for r in loaded.rows
        if r.status == "ok"
        and (r.kind in rows.KERNELS or (r.kind == "serve_offline" and r.engine.startswith(engine)))
        and machine in (None, r.machine)
    ]
    machines = sorted({r.machine for r in chosen})
    if len(machines) > 1:
        raise SpecError(
            f"these runs are of several machines: {', '.join(machines)}",
            hint="choose one with --machine",
        )
    stem = own_id(on)
    known_as = generation(chosen, engine)
    start = load_profile(prior) if prior else profile_for(stem, device, known_as, own=False)[0]
    same = stem in start.devices
    tile_rows = TILE_ROWS if machines and machines[0].startswith("cpu") else None
    corrected = correct(
        rows.groups(chosen, device), start, same_device=same, n_starts=n_starts, tile_rows=tile_rows
    )
    return Fitted(
        name, stem, device, known_as, start, corrected, tuple(chosen), tuple(loaded.skipped)
    )


def to_toml(
    fitted: Fitted,
    today: date,
    memory: StartsFitted | None = None,
    service: ServiceFit | None = None,
) -> str:
    """Return the profile as `ProfileSpec` reads it, with its posterior and its held-out error.

    Args:
        fitted: by runs.
        today: goes into the file.
        memory: what starts of the same engine on the same device say.
        service: what loads of requests say of the server around the engine.

    """
    c, used = fitted.corrected, fitted.used
    kinds = ", ".join(
        f"{sum(r.kind == k for r in used)} {k}" for k in sorted({r.kind for r in used})
    )
    versions = {r.engine.partition(" ")[2] for r in used if r.kind == "serve_offline"}
    started = memory.starts.versions if memory else []
    formats = ", ".join(sorted({str(r.what["dtype"]) for r in used if "dtype" in r.what}))
    data = [
        f"own runs: {kinds}, in {formats or 'no format said'}",
        f"prior: {fitted.prior.name} ({fitted.prior.fitted})",
    ]
    profile: dict[str, Any] = {
        "name": fitted.name,
        "architecture": fitted.device.architecture,
        "devices": [fitted.device_id],
        "engine": fitted.engine,
        "engine_version": ", ".join(sorted({*versions, *started})),
        "fitted": today,
        "data": "; ".join([*data, *([memory.data] if memory else [])]),
        "kernels": constants(c.kernels),
        "overheads": constants(c.overheads),
        "memory": fitted.prior.memory or None,
        "spread": dict.fromkeys(SPREADS, c.held_out_sd) | {"gain": c.gain_sd},
    }
    if held := c.held_out.get("serve_offline"):
        profile["held_out"] = {
            "how": f"each of {c.n_shapes} architectures predicted without its own runs",
            "n": held.n,
            "mean_ape": held.mape,
            "median_ape": held.median,
            "bias": math.expm1(-held.bias),
            "coverage": c.coverage,
        }
    if memory:
        profile |= memory_of(memory)
    if service:
        profile["front_end"] = service.table()
        profile["served"] = service.served()
        profile["load_spread"] = {"ttft": service.ttft_sd, "duration": c.held_out_sd}
    profile["posterior"] = posterior({"own runs": c.posterior}, digits=3, places=3)
    said = {key: value for key, value in profile.items() if value is not None}
    validate(ProfileSpec, said, f"profile {fitted.name}", hint="report this fit")
    return profile_toml(
        profile, "Written by planner calibrate fit; every constant's spread is in [posterior]."
    )


def write(
    fitted: Fitted,
    folder: Path,
    today: date,
    memory: StartsFitted | None = None,
    service: ServiceFit | None = None,
) -> Path:
    """Write `folder`/NAME.toml, whole or not at all, and return its path.

    Raises:
        OutputError: the folder cannot be written.

    """
    path = folder / f"{fitted.name}.toml"
    write_whole(path, to_toml(fitted, today, memory, service), folders=True)
    return path
