"""An engine's start-up log as measurements, and which part of its memory the prediction misses most."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from planner.errors import PlannerError, SpecError
from planner.inputs.device import DeviceSpec, device_names, load_device
from planner.inputs.engine_log import HINT, EngineLog, number_or_nan
from planner.inputs.files import Sheet
from planner.questions.validate.measured import COLUMNS, Run, model_of
from planner.questions.validate.scoring import prepare
from planner.results import Line, Started
from planner.units import GIB


def sheet_of(log: EngineLog, path: Path, known: Mapping[str, str]) -> Sheet:
    """Return a log as a row of measured runs.

    Args:
        log: what it says.
        path: its file, for errors.
        known: columns that were given beside it: they come first.

    Raises:
        SpecError: it says no part of the memory; or it does not say the device, or a model that is
            known, and nor does `known`.

    """
    given = {name: value for name, value in known.items() if value}
    row = log.said | given
    row |= {name: "" for name in COLUMNS if _is_zero(row.get(name, ""))}  # has no relative error
    row |= {"quantization": ""} if "dtype" in given else {}
    row |= {"engine_version": given.get("engine_version", "")} if "engine" in given else {}
    if not any(row.get(name) for name in COLUMNS):
        ended = log.said["outcome"] or "it ends too early"
        raise SpecError(f"{path}: the log says no part of the memory: {ended}", hint=HINT)
    if not row["gpu"]:
        raise SpecError(f"{path}: the log does not say the device", hint=_on(row["device_gib"]))
    if not row["model"]:
        raise SpecError(f"{path}: the log does not say the model", hint="give --model")
    try:
        model_of(row)
    except PlannerError as error:
        hint = error.hint if "model" in given else "give --model: a name or a config.json"
        raise SpecError(f"{path}: {error}", hint=hint) from None
    return Sheet.of([row], path)


def _is_zero(text: str) -> bool:
    return number_or_nan(text) <= 0


def _on(device_gib: str) -> str:
    """Say how to name the device: those of about the memory that the engine found."""
    if not device_gib:
        return "give --on"
    alike = [n for n in device_names() if of_size(load_device(n), number_or_nan(device_gib))]
    return f"give --on: {device_gib} GiB are those of {', '.join(alike)}" if alike else "give --on"


def of_size(device: DeviceSpec, found_gib: float) -> bool:
    """Whether memory that an engine found may be that of a device."""
    # Makers' GB are GiB, of which the driver and error correction keep up to a tenth.
    return 0.9 <= found_gib / (device.hbm_bytes / 1e9) <= 1.0


def started(log: EngineLog, lines: Sequence[Line], runs: Sequence[Run]) -> Started:
    """Return what a log says, and the part that the prediction misses by most memory."""
    known = [line for line in lines if line.predicted and line.measured]
    each = _token_bytes(runs) if known else 0.0
    most = max(known, key=lambda line: _missed_bytes(line, each), default=None)
    return Started(
        said={name: value for name, value in log.said.items() if value},
        ranks=log.ranks,
        differs_most=most.metric if most else None,
    )


def _missed_bytes(line: Line, token_bytes: float) -> float:
    """Return by how much memory of one device a part is missed; 0 of what is no memory."""
    assert line.measured and line.predicted
    unit = GIB * line.metric.endswith("_gib")
    unit = token_bytes if line.metric == "kv_cache_tokens" else unit
    return abs(line.predicted - line.measured) * unit


def _token_bytes(runs: Sequence[Run]) -> float:
    """Return what a token of the cache takes of one device."""
    ((_, group, _), *_) = prepare(runs[:1]).groups
    devices = runs[0].scenario.engine.n_devices
    return float(group.table(["kv_bytes_per_token"])["kv_bytes_per_token"][0]) / devices
