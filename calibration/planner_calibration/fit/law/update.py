"""A published law moved by a user's own runs: the posterior's mode and covariance.

The law's priors hold what the data leave open, so two or three runs already help and cannot do
harm; the report names every coefficient the runs did not inform.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import rows_named
from planner.inputs.law import LawSpec
from planner.law.columns import LawColumns
from planner.law.law import predict_loss
from planner.law.posterior import (
    ALPHA_RANGE,
    AT,
    BETA_RANGE,
    COORDINATES,
    OTHER_DATA_SD,
    OTHER_NOISE_SD,
    coordinates,
    law_at,
    spread,
)
from planner.law.terms.depth import DEPTH
from planner.law.terms.reference import reference_loss
from planner_calibration.fit.law.conditional import UNINFORMED, within_rule
from planner_calibration.fit.law.data import Runs, depth_varies, shapes_of, with_depth
from planner_calibration.fit.law.solve import solve

SMALL, LARGE = AT["loss_small"], AT["loss_large"]


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


def prior_covariance(law: LawColumns, n: float, *, other_data: bool) -> np.ndarray:
    """Return the spread of the coordinates before any run, wider where the corpus is another."""
    covariance = spread(law, n)
    if other_data:
        both = np.zeros(len(COORDINATES))
        both[[SMALL, LARGE]] = OTHER_DATA_SD * coordinates(law)[[SMALL, LARGE]]
        covariance = covariance + np.outer(both, both)
    # Beyond the anchors the slope is unsure too; runs are often far smaller than 1B.
    beyond = [float(np.log(n / law.anchors[i][0])) for i in (0, 1)]
    gap = max(-beyond[0], beyond[1], 0.0)
    covariance[SMALL, SMALL] += (law.size_slope_sd * gap) ** 2 * (beyond[0] < 0)
    covariance[LARGE, LARGE] += (law.size_slope_sd * gap) ** 2 * (beyond[1] > 0)
    return covariance


def update_law(
    spec: LawSpec,
    runs: Runs,
    *,
    name: str = "user",
    source: str = "own runs",
    other_data: bool = True,
    depth: bool | None = None,
) -> Update:
    """Return `spec` conditioned on `runs`.

    Args:
        spec: the law that is the prior.
        runs: trained models, N counted as the law counts.
        name: of the new law.
        source: where the runs came from, kept in the file.
        other_data: whether corpus, tokenizer or recipe may differ from the law's.
        depth: let depth act; by default where depths leave the reference by a quarter.

    Raises:
        SpecError: the runs count N otherwise than the law, or none has r inside [0.5, 5].

    """
    law = spec.columns()
    noise = float(max(law.noise_sd, OTHER_NOISE_SD) if other_data else law.noise_sd)
    depth = depth_varies(runs) if depth is None else depth
    law.n_definition.require(runs.n_definition, where="runs")
    keep = _within_reach(runs)
    used = runs[keep]
    law = with_depth(law, used, depth)
    n_mid = float(np.exp(np.mean(np.log(used.n))))
    covariance = prior_covariance(law, n_mid, other_data=other_data)
    free = sorted(set(range(len(COORDINATES))) - _frozen(law, used, depth))
    root = np.linalg.cholesky(covariance[np.ix_(free, free)])
    s = shapes_of(used, law)

    def missed(by: LawColumns) -> np.ndarray:
        return np.asarray(used.loss - predict_loss(by, s))

    def misses(step: np.ndarray) -> np.ndarray:
        return missed(_moved(law, free, root @ step)) / noise

    found = solve(lambda step: np.concatenate([_huber(misses(step)), step]), [np.zeros(len(free))])
    data = misses(found.theta)
    # Misfit beyond the stated noise widens everything; a lucky fit never narrows it.
    spent = len(free) - float(np.trace(found.inverse))  # coordinates' worth the runs settled
    excess = max(1.0, float(np.sum(data**2)) / max(len(used) - spent, 1.0))
    posterior = np.diag(np.diag(covariance))
    posterior[np.ix_(free, free)] = root @ found.inverse @ root.T * excess
    ratio = np.sqrt(np.diag(posterior) / np.diag(covariance))
    silent = tuple(c for c, i in AT.items() if i not in free or ratio[i] > UNINFORMED)
    after = _moved(law, free, root @ found.theta)
    return Update(
        _as_spec(spec, after, posterior, used, name, source, noise * float(np.sqrt(excess))),
        uninformed=silent,
        rms_before=float(np.sqrt(np.mean(missed(law) ** 2))),
        rms_after=float(noise * np.sqrt(np.mean(data**2))),
        dropped=runs.row[~keep],
    )


def _within_reach(runs: Runs) -> np.ndarray:
    keep = within_rule(runs) | ~np.isfinite(runs.r)
    if not keep.any():
        raise SpecError(
            f"no run left: r is outside [0.5, 5] in {rows_named(runs.row)}",
            hint="the law does not reach such shapes; train one with r inside",
        )
    return np.asarray(keep)


def _moved(law: LawColumns, free: list[int], step: np.ndarray) -> LawColumns:
    """Return `law` with its free coordinates moved by `step`, within the bounds of any law."""
    theta = coordinates(law)
    theta[free] += step
    t: dict[str, Any] = dict(zip(COORDINATES, theta, strict=True))
    t["alpha"] = np.clip(t["alpha"], *ALPHA_RANGE)
    t["beta"] = np.clip(t["beta"], *BETA_RANGE)
    t["loss_small"] = max(t["loss_small"], t["loss_large"] + 1e-3)
    return law_at(law, t)


def _huber(miss: np.ndarray, at: float = 3.0) -> np.ndarray:
    """Return residuals whose squares are Huber's loss: beyond three sigma a run pulls no harder."""
    size = np.abs(miss)
    return np.asarray(
        np.where(size <= at, miss, np.sign(miss) * np.sqrt(np.maximum(2 * at * size - at**2, 0)))
    )


def _frozen(law: LawColumns, runs: Runs, depth: bool) -> set[int]:
    """Return the coordinates that cannot move: no such part in the law, or nothing varies in it."""
    out = set()
    if not depth:
        out |= {AT[c.coordinate] for c in DEPTH.coefficients}
    for side, values in (("x", runs.x), ("r", runs.r)):
        if getattr(law, f"k_{side}") <= 0 or not np.any(np.isfinite(values)):
            out |= {AT[f"ln_k_{side}"], AT[f"ln_{side}_opt"]}
    return out


def _as_spec(
    spec: LawSpec,
    law: LawColumns,
    covariance: np.ndarray,
    runs: Runs,
    name: str,
    source: str,
    noise: float,
) -> LawSpec:
    sd = dict(zip(COORDINATES, map(float, np.sqrt(np.diag(covariance))), strict=True))
    tokens, old, before = law.anchors[0][1], spec.evidence, spec.columns()
    basis = {"basis": f"{spec.name} as the prior, {len(runs)} runs"}

    def values(*names: str) -> dict[str, Any]:
        return {name: float(getattr(law, name)) for name in names} | basis

    spreads = {
        "alpha_sd": sd["alpha"],
        "beta_sd": sd["beta"],
        "data_term_ln_sd": sd["ln_data_term"],
    }
    changes: dict[str, Any] = {
        "name": name,
        "summary": f"{spec.name}, moved by {len(runs)} runs: {source}",
        "source": f"{spec.source}; {source}",
        "checked": date.today(),
        "basis": "user",
        "reference": values("E", "A", "alpha", "B", "beta") | spreads,
        "anchors": [
            {
                "n": n,
                "n_tokens": tokens,
                "loss": float(reference_loss(law, n, tokens)),
                "sd": sd[at],
            }
            for at, (n, *_) in zip(("loss_small", "loss_large"), law.anchors, strict=True)
        ],
        "covariance": covariance.tolist(),
        "evidence": {
            "n": _wider(old.n, runs.n),
            "tokens_per_param": _wider(old.tokens_per_param, runs.n_tokens / runs.n),
            **old.model_dump(include={"r", "x", "gqa", "gqa_high"}),
            "data": f"{old.data}, and {source}",
            "n_runs": len(runs),
        },
        "noise_sd": noise,
        "notes": f"{rows_named(runs.row)} of the runs given",
    }
    if spec.conditional:
        low, high = float(runs.n.min()), float(max(runs.n.max(), spec.conditional.fitted_n[1]))
        shape = values("x_opt", "k_x", "r_opt", "k_r")
        changes["conditional"] = shape | {"form": spec.conditional.form, "fitted_n": (low, high)}
    if (law.depth_q, law.depth_aspect) != (before.depth_q, before.depth_aspect):
        depth = {"q": float(law.depth_q), "aspect": float(law.depth_aspect)}
        changes["depth"] = depth | basis
    return LawSpec.model_validate(spec.model_dump() | changes)


def _wider(span: tuple[float, float], values: np.ndarray) -> tuple[float, float]:
    return float(min(values.min(), span[0])), float(max(values.max(), span[1]))
