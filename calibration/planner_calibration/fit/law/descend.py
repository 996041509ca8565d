"""The descent behind the reference fit: Huber's objective, and whitened L-BFGS."""

import numpy as np
from scipy.optimize import minimize

from planner_calibration.fit.law.model import BOUNDS, STARTS, Design, ln_loss

DELTA = 1e-3  # Hoffmann et al. 2022: Huber's delta on log loss


def _objective(theta: np.ndarray, z: Design, weight: np.ndarray) -> tuple[float, np.ndarray]:
    value, jac = ln_loss(theta, z)
    res = (z.ln_loss - value) / DELTA
    size = np.abs(res)
    inside = size <= 1.0
    cost = float(weight @ np.where(inside, 0.5 * res**2, size - 0.5))
    slope = weight * np.where(inside, res, np.sign(res))
    return cost, -(slope / DELTA) @ jac


def random_start(z: Design, rng: np.random.Generator) -> np.ndarray:
    """Return a starting point within the ranges of `STARTS`."""
    draw = {name: rng.uniform(*ends) for name, ends in STARTS.items()}
    draw |= {name: z.ln_loss.min() + np.log(draw[name]) for name in ("e", "a", "b")}
    return np.array([draw[n] for n in z.names])


def _descend(
    z: Design, start: np.ndarray, weight: np.ndarray, max_iter: int
) -> tuple[np.ndarray, float]:
    best = minimize(
        _objective,
        start,
        args=(z, weight),
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


def whitened(
    z: Design, start: np.ndarray, weight: np.ndarray, max_iter: int = 300
) -> tuple[np.ndarray, float]:
    """Descend in coordinates where the data's information is the identity: tens of steps, not hundreds.

    Falls back to the bounded descent where the free one leaves the bounds.
    """
    _, jac = ln_loss(start, z)
    value, vector = np.linalg.eigh((jac * weight[:, None]).T @ jac)
    # Directions the data barely see get a bounded step, not an infinite one.
    root = vector / np.sqrt(np.maximum(value, 1e-7 * value[-1]))
    scale = DELTA * np.sqrt(weight.sum())

    def local(step: np.ndarray) -> tuple[float, np.ndarray]:
        cost, grad = _objective(start + scale * (root @ step), z, weight)
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
    return _descend(z, np.clip(theta, low, high), weight, max_iter)


def descend_from(z: Design, start: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Descend from far away: a short bounded descent, then whitened ones until they stand still."""
    return polish(z, *_descend(z, start, weight, 80), weight, tolerance=1e-7)


def polish(
    z: Design, theta: np.ndarray, value: float, weight: np.ndarray, tolerance: float = 1e-9
) -> tuple[np.ndarray, float]:
    """Restart until the objective stands still: L-BFGS stalls on Huber's kinks."""
    for _ in range(8):
        again, lower = whitened(z, theta, weight)
        if lower >= value - tolerance * abs(value):
            break
        theta, value = again, lower
    return theta, value
