"""Attention of decoding sequences over their cached keys and values."""

from planner.columns import Step, System
from planner.cost.operators.attention.kinds import (
    attention_layers,
    cached_pair_flops,
    has_attention,
    kv_elements_per_device,
    mean,
    mean_keys,
)
from planner.cost.operators.attention.prefill import cached_elements, query_bytes, unpacking
from planner.cost.operators.operator import Operator, at_most_one, is_zero, overlapped
from planner.equation import equation, maximum, minimum, named
from planner.units import Bytes, Flops, Scalar, Seconds

SPLIT_KEYS = 256.0  # keys from which a decoding sequence is split over multiprocessors


def decode_attention_s(
    s: System,
    seqs: Scalar,
    context: Scalar,
    n_kv_heads: Scalar,
    query_rows: Scalar,
    key_bytes: Bytes,
    pair_flops: Flops,
) -> Seconds:
    """Queries of each sequence over its cached keys and values, read once.  [Dao 2023, split-KV]

    `query_rows` query heads share a key/value head, of every token that is checked at once; `key_bytes` are what one cached token of a layer
    takes on this device. A block of work is a sequence and a key/value head: it has a cost of its
    own, and draws only so much bandwidth; splitting the keys of a head makes more blocks.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        seqs: sequences.
        context: keys a query sees, tokens.
        n_kv_heads: key/value heads on a device.
        query_rows: query heads that share a key/value head.
        key_bytes: bytes of one cached token of a layer on a device.
        pair_flops: FLOP of a query and a key, by query head.

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
    return fixed_s * at_most_one(seqs) + overlapped(blocks_s, memory_s)


@equation
def attention_decode_s(s: System, w: Step) -> Seconds:
    """The cached keys and values of every decoding sequence, read once.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    if is_zero(w.decode_seqs):
        return 0.0
    kv_heads = mean(a, lambda k: k.decode_kv_heads(s))
    return attention_layers(a) * decode_attention_s(
        s,
        w.decode_seqs,
        mean_keys(a, w.decode_context),
        kv_heads,
        w.decode_queries * a.n_heads / s.parallel.tp / kv_heads,
        kv_elements_per_device(s) * s.precision.kv_bytes,
        cached_pair_flops(a),
    )


def _flops(s: System, w: Step) -> Flops:
    a = s.arch
    seen = w.decode_queries * mean_keys(a, w.decode_context)
    pairs = w.decode_seqs * seen * a.n_heads / s.parallel.tp
    return attention_layers(a) * pairs * cached_pair_flops(a)


def _bytes(s: System, w: Step) -> Bytes:
    """Every cached key and value once; queries in, outputs out."""
    cached = mean_keys(s.arch, w.decode_context) * kv_elements_per_device(s) * s.precision.kv_bytes
    return attention_layers(s.arch) * w.decode_seqs * (cached + w.decode_queries * query_bytes(s))


ATTENTION_DECODE = Operator(
    "attention_decode", "decode attention (reading the KV cache)",
    "cached elements a token", cached_elements,
    "decoding", attention_decode_s, flops=_flops, bytes_=_bytes,
    launches=lambda s, w: attention_layers(s.arch) * at_most_one(w.decode_seqs),
    is_in=has_attention,
)  # fmt: skip
