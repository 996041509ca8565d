"""Full attention: a key and a value by head, and every query sees all keys before it."""

from planner.columns import Arch, System
from planner.cost.operators.attention.kind import LayerKind, Softmax
from planner.cost.operators.attention.latent import is_latent
from planner.cost.operators.gemm import Gemm
from planner.equation import equation, maximum
from planner.units import Flops, Scalar


def kv_heads_per_device(s: System) -> Scalar:
    """Key/value heads on a device: at least one, so they replicate where tp > n_kv_heads.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return maximum(s.arch.n_kv_heads / s.parallel.tp, 1.0)


def kv_elements(a: Arch) -> Scalar:
    """A key and a value by head.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return 2.0 * a.head_dim * a.n_kv_heads


def projections(s: System, rows: Scalar) -> tuple[Gemm, ...]:
    """Query, key and value projections, fused.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        rows: tokens of the step.

    """
    a = s.arch
    queries = a.n_heads * (1.0 + a.output_gate) / s.parallel.tp
    width = a.head_dim * (queries + 2.0 * kv_heads_per_device(s))
    return (Gemm(rows, width, a.d_model, s.precision.weight_bytes),)


def copied_params(s: System) -> Scalar:
    """Key and value projections of the heads that a device holds and others too.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    a = s.arch
    copied = kv_heads_per_device(s) - a.n_kv_heads / s.parallel.tp
    return 2.0 * a.d_model * a.head_dim * copied * a.own_kv


@equation
def pair_flops(a: Arch) -> Flops:
    """A query meets a key: a score and a weighted value, by query head.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return 4.0 * a.head_dim + 2.0 * a.rope_dim


ATTENTION = Softmax(
    q_params=lambda a: a.d_model * a.n_heads * a.head_dim * (1.0 + a.output_gate),
    kv_params=lambda a: a.d_model * kv_elements(a) * a.own_kv,
    kv_elements=kv_elements,
    copied_params=copied_params,
    kv_elements_per_device=lambda s: 2.0 * kv_heads_per_device(s) * s.arch.head_dim,
    keys=lambda a, context, reach: context,
    projections=projections,
    prefill_kv_heads=kv_heads_per_device,
    decode_kv_heads=kv_heads_per_device,
    cached_pair_flops=pair_flops,
)
FULL = LayerKind(
    "full", "full attention", lambda a: (1.0 - is_latent(a)) * (1.0 - a.local_fraction), ATTENTION
)
