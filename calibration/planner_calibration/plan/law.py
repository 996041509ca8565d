"""Training runs that settle a shape: the loss law's posterior, drifting with size, decides which."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from planner.law.columns import LawColumns, Shapes
from planner.law.law import predict_loss
from planner.law.posterior import (
    DRIFT_FACTOR,
    SHAPE_AT,
    coordinates,
    drift_variance,
    law_at,
    named,
    spread,
)
from planner_calibration.plan.choose import Chosen, Criterion, Problem, choose, slopes

Vector = NDArray[np.float64]

SHARES = (1 / 30, 1 / 10, 1 / 3)  # of the target's size; the paper advises a third
TOKENS_PER_PARAM = 20.0
X = (0.055, 0.065, 0.08, 0.10, 0.12)
R = (0.5, 0.8, 1.2, 2.0, 3.5)
RUN_NOISE = 0.006  # nats between two seeds: the residual of published fits


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run to do."""

    n_params_non_embedding: float
    n_tokens: float
    x: float
    r: float

    @property
    def flops(self) -> float:
        """What it costs."""
        return 6.0 * self.n_params_non_embedding * self.n_tokens


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Chosen runs and the sd, in nats, of loss differences between shapes at the target."""

    runs: tuple[TrainingRun, ...]
    chosen: Chosen


def plan_training(
    law: LawColumns,
    n: float,
    n_tokens: float,
    budget: float,
    *,
    most: int,
    criterion: Criterion = "bayes",
) -> TrainingPlan:
    """Choose training runs within a `budget` of FLOPs for the choice of x and r at n and n_tokens."""
    sizes = [share * n for share in SHARES]
    candidates = [TrainingRun(m, TOKENS_PER_PARAM * m, x, r) for m, x, r in product(sizes, X, R)]
    problem = training_problem(law, n, n_tokens, sizes, candidates)
    chosen = choose(problem, budget, most=most, criterion=criterion)
    return TrainingPlan(tuple(candidates[i] for i in chosen.runs), chosen)


def training_problem(
    law: LawColumns,
    n_target: float,
    tokens_target: float,
    sizes: Sequence[float],
    candidates: Sequence[TrainingRun],
) -> Problem:
    """Return the problem in unknowns: the law's coordinates at the target, then the shape's at each size.

    Shape coordinates walk at random in ln N, so a smaller model tells about the target only as far as they
    did not walk: this is what makes a third of its size worth its cost.
    """
    k, width = len(coordinates(law)), len(SHAPE_AT)
    prior = _prior(law, n_target, sizes)
    gradients = np.zeros((len(candidates), k + width * len(sizes)))
    for i, c in enumerate(candidates):
        own = _shapes(c.n_params_non_embedding, c.n_tokens, np.array([c.x]), np.array([c.r]))
        g = _gradient(law, own)[0]
        place = k + width * sizes.index(c.n_params_non_embedding)
        gradients[i, :k] = g
        gradients[i, place : place + width] = g[SHAPE_AT]
        gradients[i, SHAPE_AT] = 0.0  # it sees the coordinates of its own size
    xs, rs = (np.array(v) for v in zip(*product(X, R), strict=True))
    shapes = _gradient(law, _shapes(n_target, tokens_target, xs, rs))
    decision = np.zeros((len(xs), gradients.shape[1]))
    decision[:, :k] = shapes - shapes.mean(axis=0)  # what all shapes share decides nothing
    costs = np.array([c.flops for c in candidates])
    return Problem(gradients, np.full(len(candidates), RUN_NOISE), costs, prior, decision)


def _prior(law: LawColumns, n_target: float, sizes: Sequence[float]) -> Vector:
    base = spread(law, n_target)
    drift = drift_variance(law)
    k, width = len(base), len(SHAPE_AT)
    prior = np.zeros((k + width * len(sizes),) * 2)
    prior[:k, :k] = base
    gaps = [np.log(n_target / n) / np.log(DRIFT_FACTOR) for n in sizes]
    for i, gap in enumerate(gaps):
        rows = slice(k + i * width, k + (i + 1) * width)
        prior[rows, :k], prior[:k, rows] = base[SHAPE_AT], base[:, SHAPE_AT]
        for j, other in enumerate(gaps):
            columns = slice(k + j * width, k + (j + 1) * width)
            # The walk from the target to the nearer of two sizes is common to both.
            prior[rows, columns] = base[np.ix_(SHAPE_AT, SHAPE_AT)] + np.diag(
                drift * min(gap, other)
            )
    return prior


def _shapes(n: float, n_tokens: float, x: Vector, r: Vector) -> Shapes:
    return Shapes(n=n * np.ones_like(x), n_tokens=n_tokens, x=x, r=r)


def _gradient(law: LawColumns, shapes: Shapes) -> Vector:
    """Return d loss / d coordinate, one row a shape."""

    def losses(theta: Vector) -> Vector:
        moved = law_at(law, named(law, theta))
        return np.asarray(predict_loss(moved, shapes), dtype=np.float64)

    return slopes(losses, coordinates(law), step=1e-4)
