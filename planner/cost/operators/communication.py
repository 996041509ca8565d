"""Collectives and hand-overs between devices: latency plus bytes over bandwidth.  [Thakur 2005]"""

from planner.columns import System
from planner.cost.kernels import present
from planner.equation import ceil, minimum
from planner.units import Bytes, BytesPerS, Scalar, Seconds


def link_rate(s: System) -> BytesPerS:
    """Bandwidth between tensor-parallel peers: the node's network where they span nodes."""
    return linked(s, s.parallel.tp)


def linked(s: System, devices: Scalar) -> BytesPerS:
    """Bandwidth among so many devices: their links within a node, its network beyond."""
    across = minimum(ceil(devices / s.parallel.devices_per_node) - 1.0, 1.0)
    slower = s.device.node_link_bytes_per_s - s.device.link_bytes_per_s
    return (s.device.link_bytes_per_s + across * slower) * s.kernels.link_eff


def all_reduce_bytes(s: System, bytes_: Bytes) -> Bytes:
    """A ring sends and receives 2 (tp - 1) / tp of the data on each device."""
    return 2.0 * (s.parallel.tp - 1.0) / s.parallel.tp * bytes_


def all_reduce_s(s: System, bytes_: Bytes) -> Seconds:
    """Every device gets the sum: a latency, one more for each further peer, and the ring's bytes."""
    k, peers = s.kernels, s.parallel.tp - 1.0
    latency_s = present(peers) * k.link_latency_s + peers * k.link_peer_s
    return latency_s + all_reduce_bytes(s, bytes_) / link_rate(s)


def gather_s(s: System, bytes_: Bytes) -> Seconds:
    """Every device gets all parts: half of an all-reduce."""
    latency_s = present(s.parallel.tp - 1.0) * s.kernels.link_latency_s
    return latency_s + all_reduce_bytes(s, bytes_) / 2.0 / link_rate(s)


def hand_over_s(s: System, bytes_: Bytes) -> Seconds:
    """Activations passed from each pipeline stage to the next, over the slower link if nodes differ."""
    hops, rate = s.parallel.pp - 1.0, linked(s, s.parallel.tp * s.parallel.pp)
    return hops * (s.kernels.link_latency_s + bytes_ / rate)
