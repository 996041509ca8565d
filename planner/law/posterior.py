"""What a law is unsure of, in coordinates where priors are independent; draws, and back again.

The reference is pinned at two anchors, models of different size trained on the same tokens: their
two losses are known well, the exponents and the data term only from public fits. The shape side is
pinned at its optimum. A fit may replace the independent priors by a full covariance.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from planner.law.columns import LawColumns
from planner.law.terms import TERMS
from planner.law.terms.depth import DEPTH
from planner.law.terms.gqa import GQA
from planner.law.terms.reference import SIZE_SLOPE, anchored, data_term, reference_loss
from planner.law.terms.shape import SHAPE
from planner.units import Number

# Of the covariances in files too: their order is theirs.
COORDINATES = (
    "loss_small",
    "loss_large",
    "alpha",
    "beta",
    "ln_data_term",
    *(c.coordinate for term in (SHAPE, DEPTH) for c in term.coefficients),
)
AT = {name: i for i, name in enumerate(COORDINATES)}
SHAPE_AT = [AT[c.coordinate] for c in SHAPE.coefficients]  # those that say which shape is best
# Exponents stay where public fits of any kind lie; a draw outside would be no scaling law.
ALPHA_RANGE = (0.12, 0.70)
BETA_RANGE = (0.15, 0.75)
# Of ln L, where corpus, tokenizer or recipe are not the law's. Loss over the default law's at equal
# N and D: Gemstones 0.93-0.95 (same corpus, another tokenizer), Gadre et al. 0.86, NX-AI on DCLM
# 0.85, MassiveText 0.82; refitted here.
OTHER_DATA_SD = 0.15
# Nats of misfit of such laws to single runs elsewhere (rel. rmse 0.5-0.7 % in Gemstones, OLMo,
# Chinchilla), where learning rates are not retuned by shape.
OTHER_NOISE_SD = 0.015
_MOVED = (*SHAPE.coefficients, *DEPTH.coefficients)
_SLOPES = (*GQA.coefficients, *SIZE_SLOPE.coefficients)
_OWN = tuple(c for term in TERMS for c in term.coefficients if c.sd and not c.sd_field)
DRIFT_FACTOR = 3.0  # in N, over which the drift reaches its prior width (the paper: fit within 1/3)


def coordinates(law: LawColumns) -> np.ndarray:
    """Return the law's own values of `COORDINATES`.

    Args:
        law: coefficients of a law with two anchors.

    """
    (n1, tokens, *_), (n2, *_) = law.anchors
    theta = {
        "loss_small": reference_loss(law, n1, tokens),
        "loss_large": reference_loss(law, n2, tokens),
        "alpha": law.alpha,
        "beta": law.beta,
        "ln_data_term": np.log(data_term(law, tokens)),
    }
    for c in _MOVED:
        theta[c.coordinate] = np.log(np.maximum(c.of(law), 1e-300))
    return np.array([theta[name] for name in COORDINATES])


def law_at(law: LawColumns, theta: Mapping[str, Number]) -> LawColumns:
    """Return `law` with its coefficients moved to the coordinates `theta`; draws broadcast.

    Args:
        law: coefficients of a law with two anchors.
        theta: a number or draws for each of `COORDINATES`; losses in nats per token.

    """
    (n1, tokens, *_), (n2, *_) = law.anchors
    alpha, beta = theta["alpha"], theta["beta"]
    data = np.exp(theta["ln_data_term"])
    small, large = (n1, theta["loss_small"]), (n2, theta["loss_large"])
    e, a, b = anchored(alpha, beta, data, small, large, tokens)
    moved = {c.name: np.exp(theta[c.coordinate]) for c in _MOVED}
    return replace(law, E=e, A=a, alpha=alpha, B=b, beta=beta, **moved)


def covariance(law: LawColumns) -> np.ndarray:
    """Return the covariance of `COORDINATES` at the sizes the law was fitted at.

    Args:
        law: coefficients and their spreads.

    """
    if len(law.covariance):
        return np.array(law.covariance, dtype=np.float64)
    sd = {
        "loss_small": law.anchors[0][3],
        "loss_large": law.anchors[1][3],
        "alpha": law.alpha_sd,
        "beta": law.beta_sd,
        "ln_data_term": law.data_term_ln_sd,
        **{c.coordinate: c.sd for c in SHAPE.coefficients},
        **{c.coordinate: getattr(law, c.sd_field) for c in DEPTH.coefficients},
    }
    return np.diag(np.square([sd[name] for name in COORDINATES]))


def drift(law: LawColumns, n: Number) -> Number:
    """Return how far `n` is from the sizes the shape was fitted at, in steps of `DRIFT_FACTOR`.

    Shape coefficients walk at random in ln N: between 80-297M and 1B the paper's own k_x moved
    threefold.

    Args:
        law: the sizes it was fitted at.
        n: parameters, counted as the law says.

    """
    outside = np.maximum(np.log(law.n_fitted_low / n), np.log(n / law.n_fitted_high))
    return np.maximum(outside, 0.0) / np.log(DRIFT_FACTOR)


def drift_variance(law: LawColumns) -> np.ndarray:
    """Return the variance by which each shape coordinate drifts over `DRIFT_FACTOR` in N.

    Args:
        law: coefficients of a law, or draws of them.

    """
    return np.square([getattr(law, c.sd_field) for c in SHAPE.coefficients])


def spread(law: LawColumns, n: float) -> np.ndarray:
    """Return the covariance of `COORDINATES` for models of about `n` parameters.

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
    factor = np.linalg.cholesky(covariance(law) + 1e-18 * np.eye(len(COORDINATES)))
    theta = coordinates(law) + rng.standard_normal((n_draws, len(COORDINATES))) @ factor.T
    t: dict[str, Any] = {c: theta[:, [i]] for c, i in AT.items()}
    steps = np.random.default_rng([seed, 2]).standard_normal((n_draws, len(SHAPE.coefficients)))
    far = drift(law, np.atleast_1d(n))
    for c, step, variance in zip(SHAPE.coefficients, steps.T, drift_variance(law), strict=True):
        t[c.coordinate] = t[c.coordinate] + np.sqrt(variance * far) * step[:, None]
    t["alpha"] = np.clip(t["alpha"], *ALPHA_RANGE)
    t["beta"] = np.clip(t["beta"], *BETA_RANGE)
    # More parameters never hurt: anchors keep their order.
    t["loss_small"] = np.maximum(t["loss_small"], t["loss_large"] + 1e-3)
    slopes: dict[str, Any] = {
        c.name: rng.normal(c.of(law), getattr(law, c.sd_field), (n_draws, 1)) for c in _SLOPES
    }
    own = {c.name: c.draws(n_draws, seed) for c in _OWN}
    return replace(law_at(law, t), **slopes, drawn=own)
