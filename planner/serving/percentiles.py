"""Percentiles of samples, and of samples that each stand for many."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
POINTS = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and percentiles of one quantity; NaN where there were no samples."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float

    def at(self, point: str) -> float:
        """Return the statistic called ``mean``, ``p50``, ``p90``, ``p95``, ``p99`` or ``max``."""
        return float(getattr(self, point))


def summary(values: Floats, weights: Floats | None = None) -> Summary:
    """Summarise `values`, each counted `weights` times; NaN among them is left out."""
    keep = np.isfinite(values)
    values = values[keep]
    if not values.size:
        nan = float("nan")
        return Summary(nan, nan, nan, nan, nan, nan)
    if weights is None:
        p50, p90, p95, p99 = np.percentile(values, POINTS).tolist()
        return Summary(float(values.mean()), p50, p90, p95, p99, float(values.max()))
    order = np.argsort(values)
    values, weights = values[order], weights[keep][order]
    cumulative = np.cumsum(weights)
    # The smallest value that at least p % of the weight does not exceed.
    rows = np.searchsorted(cumulative, np.array(POINTS) / 100 * cumulative[-1] * (1 - 1e-12))
    p50, p90, p95, p99 = values[rows].tolist()
    mean = float(np.average(values, weights=weights))
    return Summary(mean, p50, p90, p95, p99, float(values[-1]))
