"""Which training runs would tell two shapes apart, and how far each narrows the doubt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.errors import SpecError
from planner.law.ask import TRAIN_FLOPS_PER_PARAM_TOKEN
from planner.law.columns import LawColumns, Shapes
from planner.law.law import predict_loss
from planner.law.posterior import DRIFT_FACTOR, draw_law, drift_variance
from planner.law.terms.shape import SHAPE
from planner.units import Number, show


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


SHAPE_NAMES = [c.name for c in SHAPE.coefficients]
ENOUGH = 0.75  # runs that leave more of the spread than this are too small to be worth training


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
    """Return the cheapest runs that narrow loss(A) - loss(B) by a quarter, or full-sized ones.

    Shape coefficients drift in ln N, so small runs say less about large models, and nothing new at
    the very sizes the law was fitted at. Tried are `size_share` of the target's size and tokens,
    its square root (halfway in ln N), and the full size.

    Raises:
        SpecError: A and B differ in size or tokens.

    """
    if not np.allclose([np.squeeze(a.n), np.squeeze(a.n_tokens)],
                       [np.squeeze(b.n), np.squeeze(b.n_tokens)], rtol=0.05):  # fmt: skip
        raise SpecError("the two shapes differ in size or tokens", hint="compare at equal N and D")
    chosen: list[Run] = []
    for share in dict.fromkeys((size_share, size_share**0.5, 1.0)):
        chosen = _best_runs(law, a, b, share, n_runs, n_draws, seed)
        if chosen[-1].sd_after <= ENOUGH * chosen[0].sd_before:
            break
    return chosen


def _best_runs(
    law: LawColumns, a: Shapes, b: Shapes, share: float, n_runs: int, n_draws: int, seed: int
) -> list[Run]:
    """Return the runs at one size that narrow most, greedily.

    Linear-Gaussian: each next run is the one whose loss, given those already chosen, leaves the
    least variance. The candidates span A, B, the optimum, and the edges of the evidence.
    """
    n = float(np.squeeze(a.n))
    small, tokens = n * share, float(np.squeeze(a.n_tokens)) * share
    full, there = _laws_at(law, n, small, n_draws, seed)
    target = np.ravel(predict_loss(full, a) - predict_loss(full, b))
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
    flops = TRAIN_FLOPS_PER_PARAM_TOKEN * small * tokens
    chosen: list[Run] = []
    for _ in range(n_runs):
        gain = joint[0, 1:] ** 2 / (np.diag(joint)[1:] + noise)
        best = int(np.argmax(gain)) + 1
        before = float(np.sqrt(max(joint[0, 0], 0.0)))
        joint = joint - np.outer(joint[best], joint[best]) / (joint[best, best] + noise)
        after = float(np.sqrt(max(joint[0, 0], 0.0)))
        x, r = grid[best - 1]
        chosen.append(Run(small, tokens, float(x), float(r), flops, before, after))
    return chosen


def _laws_at(
    law: LawColumns, n: float, small: float, n_draws: int, seed: int
) -> tuple[LawColumns, LawColumns]:
    """Return draws of the law at `n` and, of the same worlds, at `small`.

    Shape coefficients walk at random in ln N from the sizes they were fitted at, so what is known
    there is known: a run between those sizes and `n` shares the walk up to it, no more.
    """
    drift = dict(zip(SHAPE_NAMES, drift_variance(law) ** 0.5, strict=True))
    drawn = draw_law(law, float(np.sqrt(law.n_fitted_low * law.n_fitted_high)), n_draws, seed=seed)
    rng = np.random.default_rng([seed, 2])
    walk = {name: rng.standard_normal((3, n_draws, 1)) for name in drift}

    def position(size: float) -> float:  # e-folds outside the fitted sizes, signed
        below, above = np.log(size / law.n_fitted_low), np.log(size / law.n_fitted_high)
        return float((min(below, 0.0) + max(above, 0.0)) / np.log(DRIFT_FACTOR))

    at, near = position(n), position(small)
    common = min(abs(at), abs(near)) if at * near > 0 else 0.0

    def moved(where: float, own: int) -> LawColumns:
        steps = {
            name: sd
            * (common**0.5 * walk[name][0] + (abs(where) - common) ** 0.5 * walk[name][own])
            for name, sd in drift.items()
        }
        return replace(drawn, **{k: getattr(drawn, k) * np.exp(v) for k, v in steps.items()})

    return moved(at, 1), moved(near, 2)


def _spread_of(*values: Number) -> list[float]:
    return sorted({round(float(np.squeeze(v)), 4) for v in values})


def settle_text(runs: Sequence[Run], n_target: float, share: float, noise_sd: float) -> list[str]:
    """Write each run on a line for people, and what no run can settle.

    Args:
        runs: those of `runs_that_settle`, the first first.
        n_target: parameters of the shapes compared.
        share: of that size asked for.
        noise_sd: of one run, nats.

    """
    lines = [
        f"{i}. N {show(r.n)}, {show(r.n_tokens)} tokens, d_model/sqrt(N) {r.x:.3f}, "
        f"MLP/attention {r.r:.2f}: {r.flops:.2g} FLOP; "
        f"spread {r.sd_before:.4f} -> {r.sd_after:.4f} nats"
        for i, r in enumerate(runs, start=1)
    ]
    if runs[0].n > 1.01 * share * n_target:
        lines.append(
            f"runs at {share:.0%} of the size would tell little: the law knows those sizes already, "
            "or its shape coefficients drift too much between them and the target"
        )
    floor = noise_sd * 2**0.5
    lines.append(f"run noise alone leaves {floor:.4f} nats between two models, however many runs")
    if runs[0].sd_before < floor:
        lines.append("the law is already surer than that: training both would not settle it either")
    return lines
