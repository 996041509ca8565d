"""Fit of the reference law and its extensions: Huber on log loss, many starts, L-BFGS.

Besiroglu et al. 2024 (arXiv 2404.10102): the *sum* of Huber losses of ln L, delta 1e-3. The
objective is divided by delta^2 so that the optimiser's tolerances bite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.descend import descend_from, polish, pulls, random_start, whitened
from planner_calibration.fit.law.model import BOUNDS, Design, design, ln_loss

DELTA = 1e-3  # Hoffmann et al. 2022: Huber's delta on log loss
Prior = Mapping[str, tuple[float, float]]  # parameter -> mean and sd, in the fit's own coordinates


@dataclass(frozen=True, slots=True)
class LawFit:
    """A fitted law: parameters in centred coordinates, with what it was fitted to."""

    theta: np.ndarray
    design: Design
    objective: float
    n_starts: int
    n_agreeing: int  # starts that reached the best optimum
    covariance: np.ndarray  # Laplace, in the fit's coordinates
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
    prior: Prior | None = None,
    noise: float | None = None,
    delta: float = DELTA,
    starts: Sequence[np.ndarray] = (),
) -> LawFit:
    """Fit ln L by the sum of Huber losses from `n_starts` random starts (and `starts`).

    Args:
        runs: trained models.
        blocks: which parts are free, of reference, depth, width and ratio.
        n_starts: random starts.
        seed: of the starts.
        prior: normal priors on centred parameters; the fit is then the posterior's mode.
        noise: relative noise of a run that weighs data against `prior`; from residuals by default.
        delta: Huber's delta on ln L.
        starts: further starting points.

    """
    z = design(runs, blocks)
    rng = np.random.default_rng(seed)
    points = [random_start(z, rng) for _ in range(n_starts)] + list(starts)
    weight = np.ones(len(runs))
    # In the linear regime a residual costs |res| / delta: a Laplace likelihood of scale b has
    # |res| / b, so priors count by delta / b against the objective.
    sigma = noise or 0.006
    scale = np.sqrt(delta / sigma) if prior else 1.0
    pulled = pulls(z, prior or {}, scale)
    found = [descend_from(z, p, weight, pulled, delta) for p in points]
    theta, value = min(found, key=lambda f: f[1])
    theta, value = polish(z, theta, weight, pulled, delta, value)
    agree = sum(f[1] <= value * (1 + 1e-4) + 1e-6 for f in found[:n_starts])
    res = z.ln_loss - ln_loss(theta, z)[0]
    edge = tuple(
        n
        for n, t in zip(z.names, theta, strict=True)
        if min(t - BOUNDS[n][0], BOUNDS[n][1] - t) < 1e-6
    )
    return LawFit(
        theta,
        z,
        value * delta**2,
        n_starts,
        agree,
        _laplace(z, theta, res, pulled, scale),
        res,
        edge,
    )


def _laplace(
    z: Design, theta: np.ndarray, res: np.ndarray, prior: np.ndarray, scale: float
) -> np.ndarray:
    """Return the covariance from the Jacobian, residual variance and priors."""
    _, jac = ln_loss(theta, z)
    dof = max(len(res) - len(theta), 1)
    variance = max(float(res @ res) / dof, 1e-8)
    info = jac.T @ jac / variance
    if len(prior):
        info = info + np.diag((scale / prior[1]) ** 2)
    return np.asarray(np.linalg.pinv(info, hermitian=True))


def bootstrap(
    fit_: LawFit,
    runs: Runs,
    n_draws: int = 1000,
    *,
    seed: int = 0,
    by_shape: bool = True,
    delta: float = DELTA,
) -> np.ndarray:
    """Return parameters refitted to resampled data, shape (n_draws, parameters).

    Whole shapes are resampled, since checkpoints of one model share their errors; `by_shape=False`
    resamples rows. Each refit starts at the full data's optimum.
    """
    rng = np.random.default_rng(seed)
    groups = runs.shape if by_shape else np.arange(len(runs))
    _, group = np.unique(groups, return_inverse=True)
    count = group.max() + 1
    none = np.zeros((0, len(fit_.theta)))
    out = np.empty((n_draws, len(fit_.theta)))
    for i in range(n_draws):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[group]
        keep = times > 0
        z = _rows(fit_.design, keep)
        out[i] = whitened(z, fit_.theta, times[keep].astype(float), none, delta, 120)[0]
    return out


def _rows(z: Design, keep: np.ndarray) -> Design:
    from dataclasses import replace

    picked = {k: getattr(z, k)[keep] for k in ("n", "d", "ln_loss", "ln_aspect", "ln_x", "ln_r")}
    return replace(z, **picked)
