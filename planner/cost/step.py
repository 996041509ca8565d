"""One engine step, operator by operator: what it computes, what it moves, how long it takes.

The step's time is the sum over operators plus the engine's own work. Times are per device, with
heads and hidden units divided by tp; a pipeline's stages hold n_layers / pp layers each.
"""

from dataclasses import dataclass

from planner.columns import Step, System
from planner.cost.comms import all_reduce_s
from planner.cost.kernels import attention_s, elementwise_s, gemm_s
from planner.equation import equation, maximum
from planner.units import Scalar, Seconds


@equation
def step_tokens(w: Step) -> Scalar:
    """Rows of every matrix product of the layers."""
    return w.prefill_tokens + w.decode_seqs


@equation
def logit_rows(w: Step) -> Scalar:
    """Only the last position of a sequence needs logits."""
    return w.prefill_seqs + w.decode_seqs


@equation
def qkv_s(s: System, w: Step) -> Seconds:
    """Query, key and value projections, fused."""
    a, tp = s.arch, s.parallel.tp
    kv_heads = maximum(a.n_kv_heads / tp, 1.0)
    width = a.head_dim * (a.n_heads / tp + 2 * kv_heads)
    return a.n_layers * gemm_s(s, step_tokens(w), width, a.d_model, s.precision.weight_bytes)


@equation
def attention_prefill_s(s: System, w: Step) -> Seconds:
    """Scores and values of the new prompt tokens: causal, by query head."""
    a, tp = s.arch, s.parallel.tp
    flops = 4 * w.prefill_tokens * w.prefill_context * a.n_heads / tp * a.head_dim
    bytes_ = (2 * a.n_heads + 2 * a.n_kv_heads) / tp * a.head_dim * w.prefill_tokens
    return a.n_layers * attention_s(s, flops, bytes_ * s.precision.kv_bytes)


@equation
def attention_decode_s(s: System, w: Step) -> Seconds:
    """The cached keys and values of every decoding sequence, read once."""
    a, tp = s.arch, s.parallel.tp
    flops = 4 * w.decode_seqs * w.decode_context * a.n_heads / tp * a.head_dim
    kv_heads = maximum(a.n_kv_heads / tp, 1.0)
    bytes_ = 2 * kv_heads * a.head_dim * w.decode_seqs * w.decode_context
    return a.n_layers * attention_s(s, flops, bytes_ * s.precision.kv_bytes)


@equation
def attention_output_s(s: System, w: Step) -> Seconds:
    """Output projection."""
    a = s.arch
    width = a.n_heads * a.head_dim / s.parallel.tp
    return a.n_layers * gemm_s(s, step_tokens(w), a.d_model, width, s.precision.weight_bytes)


@equation
def mlp_up_s(s: System, w: Step) -> Seconds:
    """Gate and up projections, fused."""
    a = s.arch
    width = (a.mlp_matrices - 1) * a.d_ff / s.parallel.tp
    return a.n_layers * gemm_s(s, step_tokens(w), width, a.d_model, s.precision.weight_bytes)


@equation
def mlp_down_s(s: System, w: Step) -> Seconds:
    """Down projection."""
    a = s.arch
    width = a.d_ff / s.parallel.tp
    return a.n_layers * gemm_s(s, step_tokens(w), a.d_model, width, s.precision.weight_bytes)


@equation
def elementwise_total_s(s: System, w: Step) -> Seconds:
    """Two norms with residual, rotary embedding and the gated activation."""
    a, rows = s.arch, step_tokens(w) * s.precision.activation_bytes
    norms = 2 * elementwise_s(s, 4 * rows * a.d_model)
    rotary = elementwise_s(s, 2 * rows * a.head_dim * (a.n_heads + a.n_kv_heads) / s.parallel.tp)
    activation = elementwise_s(s, a.mlp_matrices * rows * a.d_ff / s.parallel.tp)
    return a.n_layers * (norms + rotary + activation)


@equation
def lm_head_s(s: System, w: Step) -> Seconds:
    """Embedding lookup and the product with the vocabulary."""
    a, rows = s.arch, logit_rows(w)
    lookup = elementwise_s(s, 2 * step_tokens(w) * a.d_model * s.precision.activation_bytes)
    width = a.vocab_size / s.parallel.tp
    return lookup + gemm_s(s, rows, width, a.d_model, s.precision.embedding_bytes)


@equation
def communication_s(s: System, w: Step) -> Seconds:
    """Two all-reduces a layer under tensor parallelism."""
    bytes_ = step_tokens(w) * s.arch.d_model * s.precision.activation_bytes
    return 2 * s.arch.n_layers * all_reduce_s(s, bytes_)


@equation
def overhead_s(s: System, w: Step) -> Seconds:
    """Scheduler, input preparation, gaps between kernels, sampling and output processing."""
    o = s.overheads
    return o.step_s + o.layer_s * s.arch.n_layers + o.sequence_s * logit_rows(w)


@equation
def step_s(s: System, w: Step) -> Seconds:
    """Time of one engine step."""
    return (
        qkv_s(s, w)
        + attention_prefill_s(s, w)
        + attention_decode_s(s, w)
        + attention_output_s(s, w)
        + mlp_up_s(s, w)
        + mlp_down_s(s, w)
        + elementwise_total_s(s, w)
        + lm_head_s(s, w)
        + communication_s(s, w)
        + overhead_s(s, w)
    )


@dataclass(frozen=True, slots=True)
class Operator:
    """What one operator costs in a step, over all layers, on one device."""

    seconds: Seconds


OPERATORS = {
    "qkv": qkv_s,
    "attention_prefill": attention_prefill_s,
    "attention_decode": attention_decode_s,
    "attention_output": attention_output_s,
    "mlp_up": mlp_up_s,
    "mlp_down": mlp_down_s,
    "elementwise": elementwise_total_s,
    "lm_head": lm_head_s,
    "communication": communication_s,
    "overhead": overhead_s,
}


def breakdown(s: System, w: Step) -> dict[str, Operator]:
    """Return every operator of the step; their seconds add up to `step_s`."""
    return {name: Operator(seconds=op(s, w)) for name, op in OPERATORS.items()}
