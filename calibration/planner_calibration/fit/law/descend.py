"""The descent behind the reference fit: Huber's objective, its priors, and whitened L-BFGS."""

from collections.abc import Mapping

import numpy as np

from planner_calibration.fit.law.model import BOUNDS, Design, ln_loss


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


def pulls(z: Design, prior: Mapping[str, tuple[float, float]], scale: float) -> np.ndarray:
    """Return (means, sds) per parameter, infinite where there is none; `scale` sets noise units."""
    if not prior:
        return np.zeros((0, len(z.names)))
    pairs = [prior.get(n, (0.0, np.inf)) for n in z.names]
    return np.array([[m for m, _ in pairs], [s * scale for _, s in pairs]])


def random_start(z: Design, rng: np.random.Generator) -> np.ndarray:
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


def whitened(
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


def descend_from(
    z: Design, start: np.ndarray, weight: np.ndarray, prior: np.ndarray, delta: float
) -> tuple[np.ndarray, float]:
    """Descend from far away: a short bounded descent, then whitened ones until they stand still."""
    theta, value = _descend(z, start, weight, prior, delta, 80)
    for _ in range(8):
        again, lower = whitened(z, theta, weight, prior, delta)
        if lower >= value - 1e-7 * abs(value):
            break
        theta, value = again, lower
    return theta, value


def polish(
    z: Design, theta: np.ndarray, weight: np.ndarray, prior: np.ndarray, delta: float, value: float
) -> tuple[np.ndarray, float]:
    """Restart until the objective stands still: L-BFGS stalls on Huber's kinks."""
    for _ in range(8):
        again, lower = whitened(z, theta, weight, prior, delta)
        if lower >= value - 1e-9 * abs(value):
            break
        theta, value = again, lower
    return theta, value
