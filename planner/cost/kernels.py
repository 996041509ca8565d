"""Time of one kernel from the shape of its work: what `planner calibrate` fits and steps are made of.

A kernel takes its launch, then the longer of arithmetic and memory traffic; near the knee both are
felt, which a root of summed squares says with one cheap operation.  [Williams 2009]
Arithmetic comes in tiles, tiles in waves over the multiprocessors; traffic draws on memory
bandwidth. Every constant is a field of `Kernels`, bounded by what the device can do at all.
"""

from dataclasses import dataclass

from planner.columns import System
from planner.equation import ceil, maximum, minimum, named
from planner.units import Bytes, Flops, FlopsPerS, Scalar, Seconds

TILE = 64.0  # columns of a matrix product one multiprocessor works on at a time
SPLIT_KEYS = 256.0  # keys from which a decoding sequence is split over multiprocessors


@dataclass(frozen=True, slots=True)
class Gemm:
    """`groups` products that share a launch: (rows / groups × depth) by (depth × width) each."""

    rows: Scalar
    width: Scalar
    depth: Scalar
    weight_bytes: Bytes  # of one weight
    groups: Scalar = 1.0


def present(count: Scalar) -> Scalar:
    """Return 1 where there is anything to do, 0 where not."""
    return minimum(count, 1.0)


def whole_waves(tiles: Scalar, n_sms: Scalar) -> Scalar:
    """Waves of tiles over the multiprocessors: the last one counts whole.

    Less than one wave keeps everyone busy all the same, by splitting the depth.  [cuBLAS split-K]
    """
    waves = tiles / n_sms
    return minimum(waves, 1.0) + ceil(maximum(waves - 1.0, 0.0))


def overlapped(math_s: Seconds, memory_s: Seconds) -> Seconds:
    """Arithmetic and traffic at once: the longer, and a bit of the shorter near the knee."""
    return (math_s * math_s + memory_s * memory_s) ** 0.5


def gemm_flops(g: Gemm) -> Flops:
    """A multiply and an add for each weight and row."""
    return 2.0 * g.rows * g.width * g.depth


def gemm_bytes(s: System, g: Gemm) -> Bytes:
    """Weights once; activations in and out."""
    moved = g.rows * (g.width + g.depth) * s.precision.activation_bytes
    return g.groups * g.width * g.depth * g.weight_bytes + moved


def matrix_rate(s: System) -> FlopsPerS:
    """Matrix rate the kernels reach, at the clock that long runs keep."""
    return s.device.flops_per_s * (s.kernels.gemm_compute_eff * s.kernels.sustained_clock)


def gemm_s(s: System, g: Gemm) -> Seconds:
    """A matrix product: whole tiles in whole waves, weights read once, a pipeline to fill first."""
    k, n_sms = s.kernels, s.device.n_sms
    tiles = (g.groups * ceil(g.rows / g.groups / k.gemm_tile_rows)) * ceil(g.width / TILE)
    wave_s = (g.depth + k.gemm_start_depth) * (
        k.gemm_tile_rows * (2.0 * TILE * n_sms / matrix_rate(s))
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
    """
    saved = maximum(s.precision.gemm_input_bytes - g.weight_bytes, 0.0 * g.weight_bytes)
    return named("stored_bytes", g.weight_bytes + s.kernels.unpack_share * saved)


def quantising_s(s: System, g: Gemm) -> Seconds:
    """Activations brought to 8 bits before a product that computes in them."""
    p, k = s.precision, s.kernels
    narrower = minimum(p.activation_bytes / p.gemm_input_bytes - 1.0, 1.0)
    rate = s.device.hbm_bytes_per_s * k.quantise_hbm_eff
    element_s = narrower * (p.activation_bytes + p.gemm_input_bytes) / rate
    return named("quantising_s", narrower * k.quantise_launch_s + g.depth * (g.rows * element_s))


def prefill_attention_s(
    s: System,
    tokens: Scalar,
    context: Scalar,
    n_heads: Scalar,
    n_kv_heads: Scalar,
    pair_flops: Flops,
) -> Seconds:
    """Scores and values of new tokens over the keys they see, causal and fused.  [Dao 2023]

    A tile of query rows passes over its keys after a start that costs as much as so many keys. The
    work is spread over multiprocessors, but the last row's tile alone sees every key: no kernel
    is faster than that one. A prompt shorter than a tile still takes a whole one.
    """
    k = s.kernels
    packed = 1.0 + k.packs_gqa * (n_heads / n_kv_heads - 1.0)  # query heads that share a tile
    rows = minimum(k.attention_tile_rows, 2.0 * context * packed)
    start_keys = k.attention_start_keys * unpacking(s)
    tile_flops = k.attention_tile_rows * (context + start_keys) * pair_flops
    rate = s.device.attention_flops_per_s * (k.attention_compute_eff * k.sustained_clock)
    work_s = named("work_s", tokens * n_heads / maximum(rows, 1.0) * tile_flops / rate)
    last_s = named("last_tile_s", 2.0 * present(tokens) * tile_flops * s.device.n_sms / rate)
    return k.launch_s * present(tokens) + overlapped(work_s, last_s)


def unpacking(s: System) -> Scalar:
    """How much more a key takes that is cached in fewer bits than it is used in."""
    return 1.0 + s.kernels.kv_unpack_share * (
        s.precision.activation_bytes / s.precision.kv_bytes - 1.0
    )


def kv_write_s(s: System, tokens: Scalar, elements: Scalar) -> Seconds:
    """Keys and values of new tokens, so many elements each, scattered into the blocks of the cache.

    A token is a block of work: it has a cost of its own besides the bytes read and written.
    """
    bytes_ = elements * (s.precision.activation_bytes + s.precision.kv_bytes)
    token_s = s.kernels.kv_write_token_s / s.device.n_sms
    return tokens * (token_s + bytes_ / (s.device.hbm_bytes_per_s * s.kernels.kv_write_hbm_eff))


def decode_attention_s(
    s: System,
    seqs: Scalar,
    context: Scalar,
    n_kv_heads: Scalar,
    query_rows: Scalar,
    key_bytes: Bytes,
    pair_flops: Flops,
) -> Seconds:
    """One query of each sequence over its cached keys and values, read once.  [Dao 2023, split-KV]

    `query_rows` query heads share a key/value head; `key_bytes` are what one cached token of a layer
    takes on this device. A block of work is a sequence and a key/value head: it has a cost of its
    own, and draws only so much bandwidth; splitting the keys of a head makes more blocks.
    """
    k, n_sms = s.kernels, s.device.n_sms
    blocks = seqs * n_kv_heads
    splits = minimum(query_rows - 1.0 + k.splits_mha, 1.0)
    narrow = s.precision.kv_bytes / s.precision.activation_bytes
    drawn = splits * k.decode_head_share * n_kv_heads
    drawn = narrow * (drawn + k.decode_block_share / n_sms * maximum(blocks, 1.0))
    share = named("bandwidth_share", minimum(drawn, 1.0))
    rate = s.device.hbm_bytes_per_s * k.decode_hbm_eff * share
    keys = seqs * context
    more = (1.0 + k.decode_rereads * (query_rows - 1.0)) * unpacking(s)
    memory_s = named("memory_s", keys * (key_bytes * more) / rate)
    math_rate = s.device.attention_flops_per_s * k.attention_compute_eff
    math_s = keys * (query_rows * n_kv_heads * pair_flops / math_rate)
    blocks_s = named("blocks_s", blocks * (k.decode_block_s / n_sms) + math_s)
    fixed_s = k.decode_launch_s + k.decode_split_s * minimum(context / SPLIT_KEYS, 1.0)
    return fixed_s * present(seqs) + overlapped(blocks_s, memory_s)


def elementwise_s(s: System, bytes_: Bytes) -> Seconds:
    """Norms, rotary, activations: read and write, nothing else."""
    return s.kernels.launch_s + bytes_ / (s.device.hbm_bytes_per_s * s.kernels.elementwise_hbm_eff)
