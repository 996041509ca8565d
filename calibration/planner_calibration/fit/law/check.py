"""How a law does on any table of runs: error, rank and coverage, by source and size."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from planner.errors import SpecError
from planner.inputs.files import read_csv
from planner.inputs.law import LawSpec
from planner.interval import ENDS
from planner.law.accuracy import OTHER_TOKENIZER_SD, AccuracyLink, accuracy_draws
from planner.law.accuracy import accuracy as accuracy_at
from planner.law.compare import loss_draws
from planner.law.law import predict_loss
from planner.units import show
from planner_calibration.fit.law.accuracy import load_downstream, update_link
from planner_calibration.fit.law.conditional import within_rule
from planner_calibration.fit.law.data import (
    Runs,
    load_runs,
    shapes_of,
    sizes,
    well_tuned,
)
from planner_calibration.fit.law.evaluate import score
from planner_calibration.fit.law.update import update_law

TUNE = 3  # runs a law (or a link) is moved by


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a check; losses in nats (accuracies in points of 100)."""

    what: str
    n: int
    mae: float
    bias: float
    spearman: float
    regret: float
    coverage: float  # of the 80 % interval


@dataclass(frozen=True, slots=True)
class Skipped:
    """A source that could not be scored, and why."""

    source: str
    why: str


def check_losses(
    law: LawSpec, path: Path | str, *, source: str | None = None
) -> tuple[list[Row], list[Skipped]]:
    """Score a law on every source of a table, as it is and after seeing `TUNE` small runs.

    The first line of a source is the law untouched: corpora and tokenizers differ, so its level
    may be off while its ranks hold. The second is the law updated on the `TUNE` cheapest runs,
    which are then left out of the score. Of runs that differ in learning rate or batch only, the
    best counts.
    """
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for name in _sources(path, source):
        try:
            runs = load_runs(path, source=name, n_definition=law.n_definition)
        except SpecError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        dense = ~(runs.n_experts > 1)
        for data in sorted(set(runs.dataset[dense])):
            part = well_tuned(runs[dense & (runs.dataset == data)])
            if len(part) >= 3:
                rows += _score_source(law, part, f"{name} {data}".strip())
    return rows, skipped


def _sources(path: Path | str, start: str | None) -> list[str]:
    """Return the sources of a table whose names begin so."""
    return sorted(
        {s for r in read_csv(path).rows if (s := r.get("source", "")).startswith(start or "")}
    )


def _spread_out(order: np.ndarray) -> np.ndarray:
    """Return `TUNE` of the first half of `order`: the very first are the furthest from the rest."""
    return np.asarray(order[np.linspace(0, len(order) // 2, TUNE).astype(int)])


def _score_source(law: LawSpec, runs: Runs, name: str) -> list[Row]:
    # A table that does not name its data is not the law's own.
    data = runs.dataset[0].strip().lower()
    other = not data or data not in law.evidence.data.lower()
    rows = [_row(law, runs, f"{name}: as it is")]
    label = sizes(runs)
    for k in range(label.max() + 1) if 1 < label.max() + 1 <= 12 else ():
        part = runs[label == k]
        if len(part) >= 3:
            rows.append(_row(law, part, f"  N about {show(float(np.median(part.n)))}"))
    usable = np.flatnonzero(within_rule(runs) | ~np.isfinite(runs.r))
    if len(usable) >= TUNE + 3:
        tune = _spread_out(usable[np.argsort((runs.n * runs.n_tokens)[usable])])
        rest = np.setdiff1d(np.arange(len(runs)), tune)
        moved = update_law(law, runs[tune], other_data=other).law
        rows.append(_row(moved, runs[rest], f"{name}: after {TUNE} cheap runs"))
    return rows


def _row(law: LawSpec, runs: Runs, what: str) -> Row:
    columns = law.columns()
    s = shapes_of(runs, columns)
    value = np.asarray(predict_loss(columns, s))
    draws = loss_draws(columns, s, 1000)
    low, high = np.quantile(draws, ENDS, axis=0)
    sc = score(what, value, runs)
    inside = float(np.mean((runs.loss >= low) & (runs.loss <= high)))
    return Row(what, len(runs), sc.mae, sc.bias, sc.spearman, sc.regret, inside)


def check_accuracies(
    path: Path | str, *, source: str | None = None
) -> tuple[list[Row], list[Skipped]]:
    """Score the accuracy link on every source of a table with columns loss and acc."""
    link = AccuracyLink()
    out: list[Row] = []
    skipped: list[Skipped] = []
    for name in _sources(path, source):
        try:
            d = load_downstream(path, source=name)
        except SpecError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        acc = d.values["acc"]
        wide = replace(link, other_data_sd=OTHER_TOKENIZER_SD)
        out.append(_accuracy_row(wide, d.loss, acc, f"{name}: link as it is", "bian" not in name))
        if len(acc) >= 6:
            tune = _spread_out(np.argsort(-d.loss))
            rest = np.setdiff1d(np.arange(len(acc)), tune)
            moved = update_link(link, d.loss[tune], acc[tune])
            what = f"{name}: after {TUNE} runs"
            out.append(_accuracy_row(moved, d.loss[rest], acc[rest], what, False))
    return out, skipped


def _accuracy_row(
    link: AccuracyLink, loss: np.ndarray, acc: np.ndarray, what: str, other: bool
) -> Row:
    predicted = np.asarray(accuracy_at(link, loss))
    draws = accuracy_draws(link, np.broadcast_to(loss, (1000, len(loss))), other_data=other)
    low, high = np.quantile(draws, ENDS, axis=0)
    error = 100 * (predicted - acc)
    return Row(
        what,
        len(acc),
        float(np.mean(np.abs(error))),
        float(np.mean(error)),
        float(spearmanr(predicted, acc).statistic),
        float("nan"),
        float(np.mean((acc >= low) & (acc <= high))),
    )
