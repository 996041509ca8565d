"""Questions a pre-training lead asks of a law: best N and D, what a shape costs, which is better."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.errors import Infeasible
from planner.law.columns import LawColumns, Shapes
from planner.law.predict import compare, loss_draws, predict_loss
from planner.law.terms.reference import data_term, reference_loss, size_term
from planner.units import Number

TRAIN_FLOPS_PER_PARAM_TOKEN = 6.0  # forward 2, backward 4; attention's share is left out
INFER_FLOPS_PER_PARAM_TOKEN = 2.0


def compute_optimal(law: LawColumns, flops: Number) -> tuple[Any, Any]:
    """Return (N, D) of least loss with 6 N D = `flops` (Hoffmann et al. 2022, eq. 4).

    N counts as the law's `n_definition` says, and so do the FLOPs. Draws of a law work too.
    """
    g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    budget = flops / TRAIN_FLOPS_PER_PARAM_TOKEN
    n = g * budget ** (law.beta / (law.alpha + law.beta))
    return n, budget / n


def tokens_for(law: LawColumns, n: Number, loss: Number) -> Any:
    """Return the tokens after which the best shape of `n` parameters reaches `loss`; inf if never."""
    left = loss - law.E - size_term(law, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, (law.B / np.where(left > 0, left, 1.0)) ** (1 / law.beta), np.inf)


def inference_aware(law: LawColumns, loss: float, inference_tokens: float) -> tuple[float, float]:
    """Return (N, D) that reach `loss` at least total FLOPs, 6 N D + 2 N D_inference.

    Sardana et al. 2024 (arXiv 2401.00448). At the optimum the elasticities of loss in N and in D
    stand as 1 + D_inference / (3 D) to 1, one equation in N.

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


@dataclass(frozen=True, slots=True)
class ShapeCost:
    """What a shape gives away against the law's best at the same N and D."""

    nats: float
    tokens_factor: float  # times the tokens to make it good; inf where no amount would
    flops_factor: float  # times the training FLOPs, at the same N
    params_factor: float  # or: the share of parameters the best shape would need for its loss


def shape_cost(law: LawColumns, s: Shapes) -> ShapeCost:
    """Return the price of one shape in nats, tokens, FLOPs and parameters."""
    mean = replace(law, gqa_slope=0.0)
    best = float(np.squeeze(reference_loss(mean, s.n, s.n_tokens)))
    loss = float(np.squeeze(predict_loss(mean, s)))
    # As tokens grow the shape's penalty stays in proportion, or in nats where the law is additive.
    wanted = 2 * best - loss if np.all(law.additive) else best**2 / loss
    tokens = float(np.squeeze(tokens_for(mean, s.n, wanted))) / float(np.squeeze(s.n_tokens))
    left = loss - mean.E - float(np.squeeze(data_term(mean, s.n_tokens)))
    n_equal = (mean.A / left) ** (1 / mean.alpha) if left > 0 else np.nan
    return ShapeCost(loss - best, tokens, tokens, float(n_equal / np.squeeze(s.n)))


def sure(law: LawColumns, a: Shapes, b: Shapes, *, n_draws: int = 4000, seed: int = 0) -> Any:
    """Return a `Comparison` of A with B by paired draws: what they share cancels."""
    pair = Shapes(
        **{
            f: np.array([np.squeeze(getattr(a, f)), np.squeeze(getattr(b, f))], dtype=np.float64)
            for f in Shapes.__dataclass_fields__
        }
    )
    draws = loss_draws(law, pair, n_draws, seed=seed)
    return compare(draws[:, 0], draws[:, 1])
