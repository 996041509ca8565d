"""Percentiles of samples, samples that each stand for many, and limits held at one of them."""

from collections.abc import Mapping
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
        """Return the statistic called ``mean``, ``p50``, ``p90``, ``p95``, ``p99`` or ``max``.

        Args:
            point: mean, or a percentile such as p99.

        """
        return float(getattr(self, point))


def summary(values: Floats, weights: Floats | None = None) -> Summary:
    """Summarise `values`, each counted `weights` times; NaN among them is left out.

    Args:
        values: numbers of one unit.
        weights: weights, a count, or one number a value.

    """
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


@dataclass(frozen=True, slots=True)
class Slo:
    """Service-level objectives: limits on latency, infinite where not asked for, at one statistic."""

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


def met(slo: Slo, seen: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Say for each request whether its own times are within the limits.

    Args:
        slo: limits [s].
        seen: of each request its ttft_s, tpot_s and e2e_s, and as itl_s its longest gap [s]. A request
            that has no such time (NaN: one token has no TPOT) meets that limit.

    """
    late = [seen[name] > limit for name, limit in slo.limits.items()]
    in_time: NDArray[np.bool_] = ~np.any([np.zeros(len(seen["ttft_s"]), bool), *late], axis=0)
    return in_time
