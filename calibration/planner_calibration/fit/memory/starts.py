"""Starts of an engine on a machine, from logs and tables of them, and what was left out and why."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from planner.errors import PlannerError, SpecError
from planner.inputs.device import DeviceSpec, device_named, load_device
from planner.inputs.engine import EngineVersion, engine_named, engines
from planner.inputs.engine_log import engine_log_in
from planner.inputs.files import Content
from planner.questions.validate.measured import MEMORY, Run, runs_of
from planner.questions.validate.start_log import of_size
from planner.questions.validate.validate import refusal, sheet_in
from planner.scenario.scenario import Deployment
from planner_calibration.fit.memory.constants import ASKS, LARGEST_SHARE

Placed = tuple[str, Run]  # a measured part, and where it stands
HINT = "`planner validate FILE --on DEVICE` says how a file is read"


class LeftOut(NamedTuple):
    """Rows that were not used: where they are and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: left out, {self.why}"


@dataclass(frozen=True, slots=True)
class Starts:
    """Measured parts of memory of one engine on one device, of versions that take alike."""

    device: DeviceSpec
    engine: str
    release: EngineVersion  # the newest of them
    runs: tuple[Run, ...]
    n: int  # starts that the runs are of
    left_out: tuple[LeftOut, ...]

    @property
    def versions(self) -> list[str]:
        """Versions of the engine that were started, oldest first where the log said any."""
        said = {r.scenario.engine.version for r in self.runs} - {""}
        return sorted(said, key=lambda v: [int(n) for n in re.findall(r"\d+", v)])


def parted(paths: Sequence[Path]) -> tuple[list[Path], list[Content]]:
    """Part files of recorded runs, and folders of them, from logs and tables of starts.

    Raises:
        SpecError: a file that is no recorded runs cannot be read.

    """
    recorded, starts = [], []
    for path in dict.fromkeys(paths):
        if path.is_dir() or path.suffix == ".jsonl":
            recorded.append(path)
            continue
        content = Content.of(path, hint="name run files, start-up logs or a CSV")
        # Lines of JSON are runs, or a log as containers keep it.
        is_json = content.data.lstrip().startswith(b"{")
        if is_json and not engine_log_in(content.text(hint=HINT, errors="replace")):
            recorded.append(path)
        else:
            starts.append(content)
    return recorded, starts


def starts_in(contents: Sequence[Content], on: str, engine: str = "") -> Starts:
    """Return the starts on `on` that files tell of.

    Args:
        contents: start-up logs, and tables in the schema of `planner validate`.
        on: the device, an id or a TOML.
        engine: whose starts count, `vllm` or `vllm==0.19`; empty takes the only one there is. Without
            a version the newest counts, and those that take the same.

    Raises:
        SpecError: the starts are of several engines, or none can be used.

    """
    device = load_device(on)
    name = on if on.endswith(".toml") else device_named(on)
    read = [_rows(content, on, device) for content in contents]
    left = [out for _, outs in read for out in outs]
    found = [placed for rows, _ in read for placed in rows]
    asked, version = engine_named(engine) if engine else (_only_engine(found, name), "")
    known: dict[tuple[object, ...], Deployment | str] = {}

    def unusable(r: Run) -> str:
        s = r.scenario
        if s.on != name:
            return f"it is of {s.on}"
        if s.engine.name != asked:
            return f"it is of {s.engine.name}"
        return r.flag or _beyond(r, device) or refusal(r, known)

    usable = _sifted(found, unusable, left)
    releases = engines()[asked].versions if asked else ()
    newest = max((r.scenario.engine.release for _, r in usable), key=releases.index, default=None)
    release = engines()[asked].at(version) if version else newest

    def unlike(r: Run) -> str:
        e = r.scenario.engine
        alike = release is not None and takes(e.release) == takes(release)
        return "" if alike else f"{e.name} {e.version} takes other memory: fit it alone"

    usable = _sifted(usable, unlike, left)
    if not usable or release is None:
        first = f": {left[0].where}: {left[0].why}" if left else ""
        raise SpecError(f"no start on {name} could be used{first}", hint=HINT)
    runs, n = tuple(r for _, r in usable), len({where for where, _ in usable})
    return Starts(device, asked, release, runs, n, tuple(dict.fromkeys(left)))


def _only_engine(found: Sequence[Placed], on: str) -> str:
    """Return the engine that was started on a device; "" where none was."""
    names = sorted({r.scenario.engine.name for _, r in found if r.scenario.on == on})
    if len(names) > 1:
        said = " and ".join(names)
        raise SpecError(f"these starts are of {said}", hint="choose one with --engine")
    return next(iter(names), "")


def _sifted(
    found: Sequence[Placed], why_not: Callable[[Run], str], left: list[LeftOut]
) -> list[Placed]:
    """Return what is not refused; what is, joins `left`."""
    reasons = [why_not(r) for _, r in found]
    left += [LeftOut(at, why) for (at, _), why in zip(found, reasons, strict=True) if why]
    return [placed for placed, why in zip(found, reasons, strict=True) if not why]


def _rows(content: Content, on: str, device: DeviceSpec) -> tuple[list[Placed], list[LeftOut]]:
    """Return the parts of memory that a file measured, each with its place, and what was not read."""
    file = str(content.path)
    try:
        sheet, log, _ = sheet_in(content, {"gpu": on})
        if log and log.said["gpu"]:
            sheet.rows[0]["gpu"] = log.said["gpu"]
        runs, unread = runs_of(sheet)
    except PlannerError as error:
        return [], [LeftOut(file, str(error).removeprefix(f"{file}: "))]

    def at(line: int) -> str:
        return file if log else f"{file}, row {line}"

    memory = [r for r in runs if r.column in MEMORY]
    others = {
        r.line: r for r in memory if r.column == "device_gib" and not of_size(device, r.value)
    }
    left = [LeftOut(at(u.line), u.why) for u in unread]
    left += [LeftOut(at(r.line), f"it is of a device of {r.value:g} GiB") for r in others.values()]
    placed = [(at(r.line), r) for r in memory if r.line not in others and r.column != "device_gib"]
    return placed, left if memory else [*left, LeftOut(file, "no column of memory in it")]


def _beyond(r: Run, device: DeviceSpec) -> str:
    """Say that a part is more than there is; nothing where it is not."""
    most = device.hbm_bytes / 1e9  # makers' GB are GiB
    if r.column.endswith("_gib") and r.value > most:
        return f"{r.column} {r.value:g} is more than the device has"
    if r.column == "non_torch_gib" and r.value > LARGEST_SHARE * most:
        return f"{r.column} {r.value:g} is more than a context takes: something else ran there"
    return ""


def takes(release: EngineVersion) -> tuple[float, ...]:
    """Return what versions must share to be corrected together."""
    return tuple(getattr(release.footprint, name) for name in ASKS)
