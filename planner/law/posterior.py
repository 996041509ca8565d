"""What a law is unsure of, in coordinates where priors are independent; draws, and back again.

The reference law is local: at a pivot, a size and tokens amid the evidence, the level of ln L and its
two slopes are what runs tell best and laws agree on, while exponents say how slopes change away
from it. The shape side is pinned at its optimum. On top lies a smooth misfit, whose values where
runs were are coordinates too. A fit replaces independent priors by a full covariance.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from planner.law.columns import LawColumns
from planner.law.terms import TERMS
from planner.law.terms.depth import DEPTH
from planner.law.terms.gqa import GQA
from planner.law.terms.head_size import HEAD_SIZE
from planner.law.terms.misfit import REST, gram
from planner.law.terms.reference import data_term, reference_loss, size_term
from planner.law.terms.repeated_data import REPEATED_DATA
from planner.law.terms.shape import SHAPE
from planner.units import Number

LOCAL = ("ln_level", "ln_slope_n", "ln_slope_d", "ln_alpha", "ln_beta")
# Of the covariances in files too: their order is theirs. A law's misfit at its points follows.
COORDINATES = (*LOCAL, *(c.coordinate for term in (SHAPE, DEPTH) for c in term.coefficients))
AT = {name: i for i, name in enumerate(COORDINATES)}
SHAPE_AT = [AT[c.coordinate] for c in SHAPE.coefficients]  # those that say which shape is best
# Exponents stay where public fits of any kind lie; a draw outside would be no scaling law.
ALPHA_RANGE = (0.12, 0.70)
BETA_RANGE = (0.15, 0.75)
LEAST_FLOOR = 0.05  # of the loss at the pivot, that no size and no data take away
_MOVED = (*SHAPE.coefficients, *DEPTH.coefficients)
_OWN = tuple(c for term in TERMS for c in term.coefficients if c.sd and not c.sd_field)
MOST_DRIFT = 2.0  # steps of the drift, at any distance
DRIFT_FACTOR = 3.0  # in N, over which the drift reaches its prior width (the paper: fit within 1/3)


def local_coordinates(law: LawColumns, pivot: tuple[float, float]) -> dict[str, Any]:
    """Return level, slopes and exponents of the reference law at any pivot.

    The slopes are -d ln L / d ln N and -d ln L / d ln D.

    Args:
        law: coefficients of a law, or draws of them.
        pivot: parameters, as the law counts them, and training tokens.

    """
    level = reference_loss(law, *pivot)
    return {
        "ln_level": np.log(level),
        "ln_slope_n": np.log(law.alpha * size_term(law, pivot[0]) / level),
        "ln_slope_d": np.log(law.beta * data_term(law, pivot[1]) / level),
        "ln_alpha": np.log(law.alpha),
        "ln_beta": np.log(law.beta),
    }


def coordinates(law: LawColumns) -> np.ndarray:
    """Return the law's own values of `COORDINATES`, then of its misfit at its points.

    Args:
        law: coefficients of a law.

    """
    theta: dict[str, Any] = local_coordinates(law, law.pivot)
    for c in _MOVED:
        value = c.of(law)
        theta[c.coordinate] = np.log(np.maximum(value, 1e-300)) if c.ln else value
    own = np.array([theta[name] for name in COORDINATES], dtype=np.float64)
    return np.concatenate([own, np.asarray(law.misfit, dtype=np.float64)])


def named(law: LawColumns, theta: Number) -> dict[str, Any]:
    """Return coordinates by name, with the values of the misfit under "misfit".

    Args:
        law: says how many points it has.
        theta: coordinates in their order, (k,), or draws of them, (n_draws, k).

    """
    theta = np.asarray(theta, dtype=np.float64)
    drawn = theta.ndim > 1
    t: dict[str, Any] = {c: theta[:, [i]] if drawn else theta[i] for c, i in AT.items()}
    values = theta[..., len(COORDINATES) :]
    t["misfit"] = tuple(values.T) if drawn else tuple(map(float, values))
    return t


def law_at(law: LawColumns, theta: Mapping[str, Any]) -> LawColumns:
    """Return `law` with its coefficients moved to the coordinates `theta`; draws broadcast.

    Args:
        law: coefficients of a law.
        theta: a number or draws for each of `COORDINATES`, and "misfit" where it moves.

    """
    n, tokens = law.pivot
    level = np.exp(theta["ln_level"])
    slope_n, slope_d = np.exp(theta["ln_slope_n"]), np.exp(theta["ln_slope_d"])
    alpha = np.clip(np.exp(theta["ln_alpha"]), *ALPHA_RANGE)
    beta = np.clip(np.exp(theta["ln_beta"]), *BETA_RANGE)
    # Slopes this steep with exponents this small would leave no floor: then exponents are larger.
    larger = np.maximum((slope_n / alpha + slope_d / beta) / (1 - LEAST_FLOOR), 1.0)
    alpha, beta = alpha * larger, beta * larger
    size, data = level * slope_n / alpha, level * slope_d / beta
    moved = {c.name: np.exp(t) if c.ln else t for c in _MOVED for t in [theta[c.coordinate]]}
    return replace(
        law,
        E=level - size - data,
        A=size * n**alpha,
        alpha=alpha,
        B=data * tokens**beta,
        beta=beta,
        misfit=theta.get("misfit", law.misfit),
        **moved,
    )


def covariance(law: LawColumns) -> np.ndarray:
    """Return the covariance of the coordinates at the sizes the law was fitted at.

    Args:
        law: coefficients and their spreads.

    """
    if len(law.covariance):
        return np.array(law.covariance, dtype=np.float64)
    sd = {
        **{name: getattr(law, f"{name}_sd") for name in LOCAL},
        **{c.coordinate: c.sd for c in SHAPE.coefficients},
        **{c.coordinate: getattr(law, c.sd_field) for c in DEPTH.coefficients},
    }
    known = [0.0] * len(law.points)  # published laws are right where their runs were
    return np.diag(np.square([*(sd[name] for name in COORDINATES), *known]))


def pinned(law: LawColumns, sds: Number) -> np.ndarray:
    """Return the covariance of a law that passes by trained models, its points.

    Between them its slope in size or its misfit may be what made the losses part: both are as
    unsure as elsewhere, but their sum there is known.

    Args:
        law: coefficients and their spreads before those models, the misfit's points theirs.
        sds: of ln L at the points, (k,).

    """
    prior = covariance(replace(law, covariance=()))
    k = len(COORDINATES)
    prior[k:, k:] = law.misfit_sd**2 * gram(law.points)
    slope = float(np.exp(coordinates(law)[AT["ln_slope_n"]]))
    seen = np.zeros((len(law.points), len(prior)))
    seen[:, AT["ln_level"]] = 1.0
    seen[:, AT["ln_slope_n"]] = [-slope * np.log(n / law.pivot[0]) for n, _ in law.points]
    seen[:, k:] = np.eye(len(law.points))
    gain = prior @ seen.T @ np.linalg.inv(seen @ prior @ seen.T + np.diag(np.square(sds)))
    return np.asarray(prior - gain @ seen @ prior)


def drift(law: LawColumns, n: Number) -> Number:
    """Return how far `n` is from the sizes the shape was fitted at, in steps of `DRIFT_FACTOR`.

    Shape coefficients walk at random in ln N: between 80-297M and 1B the paper's own k_x moved
    threefold. Far away they are as unsure as over `MOST_DRIFT` steps: no curvature is without bounds.

    Args:
        law: the sizes it was fitted at.
        n: parameters, counted as the law says.

    """
    outside = np.maximum(np.log(law.n_fitted_low / n), np.log(n / law.n_fitted_high))
    steps = np.maximum(outside, 0.0) / np.log(DRIFT_FACTOR)
    return MOST_DRIFT * -np.expm1(-steps / MOST_DRIFT)


def drift_variance(law: LawColumns) -> np.ndarray:
    """Return the variance by which each shape coordinate drifts over `DRIFT_FACTOR` in N.

    Args:
        law: coefficients of a law, or draws of them.

    """
    return np.square([getattr(law, c.sd_field) for c in SHAPE.coefficients])


def spread(law: LawColumns, n: float) -> np.ndarray:
    """Return the covariance of the coordinates for models of about `n` parameters.

    Args:
        law: coefficients and their spreads.
        n: parameters, counted as the law says.

    """
    found = covariance(law)
    found[SHAPE_AT, SHAPE_AT] += drift(law, n) * drift_variance(law)
    return found


def draw_law(law: LawColumns, n: Number, n_draws: int = 1000, *, seed: int = 0) -> LawColumns:
    """Return posterior draws of the law, fields (n_draws, 1); those that drift with N (n_draws, n).

    A candidate's draws do not depend on which others are asked about.

    Args:
        law: coefficients and their spreads.
        n: parameters of the candidates, one or (n,).
        n_draws: how many draws.
        seed: of the draws.

    """
    rng = np.random.default_rng(seed)
    middle = coordinates(law)
    value, vector = np.linalg.eigh(covariance(law))
    root = vector * np.sqrt(np.maximum(value, 0.0))
    t = named(law, middle + rng.standard_normal((n_draws, len(middle))) @ root.T)
    steps = np.random.default_rng([seed, 2]).standard_normal((n_draws, len(SHAPE.coefficients)))
    far = drift(law, np.atleast_1d(n))
    for c, step, variance in zip(SHAPE.coefficients, steps.T, drift_variance(law), strict=True):
        t[c.coordinate] = t[c.coordinate] + np.sqrt(variance * far) * step[:, None]
    slopes: dict[str, Any] = {
        c.name: rng.normal(c.of(law), getattr(law, c.sd_field), (n_draws, 1))
        for c in GQA.coefficients
    }
    for c in (*HEAD_SIZE.coefficients, *REPEATED_DATA.coefficients):
        z = np.random.default_rng([seed, crc32(c.name.encode())]).standard_normal((n_draws, 1))
        sd = getattr(law, c.sd_field)
        slopes[c.name] = c.of(law) * np.exp(sd * z) if c.ln else np.maximum(c.of(law) + sd * z, 0.0)
    own = {c.name: c.draws(n_draws, seed) for c in _OWN}
    own[REST] = np.random.default_rng([seed, 4]).standard_normal((n_draws, 1))
    return replace(law_at(law, t), **slopes, drawn=own)
