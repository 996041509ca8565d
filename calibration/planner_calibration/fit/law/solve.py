"""Nonlinear least squares: from several starts, and by variable projection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares, minimize, nnls

from planner_calibration.fit.law.data import Runs


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


def vpnls(runs: Runs) -> dict[str, float]:
    """Fit E + A/N^alpha + B/D^beta by least squares with E, A, B eliminated (non-negative).

    For given exponents the law is linear, so only (alpha, beta) are searched: a different
    estimator on purpose. On Epoch's data it moves E by more than the bootstrap's spread.
    """
    n, d = np.log(runs.n), np.log(runs.n_tokens)
    n_mid, d_mid = n.mean(), d.mean()
    n, d = n - n_mid, d - d_mid

    def inner(exponents: np.ndarray) -> tuple[np.ndarray, float]:
        columns = np.column_stack(
            [np.ones_like(n), np.exp(-exponents[0] * n), np.exp(-exponents[1] * d)]
        )
        solution, rest = nnls(columns, runs.loss)
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
