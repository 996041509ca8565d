"""A profile that says what a machine's starts say of memory; its speed stays as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.device import device_named
from planner.inputs.engine import engines
from planner.inputs.files import Content
from planner.inputs.profile import ProfileSpec, load_profile, profile_for
from planner.writer import write_whole
from planner_calibration.fit.memory.correct import Corrected, correct
from planner_calibration.fit.memory.starts import HINT, Starts, starts_in, takes
from planner_calibration.fit.write import profile_toml

COMMENT = "Written by planner calibrate fit; [memory] is corrected, all else is the prior's."


@dataclass(frozen=True, slots=True)
class Fitted:
    """A footprint corrected by starts, and the profile it stands on."""

    device_id: str
    starts: Starts
    corrected: Corrected
    prior: ProfileSpec
    wider: float  # than the prior's spread, on this device
    borrowed: str  # what of the prior was of another machine

    @property
    def data(self) -> str:
        """What it was fitted on, in words."""
        s = self.starts
        versions = ", ".join(s.versions) or "of no version"
        return f"memory: {s.n} start{'s' * (s.n != 1)} of {s.engine} {versions}"


def fit(contents: list[Content], on: str, *, engine: str = "", prior: str | None = None) -> Fitted:
    """Correct what an engine takes of memory on a device.

    Args:
        contents: start-up logs, and tables of starts.
        on: the device, an id or a TOML.
        engine: whose starts count; empty takes the only one there is.
        prior: a profile to start from instead of the nearest.

    Raises:
        SpecError: no start can be used, or none says more than its cache.

    """
    starts = starts_in(contents, on, engine)
    name = Path(on).stem if on.endswith(".toml") else device_named(on)
    release = starts.release
    near, wider, basis = profile_for(name, starts.device, release.generation)
    start = load_profile(prior) if prior else near
    if not _of_release(start, starts):
        start = start.model_copy(update={"memory": {}})
    own = prior or (name in near.devices and near.engine == release.generation)
    borrowed = start.borrowed if own else f"speed: {basis}"
    corrected = correct(starts, start)
    if not corrected.memory:
        raise SpecError("these starts say nothing that can be corrected", hint=HINT)
    return Fitted(name, starts, corrected, start, 1.0 if prior else wider, borrowed)


def _of_release(profile: ProfileSpec, starts: Starts) -> bool:
    """Whether a profile's memory is of versions that take as those started do."""
    known = engines()[starts.engine]
    releases = map(known.at, profile.engine_version.split(", "))
    return profile.engine == starts.release.generation and any(
        takes(r) == takes(starts.release) for r in releases
    )


def memory_of(f: Fitted) -> dict[str, Any]:
    """Return the part of a profile that speaks of memory."""
    return {"memory": f.prior.memory | f.corrected.memory}


def profile_of(f: Fitted, name: str, today: date) -> Mapping[str, Any]:
    """Return the prior as a profile of this machine, with its memory corrected."""
    prior = f.prior.model_dump(exclude_none=True)
    own: dict[str, Any] = {
        "name": name,
        "architecture": f.starts.device.architecture,
        "devices": [f.device_id],
        "engine": f.starts.release.generation,
        "engine_version": ", ".join(f.starts.versions),
        "fitted": today,
        "data": f"{f.data}; speed: {f.prior.name} ({f.prior.fitted}), {f.prior.data}",
        "borrowed": f.borrowed,
        "spread": {of: f.wider * sd for of, sd in prior["spread"].items()},
    }
    # What `wider` said is in the spread now.
    more = {} if f.wider == 1.0 else {"wider": 1.0}
    made = ProfileSpec.model_validate(prior | own | more | memory_of(f))
    return made.model_dump(exclude_none=True, exclude_defaults=True)


def write(f: Fitted, name: str, folder: Path, today: date) -> Path:
    """Write `folder`/NAME.toml, whole or not at all, and return its path.

    Raises:
        OutputError: the folder cannot be written.

    """
    path = folder / f"{name}.toml"
    write_whole(path, profile_toml(profile_of(f, name, today), COMMENT), folders=True)
    return path
