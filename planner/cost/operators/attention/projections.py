"""Query, key and value projections, and the output projection."""

from planner.columns import Arch, Step, System
from planner.cost.operators.attention.kinds import (
    attention_layers,
    has_attention,
    kv_params,
    mean,
    q_params,
)
from planner.cost.operators.gemm import Gemm, gemm_s, product
from planner.cost.operators.operator import step_tokens
from planner.equation import equation
from planner.units import Scalar, Seconds


def qkv_gemm(s: System, w: Step) -> Gemm:
    """Query, key and value projections, fused.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    width = mean(s.arch, lambda k: k.projected_width(s))
    return Gemm(step_tokens(w), width, s.arch.d_model, s.precision.weight_bytes)


def attention_output_gemm(s: System, w: Step) -> Gemm:
    """Output projection.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    width = a.n_heads * a.head_dim / s.parallel.tp
    return Gemm(step_tokens(w), a.d_model, width, s.precision.weight_bytes)


@equation
def qkv_s(s: System, w: Step) -> Seconds:
    """Query, key and value projections.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return attention_layers(s.arch) * gemm_s(s, qkv_gemm(s, w))


@equation
def attention_output_s(s: System, w: Step) -> Seconds:
    """Output projection.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return attention_layers(s.arch) * gemm_s(s, attention_output_gemm(s, w))


def _qkv_weights(a: Arch) -> Scalar:
    return attention_layers(a) * (q_params(a) + kv_params(a))


def _output_weights(a: Arch) -> Scalar:
    return attention_layers(a) * a.d_model * a.n_heads * a.head_dim


QKV = product(
    "qkv", "the QKV projections", ("weights in it", _qkv_weights),
    qkv_s, qkv_gemm, attention_layers, _qkv_weights, has_attention,
)  # fmt: skip
ATTENTION_OUTPUT = product(
    "attention_output", "the output projections", ("weights in it", _output_weights),
    attention_output_s, attention_output_gemm, attention_layers, _output_weights, has_attention,
)  # fmt: skip
