"""Choose runs by a linear-Gaussian posterior: greedily, then by exchange.  [Chaloner and Verdinelli 1995]

Near the prior's mean a run tells about the unknowns through its gradient, and the covariance after it does
not depend on what it will measure: so runs can be compared before any is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.errors import Infeasible

Vector = NDArray[np.float64]
Criterion = Literal["bayes", "d"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Candidate runs, one a row, and what is to be decided.

    `gradients` (runs × unknowns) of what a run measures, `noise` its sd, `costs` in the budget's unit;
    `prior` the unknowns' covariance; `decision` (quantities × unknowns) the gradients of what the decision
    rests on.
    """

    gradients: Vector
    noise: Vector
    costs: Vector
    prior: Vector
    decision: Vector


@dataclass(frozen=True, slots=True)
class Chosen:
    """Runs by index, in the order they help most, and the decision's sd before and after each."""

    runs: tuple[int, ...]
    cost: float
    sd_before: float
    sd_after: tuple[float, ...]


def slopes(values: Callable[[Vector], Vector], at: Vector, step: float) -> Vector:
    """Return what `values` gains by each of `at`, a column each, by central differences."""
    moves = step * np.eye(len(at))
    return np.stack([(values(at + m) - values(at - m)) / (2 * step) for m in moves], axis=1)


def choose(
    problem: Problem,
    budget: float,
    *,
    most: int = 8,
    criterion: Criterion = "bayes",
    repeats: int = 2,
) -> Chosen:
    """Return up to `most` runs within `budget`, each done at most `repeats` times.

    "bayes" minimises the summed variance of the decision's quantities, "d" the determinant of the unknowns'
    covariance.

    Raises:
        Infeasible: no candidate fits into the budget.

    """
    if not (problem.costs <= budget).any():
        raise Infeasible(
            f"the cheapest run costs {problem.costs.min():.3g}, the budget is {budget:.3g}",
            hint="raise --budget, or allow smaller runs",
        )
    chosen: list[int] = []
    while len(chosen) < most:
        left = budget - problem.costs[chosen].sum()
        now = _risk(problem, chosen, criterion)
        options = [
            i for i in np.flatnonzero(problem.costs <= left) if chosen.count(int(i)) < repeats
        ]
        if not options:
            break
        gains = [(now - _risk(problem, [*chosen, int(i)], criterion)) for i in options]
        if max(gains) <= 1e-3 * abs(now) and chosen:
            break
        # Gain for its cost, as long as the budget binds; a run that costs next to nothing is no bargain.
        worth = [
            g / max(problem.costs[i], budget / most) for g, i in zip(gains, options, strict=True)
        ]
        chosen.append(int(options[int(np.argmax(worth))]))
    chosen = _exchange(problem, chosen, budget, criterion, repeats)
    chosen = _by_use(problem, chosen, criterion)
    after = tuple(decision_sd(problem, chosen[: k + 1]) for k in range(len(chosen)))
    cost = float(problem.costs[chosen].sum())
    return Chosen(tuple(chosen), cost, decision_sd(problem, []), after)


def posterior(problem: Problem, runs: Sequence[int]) -> Vector:
    """Return the unknowns' covariance after `runs`."""
    if not len(runs):
        return problem.prior
    rows = problem.gradients[list(runs)]
    measured = rows @ problem.prior @ rows.T + np.diag(problem.noise[list(runs)] ** 2)
    gain = np.linalg.solve(measured, rows @ problem.prior)
    return problem.prior - problem.prior @ rows.T @ gain


def decision_sd(problem: Problem, runs: Sequence[int]) -> float:
    """Return the rms sd of the decision's quantities after `runs`."""
    spread = problem.decision @ posterior(problem, runs) @ problem.decision.T
    return float(np.sqrt(max(np.trace(spread), 0.0) / len(problem.decision)))


def _risk(problem: Problem, runs: Sequence[int], criterion: Criterion) -> float:
    if criterion == "bayes":
        return decision_sd(problem, runs) ** 2
    sign, value = np.linalg.slogdet(posterior(problem, runs))
    return float(value) if sign > 0 else -np.inf


def _exchange(
    problem: Problem, chosen: list[int], budget: float, criterion: Criterion, repeats: int
) -> list[int]:
    """Swap one run at a time as long as that helps. [Fedorov 1972]"""
    best = _risk(problem, chosen, criterion)
    improved = True
    while improved:
        improved = False
        for place in range(len(chosen)):
            rest = [r for k, r in enumerate(chosen) if k != place]
            left = budget - problem.costs[rest].sum()
            for i in map(int, np.flatnonzero(problem.costs <= left)):
                if rest.count(i) >= repeats:
                    continue
                risk = _risk(problem, [*rest, i], criterion)
                if risk < best - 1e-9 * abs(best):
                    best, chosen, improved = risk, [*rest, i], True
                    break
            if improved:
                break
    return chosen


def _by_use(problem: Problem, chosen: list[int], criterion: Criterion) -> list[int]:
    """Order runs so that stopping early wastes least."""
    order: list[int] = []
    left = list(chosen)
    while left:
        nxt = min(left, key=lambda i: _risk(problem, [*order, i], criterion))
        left.remove(nxt)
        order.append(nxt)
    return order
