"""Score predictions against measurements: how far off, in which direction, how sure with what right."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import SpecError
from planner.inputs.bench_results import is_bench, read_bench
from planner.inputs.deployment import DEFAULT_DEVICE
from planner.inputs.device import NoSuchFormat, load_device
from planner.inputs.engine_log import EngineLog, engine_log_in
from planner.inputs.files import Content, Sheet, csv_in
from planner.inputs.formats import FORMATS
from planner.inputs.profile import profile_for
from planner.interval import INTERVAL, Z
from planner.questions.validate.kernel_rows import KernelRows, group_kernels, predicted_s
from planner.questions.validate.measured import (
    COLUMN_OF,
    COLUMNS,
    MEMORY,
    Run,
    Start,
    Unread,
    runs_of,
    starts_of,
)
from planner.questions.validate.predicted import Refit, as_shipped, left_out
from planner.questions.validate.scoring import prepare
from planner.questions.validate.start_log import sheet_of, started
from planner.results import Estimate, Line, Score, Validation, Verdict, Worst
from planner.scenario import legal
from planner.scenario.evaluate import arrives
from planner.scenario.scenario import Deployment, Scenario, group_of, resolve

Floats = NDArray[np.float64]
WORST = 10
BY = (
    "gpu",
    "engine",
    "model",
    "dtype",
    "tp",
    "arrival",
    "lengths",
    "metric",
)  # fields of `Measured`
GROUPS = [("gpu", "engine", "metric"), ("gpu", "engine", "tp", "dtype"),
          *((name,) for name in ("gpu", "engine", "model", "metric"))]  # fmt: skip
HINT = "name a CSV with a header, a benchmark's result, or an engine's start-up log"
BENCH = {"gpu": DEFAULT_DEVICE, "engine": "vllm"}  # where nobody says


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured number with what was predicted of it (NaN: nothing, and why)."""

    line: int
    gpu: str
    engine: str
    model: str
    metric: str
    setting: str
    measured: float
    tp: str = ""  # and what follows: of a whole engine that ran
    dtype: str = ""
    arrival: str = ""
    lengths: str = ""
    predicted: float = math.nan
    ln_sd: float = math.nan
    flag: str = ""
    refused: str = ""


def score(
    measured: Floats, predicted: Floats, ln_sd: Floats | None = None, refused: int = 0
) -> Score:
    """Score rows; `ln_sd` is the spread each prediction claims."""
    if not len(measured):
        nothing = dict.fromkeys(("mean_ape", "median_ape", "bias", "spearman", "coverage"))
        return Score(n=0, refused=refused, **nothing)
    ape = np.abs(predicted / measured - 1.0)
    ln_error = np.log(predicted / measured)
    rank = covered = told = flat = None
    if len(measured) > 2 and np.ptp(measured) > 0 and np.ptp(predicted) > 0:
        rank = float(np.corrcoef(_ranks(measured), _ranks(predicted))[0, 1])
    if ln_sd is not None and not np.isnan(ln_sd).all():
        covered = float(np.mean(np.abs(ln_error) <= Z * ln_sd))
        known = np.isfinite(ln_sd) & np.isfinite(ln_error)  # some rows claim no spread
        if known.any():
            own = ln_error[known]
            told = interval_score(own, Z * ln_sd[known])
            flat = interval_score(own, np.quantile(np.abs(own), INTERVAL))
    return Score(
        n=len(measured),
        refused=refused,
        mean_ape=float(ape.mean()),
        median_ape=float(np.median(ape)),
        p90_ape=float(np.quantile(ape, 0.9)),
        bias=float(np.median(predicted / measured) - 1.0),
        spearman=rank,
        coverage=covered,
        interval_score=told,
        flat_score=flat,
    )


def interval_score(error: Floats, half_width: Any) -> float:
    """Return the mean score of intervals: their width, and what they miss, dearly; less is better.

    [Gneiting and Raftery 2007, eq. 43.] The one width it likes best for given errors is their
    80 % quantile.

    Args:
        error: of each prediction (any unit), (n,).
        half_width: of each 80 % interval, or of all (the same unit).

    """
    missed = np.maximum(np.abs(error) - half_width, 0.0)
    return float(np.mean(2.0 * half_width + 2.0 / (1.0 - INTERVAL) * missed))


def _ranks(values: Floats) -> Floats:
    """Return ranks, ties sharing theirs; scipy.stats has it, and takes a second to import."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[index])


def validate_file(
    path: Path,
    *,
    known: Mapping[str, str] | None = None,
    refit: Refit | None = None,
    by: Sequence[str] = (),
    worst: int = WORST,
    command: str = "",
) -> Validation:
    """Score a file of measurements: runs, kernels, a benchmark's result, an engine's start-up log.

    Which it is, its contents say.

    Args:
        path: a CSV, what a benchmark tool wrote, or a log, gzipped or not; `-` is standard input.
        known: columns that the file leaves out: gpu, engine, dtype, tp, model, batch, ….
        refit: see `validate_runs`.
        by: see `validate_runs`.
        worst: how many of the worst rows to keep.
        command: recorded in the result.

    Raises:
        SpecError: the file cannot be read, or nothing in it can; `by` names nothing of a row.

    """
    if unknown := [name for name in by if name not in BY]:
        raise SpecError(f"--by: rows have no {unknown[0]!r}", hint=f"they have {', '.join(BY)}")
    content = Content.of(path, hint=HINT)
    sheet, log, notes = sheet_in(content, known or {})
    source = content.path.name
    if "op" in sheet.header:
        return validate_kernels(group_kernels(sheet), source, worst=worst, command=command)
    runs, unread = runs_of(sheet)
    found = validate_runs(
        runs, source, unread=unread, refit=refit, by=by, worst=worst, command=command
    )
    more: dict[str, Any] = {"started": started(log, found.lines, runs)} if log else {}
    more |= {"basis": found.basis | {"file": "; ".join(notes)}} if notes else {}
    return found.model_copy(update=more | {"verdicts": tuple(map(_verdict, starts_of(sheet)))})


def sheet_in(
    content: Content, known: Mapping[str, str]
) -> tuple[Sheet, EngineLog | None, tuple[str, ...]]:
    """Return what a file measured as a table, the start-up log if it is one, and what to say of it.

    Args:
        content: a table, a benchmark's result, or a log.
        known: columns: of a log in place of what it says, else where a row says nothing.

    Raises:
        SpecError: it is none of these, or a log that does not say enough.

    """
    text = content.text(hint=HINT, errors="replace")
    if is_bench(text, content.path):
        bench = read_bench(text, content.path, known, BENCH)
        return Sheet.of(bench.rows, content.path), None, bench.notes
    log = engine_log_in(text) if len(_columns_of(text)) < 2 else None
    if log:
        return sheet_of(log, content.path, known), log, ()
    return _measurements(content, known), None, ()


def _measurements(content: Content, known: Mapping[str, str]) -> Sheet:
    """Return a table of measurements; another file is no result of a benchmark that is known."""
    text, path = content.text(hint=HINT), content.path
    if path.suffix in (".json", ".jsonl") or text.lstrip().startswith(("{", "[")):
        read_bench(text, path, known)  # says what is wrong with it
    if text and not _columns_of(text):
        raise SpecError(f"{path}: neither measurements nor an engine's log", hint=HINT)
    sheet = csv_in(text, path, hint=HINT)
    return sheet if "op" in sheet.header else sheet.filled(known)


def _columns_of(text: str) -> set[str]:
    """Return the columns of measurements that a text's first line names, if it is a table."""
    cells = re.split("[,;\t\r]", text.partition("\n")[0])
    return {cell.strip(' "') for cell in cells} & {"op", *COLUMN_OF.values(), "metric", *COLUMNS}


def _verdict(start: Start) -> Verdict:
    """Say whether an engine's start, for its longest request, was foretold."""
    s = start.scenario
    short = legal.lacking(s)
    return Verdict(
        row=start.line,
        model=s.model.name,
        where=f"{s.on}, {s.engine.name} {s.engine.version}".strip(),
        outcome=start.outcome,
        short_bytes=short,
        right=start.ran == (short <= 0),
    )


def validate_runs(
    runs: Sequence[Run],
    source: str,
    *,
    unread: Sequence[Unread] = (),
    refit: Refit | None = None,
    by: Sequence[str] = (),
    worst: int = WORST,
    command: str = "",
) -> Validation:
    """Score end-to-end runs.

    Args:
        runs: what was measured.
        source: where it comes from, for the report.
        unread: numbers of the file that could not be asked about: counted in every table.
        refit: for cross-validation: fits the engine of its second argument on its first. Given,
            every architecture is predicted by a fit on the others.
        by: what rows must share to be scored together, of `BY`; nothing: several such.
        worst: how many of the worst rows to keep.
        command: recorded in the result.

    """
    known: dict[tuple[object, ...], Deployment | str] = {}
    refused = [refusal(r, known) for r in runs]
    asked = [r for r, why in zip(runs, refused, strict=True) if not why]
    prepared = prepare(asked, lambda s: _deployment(s, known))
    over = prepared.overflows()
    answers = iter(
        zip(*(left_out(prepared, refit) if refit else as_shipped(prepared)), strict=True)
    )
    rows = []
    for r, why in zip(runs, refused, strict=True):
        value, sd = (math.nan, math.nan) if why else next(answers)
        rows.append(_measured(r, value, sd, why))
    rows += [_unread(u) for u in unread]
    return _assemble(
        rows,
        source,
        sorted({d.basis for d in known.values() if isinstance(d, Deployment)}),
        worst,
        by=by,
        names=_names(asked, known),
        overflow=_overflow(asked, over),
        cross_validated=refit is not None,
        command=command,
    )


def refusal(r: Run, known: dict[tuple[object, ...], Deployment | str]) -> str:
    """Return why a run cannot be asked about; nothing where it can."""
    if no := legal.refusal(r.scenario):
        return no.message
    if COLUMNS[r.column].statistic == "p99" and not arrives(r.scenario):
        return "a percentile of the tail has no closed form"
    key = group_of(r.scenario)
    if key not in known:
        try:
            known[key] = resolve(r.scenario)
        except NoSuchFormat as error:
            known[key] = str(error)
    found = known[key]
    return found if isinstance(found, str) else ""


def _names(runs: Sequence[Run], known: Mapping[tuple[object, ...], Deployment | str]) -> str:
    """Say what names of a file were read as, where that is not plain."""
    read_as = {d.read_as for d in known.values() if isinstance(d, Deployment)} - {""}
    engines = {r.scenario.engine.name for r in runs if not r.scenario.engine.version}
    newest = f"{', '.join(sorted(engines))} of no version read as the newest" if engines else ""
    return "; ".join(filter(None, (*sorted(read_as), newest)))


def _deployment(s: Scenario, known: Mapping[tuple[object, ...], Deployment | str]) -> Deployment:
    found = known[group_of(s)]
    assert isinstance(found, Deployment)
    return found


def _overflow(runs: Sequence[Run], over: NDArray[np.bool_]) -> dict[str, int] | None:
    """Return the batches whose cache overflowed: as the file says, as found."""
    said = np.array([bool(r.overflow) for r in runs])
    if not said.any():
        return None
    batches = np.array([r.scenario.workload.kind == "batch" for r in runs])
    return {
        "measured": int(np.sum(said)),
        "found": int(np.sum(over & said)),
        "false_alarms": int(np.sum(over & batches & ~said)),
    }


def validate_kernels(
    groups: Sequence[KernelRows], source: str, *, worst: int = WORST, command: str = ""
) -> Validation:
    """Score single kernels, each under the nearest profile for vLLM on its device."""
    rows, basis = [], set()
    for g in groups:
        profile, _, words = profile_for(g.device_id, load_device(g.device_id), "vllm")
        basis.add(words)
        for i, t in enumerate(predicted_s(g, profile.alone())):
            setting = " ".join(f"{k}={v[i]:.0f}" for k, v in g.columns.items() if v[i] == v[i])
            rows.append(
                Measured(g.line[i], g.device_id, g.kernel[i], g.op, g.dtype, setting,
                         float(g.time_s[i]), predicted=float(t), flag=g.flag[i])
            )  # fmt: skip
    return _assemble(rows, source, sorted(basis), worst, command=command, column="time_s")


def _assemble(
    rows: Sequence[Measured],
    source: str,
    basis: Sequence[str],
    worst: int,
    *,
    by: Sequence[str] = (),
    names: str = "",
    overflow: dict[str, int] | None = None,
    cross_validated: bool = False,
    command: str = "",
    column: str = "",
) -> Validation:
    measured = np.array([x.measured for x in rows])
    predicted = np.array([x.predicted for x in rows])
    ln_sd = np.array([x.ln_sd for x in rows])
    known = np.isfinite(predicted)
    unflagged = np.array([not x.flag for x in rows])
    plain = unflagged & known

    def scored(which: NDArray[np.bool_]) -> Score:
        can = which & known
        return score(measured[can], predicted[can], ln_sd[can], int(np.sum(which & ~known)))

    def sorted_by(which: NDArray[np.bool_], *names: str) -> dict[str, Score]:
        keys = np.array(["  ".join(filter(None, (getattr(x, n) for n in names))) for x in rows])
        return {str(k): scored(which & (keys == k)) for k in sorted(set(keys[which]))}

    together = [by] if by else GROUPS
    flags = sorted({f for x in rows for f in x.flag.split("|") if f})

    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(plain, np.abs(np.log(predicted / measured)), -1.0)
    order = np.argsort(-errors, kind="stable")
    return Validation(
        command=command,
        basis={"names": names} if names else {},
        source=source,
        overall=scored(unflagged if plain.any() else np.ones(len(rows), bool)),
        groups={", ".join(names): sorted_by(unflagged, *names) for names in together},
        flagged={f: scored(np.array([f in x.flag.split("|") for x in rows])) for f in flags},
        worst=tuple(_worst(rows[i]) for i in order[: min(worst, int(plain.sum()))]),
        overflow=overflow,
        profiles=tuple(basis),
        cross_validated=cross_validated,
        lines=tuple(_line(x, column) for x in rows),
    )


def _worst(x: Measured) -> Worst:
    names = ("gpu", "engine", "model", "metric", "setting", "measured", "predicted")
    return Worst(**{n: getattr(x, n) for n in names}, error=x.predicted / x.measured - 1.0)


def _line(x: Measured, column: str) -> Line:
    """Return a row as JSON has it: with its interval, or why there is none."""
    metric = column or x.metric
    if not math.isfinite(x.predicted):
        return Line(row=x.line, metric=metric, refused=x.refused or "does not fit in memory")
    line = Line(row=x.line, metric=metric, measured=x.measured, predicted=x.predicted)
    if not math.isfinite(x.ln_sd):
        return line
    estimate = Estimate.lognormal(x.predicted, x.ln_sd)
    return line.model_copy(update={"low": estimate.low, "high": estimate.high})


def _unread(u: Unread) -> Measured:
    gpu, engine, model, flag = (u.row.get(n) or "" for n in ("gpu", "engine", "model", "flag"))
    nan = math.nan
    return Measured(u.line, gpu, engine, model, u.column, "", nan, flag=flag, refused=u.why)


def _measured(r: Run, predicted: float, ln_sd: float, refused: str) -> Measured:
    s = r.scenario
    e, w = s.engine, s.workload
    came = f"{w.rate_per_s:.3g} req/s" if w.kind == "rate" else f"batch {r.batch:g}"
    setting = f"{came}, {w.input_tokens:g} in, {w.output_tokens:g} out, tp {e.tp}"
    if not FORMATS[e.dtype].plain or e.kv_dtype:
        setting += f", {e.dtype}" + (f" kv {e.kv_dtype}" if e.kv_dtype else "")
    engine = f"{e.name} {e.version}".strip() if r.column in MEMORY else e.generation
    where = (r.line, s.on, engine, s.model.name, r.column, setting, r.value)
    ran = (f"tp {e.tp}", e.dtype, str(w.kind), w.lengths or "fixed")
    return Measured(*where, *ran, predicted, ln_sd, r.flag, refused)
