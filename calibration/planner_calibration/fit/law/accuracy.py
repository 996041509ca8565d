"""Fit of the accuracy link: loss to accuracy, on average or a task at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import read_csv, rows_named
from planner.law.accuracy import AccuracyLink, accuracy
from planner_calibration.fit.law.solve import solve

Form = Literal["sigmoid", "sigmoid-free", "exponential"]


@dataclass(frozen=True, slots=True)
class Downstream:
    """Accuracy of trained models beside their loss."""

    loss: np.ndarray
    values: Mapping[str, np.ndarray]  # column -> share correct, NaN where absent
    group: np.ndarray  # models whose checkpoints belong together


def load_downstream(
    path: Path | str, *, source: str | None = None, dataset: str | None = None
) -> Downstream:
    """Read a CSV with columns loss and acc, and any number of task_* columns.

    Raises:
        SpecError: a column is missing, or a value is impossible; rows are named.

    """
    whole = read_csv(path)
    header = whole.header
    sheet = whole.keep(
        lambda r: (
            (source is None or r.get("source", "").startswith(source))
            and (dataset is None or r.get("dataset") == dataset)
        )
    )
    if not sheet.rows:
        raise SpecError(f"{path}: no row of source {source!r}", hint="leave --source out for all")
    for need in ("loss", "acc"):
        if need not in header:
            raise SpecError(
                f"{path}: row 1: no column {need}", hint=f"has {', '.join(header[:12])}"
            )

    column, lines = sheet.numbers, np.array(sheet.lines)
    loss = column("loss")
    if np.any(bad := ~(loss > 0)):
        raise SpecError(
            f"{path}: no positive loss in {rows_named(lines[bad])}", hint="nats per token"
        )
    values = {n: column(n) for n in header if n in ("acc", "acc_bian8") or n.startswith("task_")}
    for name, v in values.items():
        if np.any(bad := (v < 0) | (v > 1)):
            raise SpecError(
                f"{path}: {name} is no share of 1 in {rows_named(lines[bad])}", hint="divide by 100"
            )
    _, group = np.unique(
        [r.get("run_id", "").split("@")[0] for r in sheet.rows], return_inverse=True
    )
    return Downstream(loss, values, np.asarray(group))


@dataclass(frozen=True, slots=True)
class LinkFit:
    """A fitted link's coefficients, and its leave-one-model-out error in points (of 100)."""

    theta: np.ndarray
    loo_rmse: float


def _curve(form: str, t: np.ndarray, loss: np.ndarray) -> np.ndarray:
    if form == "exponential":  # Gadre et al. 2024: error = e - k exp(-gamma loss)
        return np.asarray(1 - (t[0] - np.exp(t[1] - t[2] * (loss - 2.8))))
    link = AccuracyLink(slope=t[0], midpoint=t[1], error_at_chance=1 - CHANCE)
    if form == "sigmoid":
        return np.asarray(accuracy(link, loss))
    ceiling = 1 / (1 + np.exp(-t[2]))  # of the error, in (0, 1)
    return np.asarray(accuracy(replace(link, error_at_chance=ceiling), loss))


CHANCE = 0.25  # of guessing right
_START: dict[str, Sequence[Sequence[float]]] = {
    "sigmoid": ([2.0, 2.6], [1.0, 2.0], [3.0, 3.0]),
    "sigmoid-free": ([2.0, 2.6, 1.0], [2.0, 3.0, 0.0], [4.0, 2.8, 0.5]),
    "exponential": ([0.85, -1.0, 0.75], [0.7, -1.5, 1.5], [0.6, -2.0, 2.0]),
}


def fit_link(
    loss: np.ndarray, acc: np.ndarray, *, form: Form = "sigmoid", group: np.ndarray | None = None
) -> LinkFit:
    """Fit accuracy against loss by least squares; `group` holds a model's checkpoints together.

    Raises:
        SpecError: fewer runs than coefficients and one to spare.

    """
    ok = np.isfinite(acc)
    loss, acc = loss[ok], acc[ok]
    group = np.arange(len(loss)) if group is None else group[ok]
    if len(loss) < len(_START[form][0]) + 2:
        raise SpecError(f"{len(loss)} accuracies cannot fit a {form} link", hint="add runs")
    theta = _solve(form, loss, acc, _START[form])
    left_out = np.empty(len(loss))
    names = np.unique(group)
    folds = names if len(names) <= 60 else np.arange(60)
    for f in folds:
        held = group == f if len(names) <= 60 else np.searchsorted(names, group) % 60 == f
        part = _solve(form, loss[~held], acc[~held], [theta])
        left_out[held] = acc[held] - _curve(form, part, loss[held])
    return LinkFit(theta, 100 * float(np.sqrt(np.mean(left_out**2))))


def _solve(
    form: str, loss: np.ndarray, acc: np.ndarray, starts: Sequence[Sequence[float] | np.ndarray]
) -> np.ndarray:
    def residual(t: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(_curve(form, t, loss) - acc)

    return solve(residual, starts).theta


def update_link(link: AccuracyLink, loss: np.ndarray, acc: np.ndarray) -> AccuracyLink:
    """Return `link` moved to a corpus, tokenizer or task mix of one's own by a few models.

    Another tokenizer shifts the midpoint (0.2 nats between Gemstones and Bian et al.), another
    task mix the error at chance; the slope is nearly universal. The residual is at least a point.
    """
    midpoint_sd, ln_slope_sd, ceiling_sd = 0.3, 0.25, 0.06
    noise = max(link.residual_sd, 0.01)

    def at(t: np.ndarray) -> AccuracyLink:
        return replace(
            link,
            slope=link.slope * np.exp(ln_slope_sd * t[0]),
            midpoint=link.midpoint + midpoint_sd * t[1],
            error_at_chance=link.error_at_chance + ceiling_sd * t[2],
        )

    def residual(t: np.ndarray) -> np.ndarray:
        return np.concatenate([(np.asarray(accuracy(at(t), loss)) - acc) / noise, t])

    found = solve(residual, [np.zeros(3)])
    sd = np.sqrt(np.diag(found.inverse))
    moved = at(found.theta)
    return replace(
        moved,
        slope_sd=float(moved.slope * ln_slope_sd * sd[0]),
        midpoint_sd=float(midpoint_sd * sd[1]),
        residual_sd=noise,
    )
