"""Questions a pre-training lead asks of a law: best N and D, what a shape costs, which is better."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from planner.errors import Infeasible
from planner.interval import ENDS
from planner.law.accuracy import (
    NINE_TASKS,
    RESOLVED_ACCURACY,
    TASKS,
    AccuracyLink,
    accuracy,
    accuracy_draws,
)
from planner.law.columns import LawColumns, Shapes
from planner.law.compare import Comparison, Quality, compare, loss_draws
from planner.law.evidence import LawWarning, warnings
from planner.law.law import predict_loss
from planner.law.posterior import draw_law
from planner.law.terms.reference import data_term, reference_loss, size_term
from planner.units import Number

TRAIN_FLOPS_PER_PARAM_TOKEN = 6.0  # forward 2, backward 4; attention's share is left out


def compute_optimal(law: LawColumns, flops: Number) -> tuple[Any, Any]:
    """Return (N, D) of least loss with 6 N D = `flops` (Hoffmann et al. 2022, eq. 4).

    N counts as the law's `n_definition` says, and so do the FLOPs. Draws of a law work too.

    Args:
        law: coefficients.
        flops: of the whole training.

    """
    g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    budget = flops / TRAIN_FLOPS_PER_PARAM_TOKEN
    n = g * budget ** (law.beta / (law.alpha + law.beta))
    return n, budget / n


def tokens_for(law: LawColumns, n: Number, loss: Number) -> Any:
    """Return the tokens after which the best shape of `n` parameters reaches `loss`; inf if never.

    Args:
        law: coefficients.
        n: parameters, as the law counts them.
        loss: nats per token.

    """
    left = loss - law.E - size_term(law, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, (law.B / np.where(left > 0, left, 1.0)) ** (1 / law.beta), np.inf)


def inference_aware(law: LawColumns, loss: float, inference_tokens: float) -> tuple[float, float]:
    """Return (N, D) that reach `loss` at least total FLOPs, 6 N D + 2 N D_inference.

    Sardana et al. 2024 (arXiv 2401.00448). At the optimum the elasticities of loss in N and in D
    stand as 1 + D_inference / (3 D) to 1, one equation in N.

    Args:
        law: coefficients.
        loss: to reach, nats per token.
        inference_tokens: to be served in all, a count.

    Raises:
        Infeasible: no model of any size reaches `loss`.

    """
    from scipy.optimize import brentq

    if loss <= law.E:
        raise Infeasible(
            f"no model reaches {loss:.3f} nats: the law's floor is {law.E:.3f}",
            hint="raise the target loss, or use data or a tokenizer with a lower floor",
        )
    # The smallest size that could reach the loss with endless data, and a hair above it.
    least = float(np.log(law.A / (loss - law.E)) / law.alpha)

    def balance(ln_n: float) -> float:
        n = np.exp(ln_n)
        tokens = float(tokens_for(law, n, loss))
        ratio = law.alpha * size_term(law, n) / (law.beta * data_term(law, tokens))
        return float(np.log(ratio) - np.log1p(inference_tokens / (3 * tokens)))

    n = float(np.exp(brentq(balance, least + 1e-9, least + 60.0, xtol=1e-12)))
    return n, float(tokens_for(law, n, loss))


NO_VERDICT_ABOVE = 7e9  # parameters: no sweep of shapes is public there


@dataclass(frozen=True, slots=True)
class ShapeCost:
    """What a shape gives away against the law's best at the same N, D and depth of the evidence."""

    nats: float
    low: float  # nats, the 80 % interval
    high: float
    tokens_factor: float  # times the tokens, and FLOPs, to make it good; inf where no amount would
    params_factor: float  # or: the share of parameters the best shape would need for its loss


def shape_cost(law: LawColumns, s: Shapes) -> ShapeCost:
    """Return the price of one shape in nats, tokens, FLOPs and parameters.

    Args:
        law: coefficients of a law, or draws of them.
        s: the shape, single numbers.

    """
    mean = replace(law, gqa_slope=0.0)
    best = float(np.squeeze(reference_loss(mean, s.n, s.n_tokens)))
    loss = float(np.squeeze(predict_loss(mean, s)))
    # Whatever the shape does, the loss is linear in the data term, which more tokens shrink.
    term = float(np.squeeze(data_term(mean, s.n_tokens)))
    endless = float(np.squeeze(predict_loss(mean, replace(s, n_tokens=1e300))))
    share = 1 - (loss - best) / (loss - endless)  # of the data term, left at the best one's loss
    tokens = share ** (-1 / float(mean.beta)) if share > 0 else np.inf
    left = loss - mean.E - term
    n_equal = (mean.A / left) ** (1 / mean.alpha) if left > 0 else np.nan
    drawn = replace(draw_law(mean, np.atleast_1d(s.n), 2000), gqa_slope=0.0)
    low, high = np.quantile(predict_loss(drawn, s) - reference_loss(drawn, s.n, s.n_tokens), ENDS)
    return ShapeCost(loss - best, float(low), float(high), tokens, float(n_equal / np.squeeze(s.n)))


def sure(
    law: LawColumns, a: Shapes, b: Shapes, *, n_draws: int = 4000, seed: int = 0
) -> Comparison:
    """Return a comparison of A with B, nats, by paired draws: what they share cancels.

    Args:
        law: coefficients of a law, or draws of them.
        a: one shape, single numbers.
        b: the other.
        n_draws: how many draws.
        seed: of the draws.

    """
    draws = loss_draws(law, _together(a, b), n_draws, seed=seed)
    return compare(draws[:, 0], draws[:, 1])


def _together(a: Any, b: Any) -> Any:
    """Return two records of single numbers as one of columns of two."""
    pair = {f.name: (getattr(a, f.name), getattr(b, f.name)) for f in fields(a)}
    return type(a)(
        **{
            name: one
            if one is None
            else _together(one, other)
            if is_dataclass(one)
            else np.array([np.squeeze(one), np.squeeze(other)], dtype=np.float64)
            for name, (one, other) in pair.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Optimum:
    """The most that a training budget buys."""

    n: Quality  # parameters, as the law counts them
    n_tokens: Quality
    loss: Quality  # nats per token
    half_nats: float  # what half this N costs at the same FLOPs
    twice_nats: float


def optimum(law: LawColumns, flops: float, *, n_draws: int = 2000) -> Optimum:
    """Return N, tokens and loss of the compute-optimal model with 80 % intervals.

    Args:
        law: coefficients.
        flops: of the whole training, 6 N D.
        n_draws: draws of the law.

    """
    n, tokens = compute_optimal(law, flops)
    drawn = draw_law(law, n, n_draws)
    many_n, many_tokens = compute_optimal(drawn, flops)
    best = reference_loss(law, n, tokens)
    half, twice = (reference_loss(law, n * f, tokens / f) - best for f in (0.5, 2.0))
    losses = reference_loss(drawn, many_n, many_tokens)
    return Optimum(_span(n, many_n), _span(tokens, many_tokens), _span(best, losses), half, twice)


@dataclass(frozen=True, slots=True)
class Served:
    """A model that reaches a loss at least total FLOPs, beside the one trained at least FLOPs."""

    n: float
    n_tokens: float
    training_n: float  # of the training-optimal model
    training_tokens: float
    flops: float
    saved: float  # share of the training-optimal model's total FLOPs


def serve(law: LawColumns, loss: float, inference_tokens: float) -> Served:
    """Return the model of `inference_aware`, and what it saves.

    Args:
        law: coefficients.
        loss: to reach, nats per token.
        inference_tokens: to be served in all, a count.

    """
    n, tokens = inference_aware(law, loss, inference_tokens)
    n0, tokens0 = inference_aware(law, loss, 0.0)
    spent, alone = (
        TRAIN_FLOPS_PER_PARAM_TOKEN * k * d + 2 * k * inference_tokens
        for k, d in ((n, tokens), (n0, tokens0))
    )
    return Served(n, tokens, n0, tokens0, spent, 1 - spent / alone)


FLAT = 0.01  # share of the least compute that any other split may take more


@dataclass(frozen=True, slots=True)
class Split:
    """How a training budget is split where tokens are served afterwards, and how flat that is."""

    n: float  # parameters, as the law counts them
    n_tokens: float
    loss: float  # of the best shape, nats per token
    total_flops: float  # training and serving
    training_n: float  # of the least loss that the budget buys, whoever serves it
    training_loss: float
    low_n: float  # sizes that reach the same loss for at most `FLAT` more in all
    high_n: float


def split(law: LawColumns, flops: float, inference_tokens: float) -> Split:
    """Return the model a training budget is best spent on, where it is served afterwards.

    Of all models of the same loss none takes fewer FLOPs for training and serving together, and its
    training takes the budget: what `inference_aware` asks of a loss is asked of a budget here.
    Without tokens served it is the compute-optimal model.  [Sardana et al. 2024, arXiv 2401.00448]

    Args:
        law: coefficients.
        flops: of the whole training, 6 N D.
        inference_tokens: to be served in all, a count.

    """
    from scipy.optimize import brentq

    n0, tokens0 = (float(v) for v in compute_optimal(law, flops))
    budget = flops / TRAIN_FLOPS_PER_PARAM_TOKEN

    def balance(ln_n: float) -> float:
        tokens = budget / np.exp(ln_n)
        ratio = law.alpha * size_term(law, np.exp(ln_n)) / (law.beta * data_term(law, tokens))
        return float(np.log(ratio) - np.log1p(inference_tokens / (3 * tokens)))

    top = float(np.log(n0))
    ln_n = top if inference_tokens == 0 else brentq(balance, top - 60.0, top + 1e-9, xtol=1e-12)
    n = float(np.exp(ln_n))
    loss = float(reference_loss(law, n, budget / n))

    def total(other: float) -> float:
        trained = TRAIN_FLOPS_PER_PARAM_TOKEN * float(tokens_for(law, other, loss))
        return other * (trained + 2 * inference_tokens)

    def dearer(ln: float) -> float:
        return min(total(float(np.exp(ln))) / total(n) - 1 - FLAT, 1e6)

    low, high = (
        float(np.exp(brentq(dearer, *ends))) for ends in ((ln_n - 20, ln_n), (ln_n, ln_n + 20))
    )
    least = float(reference_loss(law, n0, tokens0))
    return Split(n, budget / n, loss, total(n), n0, least, low, high)


def best_shape_warnings(
    law: LawColumns, n: float, n_tokens: float, *, derived: bool
) -> list[LawWarning]:
    """Return the ways in which a best shape's N and tokens leave the evidence.

    Args:
        law: coefficients and evidence.
        n: parameters, as the law counts them.
        n_tokens: training tokens, a count.
        derived: whether the law's exponents are priors, so that any optimum rests on them.

    """
    best = Shapes(n=n, n_tokens=n_tokens, x=law.x_opt, r=law.r_opt, gqa=law.gqa)
    found = [w for w in warnings(law, best) if w.code in ("size", "tokens-per-param")]
    if found and derived:
        words = (
            "this law's exponents are priors, not fitted: where to spend a budget rests on "
            "them; compare --law besiroglu-2024, hoffmann-2022, or a fit of your own"
        )
        found.append(LawWarning("derived-exponents", words))
    return found


def task_accuracies(
    loss: float, *, other_data: bool = False, nine: AccuracyLink = NINE_TASKS
) -> dict[str, Quality]:
    """Return what a loss means in accuracy, shares of 1: nine tasks on average, and six by name.

    Args:
        loss: nats per token.
        other_data: corpus or tokenizer are not the link's.
        nine: link to the mean over the nine tasks.

    """
    losses = np.full((4000, 1), loss)
    return {
        name: _span(accuracy(link, loss), accuracy_draws(link, losses, other_data=other_data))
        for name, link in {"nine tasks": nine, **TASKS}.items()
    }


def accuracy_gap(
    loss: float, against: float, *, other_data: bool = False, nine: AccuracyLink = NINE_TASKS
) -> tuple[Quality, str]:
    """Return how much more accurate `loss` is than `against`, and why that is not resolved, if so.

    Args:
        loss: nats per token.
        against: nats per token.
        other_data: corpus or tokenizer are not the link's.
        nine: link to the mean over the nine tasks.

    """
    pair = accuracy_draws(nine, np.tile([loss, against], (4000, 1)), other_data=other_data)
    gap = _span(accuracy(nine, loss) - accuracy(nine, against), pair[:, 0] - pair[:, 1])
    if abs(gap.value) < RESOLVED_ACCURACY:
        return gap, "under a point, not resolved"
    within = gap.low < 0 < gap.high
    return gap, "within the scatter of single models, not resolved" if within else ""


def _span(value: float, draws: Any) -> Quality:
    return Quality(float(value), *map(float, np.quantile(draws, ENDS)))
