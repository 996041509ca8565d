"""Arrival times of an open loop: independent, or in bursts."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gamma(rng: np.random.Generator, rate_per_s: float, burstiness: float, n: int) -> Floats:
    """Draw `n` arrival times whose gaps are gamma with mean 1 / rate.

    `burstiness` is the gamma's shape, as in vLLM's benchmark: 1 is a Poisson process, below it
    arrivals come in bursts (gaps have a coefficient of variation of 1 / √burstiness), above it
    more evenly.
    """
    gaps = rng.gamma(burstiness, 1 / (rate_per_s * burstiness), n)
    return np.cumsum(gaps)
