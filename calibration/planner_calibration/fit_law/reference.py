"""Fit of the reference law and its extensions: Huber on log loss, many starts, L-BFGS.

Besiroglu et al. 2024 (arXiv 2404.10102): the *sum* of Huber losses of ln L, delta 1e-3. The
objective is divided by delta^2 so that the optimiser's tolerances bite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner_calibration.fit_law.data import Runs
from planner_calibration.fit_law.model import BOUNDS, Design, design, ln_loss

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


def _objective(
    theta: np.ndarray, z: Design, weight: np.ndarray, prior: np.ndarray, delta: float
) -> tuple[float, np.ndarray]:
    value, jac = ln_loss(theta, z)
    res = (z.ln_loss - value) / delta
    size = np.abs(res)
    inside = size <= 1.0
    cost = float(weight @ np.where(inside, 0.5 * res**2, size - 0.5))
    slope = weight * np.where(inside, res, np.sign(res))
    grad = -(slope / delta) @ jac
    if len(prior):
        pull = (theta - prior[0]) / prior[1]
        cost += 0.5 * float(pull @ pull)
        grad = grad + pull / prior[1]
    return cost, grad


def _priors(z: Design, prior: Prior, scale: float) -> np.ndarray:
    """Return (means, sds) per parameter, infinite where there is none; `scale` sets noise units."""
    if not prior:
        return np.zeros((0, len(z.names)))
    pairs = [prior.get(n, (0.0, np.inf)) for n in z.names]
    return np.array([[m for m, _ in pairs], [s * scale for _, s in pairs]])


def _random_start(z: Design, rng: np.random.Generator) -> np.ndarray:
    low = z.ln_loss.min()
    draw = {
        "e": low + np.log(rng.uniform(0.2, 1.0)),
        "a": low + np.log(rng.uniform(0.02, 1.0)),
        "b": low + np.log(rng.uniform(0.02, 1.0)),
        "alpha": rng.uniform(0.05, 1.0),
        "beta": rng.uniform(0.05, 1.0),
        "q": rng.uniform(0.0, 0.2),
        "ln_aspect": rng.uniform(3.0, 5.0),
        "ln_k_x": rng.uniform(-5.0, -1.0),
        "ln_x_opt": rng.uniform(-3.2, -2.0),
        "ln_k_r": rng.uniform(-6.0, -2.0),
        "ln_r_opt": rng.uniform(-0.7, 0.9),
    }
    return np.array([draw[n] for n in z.names])


def _descend(
    z: Design, start: np.ndarray, weight: np.ndarray, prior: np.ndarray, delta: float, max_iter: int
) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    best = minimize(
        _objective,
        start,
        args=(z, weight, prior, delta),
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS[n] for n in z.names],
        options={
            "maxiter": max_iter,
            "maxfun": 3 * max_iter,
            "ftol": 1e-13,
            "gtol": 1e-7,
            "maxcor": 20,
        },
    )
    return best.x, float(best.fun)


def _whitened(
    z: Design,
    start: np.ndarray,
    weight: np.ndarray,
    prior: np.ndarray,
    delta: float,
    max_iter: int = 300,
) -> tuple[np.ndarray, float]:
    """Descend in coordinates where the data's information is the identity: tens of steps, not hundreds.

    Falls back to the bounded descent where the free one leaves the bounds.
    """
    from scipy.optimize import minimize

    _, jac = ln_loss(start, z)
    info = (jac * weight[:, None]).T @ jac
    if len(prior):
        info = info + np.diag(delta**2 / prior[1] ** 2)
    value, vector = np.linalg.eigh(info)
    # Directions the data barely see get a bounded step, not an infinite one.
    root = vector / np.sqrt(np.maximum(value, 1e-7 * value[-1]))
    scale = delta * np.sqrt(weight.sum())

    def local(step: np.ndarray) -> tuple[float, np.ndarray]:
        cost, grad = _objective(start + scale * (root @ step), z, weight, prior, delta)
        return cost, scale * (root.T @ grad)

    found = minimize(
        local,
        np.zeros(len(start)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": 3 * max_iter, "ftol": 1e-12, "gtol": 1e-6},
    )
    theta = start + scale * (root @ found.x)
    low, high = np.array([BOUNDS[n] for n in z.names]).T
    if np.all((theta > low) & (theta < high)) and np.isfinite(found.fun):
        return theta, float(found.fun)
    return _descend(z, np.clip(theta, low, high), weight, prior, delta, max_iter)


def _from(
    z: Design, start: np.ndarray, weight: np.ndarray, prior: np.ndarray, delta: float
) -> tuple[np.ndarray, float]:
    """Descend from far away: a short bounded descent, then whitened ones until they stand still."""
    theta, value = _descend(z, start, weight, prior, delta, 80)
    for _ in range(8):
        again, lower = _whitened(z, theta, weight, prior, delta)
        if lower >= value - 1e-7 * abs(value):
            break
        theta, value = again, lower
    return theta, value


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
    points = [_random_start(z, rng) for _ in range(n_starts)] + list(starts)
    weight = np.ones(len(runs))
    # In the linear regime a residual costs |res| / delta: a Laplace likelihood of scale b has
    # |res| / b, so priors count by delta / b against the objective.
    sigma = noise or 0.006
    scale = np.sqrt(delta / sigma) if prior else 1.0
    pulled = _priors(z, prior or {}, scale)
    found = [_from(z, p, weight, pulled, delta) for p in points]
    theta, value = min(found, key=lambda f: f[1])
    theta, value = _polish(z, theta, weight, pulled, delta, value)
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


def _polish(
    z: Design, theta: np.ndarray, weight: np.ndarray, prior: np.ndarray, delta: float, value: float
) -> tuple[np.ndarray, float]:
    """Restart until the objective stands still: L-BFGS stalls on Huber's kinks."""
    for _ in range(8):
        again, lower = _whitened(z, theta, weight, prior, delta)
        if lower >= value - 1e-9 * abs(value):
            break
        theta, value = again, lower
    return theta, value


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
        out[i] = _whitened(z, fit_.theta, times[keep].astype(float), none, delta, 120)[0]
    return out


def _rows(z: Design, keep: np.ndarray) -> Design:
    from dataclasses import replace

    picked = {k: getattr(z, k)[keep] for k in ("n", "d", "ln_loss", "ln_aspect", "ln_x", "ln_r")}
    return replace(z, **picked)


def vpnls(runs: Runs, *, relative: bool = False) -> dict[str, float]:
    """Fit E + A/N^alpha + B/D^beta by least squares with E, A, B eliminated (non-negative).

    For given exponents the law is linear, so only (alpha, beta) are searched: a different
    estimator on purpose. On Epoch's data it moves E by more than the bootstrap's spread.
    """
    from scipy.optimize import minimize, nnls

    n, d = np.log(runs.n), np.log(runs.n_tokens)
    n_mid, d_mid = n.mean(), d.mean()
    n, d = n - n_mid, d - d_mid
    weight = 1 / runs.loss if relative else np.ones(len(runs))

    def inner(exponents: np.ndarray) -> tuple[np.ndarray, float]:
        columns = np.column_stack(
            [np.ones_like(n), np.exp(-exponents[0] * n), np.exp(-exponents[1] * d)]
        )
        solution, rest = nnls(columns * weight[:, None], runs.loss * weight)
        return np.asarray(solution), float(rest)

    grid = [(a, b) for a in np.arange(0.1, 1.0, 0.15) for b in np.arange(0.1, 1.0, 0.15)]
    start = min(grid, key=lambda g: inner(np.array(g))[1])
    best = minimize(
        lambda t: inner(np.abs(t))[1], start, method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-13, "maxiter": 4000, "maxfev": 8000},
    )  # fmt: skip
    alpha, beta = np.abs(best.x)
    (e, a, b), rms = inner(np.array([alpha, beta]))
    out: dict[str, Any] = {
        "E": e, "A": a * np.exp(alpha * n_mid), "alpha": alpha, "B": b * np.exp(beta * d_mid),
        "beta": beta, "rms": rms / np.sqrt(len(runs)),
    }  # fmt: skip
    return {k: float(v) for k, v in out.items()}
