"""Nonlinear least squares from several starts: the one solver behind every fit that is not Huber's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Solution:
    """The best optimum found, with what is needed for its spread."""

    theta: np.ndarray
    residual: np.ndarray
    inverse: np.ndarray  # (J'J)^-1; times the residual variance, the covariance
    n_agreeing: int  # starts that reached it

    @property
    def rss(self) -> float:
        """Residual sum of squares."""
        return float(self.residual @ self.residual)

    def covariance(self) -> np.ndarray:
        """Return the covariance with the variance estimated from the residuals."""
        return self.inverse * self.rss / max(len(self.residual) - len(self.theta), 1)


def solve(
    residual: Callable[[np.ndarray], np.ndarray],
    starts: Sequence[Sequence[float] | np.ndarray],
    *,
    bounds: tuple[Any, Any] = (-np.inf, np.inf),
) -> Solution:
    """Minimise the sum of squares of `residual` from each of `starts`.

    Trust-region Levenberg-Marquardt with the parameters scaled by the Jacobian, restarted from its
    own answer until it stands still; a start from which the residual is not finite is skipped.

    Raises:
        ValueError: every start failed.

    """
    from scipy.optimize import least_squares

    found: list[Any] = []
    for start in starts:
        at = np.asarray(start, dtype=np.float64)
        last: Any = None
        for _ in range(4):
            try:
                step = least_squares(
                    residual, at, x_scale="jac", bounds=bounds, jac="3-point",
                    xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=2000,
                )  # fmt: skip
            except ValueError:  # not finite at the start
                break
            if last is not None and step.cost >= last.cost * (1 - 1e-10):
                break
            last, at = step, step.x
        if last is not None:
            found.append(last)
    if not found:
        raise ValueError("no start led to a finite residual")
    best = min(found, key=lambda r: float(r.cost))
    agree = sum(r.cost <= best.cost * (1 + 1e-4) + 1e-12 for r in found)
    # The Jacobian's columns differ by orders of magnitude: invert it scaled.
    size = np.maximum(np.linalg.norm(best.jac, axis=0), 1e-300)
    scaled = best.jac / size
    inverse = np.linalg.pinv(scaled.T @ scaled, hermitian=True) / np.outer(size, size)
    return Solution(np.asarray(best.x), np.asarray(best.fun), inverse, agree)
