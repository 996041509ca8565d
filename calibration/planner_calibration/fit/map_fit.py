"""Maximum a posteriori: correct a few constants with few runs, and say how sure we then are.

Each constant has a prior (a shipped profile, a published coefficient). Measurements pull on it through
residuals in units of their noise, with a soft-L1 loss so that one stalled run cannot drag it away; the
prior stays quadratic. With one run the prior dominates, with many the data do. The curvature at the
optimum (Laplace) gives the covariance that posterior draws come from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from planner.errors import SpecError

Vector = NDArray[np.float64]
Residuals = Callable[[Vector], Vector]

SAME_OPTIMUM = 1e-3  # of the cost: starts this near the best one found the same optimum
STEP = 1e-5  # of a prior's width, for derivatives
MAD = 1.4826  # a normal's sd over its median absolute deviation
NOISE_ROWS = 2.0  # pseudo-observations the assumed noise counts for when noise is fitted as well


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of one constant beforehand.

    `mean` is in the constant's own unit. With `scale="log"` the constant is positive and `sd` is that of
    its natural logarithm (0.1: about 10 %); with `"linear"` it is in the constant's own unit.
    """

    name: str
    mean: float
    sd: float
    scale: Literal["log", "linear"] = "log"
    low: float = -np.inf  # what physics allows, in the constant's own unit
    high: float = np.inf


@dataclass(frozen=True, slots=True)
class MapFit:
    """Where the posterior peaks and how wide it is there; `covariance` is in fitting space."""

    priors: tuple[Prior, ...]
    peak: Vector  # fitting space: logarithms where the prior says so
    covariance: Vector
    noise: float  # of one residual, in the unit the residuals came in
    spread: float  # what the residuals then have, robustly
    n_rows: int
    cost: float
    starts_agreeing: float  # share of starts that ended at this optimum

    @property
    def values(self) -> dict[str, float]:
        """Each constant at the peak, in its own unit."""
        natural = _natural(self.peak, self.priors)
        return {p.name: float(v) for p, v in zip(self.priors, natural, strict=True)}

    @property
    def sds(self) -> dict[str, float]:
        """Posterior sd on each prior's own scale: of the logarithm where it is `"log"`."""
        sd = np.sqrt(np.diag(self.covariance))
        return {p.name: float(s) for p, s in zip(self.priors, sd, strict=True)}

    def shrinkage(self) -> dict[str, float]:
        """Posterior over prior sd: 1 where the runs said nothing, near 0 where they decide."""
        return {p.name: self.sds[p.name] / p.sd for p in self.priors}

    def draws(self, n: int, seed: int = 0) -> Vector:
        """Return `n` posterior draws, one row each, constants in their own units."""
        rng = np.random.default_rng(seed)
        return _natural(
            rng.multivariate_normal(self.peak, self.covariance, size=n, method="eigh"), self.priors
        )


def map_fit(
    residuals: Residuals,
    priors: Sequence[Prior],
    *,
    noise: float | None = None,
    expected_noise: float = 0.05,
    n_starts: int = 16,
    seed: int = 0,
    batched: bool = False,
    weights: Vector | None = None,
    tail: float = 1.0,
    diff_step: float | None = None,
    guesses: Sequence[Mapping[str, float]] = (),
) -> MapFit:
    """Fit constants to runs.

    Args:
        residuals: measured minus predicted, in one unit (say, logarithms), from constants in their own
            units and in the order of `priors`.
        priors: one for each constant.
        noise: the sd of one residual; None estimates it from the residuals as well.
        expected_noise: what `noise` is thought to be before there are residuals to tell.
        n_starts: the prior's mean, and draws from the prior.
        seed: of the starts.
        batched: `residuals` takes many sets of constants, one a row, and returns a row for each; all
            derivatives then cost one call.
        weights: of the residuals; default all alike.
        tail: times its noise beyond which a residual counts linearly only.
        diff_step: relative step of derivatives, where `residuals` are not smooth at the finest scale.
        guesses: further starts: constants by name, the others at the prior's mean.

    Raises:
        SpecError: a prior is impossible, or no start gives finite residuals.

    """
    priors = tuple(priors)
    for p in priors:
        if not p.sd > 0 or (p.scale == "log" and not p.mean > 0):
            raise SpecError(f"the prior of {p.name} is impossible: mean {p.mean}, sd {p.sd}")
    centre = np.array([np.log(p.mean) if p.scale == "log" else p.mean for p in priors])
    width = np.array([p.sd for p in priors])
    problem = _Problem(priors, residuals, centre, width, batched, weights, tail, diff_step)
    draws = np.random.default_rng(seed).normal(centre, width, (n_starts - 1, len(centre)))
    means = {p.name: p.mean for p in priors}
    guessed = [[{**means, **own}[p.name] for p in priors] for own in guesses]
    in_log = np.array([p.scale == "log" for p in priors])
    starts = [centre, *(np.where(in_log, np.log(g), g) for g in guessed), *draws]
    sigma = expected_noise if noise is None else noise
    while True:
        fits = [f for s in starts if (f := _solve(problem, s, sigma))]
        if not fits:
            raise SpecError(
                "no start gives finite residuals", hint="check the runs for zeros and failed rows"
            )
        best = min(fits, key=lambda f: float(f.cost))
        n_rows = len(best.fun) - len(centre)
        data = problem.data(best.x)
        updated = sigma if noise is not None else _noise(best, data, expected_noise)
        if abs(updated - sigma) <= 0.01 * sigma:
            break
        sigma, starts = updated, [best.x, *starts[:3]]
    agreeing = np.mean([f.cost <= best.cost + SAME_OPTIMUM * (1 + best.cost) for f in fits])
    return MapFit(
        priors=priors,
        peak=best.x,
        covariance=np.linalg.pinv(best.jac.T @ best.jac),
        noise=float(sigma),
        spread=max(MAD * float(np.median(np.abs(data))), 1e-3) if len(data) else float(sigma),
        n_rows=n_rows,
        cost=float(best.cost),
        starts_agreeing=float(agreeing),
    )


def _natural(x: Vector, priors: Sequence[Prior]) -> Vector:
    positive = np.array([p.scale == "log" for p in priors])
    return np.where(positive, np.exp(np.where(positive, x, 0.0)), x)


@dataclass(frozen=True, slots=True)
class _Problem:
    priors: tuple[Prior, ...]
    residuals: Residuals
    centre: Vector
    width: Vector
    batched: bool
    weights: Vector | None
    tail: float
    diff_step: float | None = None

    def data(self, x: Vector) -> Vector:
        """Residuals at a point of fitting space, or at several, a row each."""
        values = _natural(x, self.priors)
        if x.ndim == 1:
            values = values[None] if self.batched else values
        found = np.asarray(self.residuals(values), dtype=np.float64)
        return found[0] if self.batched and x.ndim == 1 else found

    def bounds(self) -> Vector:
        """What physics allows, in fitting space: the lower ends, then the upper."""

        def inside(value: float, p: Prior) -> float:
            if p.scale == "linear" or np.isinf(value):
                return value
            return float(np.log(value)) if value > 0 else -np.inf

        return np.array([(inside(p.low, p), inside(p.high, p)) for p in self.priors]).T


def _solve(problem: _Problem, start: Vector, sigma: float) -> OptimizeResult | None:
    centre, width = problem.centre, problem.width
    scale = np.asarray(1.0 if problem.weights is None else problem.weights) / sigma

    def stacked(x: Vector) -> Vector:
        return np.concatenate([_soft(problem.data(x) * scale, problem.tail), (x - centre) / width])

    def slopes(x: Vector) -> Vector:
        """Forward differences, all in one call."""
        found = _soft(problem.data(np.vstack([x, x + STEP * np.diag(width)])) * scale, problem.tail)
        data = ((found[1:] - found[0]) / (STEP * width[:, None])).T
        return np.vstack([data, np.diag(1 / width)])

    low, high = problem.bounds()
    start = np.clip(start, low + 1e-6, high - 1e-6)
    if not np.isfinite(stacked(start)).all():
        return None
    jac = slopes if problem.batched else "2-point"
    return least_squares(
        stacked, start, jac=jac, bounds=(low, high), x_scale=width, max_nfev=300,
        diff_step=problem.diff_step,
    )  # fmt: skip


def _soft(data: Vector, tail: float) -> Vector:
    """Soft-L1 written as a residual, so that the priors stay quadratic."""
    t = data / tail
    return np.asarray(tail * np.sign(t) * np.sqrt(2.0 * (np.sqrt(1.0 + t * t) - 1.0)))


def _noise(fit: OptimizeResult, data: Vector, expected: float) -> float:
    """Spread of the residuals, robustly (MAD), with the expected noise as two more observations."""
    rows = len(data)
    # Each direction the data settle bends towards them and hides one row's worth of noise.
    jac = fit.jac[:rows]
    bent = float(np.trace(jac @ np.linalg.solve(fit.jac.T @ fit.jac, jac.T)))
    mad = MAD * float(np.median(np.abs(data))) if rows else 0.0
    mad *= np.sqrt(rows / max(rows - bent, 1.0))
    return float(np.sqrt((rows * mad**2 + NOISE_ROWS * expected**2) / (rows + NOISE_ROWS)))


@dataclass(frozen=True, slots=True)
class Constant:
    """What is known of a positive constant: a typical value, its log sd, and what physics allows."""

    mean: float
    ln_sd: float
    low: float
    high: float


def fit_constants(
    constants: Mapping[str, Constant],
    ln_ratio: Callable[[dict[str, float]], Vector],
    *,
    noise: float = 0.1,
    weights: Vector | None = None,
    tail: float = 1.0,
) -> MapFit:
    """Fit positive constants inside physical bounds; deterministic: the start is the prior's mean.

    Args:
        constants: what to fit, by name.
        ln_ratio: ln(predicted / measured) of the rows, from constants in their own units.
        noise: the spread of a residual.
        weights: of the rows; default all alike.
        tail: times the noise beyond which a residual counts linearly only.

    """
    names = list(constants)
    priors = [Prior(n, c.mean, c.ln_sd, low=c.low, high=c.high) for n, c in constants.items()]

    def residuals(values: Vector) -> Vector:
        return ln_ratio(dict(zip(names, map(float, values), strict=True)))

    return map_fit(residuals, priors, noise=noise, n_starts=1, weights=weights, tail=tail)


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Return constants as they are written to a profile."""
    return {name: float(f"{value:.4g}") for name, value in values.items()}
