"""Lengths of requests: all alike, lognormal about a mean, or drawn from those once seen."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def lognormal(rng: np.random.Generator, mean: float, cv: float, n: int) -> Ints:
    """Draw `n` whole lengths of the given mean; `cv` is their standard deviation over it.

    With cv = 0 all are alike. Output lengths of chat traffic have a cv near 1.
    """
    if cv == 0:
        return np.full(n, round(mean), dtype=np.int64)
    variance = np.log1p(cv**2)
    drawn = rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), n)
    return np.maximum(np.rint(drawn), 1).astype(np.int64)


def empirical(rng: np.random.Generator, seen: Ints, n: int) -> Ints:
    """Draw `n` lengths from those `seen`, each as likely as it was."""
    return rng.choice(seen, n)
