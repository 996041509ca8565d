"""Matrix products: shape, FLOPs, bytes and time.

A kernel takes its launch, then the longer of arithmetic and memory traffic; near the knee both are
felt, which a root of summed squares says with one cheap operation.  [Williams 2009]
Arithmetic comes in tiles, tiles in waves over the multiprocessors; traffic draws on memory
bandwidth. Every constant is a field of `Kernels`, bounded by what the device can do at all.
"""

from collections.abc import Callable
from dataclasses import dataclass

from planner.columns import Arch, Precision, Step, System
from planner.cost.operators.operator import Operator, is_zero, overlapped
from planner.equation import ceil, maximum, minimum, named
from planner.units import Bytes, Flops, FlopsPerS, Scalar, Seconds

TILE = 64.0  # columns of a matrix product one multiprocessor works on at a time


@dataclass(frozen=True, slots=True)
class Gemm:
    """`groups` products that share a launch: (rows / groups × depth) by (depth × width) each."""

    rows: Scalar
    width: Scalar
    depth: Scalar
    weight_bytes: Bytes  # of one weight
    groups: Scalar = 1.0
    uneven: Scalar = 0.0  # 1 where chance shares the rows out: groups are experts


def whole_waves(tiles: Scalar, n_sms: Scalar) -> Scalar:
    """Waves of tiles over the multiprocessors: the last one counts whole.

    Less than one wave keeps everyone busy all the same, by splitting the depth.  [cuBLAS split-K]

    Args:
        tiles: tiles of a product, a count.
        n_sms: multiprocessors, a count.

    """
    waves = tiles / n_sms
    return minimum(waves, 1.0) + ceil(maximum(waves - 1.0, 0.0))


def gemm_flops(g: Gemm) -> Flops:
    """A multiply and an add for each weight and row.

    Args:
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    return 2.0 * g.rows * g.width * g.depth


def gemm_bytes(s: System, g: Gemm) -> Bytes:
    """Weights once; activations in and out.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    moved = g.rows * (g.width + g.depth) * s.precision.activation_bytes
    return g.groups * g.width * g.depth * g.weight_bytes + moved


def narrow_share(p: Precision) -> Scalar:
    """How far products' inputs are narrowed: 0 where they are as wide as activations, 1 from half on.

    Args:
        p: bytes an element of weights, inputs of products and activations.

    """
    return minimum(1.0, maximum(0.0, 2.0 * (1.0 - p.gemm_input_bytes / p.activation_bytes)))


def is_wide(s: System, g: Gemm) -> Scalar:
    """1 where a product computes as wide as activations are, whatever the layers do: the LM head's, say.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    return 1.0 - ceil(1.0 - minimum(g.weight_bytes / s.precision.activation_bytes, 1.0))


def matrix_rate(s: System, g: Gemm) -> FlopsPerS:
    """Matrix rate the kernels reach, at the clock that long runs keep; in 8 bits power keeps it lower.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    k, p, wide = s.kernels, s.precision, is_wide(s, g)
    kept = 1.0 - (1.0 - wide) * narrow_share(p) * (1.0 - k.narrow_compute_eff)
    peak = wide * s.device.attention_flops_per_s + (1.0 - wide) * s.device.flops_per_s
    return peak * (k.gemm_compute_eff * k.sustained_clock * kept)


def group_tiles(s: System, g: Gemm) -> Scalar:
    """Tiles of rows in a group: whole ones, mean over groups where chance shares the rows out.

    Then a group ends half a tile further on average than its mean says, and has one tile at least.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    tile = s.kernels.gemm_tile_rows
    filled = g.rows / g.groups / tile
    if is_zero(g.uneven):
        return ceil(filled)
    drawn = maximum(1.0, filled + (tile - 1.0) / (2.0 * tile))
    return (1.0 - g.uneven) * ceil(filled) + g.uneven * drawn


def gemm_s(s: System, g: Gemm) -> Seconds:
    """A matrix product: whole tiles in whole waves, weights read once, a pipeline to fill first.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    k, n_sms = s.kernels, s.device.n_sms
    tiles = g.groups * group_tiles(s, g) * ceil(g.width / TILE)
    wave_s = (g.depth + k.gemm_start_depth) * (
        k.gemm_tile_rows * (2.0 * TILE * n_sms / matrix_rate(s, g))
    )
    math_s = named("math_s", named("waves", whole_waves(tiles, n_sms)) * wave_s)
    rate = s.device.hbm_bytes_per_s * k.gemm_hbm_eff
    weights_s = g.width * g.depth * (g.groups * (stored_bytes(s, g) / rate))
    moved_s = g.rows * (s.precision.activation_bytes / rate) * (g.width + g.depth)
    fill_s = k.gemm_fill_s * (g.depth / (g.depth + k.gemm_fill_depth))
    memory_s = named("memory_s", weights_s + moved_s)
    return k.launch_s + fill_s + quantising_s(s, g) + overlapped(math_s, memory_s)


def stored_bytes(s: System, g: Gemm) -> Bytes:
    """What reading one weight costs: formats below the width they compute in have to be unpacked.

    Unpacking costs as if a share of the bytes they save had been read after all.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    saved = maximum(s.precision.gemm_input_bytes - g.weight_bytes, 0.0 * g.weight_bytes)
    return named("stored_bytes", g.weight_bytes + s.kernels.unpack_share * saved)


def is_narrowed(s: System, g: Gemm) -> Scalar:
    """1 where activations are brought to half their width and less before a product, 0 where they stay.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    p = s.precision
    return (1.0 - is_wide(s, g)) * minimum(p.activation_bytes / p.gemm_input_bytes - 1.0, 1.0)


def gemm_launches(s: System, g: Gemm) -> Scalar:
    """Kernels of a product: its own, and the one that narrows its input.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    return 1.0 + is_narrowed(s, g)


def quantising_s(s: System, g: Gemm) -> Seconds:
    """Activations brought to 8 bits before a product that computes in them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        g: a product: rows, width and depth in elements, bytes a weight.

    """
    p, k, narrower = s.precision, s.kernels, is_narrowed(s, g)
    rate = s.device.hbm_bytes_per_s * k.quantise_hbm_eff
    element_s = narrower * (p.activation_bytes + p.gemm_input_bytes) / rate
    return named("quantising_s", narrower * k.quantise_launch_s + g.depth * (g.rows * element_s))


def product(
    name: str,
    words: str,
    cause: tuple[str, Callable[[Arch], Scalar]],
    seconds: Callable[[System, Step], Seconds],
    gemm: Callable[[System, Step], Gemm],
    layers: Callable[[Arch], Scalar],
    weights: Callable[[Arch], Scalar],
    is_in: Callable[[Arch], bool],
) -> Operator:
    """Return the operator that is one product in each of some layers.

    Args:
        name: a name.
        words: what people call it.
        cause: what its time hangs on, and how much of it a shape has.
        seconds: its time, s.
        gemm: its product in one layer.
        layers: how many layers have it.
        weights: weights, a count, or one number a value.
        is_in: which stacks have it.

    """
    return Operator(
        name,
        words,
        *cause,
        "rows",
        seconds,
        flops=lambda s, w: layers(s.arch) * gemm_flops(gemm(s, w)),
        bytes_=lambda s, w: layers(s.arch) * gemm_bytes(s, gemm(s, w)),
        weights=weights,
        launches=lambda s, w: layers(s.arch) * gemm_launches(s, gemm(s, w)),
        is_in=is_in,
    )
