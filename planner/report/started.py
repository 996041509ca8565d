"""An engine's start-up log beside what was predicted, part by part of one device's memory."""

from functools import partial

from planner.report import rows
from planner.report.parts import Cell, Column, Section, grid
from planner.results import Estimate, Line, Started, Validation

OTHER_DEVICE = 0.05  # of its memory, above what drivers keep
READ = ("model", "tp", "pp", "dtype", "quantization", "kv_dtype", "max_model_len")  # shown of a log


def parts(v: Validation, log: Started) -> Section:
    """Return a start-up log part by part: measured, predicted, and what differs most."""
    engine = " ".join(filter(None, map(log.said.get, ("engine", "engine_version"))))
    said = [f"{name} {log.said[name]}" for name in READ if name in log.said]
    text = [
        f"Log of {', '.join([engine, *said])}: {log.said.get('outcome') or 'it ends too early'}."
    ]
    if log.ranks > 1:
        text.append(f"{log.ranks} ranks; where they differ, the one with the least cache.")
    if any(map(_is_another, v.lines)):
        text.append("The log is of a device of another size: name it by --on.")
    for line in (line for line in v.lines if line.metric == log.differs_most):
        part, measured, predicted, difference = (column.write(line) for column in PARTS)
        found = f"measured {measured}, predicted {predicted}: {difference}"
        text.append(f"Most memory is missed in {part}: {found}.")
    return Section("parts", "Part by part", text, grids=[grid(v.lines, PARTS)])


def _is_another(line: Line) -> bool:
    if line.metric != "device_gib" or not line.measured or not line.predicted:
        return False
    return abs(line.predicted / line.measured - 1) > OTHER_DEVICE


def _part(line: Line) -> str:
    words = line.metric.removesuffix("_gib").replace("_", " ")
    return words.replace("kv", "KV").replace("cuda", "CUDA")


def _written(metric: str, value: float | None) -> str:
    if value is None:
        return rows.NONE
    if metric.endswith("_gib"):
        return f"{value:.2f} GiB"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def _predicted(line: Line) -> Cell | str:
    write = partial(_written, line.metric)
    if line.predicted is None or line.low is None or line.high is None:
        return write(line.predicted)
    return rows.estimate(Estimate(value=line.predicted, low=line.low, high=line.high), write)


def _difference(line: Line) -> str:
    if not line.measured or line.predicted is None:
        return line.refused or rows.NONE
    return f"{100 * (line.predicted / line.measured - 1):+.1f} %"


PARTS = (
    Column("part", _part),
    Column("measured", lambda line: _written(line.metric, line.measured)),
    Column("predicted", _predicted),
    Column("difference", _difference),
)
