"""One engine step, operator by operator: what it computes, what it moves, how long it takes.

The step's time is the sum over `OPERATORS` plus the engine's own work. Times are per device, with
heads and hidden units divided by tp. A pipeline's stages are passed one after another, so a step
always takes all layers; that pp batches are on their way at once is the serving layer's business.
"""

from dataclasses import dataclass

import numpy as np

from planner.columns import Step, System
from planner.cost.operators.attention.decode import ATTENTION_DECODE
from planner.cost.operators.attention.kinds import KINDS
from planner.cost.operators.attention.prefill import ATTENTION_PREFILL, KV_WRITE
from planner.cost.operators.attention.projections import ATTENTION_OUTPUT, QKV
from planner.cost.operators.communication import COMMUNICATION
from planner.cost.operators.elementwise import ELEMENTWISE
from planner.cost.operators.head import LM_HEAD
from planner.cost.operators.mlp import MLP_DOWN, MLP_UP, ROUTE
from planner.cost.operators.operator import (
    Operator,
    at_most_one,
    is_zero,
    logit_rows,
    of_stacks,
    step_tokens,
)
from planner.equation import ceil, equation, maximum
from planner.units import Bytes, Flops, Number, Scalar, Seconds

OF_LAYERS: tuple[Operator, ...] = (
    QKV,
    ATTENTION_PREFILL,
    KV_WRITE,
    ATTENTION_DECODE,
    ATTENTION_OUTPUT,
    *(operator for kind in KINDS for operator in kind.operators),
    ROUTE,
    MLP_UP,
    MLP_DOWN,
    ELEMENTWISE,
)
OPERATORS: tuple[Operator, ...] = (*map(of_stacks, OF_LAYERS), LM_HEAD, COMMUNICATION)


@equation
def device_s(s: System, w: Step) -> Seconds:
    """What the devices are busy with: every operator of the step.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return seconds_of(OPERATORS, s, w)


def seconds_of(operators: tuple[Operator, ...], s: System, w: Step) -> Seconds:
    """Return the device seconds of some operators of a step together.

    Args:
        operators: which of `OPERATORS`; those the shape does not have cost nothing.
        s: shape, device, engine: numbers, or columns of one length.
        w: what the step processes, likewise.

    """
    first, *others = [o for o in operators if o.is_in(s.arch)]
    total = first.seconds(s, w)
    for operator in others:
        total = total + operator.seconds(s, w)
    return total


@equation
def launches(s: System, w: Step) -> Scalar:
    """Kernels of a step, of every operator that it has.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    first, *others = [o.launches(s, w) for o in OPERATORS if o.is_in(s.arch)]
    return sum(others, start=first)


@equation
def uncaptured(s: System, w: Step) -> Scalar:
    """1 where no graph replays the step: none were captured, or none of so many rows with prompts.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(w.prefill_tokens):
        return s.limits.eager
    beyond = at_most_one(ceil(maximum(step_tokens(w) - s.limits.captured_prompt_rows, 0.0)))
    return maximum(s.limits.eager, beyond * at_most_one(w.prefill_tokens))


@equation
def launching_s(s: System, w: Step) -> Seconds:
    """What the CPU needs to launch a step's kernels one by one; nothing where a graph replays them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(w.prefill_tokens) and is_zero(s.limits.eager):
        return 0.0
    return uncaptured(s, w) * launches(s, w) * s.overheads.eager_launch_s


@equation
def gaps_s(s: System) -> Seconds:
    """Gaps between the kernels of a step, on the devices: nothing hides them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return s.overheads.layer_s * s.arch.n_layers


@equation
def host_s(s: System, w: Step) -> Seconds:
    """The engine's own work in a step: scheduler, input preparation, sampling and output processing.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    o = s.overheads
    blocks = w.decode_seqs * w.decode_context / s.limits.block_tokens
    ranks_s = at_most_one(s.parallel.tp - 1.0) * (o.ranks_s + o.rank_block_s * blocks)
    return o.step_s + o.sequence_s * logit_rows(w) + ranks_s


@equation
def step_s(s: System, w: Step) -> Seconds:
    """Time of one engine step: the longer of the devices' and the host's, where it works ahead.

    Devices wait where the CPU launches more slowly than they work.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    busy_s = maximum(device_s(s, w), launching_s(s, w)) + gaps_s(s)
    hidden_s = s.limits.async_scheduling * host_s(s, w)
    return maximum(busy_s, hidden_s) + (host_s(s, w) - hidden_s)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operator costs in a step, over all layers, on one device.

    `bound` names, for each row, what most of its time would go to at nameplate rates: compute, hbm or
    link; overhead where even twice that bound is not half of its time, so that latency is.
    """

    seconds: Seconds
    flops: Flops = 0.0
    bytes_: Bytes = 0.0  # to and from device memory
    comm_bytes: Bytes = 0.0  # sent to other devices
    bound: Number = "overhead"


# The engine's own work, which is no kernel's.
OVERHEAD = Operator(
    "overhead", "engine overhead", "layers", lambda a: a.n_layers,
    "logits", lambda s, w: step_s(s, w) - device_s(s, w),
)  # fmt: skip
# What people call every part of a step, and what its time hangs on.
PARTS: dict[str, Operator] = {o.name: o for o in (*OPERATORS, OVERHEAD)}


def breakdown(s: System, w: Step) -> dict[str, Cost]:
    """Return what every operator of a step costs, by name; their seconds add up to `step_s`.

    Args:
        s: shape, device, engine: numbers, or columns of one length.
        w: what the step processes, likewise.

    """
    parts = {o.name: _cost(o, s, w) for o in OPERATORS if o.is_in(s.arch)}
    return parts | {OVERHEAD.name: Cost(OVERHEAD.seconds(s, w))}


def _cost(o: Operator, s: System, w: Step) -> Cost:
    seconds, flops, bytes_, sent = (f(s, w) for f in (o.seconds, o.flops, o.bytes_, o.comm_bytes))
    bounds = np.stack(
        np.broadcast_arrays(
            np.asarray(seconds) / 4.0,
            flops / s.device.flops_per_s,
            bytes_ / s.device.hbm_bytes_per_s,
            sent / s.device.link_bytes_per_s,
        )
    )
    names = np.array(["overhead", "compute", "hbm", "link"])
    return Cost(seconds, flops, bytes_, sent, names[np.argmax(bounds, axis=0)])
