"""Query, key and value projections, and the output projection."""

from collections.abc import Callable
from typing import Any

from planner.columns import Arch, Step, System
from planner.cost.operators.attention.kinds import (
    attention_layers,
    has_attention,
    kv_params,
    mean,
    q_params,
)
from planner.cost.operators.gemm import (
    Gemm,
    gemm_bytes,
    gemm_flops,
    gemm_launches,
    gemm_s,
    product,
)
from planner.cost.operators.operator import Operator, step_tokens
from planner.equation import equation
from planner.units import Scalar, Seconds


def _over_products(s: System, w: Step, of: Callable[[System, Gemm], Any]) -> Any:
    """Sum over the products of a layer, mean over the layers with softmax attention."""
    rows = step_tokens(w)
    return mean(s.arch, lambda k: sum(of(s, g) for g in k.projections(s, rows)))


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
    """Query, key and value projections: one product, or several by way of low ranks.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return attention_layers(s.arch) * _over_products(s, w, gemm_s)


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


QKV = Operator(
    "qkv", "the QKV projections", "weights in it", _qkv_weights, "rows", qkv_s,
    flops=lambda s, w: attention_layers(s.arch) * _over_products(s, w, lambda s, g: gemm_flops(g)),
    bytes_=lambda s, w: attention_layers(s.arch) * _over_products(s, w, gemm_bytes),
    weights=_qkv_weights,
    launches=lambda s, w: attention_layers(s.arch) * _over_products(s, w, gemm_launches),
    is_in=has_attention,
)  # fmt: skip
ATTENTION_OUTPUT = product(
    "attention_output", "the output projections", ("weights in it", _output_weights),
    attention_output_s, attention_output_gemm, attention_layers, _output_weights, has_attention,
)  # fmt: skip
