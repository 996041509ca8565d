"""An operator of a step: what people call it, what its time hangs on, what it computes and moves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

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
    launches: Callable[[System, Step], Scalar] = lambda s, w: 0.0  # kernels on one device
    is_in: Callable[[Arch], bool] = lambda a: True  # whether a shape has it at all


@equation
def step_tokens(w: Step) -> Scalar:
    """Rows of every matrix product of the layers.

    Args:
        w: what the step processes: tokens and sequences, likewise.

    """
    return w.prefill_tokens + w.decode_seqs * w.decode_queries


@equation
def logit_rows(w: Step) -> Scalar:
    """Only the last position of a sequence needs logits; all that are checked do.

    Args:
        w: what the step processes: tokens and sequences, likewise.

    """
    return w.prefill_seqs + w.decode_seqs * w.decode_queries


def is_zero(count: Scalar) -> bool:
    """Whether a count is the number 0 for all rows, so that its terms need not be computed.

    Args:
        count: a count.

    """
    return isinstance(count, float | int) and count == 0


def at_most_one(count: Scalar) -> Scalar:
    """Return 1 where there is anything to do, 0 where not.

    Args:
        count: a count.

    """
    return minimum(count, 1.0)


def overlapped(math_s: Seconds, memory_s: Seconds) -> Seconds:
    """Arithmetic and traffic at once: the longer, and a bit of the shorter near the knee.

    Args:
        math_s: seconds of arithmetic.
        memory_s: seconds of traffic.

    """
    return (math_s * math_s + memory_s * memory_s) ** 0.5


def over_layers(a: Arch, of: Callable[[Arch], Scalar]) -> Scalar:
    """Sum over all layers what `of` says of one, stack by stack of like layers.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        of: a quantity of like layers.

    """
    if a.stacks is None:
        return a.n_layers * of(a)
    first, *others = a.stacks
    total = first.n_layers * of(first)
    for like in others:
        total = total + like.n_layers * of(like)
    return total


def over_stacks(
    of: Callable[..., Any], is_in: Callable[[Arch], bool] = lambda a: True
) -> Callable[..., Any]:
    """Return `of`, a quantity of like layers, as that of a model: the sum over its stacks.

    Args:
        of: a quantity of like layers.
        is_in: which stacks have it.

    """

    def total(s: System, *more: Any) -> Any:
        if s.arch.stacks is None:
            return of(s, *more)
        parts = [of(replace(s, arch=a), *more) for a in s.arch.stacks if is_in(a)]
        return sum(parts[1:], start=parts[0]) if parts else 0.0

    return total


def of_stacks(o: Operator) -> Operator:
    """Return an operator of like layers as one of models whose layers may differ.

    Args:
        o: an operator of like layers.

    """

    def of_shape(of: Callable[[Arch], Scalar]) -> Callable[[Arch], Scalar]:
        return lambda a: sum(map(of, filter(o.is_in, a.stacks))) if a.stacks else of(a)

    return replace(
        o,
        seconds=over_stacks(o.seconds, o.is_in),
        flops=over_stacks(o.flops, o.is_in),
        bytes_=over_stacks(o.bytes_, o.is_in),
        launches=over_stacks(o.launches, o.is_in),
        weights=of_shape(o.weights),
        cause_of=of_shape(o.cause_of),
        is_in=lambda a: any(map(o.is_in, a.stacks or (a,))),
    )
