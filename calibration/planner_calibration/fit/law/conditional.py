"""Fit of the conditional law to shapes trained at the same N and D, in three forms.

Levenberg-Marquardt on loss in nats, as in Bian et al. 2025, but in the identifiable form and with
the best loss of each (N, D) free: the paper takes the smallest loss seen, which is biased low by
the noise of a minimum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from planner.errors import SpecError
from planner.law.terms.shape import phi
from planner_calibration.fit.law.data import Runs, sizes
from planner_calibration.fit.law.model import RATIO, STARTS, WIDTH
from planner_calibration.fit.law.solve import solve

Form = Literal["multiplicative", "additive", "joint"]
SHAPE = {
    "multiplicative": WIDTH + RATIO,
    "additive": WIDTH + RATIO,
    "joint": WIDTH,  # of z = x r, one curve
}
R_RANGE = (0.5, 5.0)
# Across scales the paper's coefficients drift this much: LN(median, sd). Additive k are nats.
PRIOR = {
    "ln_x_opt": (float(np.log(0.077)), 0.06),
    "ln_k_x": (float(np.log(0.07)), 0.6),
    "ln_r_opt": (float(np.log(1.12)), 0.12),
    "ln_k_r": (float(np.log(0.0125)), 0.3),
}
UNINFORMED = 0.7  # a posterior wider than this share of its prior: the data said nothing


@dataclass(frozen=True, slots=True)
class ConditionalFit:
    """Shape coefficients, and what the data had to say."""

    form: str
    theta: np.ndarray
    l_opt: np.ndarray  # best loss of each (N, D)
    rms: float  # nats
    n_runs: int
    dropped: np.ndarray  # rows outside the r rule
    uninformed: tuple[str, ...]
    n_agreeing: int

    @property
    def natural(self) -> dict[str, float]:
        """x_opt, k_x, r_opt, k_r as far as the form has them."""
        return {
            n.removeprefix("ln_"): float(np.exp(t))
            for n, t in zip(SHAPE[self.form], self.theta, strict=True)
        }


def shape_effect(form: str, theta: np.ndarray, x: Any, r: Any) -> Any:
    """Return the factor (nats, if additive) of shapes (x, r)."""
    if form == "joint":
        return 1 + np.exp(theta[0]) * phi(x * r / np.exp(theta[1]))
    side_x = np.exp(theta[0]) * phi(x / np.exp(theta[1]))
    side_r = np.exp(theta[2]) * phi(r / np.exp(theta[3]))
    return side_x + side_r if form == "additive" else (1 + side_x) * (1 + side_r)


def within_rule(runs: Runs) -> np.ndarray:
    """Return which runs obey r in [0.5, 5]: outside, the paper's ranking breaks."""
    return np.asarray((runs.r >= R_RANGE[0]) & (runs.r <= R_RANGE[1]))


def fit_conditional(
    runs: Runs,
    form: Form = "multiplicative",
    *,
    prior: Mapping[str, tuple[float, float]] | None = None,
    noise: float = 0.006,
    n_starts: int = 20,
    seed: int = 0,
) -> ConditionalFit:
    """Fit what shape does to the loss.

    Args:
        runs: models with x and r, those with r outside [0.5, 5] being dropped; those of equal
            size and tokens share one best loss.
        form: multiplicative, additive, or joint (one curve in x r, non-separable).
        prior: normal priors on the ln coefficients; `PRIOR` spans the paper's drift. Without one
            an under-determined fit is refused.
        noise: nats, weighing data against the prior.
        n_starts: random starts.
        seed: of the starts.

    Raises:
        SpecError: x or r unknown, or fewer runs than coefficients without a prior.

    """
    _require_shapes(runs)
    names = SHAPE[form]
    k = len(names)
    keep = within_rule(runs)
    used = runs[keep]
    _, group = np.unique(np.column_stack([sizes(used), used.n_tokens]), axis=0, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    n_groups = int(group.max()) + 1 if len(group) else 0
    if prior is None and len(used) < k + n_groups + 1:
        raise SpecError(
            f"{len(used)} runs in {n_groups} (N, D) groups cannot set {k} shape coefficients",
            hint="train more shapes per size, or fit with a prior (--prior bian-1b)",
        )
    mean, sd = np.array([(prior or {}).get(n, (0.0, np.inf)) for n in names]).T

    def residual(full: np.ndarray) -> np.ndarray:
        effect = shape_effect(form, full[:k], used.x, used.r)
        best = full[k:][group]
        predicted = best + effect if form == "additive" else best * effect
        return np.concatenate([(used.loss - predicted) / noise, (full[:k] - mean) / sd])

    floor = np.array([used.loss[group == g].min() for g in range(n_groups)])
    starts = [np.concatenate([s, floor]) for s in _starts(form, prior, n_starts, seed)]
    low, high = [-12.0] * k + [0.0] * n_groups, [3.0] * k + [np.inf] * n_groups
    best = solve(residual, starts, bounds=(low, high))
    misses = best.residual[: len(used)]
    # Where runs are plenty their own scatter is the noise; where few, the stated one.
    dof = len(used) - k - n_groups
    scale = max(1.0, float(np.sum(misses**2)) / dof) if dof >= 5 else 1.0
    spread = np.sqrt(np.diag(best.inverse[:k, :k] * scale))
    loose = spread > UNINFORMED * np.minimum(sd, 1.0)
    return ConditionalFit(
        form,
        best.theta[:k],
        l_opt=best.theta[k:],
        rms=noise * float(np.sqrt(np.mean(misses**2))),
        n_runs=len(used),
        dropped=runs.row[~keep],
        uninformed=tuple(n.removeprefix("ln_") for n, s in zip(names, loose, strict=True) if s),
        n_agreeing=best.n_agreeing,
    )


def _require_shapes(runs: Runs) -> None:
    unknown = ~(np.isfinite(runs.x) & np.isfinite(runs.r))
    if unknown.any():
        raise SpecError(
            f"no shape in row {int(runs.row[unknown][0])} and {int(unknown.sum()) - 1} more",
            hint="give d_model and mlp_attn_ratio (or d_over_sqrt_n) to fit what shape does",
        )


def _starts(
    form: Form, prior: Mapping[str, tuple[float, float]] | None, n_starts: int, seed: int
) -> list[list[float]]:
    """Return where to start: the prior's mean first, then at random."""
    rng = np.random.default_rng(seed)
    within = STARTS | ({"ln_x_opt": (-4.0, -0.5)} if form == "joint" else {})
    return [
        [prior[n][0] if prior and i == 0 else rng.uniform(*within[n]) for n in SHAPE[form]]
        for i in range(n_starts)
    ]
