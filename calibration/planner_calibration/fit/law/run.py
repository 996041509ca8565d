"""From a CSV of runs to a law and its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import rows_named
from planner.inputs.law import LawSpec, default_law, load_law
from planner.law.columns import NDefinition
from planner.law.law import predict_loss
from planner.law.posterior import COORDINATES
from planner.law.terms.depth import DEPTH
from planner.law.terms.reference import REFERENCE
from planner.law.terms.shape import SHAPE
from planner_calibration.fit.law.conditional import PRIOR, Form, fit_conditional, within_rule
from planner_calibration.fit.law.data import (
    Runs,
    load_runs,
    require_shapes,
    require_sizes,
    shapes_of,
    sizes,
    tuned,
)
from planner_calibration.fit.law.evaluate import (
    Predictor,
    Stage,
    nearest_size_baseline,
    progressive,
    score,
)
from planner_calibration.fit.law.export import law_of_fit
from planner_calibration.fit.law.model import BLOCKS
from planner_calibration.fit.law.reference import bootstrap, fit
from planner_calibration.fit.law.report import FitReport, in_words
from planner_calibration.fit.law.solve import vpnls
from planner_calibration.fit.law.update import Update, update_law


def fit_csv(
    path: Path | str,
    *,
    source: str | None = None,
    n_definition: NDefinition | str | None = None,
    prior: str | None = None,
    blocks: Sequence[str] = (),
    n_starts: int = 20,
    n_draws: int = 1000,
    seed: int = 0,
    same_data: bool = False,
    drop_highest: int = 0,
    name: str = "user",
    columns: Mapping[str, str] | None = None,
    force: bool = False,
) -> FitReport:
    """Fit a law to the runs in a table.

    Args:
        path: see `load_runs`.
        source: keep only this source.
        n_definition: which N; default: the one every row has.
        prior: the law of shape that the runs move ("none": none, a free fit of N and D). Default:
            the published one.
        blocks: free parts of a free fit beside the reference: depth, width, ratio. Default: depth
            where it varies, width and ratio where r varies.
        n_starts: random starts.
        n_draws: bootstrap draws, by shape.
        seed: of starts and draws.
        same_data: the runs share corpus, tokenizer and recipe with the prior.
        drop_highest: leave out so many runs of highest loss (5 for Epoch's Chinchilla data).
        name: of the new law.
        columns: see `load_runs`.
        force: return a law although size alone foretells the largest models better.

    Raises:
        SpecError: the data cannot support the fit; rows are named.

    """
    path = Path(path)
    runs = load_runs(path, source=source, n_definition=n_definition, columns=columns)
    if drop_highest:
        runs = runs[np.sort(np.argsort(-runs.loss, kind="stable")[drop_highest:])]
    if prior == "none":
        return _free(path, runs, blocks, n_starts, n_draws, seed, name)
    law = load_law(prior) if prior else default_law()[0]
    good = tuned(runs)
    ill, runs = runs[~good], runs[good]
    moved = update_law(law, runs, other_data=not same_data, name=name, source=path.name)
    _require_sense(path, runs, moved)
    stages, why = _held_out(law, runs, other_data=not same_data)
    if not force:
        _require_better(path, runs, stages)
    return FitReport(
        moved.law, stages, _parameters(moved.law), moved.uninformed, _said(law, moved, runs, ill),
        not_held_out=why,
    )  # fmt: skip


def size_alone(runs: Runs) -> Predictor:
    """Return the straight line of ln L in ln N: what size alone says of the loss."""
    ln_n = np.log(runs.n)
    if np.ptp(ln_n) < 0.01:
        middle = float(np.exp(np.mean(np.log(runs.loss))))
        return lambda other: np.full(len(other), middle)
    slope, at = np.polyfit(ln_n - ln_n.mean(), np.log(runs.loss), 1)
    return lambda other: np.exp(at + slope * (np.log(other.n) - ln_n.mean()))


def _require_sense(path: Path, runs: Runs, moved: Update) -> None:
    """Refuse a law that says less of its own runs than their size does.

    Raises:
        SpecError: its residuals exceed the spread about size alone.

    """
    spread = float(np.sqrt(np.mean((runs.loss - size_alone(runs)(runs)) ** 2)))
    if len(runs) > LEAST_TO_JUDGE and moved.rms_after > max(spread, LEAST_SPREAD):
        raise SpecError(
            f"{path}: residuals of {moved.rms_after:.3f} nats exceed the spread of the losses "
            f"about their size, {spread:.3f}: no law of this form describes these runs",
            hint="fit one corpus, tokenizer and recipe at a time (--source), and drop diverged runs",
        )


def _require_better(path: Path, runs: Runs, stages: Sequence[Stage]) -> None:
    """Refuse a law that foretells the largest models worse than a line through the smaller ones does.

    Raises:
        SpecError: it does, and there are enough runs to tell.

    """
    several = len(set(runs.dataset)) > 1  # whose levels a held-out run does not say
    if several or len(runs) < LEAST_TO_REFUSE or not stages or stages[-1].law.n < LEAST_HELD_OUT:
        return
    own = stages[-1].law
    alone = next(b for b in stages[-1].baselines if b.name == "size alone")
    if own.rmse >= alone.rmse:
        raise SpecError(
            f"{path}: on the {own.n} runs of the largest models a law moved by the others errs by "
            f"{own.rmse:.4f} nats, and a straight line of ln L in ln N by {alone.rmse:.4f}",
            hint="these runs need no such law, or are of several recipes (--source); --force fits it all the same",
        )


LEAST_TO_JUDGE, LEAST_SPREAD = 5, 0.02
LEAST_TO_REFUSE, LEAST_HELD_OUT = 12, 3  # of fewer runs chance decides


def _parameters(law: LawSpec) -> dict[str, tuple[float, float, float]]:
    """Return each coefficient with the ends of its 90 % interval."""
    columns = law.columns()
    half = 1.645 * np.sqrt(np.diag(np.array(law.covariance)))  # of a 90 % interval
    by = dict(zip(COORDINATES, half[: len(COORDINATES)], strict=True))
    nan = float("nan")
    parameters = {k: (float(getattr(columns, k)), nan, nan) for k in ("E", "A", "B")}
    for c in (*REFERENCE.coefficients, *SHAPE.coefficients, *DEPTH.coefficients):
        v, s = float(getattr(columns, c.name)), by[c.coordinate]
        ends = (v * np.exp(-s), v * np.exp(s)) if c.ln else (v - s, v + s)
        parameters[c.name] = (v, *ends)
    return parameters


def _said(law: LawSpec, moved: Update, runs: Runs, ill: Runs) -> tuple[str, ...]:
    lines = [
        f"{moved.law.evidence.n_runs} runs moved {law.name}: rms {moved.rms_before:.4f} -> {moved.rms_after:.4f} nats",
        "learnt from the runs: " + in_words(moved.informed)
        if moved.informed
        else "the runs said nothing the prior did not know",
    ]
    if len(moved.dropped):
        lines.append(f"left out for r outside [0.5, 5]: {rows_named(moved.dropped)}")
    if len(ill):
        words = "left out, over 1 % worse than the best of the same shape and tokens"
        lines.append(f"{words}: {rows_named(ill.row)}")
    corpora = sorted(set(runs.dataset))
    if len(corpora) > 1:
        lines.append(f"each of {len(corpora)} corpora has a level of its own: {', '.join(corpora)}")
    if np.ptp(np.log(runs.n_tokens)) < 0.01:
        lines.append("one number of tokens only: beta and the slope in tokens are the prior's")
    if sizes(runs).max() == 0:
        lines.append("one size only: alpha and the slope in size are the prior's")
    return tuple(lines)


def _held_out(law: LawSpec, runs: Runs, *, other_data: bool) -> tuple[list[Stage], str]:
    """Move the law by the smaller sizes, test it on the largest, three runs at least where there are."""
    label = sizes(runs)
    least = label.max()
    while np.sum(label >= least) < LEAST_HELD_OUT and least > 1:
        least -= 1
    small, large = runs[label < least], runs[label >= least]
    if not len(small):
        return [], "the runs are of one size"
    moved = update_law(law, small, other_data=other_data).law
    columns = moved.columns()
    seen = shapes_of(large, columns)
    return [
        Stage(
            f"{len(small)} runs below the largest size{'s' if least < label.max() else ''}, {law.name} as the prior",
            f"{len(large)} runs, N {large.n.min():.3g}-{large.n.max():.3g}",
            score("moved law", np.asarray(predict_loss(columns, seen)), large),
            (
                score("the last size's mean loss", nearest_size_baseline(small)(large), large),
                score("size alone", size_alone(small)(large), large),
            ),
        )
    ], ""


def _free(
    path: Path, runs: Runs, blocks: Sequence[str], n_starts: int, n_draws: int, seed: int, name: str
) -> FitReport:
    require_sizes(runs, path)
    lines = []
    parts = tuple(blocks) or _parts(runs)
    unknown = set(parts) - set(BLOCKS)
    if unknown:
        raise SpecError(f"no part called {unknown.pop()!r}", hint=f"one of {', '.join(BLOCKS)}")
    if "ratio" in parts:
        keep = within_rule(runs)
        if not keep.all():
            lines.append(f"left out for r outside [0.5, 5]: {rows_named(runs.row[~keep])}")
            runs = runs[keep]
    chosen = ("reference", *(p for p in parts if p != "reference"))
    _require_columns(path, runs, chosen)
    _require_enough(path, runs, chosen)
    law = fit(runs, chosen, n_starts=n_starts, seed=seed)
    draws = bootstrap(law, runs, n_draws, seed=seed)
    low_high = {k: np.quantile(v, [0.05, 0.95]) for k, v in law.design.natural(draws).items()}
    parameters = {
        k: (v, float(low_high[k][0]), float(low_high[k][1])) for k, v in law.natural.items()
    }
    other = vpnls(runs)
    estimators = (
        f"cross-check, least squares by variable projection: E {other['E']:.4f}, "
        f"alpha {other['alpha']:.4f}, beta {other['beta']:.4f}; "
        f"the choice of estimator moves E by {abs(other['E'] - law.natural['E']):.3f}"
    )
    lines += [
        f"{law.n_agreeing} of {n_starts} starts reach the optimum; objective {law.objective:.6g}",
        estimators,
        f"relative rms of residuals {np.sqrt(np.mean(law.residual**2)):.3%}",
    ]
    uninformed = tuple(law.at_bounds) + tuple(
        k
        for k, (lo, hi) in low_high.items()
        if k in _WIDE and _WIDE[k](lo, hi) and k not in law.at_bounds
    )
    spec = law_of_fit(law, draws, runs, name=name, source=path.name, data=_data_name(runs))
    lines += _forms_compared(runs)
    return FitReport(
        spec, progressive(runs, chosen, n_starts=8), parameters, uninformed, tuple(lines)
    )


# A coefficient the data hold no better than this was not informed by them.
_WIDE = {
    "alpha": lambda lo, hi: hi - lo > 0.35,
    "beta": lambda lo, hi: hi - lo > 0.45,
    "E": lambda lo, hi: hi - lo > 1.0,
    "k_x": lambda lo, hi: hi > 8 * max(lo, 1e-9),
    "k_r": lambda lo, hi: hi > 8 * max(lo, 1e-9),
    "x_opt": lambda lo, hi: hi > 1.5 * lo,
    "r_opt": lambda lo, hi: hi > 2.5 * lo,
    "depth_q": lambda lo, hi: hi > 8 * max(lo, 1e-9),
    "depth_aspect": lambda lo, hi: hi > 4 * lo,
}


def _varies(values: np.ndarray, runs: Runs) -> bool:
    """Whether `values` differ by a tenth between models of one size."""
    if not np.all(np.isfinite(values)):
        return False
    label = sizes(runs)
    spans = [np.ptp(np.log(values[label == k])) for k in range(label.max() + 1)]
    return bool(max(spans) > 0.1)


def _parts(runs: Runs) -> tuple[str, ...]:
    if _varies(runs.r, runs):
        return ("width", "ratio")
    return ("depth",) if _varies(runs.n_layers, runs) else ()


def _require_columns(path: Path | str, runs: Runs, parts: Sequence[str]) -> None:
    needs = {"depth": ("n_layers", "d_model"), "width": ("x",), "ratio": ("r",)}
    for part in parts:
        for column in needs.get(part, ()):
            bad = ~np.isfinite(getattr(runs, column))
            if bad.any():
                raise SpecError(
                    f"{path}: {column} is missing in {rows_named(runs.row[bad])}, needed for {part}",
                    hint=f"fill the column, or leave {part} out",
                )


def _require_enough(path: Path | str, runs: Runs, parts: Sequence[str]) -> None:
    if len(parts) > 1:
        require_shapes(runs, path)
    need = sum(len(BLOCKS[b]) for b in parts)
    if len(runs) < need + 2:
        raise SpecError(
            f"{path}: {len(runs)} runs cannot set {need} coefficients",
            hint="add runs, free fewer parts, or start from a published law (--prior bian-1b)",
        )


def _forms_compared(runs: Runs) -> list[str]:
    """Fit all three published forms where r and x vary, so that they can be compared."""
    if not (_varies(runs.r, runs) and np.all(np.isfinite(runs.x))):
        return []
    lines = []
    for form in get_args(Form):
        prior = PRIOR if form == "multiplicative" else None
        try:
            rms = fit_conditional(runs, form, prior=prior, n_starts=8).rms
            lines.append(f"{form} form, best loss of each (N, D) free: rms {rms:.4f} nats")
        except SpecError as error:
            lines.append(f"{form} form: {error}")
    return lines


def _data_name(runs: Runs) -> str:
    names = sorted(set(runs.dataset) - {""})
    return ", ".join(names[:3]) or "own data"
