"""From runs to a profile file: the call behind `planner calibrate fit`, and the TOML it writes."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from planner.errors import OutputError, SpecError
from planner.spec.device import DeviceSpec, load_device
from planner.spec.measurement import Measurement
from planner.spec.profile import ProfileSpec, load_profile, profile_for
from planner_calibration import runs
from planner_calibration.correct import rows
from planner_calibration.correct.fit import TILE_ROWS, Corrected, correct

SPREADS = ("prefill", "decode", "throughput")
DRAWS = 200


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


def fit(
    paths: Sequence[Path],
    device_id: str,
    *,
    name: str,
    engine: str = "",
    prior: str | None = None,
    machine: str | None = None,
    n_starts: int = 3,
) -> Fitted:
    """Correct the profile nearest to `device_id` and `engine` with the runs in `paths`.

    Args:
        paths: run files, or folders of them.
        device_id: the hardware the runs were made on, an id or a TOML.
        name: of the new profile.
        engine: whose serving runs count: "vllm", "torch", …; empty takes the only one there is.
        prior: a profile to start from instead of the nearest.
        machine: count only this machine's runs, where the files hold several.
        n_starts: of each fit.

    Raises:
        SpecError: the runs are of several engines or machines, or none can be used.

    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise SpecError(
            f"{name!r} is no name for a profile", hint="letters, digits, dots and dashes"
        )
    device = load_device(device_id)
    loaded = runs.load([p for p in paths])
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
    stem = Path(device_id).stem if device_id.endswith(".toml") else device_id
    start = load_profile(prior) if prior else profile_for(stem, device, engine)[0]
    same = stem in start.devices
    tile_rows = TILE_ROWS if machines and machines[0].startswith("cpu") else None
    corrected = correct(
        rows.groups(chosen, device), start, same_device=same, n_starts=n_starts, tile_rows=tile_rows
    )
    return Fitted(
        name, stem, device, engine, start, corrected, tuple(chosen), tuple(loaded.skipped)
    )


def to_toml(fitted: Fitted, today: date) -> str:
    """Return the profile as `ProfileSpec` reads it, constants to four digits with their spread beside."""
    c, used = fitted.corrected, fitted.used
    kinds = ", ".join(
        f"{sum(r.kind == k for r in used)} {k}" for k in sorted({r.kind for r in used})
    )
    versions = sorted({r.engine.partition(" ")[2] for r in used if r.kind == "serve_offline"})
    sds = c.posterior.sds
    lines = [
        f'name = "{fitted.name}"',
        f'architecture = "{fitted.device.architecture}"',
        f'devices = ["{fitted.device_id}"]',
        f'engine = "{fitted.engine}"',
        f'engine_version = "{", ".join(versions)}"',
        f"fitted = {today.isoformat()}",
        f'data = "{kinds}; prior: {fitted.prior.name} ({fitted.prior.fitted})"',
    ]
    for table, columns in (("kernels", c.kernels), ("overheads", c.overheads)):
        lines += ["", f"[{table}]"]
        for key, value in asdict(columns).items():
            spread = f"  # ±{100 * sds[key]:.0f} %" if key in sds else ""
            lines.append(f"{key} = {float(value):.4g}{spread}")
    lines += ["", "[spread]"]
    lines += [f"{key} = {c.held_out_sd:.3f}" for key in SPREADS]
    lines.append(f"gain = {c.gain_sd:.3f}")
    return "\n".join(lines) + "\n"


def write(fitted: Fitted, folder: Path, today: date) -> Path:
    """Write `folder`/NAME.toml and, beside it, posterior draws; return the profile's path.

    Raises:
        OutputError: the folder cannot be written.

    """
    path = folder / f"{fitted.name}.toml"
    posterior = fitted.corrected.posterior
    draws = {
        "profile": fitted.name,
        "constants": [p.name for p in posterior.priors],
        "draws": [[float(f"{v:.5g}") for v in row] for row in posterior.draws(DRAWS)],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, text in (
            (path, to_toml(fitted, today)),
            (path.with_suffix(".draws.json"), json.dumps(draws)),
        ):
            part = target.with_name(f".{target.name}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror}", hint="name a folder you may write to"
        ) from None
    return path
