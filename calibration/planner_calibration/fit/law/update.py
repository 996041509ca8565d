"""A published law moved by a user's own runs: the posterior's mode and covariance.

One model for any number of runs: a prior on level, slopes and exponents, from published laws as a
group or from the one law whose data the runs share; that law's priors on shape and depth; and a smooth
misfit in ln N and ln D. So two or three runs already help and cannot do harm, and the
report names every coefficient the runs did not inform.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from planner.inputs.files import rows_named
from planner.inputs.law import LawSpec
from planner.law.columns import LawColumns
from planner.law.evidence import widening_sd
from planner.law.law import predict_loss
from planner.law.posterior import AT, COORDINATES, LOCAL, coordinates, law_at, named, spread
from planner.law.terms.depth import best_width
from planner.law.terms.misfit import gram, rest_sd
from planner_calibration.fit.law.conditional import UNINFORMED, within_rule
from planner_calibration.fit.law.data import Runs, shapes_of
from planner_calibration.fit.law.hierarchy import group_prior, own_prior
from planner_calibration.fit.map_fit import MAD, MapFit, Prior, map_fit

RUN_NOISE = 0.006  # of ln L, between runs of one recipe, before there are residuals to tell
NOISE_RUNS, NOISE_STEPS = 8.0, 3  # runs that expectation counts for; fits for it
TAIL = 3.0  # times the noise beyond which a run pulls no harder
CORPUS_SD = 0.1  # of ln L, between corpora
MOST_POINTS = 16  # cells (N, D) where the misfit is followed


@dataclass(frozen=True, slots=True)
class Update:
    """A law after seeing runs."""

    law: LawSpec
    dropped: np.ndarray  # rows the law does not reach
    uninformed: tuple[str, ...]
    rms_before: float
    rms_after: float

    @property
    def informed(self) -> tuple[str, ...]:
        """Coordinates the runs told about."""
        return tuple(c for c in COORDINATES if c not in self.uninformed)


def update_law(
    spec: LawSpec,
    runs: Runs,
    *,
    name: str = "user",
    source: str = "own runs",
    other_data: bool = True,
    without: Collection[str] = (),
    run_noise: float | None = None,
) -> Update:
    """Return `spec` conditioned on `runs`.

    Args:
        spec: the law that is the prior, of shape at least.
        runs: trained models.
        name: of the new law.
        source: where the runs came from, kept in the file.
        other_data: whether corpus, tokenizer or recipe may differ from the law's: then the level,
            slopes and exponents are those of published laws as a group.
        without: families of laws left out of that group, for scoring on their own runs.
        run_noise: of ln L, between runs, before there are residuals to tell; default: the law's
            own where its data are shared.

    Raises:
        SpecError: the runs share the law's data but count N otherwise.

    """
    if not other_data:
        spec.n_definition.require(runs.n_definition, where="runs")
    reach = within_rule(runs) | ~np.isfinite(runs.r)
    # Where no run has an MLP/attention ratio that laws reach, all count, each with its own doubt.
    keep = reach if reach.any() else np.ones(len(runs), bool)
    used = runs[keep]
    pivot = _middle(used)
    mean, local = (
        group_prior(pivot, used.n_definition, without=without)
        if other_data
        else own_prior(spec, pivot)
    )
    law = spec.columns()
    law = replace(
        law,
        x_opt=float(best_width(law, pivot[0])),
        n_fitted_low=float(used.n.min()),
        n_fitted_high=float(used.n.max()),
        pivot=pivot,
        n_definition=used.n_definition,
        points=(),
        misfit=(),
        covariance=(),
    )
    prior = _prior(spec, law, pivot[0], local)
    law = law_at(law, named(law, np.concatenate([mean, coordinates(law)[len(LOCAL) :]])))
    before = float(np.sqrt(np.mean(_missed(law, used) ** 2)))
    points = _points(used)
    law = replace(law, points=points, misfit=(0.0,) * len(points))
    covariance = np.zeros((len(COORDINATES) + len(points),) * 2)
    covariance[: len(COORDINATES), : len(COORDINATES)] = prior
    covariance[len(COORDINATES) :, len(COORDINATES) :] = law.misfit_sd**2 * gram(points)
    root = np.linalg.cholesky(covariance + 1e-15 * np.eye(len(covariance)))
    if run_noise is None:
        run_noise = RUN_NOISE if other_data else spec.noise_sd / float(np.mean(used.loss))
    found, noise = _fit(law, used, root, run_noise)
    k = len(root)  # after it the levels of further corpora, which are theirs
    after = law_at(law, named(law, coordinates(law) + root @ found.peak[:k]))
    posterior = root @ found.covariance[:k, :k] @ root.T
    ratio = np.sqrt(np.diag(posterior) / np.diag(covariance))
    return Update(
        _as_spec(spec, after, posterior, used, name, source, noise),
        uninformed=tuple(c for c, i in AT.items() if ratio[i] > UNINFORMED),
        rms_before=before,
        rms_after=float(np.sqrt(np.mean(_missed(after, used, found.peak[k:]) ** 2))),
        dropped=runs.row[~keep],
    )


def _middle(runs: Runs) -> tuple[float, float]:
    return float(np.exp(np.mean(np.log(runs.n)))), float(np.exp(np.mean(np.log(runs.n_tokens))))


def _prior(spec: LawSpec, law: LawColumns, n: float, local: np.ndarray) -> np.ndarray:
    """Return the covariance of the coordinates before any run."""
    k = len(LOCAL)
    found = np.zeros((len(COORDINATES),) * 2)
    found[:k, :k] = local
    found[k:, k:] = spread(spec.columns(), n)[k : len(COORDINATES), k : len(COORDINATES)]
    return found


def _points(runs: Runs) -> tuple[tuple[float, float], ...]:
    """Return at most `MOST_POINTS` of the (N, D) trained, those furthest from each other first."""
    at = np.unique(np.round(np.log(np.column_stack([runs.n, runs.n_tokens])), 1), axis=0)
    chosen = [int(np.argmin(np.sum((at - at.mean(axis=0)) ** 2, axis=1)))]
    while len(chosen) < min(len(at), MOST_POINTS):
        gap = np.min([np.sum((at - at[i]) ** 2, axis=1) for i in chosen], axis=0)
        chosen.append(int(np.argmax(gap)))
    return tuple((float(n), float(d)) for n, d in np.exp(at[chosen]))


def _missed(law: LawColumns, runs: Runs, levels: np.ndarray | None = None) -> np.ndarray:
    """Return loss observed less predicted, nats; `levels` of further corpora, in `CORPUS_SD`."""
    predicted = np.asarray(predict_loss(law, shapes_of(runs, law)))
    if levels is not None and len(levels):
        predicted = predicted * np.exp(_corpora(runs) @ levels)
    return np.asarray(runs.loss - predicted)


def _corpora(runs: Runs) -> np.ndarray:
    """Return what each further corpus adds to ln L by run, (rows, corpora less the largest)."""
    names, count = np.unique(runs.dataset, return_counts=True)
    others = names[np.argsort(-count, kind="stable")][1:]
    return np.asarray(CORPUS_SD * (runs.dataset[:, None] == others))


def _fit(law: LawColumns, runs: Runs, root: np.ndarray, run_noise: float) -> tuple[MapFit, float]:
    """Return the mode in steps of the prior's own width, and the noise of a run, of ln L."""
    s, middle, ln_loss = shapes_of(runs, law), coordinates(law), np.log(runs.loss)

    k, corpora = len(root), _corpora(runs)

    def residuals(steps: np.ndarray) -> np.ndarray:
        moved = law_at(law, named(law, middle + steps[:, :k] @ root.T))
        predicted = np.log(np.maximum(predict_loss(moved, s), 1e-6))
        return np.asarray(ln_loss - predicted - steps[:, k:] @ corpora.T)

    # What a run says is blurred where no point of the misfit is near, or it leaves the evidence.
    own = np.hypot(rest_sd(law, runs.n, runs.n_tokens), widening_sd(law, s) / runs.loss)
    priors = [Prior(str(i), 0.0, 1.0, "linear") for i in range(k + corpora.shape[1])]
    noise = run_noise
    for _ in range(NOISE_STEPS):
        weights = noise / np.hypot(noise, own)
        found = map_fit(
            residuals, priors, noise=noise, n_starts=1, batched=True, weights=weights, tail=TAIL
        )
        left = weights * residuals(found.peak[None])[0]
        # Few runs bend the law to themselves: what was expected counts as some runs more.
        settled = len(priors) - float(np.trace(found.covariance))
        free = max(len(left) - settled, 1.0)
        seen = MAD * float(np.median(np.abs(left))) * np.sqrt(len(left) / free)
        noise = float(np.sqrt((NOISE_RUNS * run_noise**2 + free * seen**2) / (NOISE_RUNS + free)))
    return found, noise


def _as_spec(
    spec: LawSpec,
    law: LawColumns,
    covariance: np.ndarray,
    runs: Runs,
    name: str,
    source: str,
    noise: float,
) -> LawSpec:
    old = spec.evidence
    basis = {"basis": f"{spec.name} as the prior, {len(runs)} runs"}

    def values(*names: str) -> dict[str, Any]:
        return {name: float(getattr(law, name)) for name in names} | basis

    changes: dict[str, Any] = {
        "name": name,
        "summary": f"{spec.name}, moved by {len(runs)} runs: {source}",
        "n_definition": runs.n_definition,
        "source": f"{spec.source}; {source}",
        "checked": date.today(),
        "basis": "user",
        "reference": values("E", "A", "alpha", "B", "beta"),
        "anchors": [],
        "pivot": law.pivot,
        "points": [(*p, float(v)) for p, v in zip(law.points, law.misfit, strict=True)],
        "covariance": covariance.tolist(),
        "evidence": {
            "n": _span(runs.n),
            "tokens_per_param": _span(runs.n_tokens / runs.n),
            **old.model_dump(include={"r", "x", "gqa", "gqa_high"}),
            "data": source,
            "n_runs": len(runs),
        },
        "noise_sd": noise * float(np.mean(runs.loss)),
        "notes": f"{rows_named(runs.row)} of the runs given",
    }
    if spec.conditional:
        shape = values("x_opt", "k_x", "r_opt", "k_r")
        spreads = spec.conditional.model_dump(include=_SPREADS)
        changes["conditional"] = (
            shape
            | spreads
            | {"form": spec.conditional.form, "fitted_n": (law.n_fitted_low, law.n_fitted_high)}
        )
    depth = {"q": float(law.depth_q), "aspect": float(law.depth_aspect)}
    changes["depth"] = depth | {"drift": float(law.depth_drift)} | basis
    return LawSpec.model_validate(spec.model_dump() | changes)


_SPREADS = {f"{name}_ln_sd" for name in ("x_opt", "k_x", "r_opt", "k_r")}


def _span(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of what was trained, a hair apart where it is one."""
    return float(values.min()) * 0.999, float(values.max()) * 1.001
