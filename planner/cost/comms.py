"""Collectives: latency plus bytes over bandwidth.  [Thakur 2005]."""

from planner.columns import System
from planner.equation import maximum, minimum
from planner.units import Bytes, Seconds


def all_reduce_s(s: System, bytes_: Bytes) -> Seconds:
    """Ring all-reduce over tp devices: each sends and receives 2 (tp - 1) / tp of the data."""
    tp = s.parallel.tp
    on = minimum(1.0, maximum(0.0, tp - 1))  # nothing to do on one device
    moved = 2 * (tp - 1) / tp * bytes_
    return on * s.kernels.link_latency_s + moved / (
        s.device.link_bytes_per_s * s.kernels.link_eff
    )
