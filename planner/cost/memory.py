"""Memory by part, and how many sequences really run at once."""

from planner.columns import System, Workload
from planner.cost.operators.attention.kinds import (
    attention_layers,
    cache_heads,
    has_attention,
    kv_elements_per_token,
    state_bytes,
)
from planner.cost.operators.head import embedding_params
from planner.cost.operators.operator import is_zero, over_stacks
from planner.cost.params import n_params
from planner.equation import ceil, equation, floor, maximum, minimum
from planner.units import Bytes, Scalar

# Memory chips come in binary sizes: the 40 GB of a datasheet are 40 GiB. Drivers keep a little back
# (an A100 of 40 GiB offers 39.4, one of 80 offers 79.2, an H200 of 141 offers 139.8).
GIB_PER_GB = 2.0**30 / 1e9
OFFERED = 0.988
LEAST_ELEMENTS = 1e-3  # a token, of a model that caches nothing: room for more than anybody asks
LOGIT_COPIES = 3.0  # float32 logits, the same with penalties and temperature applied, probabilities


@equation
def usable_bytes(s: System) -> Bytes:
    """Memory a program finds on one device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return s.device.hbm_bytes * (GIB_PER_GB * OFFERED)


@equation
def weight_bytes(s: System) -> Bytes:
    """Weights on one device; embedding, LM head and what a checkpoint keeps have their own precision.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    kept = embedding_params(s.arch) + s.arch.kept_params
    matrices = (n_params(s.arch) - kept) * s.precision.weight_bytes
    return (matrices + kept * s.precision.embedding_bytes) / (s.parallel.tp * s.parallel.pp)


def _stack_kv_bytes(s: System) -> Bytes:
    """KV cache of one token in a stack of like layers; heads replicate where tp > n_kv_heads."""
    replicas = maximum(1.0, s.parallel.tp / cache_heads(s.arch))
    elements = attention_layers(s.arch) * kv_elements_per_token(s.arch) * s.arch.own_kv
    return elements * s.precision.kv_bytes * replicas


@equation
def kv_bytes_per_token(s: System) -> Bytes:
    """KV cache of one token over all devices; heads replicate where tp > n_kv_heads.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return over_stacks(_stack_kv_bytes, has_attention)(s)


all_states_bytes = over_stacks(state_bytes)


@equation
def state_bytes_per_sequence(s: System) -> Bytes:
    """State the layers keep of a sequence, however long it is, over all devices.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return all_states_bytes(s)


@equation
def activation_peak_bytes(s: System) -> Bytes:
    """Residual, normed copy, gate and up of a full step, and float32 logits of every sequence.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    a = s.arch
    step = s.limits.max_batched_tokens * s.precision.activation_bytes
    logits = (
        LOGIT_COPIES * 2.0 * s.precision.activation_bytes * s.limits.max_num_seqs * a.vocab_size
    )
    return step * (2 * a.d_model + 2 * a.d_ff / s.parallel.tp) + logits


@equation
def kv_room_bytes(s: System) -> Bytes:
    """What keys, values and states of sequences may take of one device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    used = weight_bytes(s) + activation_peak_bytes(s) + s.limits.reserve_bytes
    return maximum(0.0, usable_bytes(s) * s.limits.memory_fraction - used)


def token_bytes(s: System) -> Bytes:
    """Cache of one token over all devices, which a model without any still divides by.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    cached = kv_bytes_per_token(s)
    return LEAST_ELEMENTS * s.precision.kv_bytes if is_zero(cached) else cached


@equation
def kv_capacity_tokens(s: System) -> Scalar:
    """Tokens the cache holds, in whole blocks.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    per_device = token_bytes(s) / (s.parallel.tp * s.parallel.pp)
    return floor(kv_room_bytes(s) / (per_device * s.limits.block_tokens)) * s.limits.block_tokens


@equation
def max_concurrency(s: System, w: Workload) -> Scalar:
    """Requests of full length that fit at once, by cache and by the engine's own limit.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    length = ceil((w.input_tokens + w.output_tokens) / s.limits.block_tokens)
    tokens = length * s.limits.block_tokens
    if not is_zero(state := all_states_bytes(s)):  # a state takes the room of so many tokens
        tokens = tokens + state / token_bytes(s)
    return minimum(floor(kv_capacity_tokens(s) / tokens), s.limits.max_num_seqs)
