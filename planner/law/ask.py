"""Questions a pre-training lead asks of a law: best N and D, what a shape costs, which runs settle it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.errors import Infeasible, SpecError
from planner.law.columns import LawColumns, Shapes
from planner.law.posterior import DRIFT_FACTOR, draw_law
from planner.law.predict import compare, loss_draws, predict_loss
from planner.law.reference import data_term, reference_loss, size_term
from planner.units import Number, show

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
    factor = loss / best  # the shape's penalty stays in proportion as tokens grow
    tokens = float(np.squeeze(tokens_for(mean, s.n, best / factor))) / float(np.squeeze(s.n_tokens))
    left = loss - mean.E - float(np.squeeze(data_term(mean, s.n_tokens)))
    n_equal = (mean.A / left) ** (1 / mean.alpha) if left > 0 else np.nan
    return ShapeCost(loss - best, tokens, tokens, float(n_equal / np.squeeze(s.n)))


@dataclass(frozen=True, slots=True)
class Run:
    """A training run that would tell two shapes apart, and what knowing its loss is worth."""

    n: float
    n_tokens: float
    x: float
    r: float
    flops: float
    sd_before: float  # of loss(A) - loss(B), nats
    sd_after: float


def runs_that_settle(
    law: LawColumns,
    a: Shapes,
    b: Shapes,
    *,
    n_runs: int = 3,
    size_share: float = 1 / 3,
    n_draws: int = 4000,
    seed: int = 0,
) -> list[Run]:
    """Return the runs, at a share of the target's size, that narrow loss(A) - loss(B) most.

    Greedy and linear-Gaussian: each next run is the one whose loss, given those already chosen,
    leaves the least variance. Shape coefficients drift in ln N, so small runs say less about large
    models; the candidates span A, B, the optimum, and the edges of the evidence.

    Raises:
        SpecError: A and B differ in size or tokens.

    """
    if not np.allclose([np.squeeze(a.n), np.squeeze(a.n_tokens)],
                       [np.squeeze(b.n), np.squeeze(b.n_tokens)], rtol=0.05):  # fmt: skip
        raise SpecError("the two shapes differ in size or tokens", hint="compare at equal N and D")
    n = float(np.squeeze(a.n))
    small = n * size_share
    tokens = float(np.squeeze(a.n_tokens)) * size_share
    drawn = draw_law(law, n, n_draws, seed=seed)
    target = np.ravel(predict_loss(drawn, a) - predict_loss(drawn, b))
    # The same laws at the small size: their coefficients have drifted apart by then.
    rng = np.random.default_rng([seed, 2])
    walk = np.sqrt(abs(np.log(size_share)) / np.log(DRIFT_FACTOR))
    drifted: dict[str, Any] = {
        name: getattr(drawn, name)
        * np.exp(rng.normal(0.0, getattr(law, f"{name}_ln_sd") * walk, (n_draws, 1)))
        for name in ("k_x", "x_opt", "k_r", "r_opt")
    }
    there = replace(drawn, **drifted)
    xs = _spread_of(a.x, b.x, law.x_opt, law.x_low * 1.1, law.x_high * 0.9)
    rs = _spread_of(a.r, b.r, law.r_opt, law.r_low, law.r_high)
    grid = [(x, r) for x in xs for r in rs]
    shapes = Shapes(
        n=np.full(len(grid), small),
        n_tokens=tokens,
        x=np.array([g[0] for g in grid]),
        r=np.array([g[1] for g in grid]),
        gqa=law.gqa,
    )
    seen = np.asarray(predict_loss(there, shapes))
    joint = np.cov(np.column_stack([target, seen]), rowvar=False)
    noise = law.noise_sd**2
    chosen: list[Run] = []
    for _ in range(n_runs):
        gain = joint[0, 1:] ** 2 / (np.diag(joint)[1:] + noise)
        best = int(np.argmax(gain)) + 1
        before = float(np.sqrt(max(joint[0, 0], 0.0)))
        joint = joint - np.outer(joint[best], joint[best]) / (joint[best, best] + noise)
        after = float(np.sqrt(max(joint[0, 0], 0.0)))
        x, r = grid[best - 1]
        flops = TRAIN_FLOPS_PER_PARAM_TOKEN * small * tokens
        chosen.append(Run(small, tokens, float(x), float(r), flops, before, after))
    return chosen


def _spread_of(*values: Number) -> list[float]:
    return sorted({round(float(np.squeeze(v)), 4) for v in values})


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


def describe_runs(runs: Sequence[Run]) -> list[str]:
    """Write each run on a line for people."""
    return [
        f"N {show(r.n)}, {show(r.n_tokens)} tokens, d_model/sqrt(N) {r.x:.3f}, "
        f"MLP/attention {r.r:.2f}: {r.flops:.2g} FLOP; spread {r.sd_before:.4f} -> {r.sd_after:.4f} nats"
        for r in runs
    ]
