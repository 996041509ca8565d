"""Memory by part, and how many sequences really run at once."""

from planner.columns import System, Workload
from planner.cost.params import kv_elements_per_token, n_params, embedding_params
from planner.equation import ceil, equation, floor, maximum, minimum
from planner.units import Bytes, Scalar


@equation
def weight_bytes(s: System) -> Bytes:
    """Weights on one device; embedding and LM head are kept at their own precision."""
    matrices = (n_params(s.arch) - embedding_params(s.arch)) * s.precision.weight_bytes
    embeddings = embedding_params(s.arch) * s.precision.embedding_bytes
    return (matrices + embeddings) / (s.parallel.tp * s.parallel.pp)


@equation
def kv_bytes_per_token(s: System) -> Bytes:
    """KV cache of one token over all layers and devices; heads replicate where tp > n_kv_heads."""
    replicas = maximum(1.0, s.parallel.tp / s.arch.n_kv_heads)
    return s.arch.n_layers * kv_elements_per_token(s.arch) * s.precision.kv_bytes * replicas


@equation
def activation_peak_bytes(s: System) -> Bytes:
    """Residual, normed copy, gate and up of a full step, and float32 logits of every sequence."""
    a = s.arch
    step = s.limits.max_batched_tokens * s.precision.activation_bytes
    logits = 4.0 * s.limits.max_num_seqs * a.vocab_size
    return step * (2 * a.d_model + 2 * a.d_ff / s.parallel.tp) + logits


@equation
def kv_room_bytes(s: System) -> Bytes:
    """What the KV cache may take of one device."""
    used = weight_bytes(s) + activation_peak_bytes(s) + s.limits.reserve_bytes
    return maximum(0.0, s.device.hbm_bytes * s.limits.memory_fraction - used)


@equation
def kv_capacity_tokens(s: System) -> Scalar:
    """Tokens the cache holds, in whole blocks."""
    per_device = kv_bytes_per_token(s) / (s.parallel.tp * s.parallel.pp)
    return floor(kv_room_bytes(s) / (per_device * s.limits.block_tokens)) * s.limits.block_tokens


@equation
def max_concurrency(s: System, w: Workload) -> Scalar:
    """Requests of full length that fit at once, by cache and by the engine's own limit."""
    length = ceil((w.input_tokens + w.output_tokens) / s.limits.block_tokens)
    fit = floor(kv_capacity_tokens(s) / (length * s.limits.block_tokens))
    return minimum(fit, s.limits.max_num_seqs)
