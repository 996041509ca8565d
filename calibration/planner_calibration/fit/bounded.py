"""A least-squares fit of positive constants inside physical bounds, with log-normal priors.

Deterministic: the start is the prior's mean, and the rows come in the order of the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constant:
    """What is known of a constant beforehand: a typical value, its log sd, and what physics allows."""

    mean: float
    ln_sd: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Constants at the posterior's peak, and the covariance of their logarithms."""

    values: dict[str, float]
    ln_covariance: Vector
    noise: float  # of one residual, in ln(predicted / measured)
    n_rows: int

    @property
    def ln_sds(self) -> dict[str, float]:
        """Posterior sd of each constant's logarithm."""
        sds = np.sqrt(np.diag(self.ln_covariance))
        return {name: float(sd) for name, sd in zip(self.values, sds, strict=True)}


def fit(
    constants: Mapping[str, Constant],
    ln_ratio: Callable[[dict[str, float]], Vector],
    *,
    noise: float = 0.1,
    weights: Vector | None = None,
) -> Fit:
    """Minimise soft-L1 of ln(predicted / measured) plus the priors' pull.

    Args:
        constants: what to fit, by name.
        ln_ratio: residuals, from constants in their own units.
        noise: the spread beyond which a residual counts linearly only.
        weights: of the rows; default all alike.

    """
    names = list(constants)
    c = [constants[n] for n in names]
    mean, sd = np.log([x.mean for x in c]), np.array([x.ln_sd for x in c])
    low, high = np.log([x.low for x in c]), np.log([x.high for x in c])

    def residuals(x: Vector) -> Vector:
        data = ln_ratio(dict(zip(names, np.exp(x), strict=True))) / noise
        if weights is not None:
            data = data * weights
        # soft-L1 written as a residual, so that the priors stay quadratic
        robust = np.sign(data) * np.sqrt(2.0 * (np.sqrt(1.0 + data * data) - 1.0))
        return np.concatenate([robust, (x - mean) / sd])

    start = np.clip(mean, low + 1e-6, high - 1e-6)
    found = least_squares(residuals, start, bounds=(low, high), x_scale=sd, max_nfev=300)
    values = dict(zip(names, map(float, np.exp(found.x)), strict=True))
    errors = ln_ratio(values)
    spread = max(1.4826 * float(np.median(np.abs(errors))), 1e-3)
    # Rows measured on one machine err together: count a shape's worth of rows, not every row.
    curvature = found.jac.T @ found.jac
    return Fit(values, np.linalg.pinv(curvature), spread, len(errors))


def rounded(values: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    """Return constants as they are written to a profile."""
    return {name: float(f"{value:.{digits}g}") for name, value in values.items()}
