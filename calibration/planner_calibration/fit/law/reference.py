"""Fit of the reference law and its extensions: Huber on log loss, many starts, L-BFGS.

Besiroglu et al. 2024 (arXiv 2404.10102): the *sum* of Huber losses of ln L, delta 1e-3. The
objective is divided by delta^2 so that the optimiser's tolerances bite.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.descend import DELTA, descend_from, polish, random_start, whitened
from planner_calibration.fit.law.model import BOUNDS, Design, design, ln_loss


@dataclass(frozen=True, slots=True)
class LawFit:
    """A fitted law: parameters in centred coordinates, with what it was fitted to."""

    theta: np.ndarray
    design: Design
    objective: float
    n_starts: int
    n_agreeing: int  # starts that reached the best optimum
    residual: np.ndarray  # ln L observed less predicted
    at_bounds: tuple[str, ...] = ()

    @property
    def natural(self) -> dict[str, float]:
        """E, A, alpha, B, beta and the shape numbers."""
        return {k: float(v) for k, v in self.design.natural(self.theta).items()}

    def predict(self, runs: Runs, theta: np.ndarray | None = None) -> np.ndarray:
        """Return the loss of `runs`, nats per token."""
        z = design(runs, centre=self.design)
        return np.asarray(np.exp(ln_loss(self.theta if theta is None else theta, z)[0]))


def fit(
    runs: Runs,
    blocks: Sequence[str] = ("reference",),
    *,
    n_starts: int = 20,
    seed: int = 0,
    starts: Sequence[np.ndarray] = (),
) -> LawFit:
    """Fit ln L by the sum of Huber losses from `n_starts` random starts (and `starts`).

    Args:
        runs: trained models.
        blocks: which parts are free, of reference, depth, width and ratio.
        n_starts: random starts.
        seed: of the starts.
        starts: further starting points.

    """
    z = design(runs, blocks)
    rng = np.random.default_rng(seed)
    points = [random_start(z, rng) for _ in range(n_starts)] + list(starts)
    weight = np.ones(len(runs))
    found = [descend_from(z, p, weight) for p in points]
    theta, value = polish(z, *min(found, key=lambda f: f[1]), weight)
    agree = sum(f[1] <= value * (1 + 1e-4) + 1e-6 for f in found[:n_starts])
    residual = z.ln_loss - ln_loss(theta, z)[0]
    edge = tuple(
        n
        for n, t in zip(z.names, theta, strict=True)
        if min(t - BOUNDS[n][0], BOUNDS[n][1] - t) < 1e-6
    )
    return LawFit(theta, z, value * DELTA**2, n_starts, agree, residual, edge)


def bootstrap(
    fit_: LawFit, runs: Runs, n_draws: int = 1000, *, seed: int = 0, by_shape: bool = True
) -> np.ndarray:
    """Return parameters refitted to resampled data, shape (n_draws, parameters).

    Whole shapes are resampled, since checkpoints of one model share their errors; `by_shape=False`
    resamples rows. Each refit starts at the full data's optimum.
    """
    rng = np.random.default_rng(seed)
    groups = runs.shape if by_shape else np.arange(len(runs))
    _, group = np.unique(groups, return_inverse=True)
    count = group.max() + 1
    out = np.empty((n_draws, len(fit_.theta)))
    for i in range(n_draws):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[group]
        keep = times > 0
        z = _rows(fit_.design, keep)
        out[i] = whitened(z, fit_.theta, times[keep].astype(float), 120)[0]
    return out


def _rows(z: Design, keep: np.ndarray) -> Design:
    picked = {k: getattr(z, k)[keep] for k in ("n", "d", "ln_loss", "ln_aspect", "ln_x", "ln_r")}
    return replace(z, **picked)
