"""One engine step, operator by operator: what it computes, what it moves, how long it takes.

The step's time is the sum over operators plus the engine's own work. Times are per device, with
heads and hidden units divided by tp. A pipeline's stages are passed one after another, so a step
always takes all layers; that pp batches are on their way at once is the serving layer's business.
"""

from planner.columns import Step, System
from planner.cost.kernels import (
    decode_attention_s,
    elementwise_s,
    gemm_s,
    kv_write_s,
    prefill_attention_s,
    present,
)
from planner.cost.operators.communication import all_reduce_s, gather_s, hand_over_s
from planner.cost.traffic import (
    absent,
    attention_output_gemm,
    cached_pair_flops,
    elementwise_bytes,
    kv_elements_here,
    kv_heads_here,
    latent,
    lm_head_bytes,
    lm_head_gemm,
    logit_rows,
    mlp_down_gemm,
    mlp_up_gemm,
    pair_flops,
    qkv_gemm,
    seen,
    step_tokens,
)
from planner.equation import equation, maximum, minimum
from planner.units import Seconds


@equation
def qkv_s(s: System, w: Step) -> Seconds:
    """Query, key and value projections."""
    return s.arch.n_layers * gemm_s(s, qkv_gemm(s, w))


@equation
def attention_prefill_s(s: System, w: Step) -> Seconds:
    """Scores and values of the new prompt tokens: causal, by query head."""
    a, tp = s.arch, s.parallel.tp
    if absent(w.prefill_tokens):
        return 0.0
    kv_heads = kv_heads_here(s) + latent(a) * (a.n_heads / tp - kv_heads_here(s))
    return a.n_layers * prefill_attention_s(
        s,
        w.prefill_tokens,
        seen(a, w.prefill_context),
        a.n_heads / tp,
        kv_heads,
        pair_flops(a),
    )


@equation
def kv_write_total_s(s: System, w: Step) -> Seconds:
    """Keys and values of the new prompt tokens put into the cache; decoding's are part of its kernel."""
    if absent(w.prefill_tokens):
        return 0.0
    return s.arch.n_layers * kv_write_s(s, w.prefill_tokens, kv_elements_here(s))


@equation
def attention_decode_s(s: System, w: Step) -> Seconds:
    """The cached keys and values of every decoding sequence, read once."""
    a = s.arch
    if absent(w.decode_seqs):
        return 0.0
    kv_heads = kv_heads_here(s) + latent(a) * (1.0 - kv_heads_here(s))
    return a.n_layers * decode_attention_s(
        s,
        w.decode_seqs,
        seen(a, w.decode_context),
        kv_heads,
        a.n_heads / s.parallel.tp / kv_heads,
        kv_elements_here(s) * s.precision.kv_bytes,
        cached_pair_flops(a),
    )


@equation
def attention_output_s(s: System, w: Step) -> Seconds:
    """Output projection."""
    return s.arch.n_layers * gemm_s(s, attention_output_gemm(s, w))


@equation
def mlp_up_s(s: System, w: Step) -> Seconds:
    """Gate and up projections."""
    return s.arch.n_layers * gemm_s(s, mlp_up_gemm(s, w))


@equation
def mlp_down_s(s: System, w: Step) -> Seconds:
    """Down projection."""
    return s.arch.n_layers * gemm_s(s, mlp_down_gemm(s, w))


@equation
def elementwise_total_s(s: System, w: Step) -> Seconds:
    """Norms, rotary embedding and activation: four launches a layer, and a router's where routed."""
    launches = 3.0 + minimum(s.arch.n_experts - 1.0, 1.0)
    launches_s = launches * s.kernels.launch_s
    return s.arch.n_layers * (launches_s + elementwise_s(s, elementwise_bytes(s, w)))


@equation
def lm_head_s(s: System, w: Step) -> Seconds:
    """Embedding lookup, product with the vocabulary and sampling; a chunk that ends no prompt has none."""
    product_s = present(logit_rows(w)) * gemm_s(s, lm_head_gemm(s, w))
    return product_s + elementwise_s(s, lm_head_bytes(s, w))


@equation
def communication_s(s: System, w: Step) -> Seconds:
    """Two all-reduces a layer and the gathered logits under tp, hand-overs under pp."""
    a, p = s.arch, s.precision
    if absent(s.parallel.tp * s.parallel.pp - 1.0):
        return 0.0
    hidden = step_tokens(w) * a.d_model * p.activation_bytes
    logits = logit_rows(w) * a.vocab_size * p.activation_bytes
    reduces_s = 2.0 * a.n_layers * all_reduce_s(s, hidden)
    return reduces_s + gather_s(s, logits) + hand_over_s(s, hidden)


@equation
def device_s(s: System, w: Step) -> Seconds:
    """What the devices are busy with."""
    return (
        qkv_s(s, w)
        + attention_prefill_s(s, w)
        + kv_write_total_s(s, w)
        + attention_decode_s(s, w)
        + attention_output_s(s, w)
        + mlp_up_s(s, w)
        + mlp_down_s(s, w)
        + elementwise_total_s(s, w)
        + lm_head_s(s, w)
        + communication_s(s, w)
    )


@equation
def launching_s(s: System) -> Seconds:
    """What the CPU needs to launch a step's kernels one by one; nothing where a graph replays them."""
    return s.overheads.eager_layer_s * s.arch.n_layers


@equation
def overhead_s(s: System, w: Step) -> Seconds:
    """Scheduler, input preparation, gaps between kernels, sampling and output processing."""
    o = s.overheads
    blocks = w.decode_seqs * w.decode_context / s.limits.block_tokens
    ranks_s = present(s.parallel.tp - 1.0) * (o.ranks_s + o.rank_block_s * blocks)
    return o.step_s + o.layer_s * s.arch.n_layers + o.sequence_s * logit_rows(w) + ranks_s


@equation
def step_s(s: System, w: Step) -> Seconds:
    """Time of one engine step: devices wait where the CPU launches more slowly than they work."""
    return maximum(device_s(s, w), launching_s(s)) + overhead_s(s, w)
