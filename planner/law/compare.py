"""Draws of the loss, for intervals and for how sure A beats B."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.interval import ENDS, TIE_NATS
from planner.law.columns import LawColumns, Shapes
from planner.law.evidence import widening_sd
from planner.law.law import predict_loss
from planner.law.posterior import draw_law
from planner.units import Number

TIE_PROBABILITY = 0.9


def loss_draws(
    law: LawColumns,
    s: Shapes,
    n_draws: int = 1000,
    *,
    noise: bool = True,
    seed: int = 0,
) -> Any:
    """Return paired draws of loss, shape (n_draws, n): one draw of the law for all candidates.

    Errors they share (the reference loss above all) cancel in differences between columns of the
    same row. `noise` adds each model's own `noise_sd` and its own widening outside the evidence.

    Args:
        law: coefficients of a law, or draws of them.
        s: candidates, columns of shape (n,).
        n_draws: how many draws.
        noise: add what each model alone is unsure of.
        seed: of the draws.

    """
    shape = np.broadcast_shapes(
        *(np.shape(getattr(s, f)) for f in ("n", "n_tokens", "x", "r", "gqa"))
    )
    n = shape[0] if shape else 1
    draws = predict_loss(draw_law(law, s.n, n_draws, seed=seed), s)
    draws = np.broadcast_to(draws, (n_draws, n))
    if not noise:
        return draws
    own = np.hypot(law.noise_sd, widening_sd(law, s))
    return draws + own * np.random.default_rng([seed, 1]).standard_normal((n_draws, n))


@dataclass(frozen=True, slots=True)
class Quality:
    """Predicted loss of candidates, each (n,): the value and the 80 % interval."""

    value: Any
    low: Any
    high: Any


def quality(law: LawColumns, s: Shapes, n_draws: int = 1000, *, seed: int = 0) -> Quality:
    """Return the expected loss with its 80 % interval for a few candidates.

    Args:
        law: coefficients of a law, or draws of them.
        s: candidates, columns of shape (n,).
        n_draws: how many draws.
        seed: of the draws.

    """
    draws = loss_draws(law, s, n_draws, seed=seed)
    low, high = np.quantile(draws, ENDS, axis=0)
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

    Args:
        draws_a: loss of A, nats per token, (n_draws,).
        draws_b: loss of B in the same draws.

    """
    difference = np.asarray(draws_a) - np.asarray(draws_b)
    low, high = np.quantile(difference, ENDS)
    better = float(np.mean(difference < 0) + np.mean(difference == 0) / 2)
    middle = float(np.mean(difference))
    tie = abs(middle) < TIE_NATS or max(better, 1 - better) < TIE_PROBABILITY
    return Comparison(middle, float(low), float(high), better, tie)


def p_at_most(draws: Number, target: Number) -> Any:
    """Return P(loss <= target) for each candidate; `target` a number or paired draws (n_draws,).

    Args:
        draws: loss, nats per token, (n_draws, n).
        target: nats per token, a number or (n_draws,).

    """
    target = np.asarray(target)
    return np.mean(np.asarray(draws) <= (target[:, None] if target.ndim else target), axis=0)
