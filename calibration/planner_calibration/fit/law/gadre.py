"""Gadre et al. 2024 (arXiv 2403.08540): equal exponents in compute and over-training."""

from dataclasses import dataclass

import numpy as np

from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.solve import solve


@dataclass(frozen=True, slots=True)
class OverTrainingFit:
    """L = E + (a M^eta + b M^-eta) C^-eta, with M = D / N and C = 6 N D."""

    E: float
    a: float
    b: float
    eta: float

    @property
    def as_reference(self) -> dict[str, float]:
        """The same law as E + A / N^alpha + B / D^beta: alpha = beta = 2 eta, A = a 6^-eta."""
        return {
            "E": self.E,
            "A": self.a * 6**-self.eta,
            "alpha": 2 * self.eta,
            "B": self.b * 6**-self.eta,
            "beta": 2 * self.eta,
        }


def fit_over_training(runs: Runs) -> OverTrainingFit:
    """Fit the four numbers by least squares on the loss, as their code does."""
    compute, ratio = 6 * runs.n * runs.n_tokens, runs.n_tokens / runs.n

    def residual(t: np.ndarray) -> np.ndarray:
        a, b, eta, floor = np.exp(t[0]), np.exp(t[1]), t[2], t[3]
        return np.asarray(floor + (a * ratio**eta + b * ratio**-eta) * compute**-eta - runs.loss)

    starts = [np.array([5.0, 5.0, eta, 1.5]) for eta in (0.08, 0.12, 0.18)]
    t = solve(residual, starts).theta
    return OverTrainingFit(float(t[3]), float(np.exp(t[0])), float(np.exp(t[1])), float(t[2]))


def fitting_rows(runs: Runs) -> np.ndarray:
    """Return the five runs the paper fits on: four sizes at 20 tokens per parameter, one at 320."""
    wanted = ((0.011e9, 20), (0.079e9, 20), (0.154e9, 20), (0.411e9, 20), (0.011e9, 320))
    ratio = runs.n_tokens / runs.n
    return np.array(
        [np.argmin(10 * np.abs(np.log(runs.n / n)) + np.abs(np.log(ratio / m))) for n, m in wanted]
    )
