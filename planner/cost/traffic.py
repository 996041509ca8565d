"""What a step computes and moves on one device, operator by operator: shapes, FLOPs and bytes.

Heads and hidden units are divided by tp. Latent attention projects by way of low ranks, keeps one
latent vector for all heads and decodes on it as if it were one key/value head.
"""

from planner.columns import Arch, Step, System
from planner.cost.kernels import Gemm
from planner.cost.params import kv_elements_per_token, kv_params, q_params
from planner.equation import equation, maximum, minimum
from planner.units import Bytes, Flops, Scalar

SAMPLING_PASSES = 4.0  # over the float32 logits: write, maximum, normalise, choose


@equation
def step_tokens(w: Step) -> Scalar:
    """Rows of every matrix product of the layers."""
    return w.prefill_tokens + w.decode_seqs


@equation
def logit_rows(w: Step) -> Scalar:
    """Only the last position of a sequence needs logits."""
    return w.prefill_seqs + w.decode_seqs


def absent(count: Scalar) -> bool:
    """Whether a count is the number 0 for all rows, so that its terms need not be computed."""
    return isinstance(count, float | int) and count == 0


def latent(a: Arch) -> Scalar:
    """Return 1 where keys and values are cached as one latent vector, 0 where by head."""
    return minimum(a.kv_latent_dim, 1.0)


def kv_heads_here(s: System) -> Scalar:
    """Key/value heads on a device: at least one, so they replicate where tp > n_kv_heads."""
    return maximum(s.arch.n_kv_heads / s.parallel.tp, 1.0)


def kv_elements_here(s: System) -> Scalar:
    """Elements a device caches of one token in one layer; a latent vector is on every device."""
    by_head = 2.0 * kv_heads_here(s) * s.arch.head_dim
    if absent(s.arch.kv_latent_dim):
        return by_head
    return by_head + latent(s.arch) * (kv_elements_per_token(s.arch) - by_head)


def seen(a: Arch, context: Scalar) -> Scalar:
    """Keys a query looks at, mean over layers: local ones look back a window only."""
    if absent(a.local_fraction):
        return context
    return context - a.local_fraction * maximum(context - a.window, 0.0)


@equation
def experts_touched(s: System, w: Step) -> Scalar:
    """Experts some token of the step visits, routing being even; 1 in a dense model."""
    a = s.arch
    if absent(a.n_experts - 1.0):
        return 1.0
    missed = (1.0 - a.n_active_experts / a.n_experts) ** step_tokens(w)
    return a.n_experts * (1.0 - missed)


def qkv_gemm(s: System, w: Step) -> Gemm:
    """Query, key and value projections, fused."""
    a, tp = s.arch, s.parallel.tp
    by_head = a.head_dim * (a.n_heads / tp + 2.0 * kv_heads_here(s))
    if absent(a.kv_latent_dim):
        return Gemm(step_tokens(w), by_head, a.d_model, s.precision.weight_bytes)
    low_rank = (q_params(a) + kv_params(a)) / a.d_model / tp
    width = by_head + latent(a) * (low_rank - by_head)
    return Gemm(step_tokens(w), width, a.d_model, s.precision.weight_bytes)


def attention_output_gemm(s: System, w: Step) -> Gemm:
    """Output projection."""
    a = s.arch
    width = a.n_heads * a.head_dim / s.parallel.tp
    return Gemm(step_tokens(w), a.d_model, width, s.precision.weight_bytes)


def mlp_gemm(s: System, w: Step, matrices: Scalar, down: bool) -> Gemm:
    """One side of the MLP; experts are products of their own, whole on a device under ep."""
    a, ep = s.arch, s.parallel.ep
    hidden = matrices * ep / s.parallel.tp * a.d_ff
    groups = (experts_touched(s, w) + a.n_shared_experts) / ep
    rows = (a.n_active_experts + a.n_shared_experts) / ep * step_tokens(w)
    width, depth = (a.d_model, hidden) if down else (hidden, a.d_model)
    return Gemm(rows, width, depth, s.precision.weight_bytes, groups)


def mlp_up_gemm(s: System, w: Step) -> Gemm:
    """Gate and up projections, fused; only up where there is no gate."""
    return mlp_gemm(s, w, s.arch.mlp_matrices - 1.0, down=False)


def mlp_down_gemm(s: System, w: Step) -> Gemm:
    """Down projection."""
    return mlp_gemm(s, w, 1.0, down=True)


def lm_head_gemm(s: System, w: Step) -> Gemm:
    """Product with the vocabulary, for the rows that need logits."""
    a = s.arch
    width = a.vocab_size / s.parallel.tp
    return Gemm(maximum(logit_rows(w), 1.0), width, a.d_model, s.precision.embedding_bytes)


@equation
def pair_flops(a: Arch) -> Flops:
    """A query meets a key: a score and a weighted value, by query head."""
    return 4.0 * a.head_dim + 2.0 * a.rope_dim


@equation
def cached_pair_flops(a: Arch) -> Flops:
    """The same over the cache: on the latent vector itself where there is one."""
    if absent(a.kv_latent_dim):
        return pair_flops(a)
    on_latent = 4.0 * a.kv_latent_dim - 2.0 * a.rope_dim
    return pair_flops(a) + latent(a) * (on_latent - pair_flops(a))


@equation
def elementwise_bytes(s: System, w: Step) -> Bytes:
    """A layer's two norms with residual, rotary embedding and activation: read and written."""
    a, tp = s.arch, s.parallel.tp
    norms = 8.0 * a.d_model
    rotary = 2.0 * a.head_dim * (a.n_heads / tp + kv_heads_here(s))
    hidden = (a.n_active_experts + a.n_shared_experts) * a.mlp_matrices / tp * a.d_ff
    return s.precision.activation_bytes * step_tokens(w) * (norms + rotary + hidden)


@equation
def lm_head_bytes(s: System, w: Step) -> Bytes:
    """Embeddings looked up, and float32 logits gone over by the sampler."""
    a, p = s.arch, s.precision
    logits = SAMPLING_PASSES * 2.0 * p.activation_bytes * logit_rows(w) * a.vocab_size
    return 2.0 * step_tokens(w) * a.d_model * p.activation_bytes + logits
