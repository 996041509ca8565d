"""Misfit: a smooth departure from any law of this form, in ln N and ln D.

No published law fits another laboratory's runs to their noise: over two e-folds of size or tokens
they part by about 2 %. That is a Gaussian process, known where runs were and free elsewhere: it
widens intervals away from the runs, and is common to all shapes of a size and its tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from planner.equation import exp, log
from planner.law.columns import LawColumns, Shapes
from planner.law.terms.term import Acts, Coefficient, Term
from planner.units import Number

LENGTHS = (2.0, 2.0)  # e-folds of N and of D over which a misfit changes
MISFIT = Coefficient(
    "misfit_sd",
    "smooth misfit of the law in ln N and ln D, of ln L",
    0.02,
    0.0,
    "between published fits and the runs of others: Gemstones, OLMo, Chinchilla, Gadre, Marin",
)
REST = "misfit_rest"  # of draws: what is left unknown away from the runs, standard normal
Point = tuple[float, float]


def correlation(n: Number, n_tokens: Number, point: Point) -> Any:
    """Return how alike the misfit is at (n, n_tokens) and at a point: squared exponential.

    Args:
        n: parameters, counted as the law says.
        n_tokens: training tokens, a count.
        point: parameters and tokens of another run.

    """
    far_n = log(n / point[0]) / LENGTHS[0]
    far_d = log(n_tokens / point[1]) / LENGTHS[1]
    return exp(-(far_n**2 + far_d**2) / 2)


def gram(points: Sequence[Point]) -> Any:
    """Return the correlation of the misfit between points, (k, k).

    Args:
        points: parameters and tokens of runs.

    """
    n, d = np.array(points, dtype=np.float64).reshape(-1, 2).T
    rows = [correlation(n, d, (float(a), float(b))) for a, b in zip(n, d, strict=True)]
    return np.array(rows) + 1e-6 * np.eye(len(points))


def weights(points: Sequence[Point], n: Number, n_tokens: Number) -> Any:
    """Return what each point's misfit says of that at (n, n_tokens), (rows, k).

    Args:
        points: parameters and tokens of runs.
        n: parameters, counted as the law says.
        n_tokens: training tokens, a count.

    """
    return _to(points, n, n_tokens) @ np.linalg.inv(gram(points))


def rest_sd(law: LawColumns, n: Number, n_tokens: Number) -> Any:
    """Return the sd of ln L that no run of the law's speaks of at (n, n_tokens).

    Args:
        law: says where its runs were.
        n: parameters, counted as the law says.
        n_tokens: training tokens, a count.

    """
    if not law.points:
        return np.full(np.broadcast_shapes(np.shape(n), np.shape(n_tokens)), law.misfit_sd)
    alike = _to(law.points, n, n_tokens)
    known = np.sum((alike @ np.linalg.inv(gram(law.points))) * alike, axis=-1)
    return law.misfit_sd * np.sqrt(np.maximum(1 - known, 0.0))


def _to(points: Sequence[Point], n: Number, n_tokens: Number) -> Any:
    n, d = np.broadcast_arrays(np.asarray(n, np.float64), np.asarray(n_tokens, np.float64))
    return np.stack([correlation(n, d, p) for p in points], axis=-1)


def ln_misfit(law: LawColumns, s: Shapes) -> Any:
    """Return ln of the loss over the law's own form: what the runs say, and in draws the rest.

    Args:
        law: coefficients of a law, or draws of them.
        s: candidates, columns of shape (n,).

    """
    total: Any = 0.0
    if law.points:
        by_point = np.linalg.inv(gram(law.points)) @ np.asarray(law.misfit, np.float64).reshape(
            len(law.points), -1
        )
        for point, c in zip(law.points, by_point, strict=True):
            own = float(c[0]) if c.size == 1 else c[:, None]
            total = total + own * correlation(s.n, s.n_tokens, point)
    if law.drawn and REST in law.drawn:
        total = total + law.drawn[REST] * rest_sd(law, s.n, s.n_tokens)
    return total


MISFIT_TERM = Term(
    "misfit", "a smooth departure from the law's form", Acts.FACTOR,
    "e^f(ln N, ln D), f a Gaussian process that passes by the runs",
    lambda law, s: exp(ln_misfit(law, s)),
    when=lambda law, s: bool(law.drawn) or any(np.any(np.asarray(v) != 0) for v in law.misfit),
)  # fmt: skip
