"""Multi-head latent attention: one cached vector for all heads.  [DeepSeek-V2, arXiv 2405.04434, 2.1]

It projects by way of low ranks, and decodes on the cached vector as if it were one key/value head.
"""

from planner.columns import Arch, System
from planner.cost.operators.attention.kind import LayerKind, Softmax
from planner.cost.operators.gemm import Gemm
from planner.cost.operators.operator import is_zero
from planner.equation import ceil, maximum, minimum
from planner.units import Flops, Scalar

# vLLM before 0.7 caches DeepSeek's keys and values by head, padded from 192 to 256 elements
# (Attention(num_local_heads, 256) in its deepseek_v2.py): the next multiple kernels then had.
HEAD_MULTIPLE = 128.0


def is_latent(a: Arch) -> Scalar:
    """Return 1 where keys and values are cached as one latent vector, 0 where by head.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return minimum(a.kv_latent_dim, 1.0)


def q_params(a: Arch) -> Scalar:
    """Weights of the query projection, in two factors where it has a latent rank.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    low_rank = minimum(a.q_latent_dim, 1.0)
    width = a.n_heads * (a.head_dim + a.rope_dim)
    return (1.0 - low_rank) * a.d_model * width + a.q_latent_dim * (a.d_model + width)


def kv_params(a: Arch) -> Scalar:
    """Weights from d_model to the cached vector, and up to a key and a value for every head.

    Its rotary part, which heads share, needs no way up.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    up = 2.0 * (a.kv_latent_dim - a.rope_dim) * a.head_dim * a.n_heads
    return a.d_model * a.kv_latent_dim + up


def kv_elements_per_device(s: System) -> Scalar:
    """The latent vector, whole on every device; full heads where an engine does not cache it.

    Keys and values of such heads are padded to a width that attention kernels have.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    if is_zero(s.footprint.latent_cached - 1.0):
        return s.arch.kv_latent_dim
    padded = HEAD_MULTIPLE * ceil((s.arch.head_dim + s.arch.rope_dim) / HEAD_MULTIPLE)
    heads = 2.0 * padded * maximum(s.arch.n_heads / s.parallel.tp, 1.0)
    cached = minimum(s.footprint.latent_cached, 1.0)
    return cached * s.arch.kv_latent_dim + (1.0 - cached) * heads


def projections(s: System, rows: Scalar) -> tuple[Gemm, ...]:
    """Down to the latent ranks, whole on every device; up to the queries; and, by head, keys and values.

    Decoding multiplies queries by the way up to keys, and outputs by that to values; prompts both.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        rows: tokens of the step.

    """
    a, weight_bytes = s.arch, s.precision.weight_bytes
    heads, latent = a.n_heads / s.parallel.tp, a.kv_latent_dim - a.rope_dim
    low = minimum(a.q_latent_dim, 1.0)
    queries = heads * (a.head_dim + a.rope_dim)
    down = a.q_latent_dim + a.kv_latent_dim + (1.0 - low) * queries
    return (
        Gemm(rows, down, a.d_model, weight_bytes),
        Gemm(low * rows, queries, a.q_latent_dim, weight_bytes),
        Gemm(rows * heads, latent, a.head_dim, weight_bytes, heads),
        Gemm(rows * heads, a.head_dim, latent, weight_bytes, heads),
    )


def copied_params(s: System) -> Scalar:
    """The ways down to the latent ranks, which every device has whole.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    a = s.arch
    return a.d_model * (a.q_latent_dim + a.kv_latent_dim) * (1.0 - 1.0 / s.parallel.tp)


def cached_pair_flops(a: Arch) -> Flops:
    """A query meets a key on the latent vector itself; its rotary part has no value.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return 4.0 * a.kv_latent_dim - 2.0 * a.rope_dim


LATENT = LayerKind(
    "latent",
    "latent attention",
    is_latent,
    Softmax(
        q_params=q_params,
        kv_params=kv_params,
        kv_elements=lambda a: a.kv_latent_dim,
        kv_elements_per_device=kv_elements_per_device,
        copied_params=copied_params,
        keys=lambda a, context, reach: context,
        projections=projections,
        prefill_kv_heads=lambda s: s.arch.n_heads / s.parallel.tp,
        decode_kv_heads=lambda s: 1.0,
        cached_pair_flops=cached_pair_flops,
        block_multiple=128.0,  # of its kernels
    ),
)
