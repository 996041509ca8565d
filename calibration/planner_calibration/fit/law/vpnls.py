"""Variable projection: a second estimator of the reference law, to see what the choice is worth."""

from typing import Any

import numpy as np

from planner_calibration.fit.law.data import Runs


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
