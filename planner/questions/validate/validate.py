"""Score predictions against measurements: how far off, in which direction, how sure with what right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.inputs.device import load_device
from planner.inputs.profile import profile_for
from planner.interval import INTERVAL, Z
from planner.questions.validate.kernel_rows import KernelRows, predicted_s
from planner.questions.validate.measured import BATCH_METRICS, Run
from planner.questions.validate.scoring import prepare
from planner.scenario.system import Served, serve

Floats = NDArray[np.float64]
SPREAD = {"prefill_s": "prefill", "ttft_s": "ttft", "tpot_s": "decode", "itl_s": "decode"}
WORST = 10


@dataclass(frozen=True, slots=True)
class Score:
    """How rows of one kind were predicted; errors as shares of what was measured."""

    n: int
    mean_ape: float
    median_ape: float
    bias: float  # median of predicted / measured, less 1
    spearman: float | None  # None where there is nothing to rank
    coverage: float | None  # of 80 % intervals; None where there are none


@dataclass(frozen=True, slots=True)
class Line:
    """One measured row and what was predicted of it."""

    gpu: str
    engine: str
    model: str
    metric: str
    setting: str
    measured: float
    predicted: float
    flag: str = ""
    kind: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1.0


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores of a whole file, taken apart in several ways."""

    source: str
    overall: Score
    groups: Mapping[str, Mapping[str, Score]]  # by what, then by which
    flagged: Mapping[str, Score]  # rows flagged in the file, by flag: never in the scores above
    worst: Sequence[Line]
    overflow: Mapping[str, int] | None  # rows where the cache overflowed: said and found
    basis: Sequence[str]  # the profiles the predictions rest on
    cross_validated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self) | {"worst": [asdict(w) | {"error": w.error} for w in self.worst]}


def score(measured: Floats, predicted: Floats, ln_sd: Floats | None = None) -> Score:
    """Score rows; `ln_sd` is the spread each prediction claims."""
    ape = np.abs(predicted / measured - 1.0)
    ln_error = np.log(predicted / measured)
    rank = None
    if len(measured) > 2 and np.ptp(measured) > 0 and np.ptp(predicted) > 0:
        rank = float(np.corrcoef(_ranks(measured), _ranks(predicted))[0, 1])
    return Score(
        n=len(measured),
        mean_ape=float(ape.mean()),
        median_ape=float(np.median(ape)),
        bias=float(np.median(predicted / measured) - 1.0),
        spearman=rank,
        coverage=None if ln_sd is None else float(np.mean(np.abs(ln_error) <= Z * ln_sd)),
    )


def _ranks(values: Floats) -> Floats:
    """Return ranks, ties sharing theirs; scipy.stats has it, and takes a second to import."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[index])


Refit = Callable[[Sequence[Run], Sequence[Run]], Floats]


def validate_runs(
    runs: Sequence[Run], source: str, *, refit: Refit | None = None, worst: int = WORST
) -> Validation:
    """Score end-to-end runs.

    Args:
        runs: what was measured.
        source: where it comes from, for the report.
        refit: for cross-validation: predicts its second argument by a fit on its first. Given,
            every architecture is predicted by a fit on the others.
        worst: how many of the worst rows to keep.

    """
    served = {key: serve(*key) for key in {(r.device_id, r.setup) for r in runs}}

    def served_by(run: Run) -> Served:
        return served[(run.device_id, run.setup)]

    prepared = prepare(runs, served_by)
    predicted, ln_sd = prepared.predict(), np.array([_ln_sd(served_by(r), r) for r in runs])
    over = prepared.overflows()
    if refit is not None:
        predicted, ln_sd = _left_out(runs, refit)
    lines = [_line(r, float(p)) for r, p in zip(runs, predicted, strict=True)]
    basis = sorted({s.basis for s in served.values()})
    said = [r.overflow in ("True", "true", "1") for r in runs]
    overflow = None
    if any(said):
        batches = np.array([r.metric in BATCH_METRICS for r in runs])
        overflow = {
            "measured": int(np.sum(said)),
            "found": int(np.sum(over & said)),
            "false_alarms": int(np.sum(over & batches & ~np.array(said))),
        }
    found = _assemble(lines, predicted, ln_sd, source, basis, worst)
    return replace(found, overflow=overflow, cross_validated=refit is not None)


def validate_kernels(
    groups: Sequence[KernelRows], source: str, *, worst: int = WORST
) -> Validation:
    """Score single kernels, each under the nearest profile for vLLM on its device."""
    lines, predicted, basis = [], [], set()
    for g in groups:
        profile, _, words = profile_for(g.device_id, load_device(g.device_id), "vllm")
        basis.add(words)
        times = predicted_s(g, profile.alone())
        predicted.append(times)
        for i, t in enumerate(times):
            setting = " ".join(f"{k}={v[i]:.0f}" for k, v in g.columns.items() if v[i] == v[i])
            lines.append(
                Line(g.device_id, g.kernel[i], g.op, g.dtype, setting, g.time_s[i], t, g.flag[i])
            )
    return _assemble(lines, np.concatenate(predicted), None, source, sorted(basis), worst)


def _assemble(
    lines: Sequence[Line],
    predicted: Floats,
    ln_sd: Floats | None,
    source: str,
    basis: Sequence[str],
    worst: int,
) -> Validation:
    measured = np.array([x.measured for x in lines])
    known = np.isfinite(predicted)
    plain = np.array([not x.flag for x in lines]) & known

    def scored(rows: NDArray[np.bool_]) -> Score:
        return score(measured[rows], predicted[rows], None if ln_sd is None else ln_sd[rows])

    def by(key: Callable[[Line], str], rows: NDArray[np.bool_]) -> dict[str, Score]:
        names = np.array([key(x) for x in lines])
        return {str(n): scored(rows & (names == n)) for n in sorted(set(names[rows]))}

    order = np.argsort(-np.where(plain, np.abs(np.log(predicted / measured)), -1.0), kind="stable")
    return Validation(
        source=source,
        overall=scored(plain if plain.any() else known),
        groups={
            "gpu, engine, metric": by(lambda x: f"{x.gpu}  {x.engine}  {x.metric}", plain),
            "gpu, engine, tp, dtype": by(lambda x: f"{x.gpu}  {x.engine}  {x.kind}", plain),
            "gpu": by(lambda x: x.gpu, plain),
            "engine": by(lambda x: x.engine, plain),
            "model": by(lambda x: x.model, plain),
            "metric": by(lambda x: x.metric, plain),
        },
        flagged=by(lambda x: x.flag, known & ~plain),
        worst=[lines[i] for i in order[: min(worst, int(plain.sum()))]],
        overflow=None,
        basis=basis,
    )


def _ln_sd(served: Served, run: Run) -> float:
    kind = SPREAD.get(run.metric, "throughput")
    return float(getattr(served.profile.spread, kind)) * served.wider


def _line(r: Run, predicted: float) -> Line:
    setting = f"batch {r.batch:g}, {r.input_tokens:g} in, {r.output_tokens:g} out, tp {r.setup.tp}"
    if r.setup.dtype != "bf16" or r.setup.kv_dtype:
        setting += f", {r.setup.dtype}" + (f" kv {r.setup.kv_dtype}" if r.setup.kv_dtype else "")
    return Line(
        gpu=r.device_id,
        engine=r.setup.name,
        model=r.model,
        metric=r.metric,
        setting=setting,
        measured=r.value,
        predicted=predicted,
        flag=r.flag,
        kind=f"tp {r.setup.tp}  {r.setup.dtype}",
    )


def _left_out(runs: Sequence[Run], refit: Refit) -> tuple[Floats, Floats]:
    """Predict each architecture by a fit on the others, of the same device and engine.

    The interval is as wide as the others' errors say, each of them predicted in the same way.
    """
    predicted, ln_sd = np.full(len(runs), np.nan), np.full(len(runs), np.nan)
    measured = np.array([r.value for r in runs])
    groups: dict[tuple[str, str], list[int]] = {}
    for i, r in enumerate(runs):
        groups.setdefault((r.device_id, r.setup.name), []).append(i)
    for rows in groups.values():
        architectures = sorted({runs[i].architecture for i in rows})
        for architecture in architectures:
            own = [i for i in rows if runs[i].architecture == architecture]
            rest = [runs[i] for i in rows if runs[i].architecture != architecture]
            rest = [r for r in rest if not r.flag] or rest
            if rest:
                predicted[own] = refit(rest, [runs[i] for i in own])
        errors = np.abs(np.log(predicted / measured))
        for architecture in architectures:
            own = [i for i in rows if runs[i].architecture == architecture]
            others = [i for i in set(rows) - set(own) if not runs[i].flag]
            if others:
                ln_sd[own] = np.quantile(errors[others], INTERVAL) / Z
    return predicted, ln_sd
