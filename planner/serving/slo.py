"""Service-level objectives: which requests met theirs, and how many did per second."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits on latency, each infinite where it is not asked for, held at one statistic."""

    ttft_s: float = np.inf
    tpot_s: float = np.inf
    itl_s: float = np.inf
    e2e_s: float = np.inf
    at: str = "p99"  # mean, p50, p90, p95 or p99

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by the quantity they hold."""
        names = ("ttft_s", "tpot_s", "itl_s", "e2e_s")
        return {n: v for n in names if np.isfinite(v := getattr(self, n))}


def met(slo: Slo, ttft_s: Floats, tpot_s: Floats, e2e_s: Floats) -> NDArray[np.bool_]:
    """Say for each request whether its TTFT, TPOT and end-to-end time are within the limits.

    A request that has no such time (one token has no TPOT) meets that limit.
    """
    late = (ttft_s > slo.ttft_s) | (tpot_s > slo.tpot_s) | (e2e_s > slo.e2e_s)
    return ~late
