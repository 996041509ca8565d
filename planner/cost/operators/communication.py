"""Collectives and hand-overs between devices: latency plus bytes over bandwidth.  [Thakur 2005]"""

from planner.columns import Step, System
from planner.cost.operators.operator import Operator, at_most_one, is_zero, logit_rows, step_tokens
from planner.equation import ceil, equation, minimum
from planner.units import Bytes, BytesPerS, Scalar, Seconds


def link_rate(s: System) -> BytesPerS:
    """Bandwidth between tensor-parallel peers: the node's network where they span nodes.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return linked(s, s.parallel.tp)


def linked(s: System, devices: Scalar) -> BytesPerS:
    """Bandwidth among so many devices: their links within a node, its network beyond.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        devices: how many devices talk.

    """
    slower = s.device.node_link_bytes_per_s - s.device.link_bytes_per_s
    return (s.device.link_bytes_per_s + leaves_node(s, devices) * slower) * s.kernels.link_eff


def leaves_node(s: System, devices: Scalar) -> Scalar:
    """1 where so many devices are more than a node has.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        devices: how many devices talk.

    """
    return at_most_one(ceil(devices / s.parallel.devices_per_node) - 1.0)


def latency_s(s: System, devices: Scalar) -> Seconds:
    """Latency of a message among so many devices: more where it leaves the node; none of one alone.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        devices: how many devices talk.

    """
    network_s = leaves_node(s, devices) * s.kernels.network_latency_s
    return at_most_one(devices - 1.0) * s.kernels.link_latency_s + network_s


def all_reduce_bytes(s: System, bytes_: Bytes) -> Bytes:
    """A ring sends and receives 2 (tp - 1) / tp of the data on each device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        bytes_: bytes on one device.

    """
    return 2.0 * (s.parallel.tp - 1.0) / s.parallel.tp * bytes_


def all_reduce_s(s: System, bytes_: Bytes) -> Seconds:
    """Every device gets the sum: all from all at once, or in two passes, whichever is faster.

    At once, every device reads its peers' data whole; in two passes each has a part of it summed, and all
    get the parts: fewer bytes, and another latency.  [TensorRT-LLM, vLLM: custom all-reduce]

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        bytes_: bytes on one device.

    """
    k, peers = s.kernels, s.parallel.tp - 1.0
    first_s = latency_s(s, s.parallel.tp) + peers * k.link_peer_s
    second_s = at_most_one(peers) * k.link_second_s + all_reduce_bytes(s, bytes_) / link_rate(s)
    return first_s + minimum(peers * bytes_ / link_rate(s), second_s)


def gather_s(s: System, bytes_: Bytes) -> Seconds:
    """Every device gets all parts: half of an all-reduce.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        bytes_: bytes on one device.

    """
    return latency_s(s, s.parallel.tp) + all_reduce_bytes(s, bytes_) / 2.0 / link_rate(s)


def hand_over_s(s: System, bytes_: Bytes) -> Seconds:
    """Activations passed from each pipeline stage to the next, over the slower link if nodes differ.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        bytes_: bytes on one device.

    """
    hops, devices = s.parallel.pp - 1.0, s.parallel.tp * s.parallel.pp
    return hops * (latency_s(s, devices) + bytes_ / linked(s, devices))


def _hidden_bytes(s: System, w: Step) -> Bytes:
    return step_tokens(w) * s.arch.d_model * s.precision.activation_bytes


def _logit_bytes(s: System, w: Step) -> Bytes:
    return logit_rows(w) * s.arch.vocab_size * s.precision.activation_bytes


@equation
def communication_s(s: System, w: Step) -> Seconds:
    """Two all-reduces a layer and the gathered logits under tp, hand-overs under pp.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(s.parallel.tp * s.parallel.pp - 1.0):
        return 0.0
    hidden = _hidden_bytes(s, w)
    reduces_s = 2.0 * s.arch.n_layers * all_reduce_s(s, hidden)
    return reduces_s + gather_s(s, _logit_bytes(s, w)) + hand_over_s(s, hidden)


def sent_bytes(s: System, w: Step) -> Bytes:
    """What a device sends in a step.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    hidden = _hidden_bytes(s, w)
    reduced = 2.0 * s.arch.n_layers * hidden + _logit_bytes(s, w) / 2.0
    return all_reduce_bytes(s, reduced) + (s.parallel.pp - 1.0) * hidden


COMMUNICATION = Operator(
    "communication", "all-reduces",
    "activations sent a token", lambda a: a.n_layers * a.d_model,
    "logits", communication_s, comm_bytes=sent_bytes,
    launches=lambda s, w: (
        at_most_one(s.parallel.tp - 1.0) * (2.0 * s.arch.n_layers + 1.0) + s.parallel.pp - 1.0
    ),
)  # fmt: skip
