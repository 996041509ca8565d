"""An operator of a step: what people call it, what its time hangs on, what it computes and moves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from planner.columns import Arch, Step, System
from planner.equation import equation, minimum
from planner.units import Bytes, Flops, Scalar, Seconds

LooksAt = Literal["rows", "logits", "prompts", "decoding"]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator, over all layers, on one device.

    `looks_at` says what of a step its time varies with: the rows of all matrix products; those and
    the positions that need logits; prompts (tokens and the keys they see); or decoding sequences
    (and their context). `serving.step_times` tabulates it over that alone.
    """

    name: str
    words: str  # for people
    cause: str  # what of a shape its time hangs on
    cause_of: Callable[[Arch], Scalar]  # and how much of it a shape has
    looks_at: LooksAt
    seconds: Callable[[System, Step], Seconds]
    flops: Callable[[System, Step], Flops] = lambda s, w: 0.0
    bytes_: Callable[[System, Step], Bytes] = lambda s, w: 0.0  # to and from device memory
    comm_bytes: Callable[[System, Step], Bytes] = lambda s, w: 0.0  # sent to other devices
    weights: Callable[[Arch], Scalar] = lambda a: 0.0  # over all devices
    is_in: Callable[[Arch], bool] = lambda a: True  # whether a shape has it at all


@equation
def step_tokens(w: Step) -> Scalar:
    """Rows of every matrix product of the layers."""
    return w.prefill_tokens + w.decode_seqs


@equation
def logit_rows(w: Step) -> Scalar:
    """Only the last position of a sequence needs logits."""
    return w.prefill_seqs + w.decode_seqs


def is_zero(count: Scalar) -> bool:
    """Whether a count is the number 0 for all rows, so that its terms need not be computed."""
    return isinstance(count, float | int) and count == 0


def at_most_one(count: Scalar) -> Scalar:
    """Return 1 where there is anything to do, 0 where not."""
    return minimum(count, 1.0)


def overlapped(math_s: Seconds, memory_s: Seconds) -> Seconds:
    """Arithmetic and traffic at once: the longer, and a bit of the shorter near the knee."""
    return (math_s * math_s + memory_s * memory_s) ** 0.5
