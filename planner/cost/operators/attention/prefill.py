"""Attention of new prompt tokens, and their keys and values put into the cache."""

from planner.columns import Arch, Step, System
from planner.cost.operators.attention.full import pair_flops
from planner.cost.operators.attention.kinds import (
    attention_layers,
    has_attention,
    kv_elements_per_device,
    kv_elements_per_token,
    mean,
    prefill_keys,
)
from planner.cost.operators.operator import Operator, at_most_one, is_zero, overlapped
from planner.equation import equation, maximum, minimum, named
from planner.units import Bytes, Flops, Scalar, Seconds


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

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        tokens: tokens.
        context: keys a query sees, tokens.
        n_heads: query heads on a device.
        n_kv_heads: key/value heads on a device.
        pair_flops: FLOP of a query and a key, by query head.

    """
    k = s.kernels
    packed = 1.0 + k.packs_gqa * (n_heads / n_kv_heads - 1.0)  # query heads that share a tile
    rows = minimum(k.attention_tile_rows, 2.0 * context * packed)
    start_keys = k.attention_start_keys * unpacking(s)
    tile_flops = k.attention_tile_rows * (context + start_keys) * pair_flops
    rate = s.device.attention_flops_per_s * (k.attention_compute_eff * k.sustained_clock)
    work_s = named("work_s", tokens * n_heads / maximum(rows, 1.0) * tile_flops / rate)
    last_s = named("last_tile_s", 2.0 * at_most_one(tokens) * tile_flops * s.device.n_sms / rate)
    return k.launch_s * at_most_one(tokens) + overlapped(work_s, last_s)


def unpacking(s: System) -> Scalar:
    """How much more a key takes that is cached in fewer bits than it is used in.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return 1.0 + s.kernels.kv_unpack_share * (
        s.precision.activation_bytes / s.precision.kv_bytes - 1.0
    )


def kv_write_s(s: System, tokens: Scalar, elements: Scalar) -> Seconds:
    """Keys and values of new tokens, so many elements each, scattered into the blocks of the cache.

    A token is a block of work: it has a cost of its own besides the bytes read and written.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        tokens: tokens.
        elements: elements.

    """
    bytes_ = elements * (s.precision.activation_bytes + s.precision.kv_bytes)
    token_s = s.kernels.kv_write_token_s / s.device.n_sms
    return tokens * (token_s + bytes_ / (s.device.hbm_bytes_per_s * s.kernels.kv_write_hbm_eff))


@equation
def attention_prefill_s(s: System, w: Step) -> Seconds:
    """Scores and values of the new prompt tokens: causal, by query head.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    if is_zero(w.prefill_tokens):
        return 0.0
    return attention_layers(a) * prefill_attention_s(
        s,
        w.prefill_tokens,
        prefill_keys(a, w),
        a.n_heads / s.parallel.tp,
        mean(a, lambda k: k.prefill_kv_heads(s)),
        pair_flops(a),
    )


@equation
def kv_write_total_s(s: System, w: Step) -> Seconds:
    """Keys and values of the new prompt tokens put into the cache; decoding's are part of its kernel.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(w.prefill_tokens):
        return 0.0
    return attention_layers(s.arch) * kv_write_s(s, w.prefill_tokens, kv_elements_per_device(s))


def query_bytes(s: System) -> Bytes:
    """A query read and its output written, of a token in one layer.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return 2.0 * s.arch.n_heads / s.parallel.tp * s.arch.head_dim * s.precision.activation_bytes


def _flops(s: System, w: Step) -> Flops:
    a = s.arch
    pairs = w.prefill_tokens * prefill_keys(a, w) * a.n_heads / s.parallel.tp
    return attention_layers(a) * pairs * pair_flops(a)


def _bytes(s: System, w: Step) -> Bytes:
    kv_bytes = kv_elements_per_device(s) * s.precision.kv_bytes
    return attention_layers(s.arch) * w.prefill_tokens * (query_bytes(s) + kv_bytes)


def _written_bytes(s: System, w: Step) -> Bytes:
    element_bytes = s.precision.kv_bytes + s.precision.activation_bytes
    return attention_layers(s.arch) * w.prefill_tokens * kv_elements_per_device(s) * element_bytes


def _launches(s: System, w: Step) -> Scalar:
    return attention_layers(s.arch) * at_most_one(w.prefill_tokens)


def cached_elements(a: Arch) -> Scalar:
    """Elements all layers cache of a token.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return attention_layers(a) * kv_elements_per_token(a)


ATTENTION_PREFILL = Operator(
    "attention_prefill", "prefill attention",
    "query width over all layers", lambda a: attention_layers(a) * a.n_heads * a.head_dim,
    "prompts", attention_prefill_s, flops=_flops, bytes_=_bytes,
    launches=_launches, is_in=has_attention,
)  # fmt: skip
KV_WRITE = Operator(
    "kv_write", "writing the KV cache",
    "cached elements a token", cached_elements,
    "prompts", kv_write_total_s, bytes_=_written_bytes, launches=_launches,
    is_in=has_attention,
)  # fmt: skip
