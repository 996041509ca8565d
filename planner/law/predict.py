"""Loss of candidates: the mean, quickly; draws, for intervals and for how sure A beats B."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.equation import exp, log, maximum
from planner.law.columns import LawColumns, Shapes
from planner.law.evidence import widening_sd
from planner.law.posterior import OTHER_DATA_SD, OTHER_NOISE_SD, draw_law
from planner.law.terms.reference import data_term, size_term
from planner.law.terms.shape import shape_multiplier, shape_offset
from planner.units import Number

TIE_NATS = 0.01  # law and run noise: smaller differences are unresolved
TIE_PROBABILITY = 0.9
INTERVAL = 0.8  # share of outcomes between `low` and `high`


def depth_ln_n_factor(law: LawColumns, s: Shapes) -> Any:
    """Return ln(N_eff / N) of a depth other than the reference one; 0 at the reference depth.

    Aspect ratio R = d_model / n_layers acts on effective parameters, N exp(-q ln^2(R / R_opt)).
    R is taken at the best width for that depth, so at fixed depth the paper's law is untouched.
    """
    # Best width at any depth keeps d_model over the inner width: d ~ sqrt(N / layers).
    ln_reference = log(law.x_opt * s.n**0.5 / s.reference_layers / law.depth_aspect)
    ln_here = ln_reference - 1.5 * log(s.n_layers / s.reference_layers)
    return law.depth_q * (ln_reference**2 - ln_here**2)


def head_multiplier(law: LawColumns, head_dim: Number, reference_head_dim: Number) -> Any:
    """Return the loss multiplier of a head size against the reference one (Gadre et al. grid)."""
    small = maximum(log(96 / head_dim), 0.0)
    reference = maximum(log(96 / reference_head_dim), 0.0)
    return (1 + law.head_k * small**2) / (1 + law.head_k * reference**2)


def predict_loss(law: LawColumns, s: Shapes) -> Any:
    """Return the expected loss of each candidate in nats per token.

    Args:
        law: coefficients; scalars, or draws of shape (n_draws, 1).
        s: candidates, columns of shape (n,).

    Returns:
        Shape (n,), or (n_draws, n) where `law` holds draws.

    """
    ln_factor, x = s.ln_n_factor, s.x
    if np.any(s.depth_on):
        ln_factor = ln_factor + depth_ln_n_factor(law, s)
        # At another depth the width optimum moves as sqrt(N / layers): hold d over inner width.
        x = x * (s.n_layers / s.reference_layers) ** 0.5
    shrink = exp(-law.alpha * ln_factor) if np.any(ln_factor) else 1.0
    best = law.E + size_term(law, s.n) * shrink + data_term(law, s.n_tokens)
    if np.all(law.additive):
        loss = best + shape_offset(law, x, s.r)
    elif np.any(law.k_x) or np.any(law.k_r):
        loss = best * shape_multiplier(law, x, s.r)
    else:
        loss = best
    if np.any(s.head_on):
        loss = loss * head_multiplier(law, s.head_dim, s.reference_head_dim)
    if np.any(law.gqa_slope):
        loss = loss + law.gqa_slope * np.log2(s.gqa / law.gqa)
    if np.any(law.size_slope):
        loss = loss + law.size_slope * _beyond_anchors(law, s.n)
    return loss + s.delta_nats


def _beyond_anchors(law: LawColumns, n: Number) -> Any:
    """Return the signed e-folds of N beyond the two anchors; 0 between them."""
    ln = np.log(n)
    small, large = (np.log(anchor[0]) for anchor in law.anchors)
    return np.minimum(ln - small, 0.0) + np.maximum(ln - large, 0.0)


def loss_draws(
    law: LawColumns,
    s: Shapes,
    n_draws: int = 1000,
    *,
    seed: int = 0,
    noise: bool = True,
    other_data: bool = False,
) -> Any:
    """Return paired draws of loss, shape (n_draws, n): one draw of the law for all candidates.

    Errors they share (the reference loss above all) cancel in differences between columns of the
    same row. `noise` adds each model's own `noise_sd` and the widening outside the evidence;
    `other_data` a common factor for a corpus or tokenizer that is not the law's.
    """
    shape = np.broadcast_shapes(
        *(np.shape(getattr(s, f)) for f in ("n", "n_tokens", "x", "r", "gqa"))
    )
    n = shape[0] if shape else 1
    draws = predict_loss(draw_law(law, s.n, n_draws, seed=seed), s)
    draws = np.broadcast_to(draws, (n_draws, n))
    if other_data:
        factor = np.random.default_rng([seed, 3]).normal(0.0, OTHER_DATA_SD, (n_draws, 1))
        draws = draws * np.exp(factor)
    if not noise:
        return draws
    run = max(float(np.max(law.noise_sd)), OTHER_NOISE_SD) if other_data else law.noise_sd
    own = np.hypot(run, widening_sd(law, s))
    return draws + own * np.random.default_rng([seed, 1]).standard_normal((n_draws, n))


@dataclass(frozen=True, slots=True)
class Quality:
    """Predicted loss of candidates, each (n,): the value and the 80 % interval."""

    value: Any
    low: Any
    high: Any


def quality(law: LawColumns, s: Shapes, n_draws: int = 1000, *, seed: int = 0) -> Quality:
    """Return the expected loss with its 80 % interval for a few candidates."""
    draws = loss_draws(law, s, n_draws, seed=seed)
    low, high = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    value = np.broadcast_to(predict_loss(law, s), low.shape)
    # Skewed priors can put the plug-in value outside its own draws' middle; never show that.
    return Quality(value, np.minimum(low, value), np.maximum(high, value))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How A compares with B: `difference` is loss of A minus loss of B in nats, with its interval."""

    difference: float
    low: float
    high: float
    p_better: float  # P(loss of A < loss of B)
    tie: bool


def compare(draws_a: Number, draws_b: Number) -> Comparison:
    """Compare two models from paired draws, arrays of shape (n_draws,).

    A tie is a difference under 0.01 nats, or a winner less than 90 % sure.
    """
    difference = np.asarray(draws_a) - np.asarray(draws_b)
    low, high = np.quantile(difference, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    better = float(np.mean(difference < 0) + np.mean(difference == 0) / 2)
    middle = float(np.mean(difference))
    tie = abs(middle) < TIE_NATS or max(better, 1 - better) < TIE_PROBABILITY
    return Comparison(middle, float(low), float(high), better, tie)


def p_at_most(draws: Number, target: Number) -> Any:
    """Return P(loss <= target) for each candidate; `target` a number or paired draws (n_draws,)."""
    target = np.asarray(target)
    return np.mean(np.asarray(draws) <= (target[:, None] if target.ndim else target), axis=0)
