"""Mixers that keep a state in place of a cache: state spaces, linear attention, short convolutions.

What a layer costs hangs on few widths, whatever its recurrence: it projects in and out, mixes a chunk
of a prompt through its state, and in decoding reads and writes the state of every sequence.
[Mamba-2, arXiv 2405.21060; gated delta nets, arXiv 2412.06464]
"""

from dataclasses import dataclass

from planner.columns import Arch, Step, System
from planner.cost.operators.attention.kind import LayerKind, own_columns
from planner.cost.operators.elementwise import elementwise_s
from planner.cost.operators.gemm import Gemm, gemm_bytes, gemm_flops, gemm_launches, gemm_s
from planner.cost.operators.operator import (
    Operator,
    at_most_one,
    is_zero,
    overlapped,
    step_tokens,
)
from planner.equation import equation
from planner.units import Bytes, Flops, Scalar, Seconds

CHUNK = 64.0  # tokens of a prompt that meet within a chunk; only the state goes on to the next


@dataclass(frozen=True, slots=True)
class Recurrent:
    """Columns of recurrent layers."""

    n_layers: Scalar  # of a stack's layers, those that are recurrent
    in_width: Scalar  # features projected from d_model
    out_width: Scalar  # features projected back to it
    inner_params: Scalar  # further weights a layer: convolution, decay, low-rank factors
    state_elements: Scalar  # of a sequence and layer
    conv_elements: Scalar  # last inputs of the convolution, of a sequence and layer
    state_element_bytes: Scalar  # 4 where the state is kept in float32


_NONE = Recurrent(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0)


def _own(a: Arch) -> Recurrent:
    return own_columns(a, Recurrent) or _NONE


def is_in(a: Arch) -> bool:
    """Whether a stack of like layers has any that are recurrent.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return own_columns(a, Recurrent) is not None


def weights(a: Arch) -> Scalar:
    """Weights of a layer: projections in and out, and what is between.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    own = _own(a)
    return a.d_model * (own.in_width + own.out_width) + own.inner_params


def state_layer_bytes(s: System) -> Bytes:
    """State of a sequence in one layer, over all devices.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    own = _own(s.arch)
    convolution = own.conv_elements * s.precision.activation_bytes
    return own.state_elements * own.state_element_bytes + convolution


def _in_gemm(s: System, w: Step) -> Gemm:
    width = _own(s.arch).in_width / s.parallel.tp
    return Gemm(step_tokens(w), width, s.arch.d_model, s.precision.weight_bytes)


def _out_gemm(s: System, w: Step) -> Gemm:
    depth = _own(s.arch).out_width / s.parallel.tp
    return Gemm(step_tokens(w), s.arch.d_model, depth, s.precision.weight_bytes)


@equation
def recurrent_projections_s(s: System, w: Step) -> Seconds:
    """Projections into the recurrence and out of it.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return _own(s.arch).n_layers * (gemm_s(s, _in_gemm(s, w)) + gemm_s(s, _out_gemm(s, w)))


def _projection_flops(s: System, w: Step) -> Flops:
    return _own(s.arch).n_layers * (gemm_flops(_in_gemm(s, w)) + gemm_flops(_out_gemm(s, w)))


def _projection_bytes(s: System, w: Step) -> Bytes:
    moved = gemm_bytes(s, _in_gemm(s, w)) + gemm_bytes(s, _out_gemm(s, w))
    return _own(s.arch).n_layers * moved


def _prefill_flops(s: System, w: Step) -> Flops:
    """Of a token: its chunk's tokens before it, half on average; the state, updated and read."""
    own = _own(s.arch)
    each = 4.0 * own.state_elements + CHUNK / 2.0 * 4.0 * own.out_width
    return own.n_layers * w.prefill_tokens * each / s.parallel.tp


def _prefill_bytes(s: System, w: Step) -> Bytes:
    """What was projected in, the output; the state in and out once a chunk."""
    own = _own(s.arch)
    passed = (own.in_width + own.out_width) * s.precision.activation_bytes
    each = passed + 2.0 * state_layer_bytes(s) / CHUNK
    return own.n_layers * w.prefill_tokens * each / s.parallel.tp


@equation
def recurrent_prefill_s(s: System, w: Step) -> Seconds:
    """Prompts through the recurrence, chunk by chunk.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(w.prefill_tokens):
        return 0.0
    k = s.kernels
    rate = s.device.attention_flops_per_s * (k.attention_compute_eff * k.sustained_clock)
    memory_s = _prefill_bytes(s, w) / (s.device.hbm_bytes_per_s * k.elementwise_hbm_eff)
    launches_s = _own(s.arch).n_layers * k.launch_s * at_most_one(w.prefill_tokens)
    return launches_s + overlapped(_prefill_flops(s, w) / rate, memory_s)


def _decode_layer_bytes(s: System, w: Step) -> Bytes:
    """The state of every sequence, read and written."""
    return 2.0 * w.decode_seqs * state_layer_bytes(s) / s.parallel.tp


@equation
def recurrent_decode_s(s: System, w: Step) -> Seconds:
    """The state of every decoding sequence, read and written.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    if is_zero(w.decode_seqs):
        return 0.0
    layer_s = elementwise_s(s, _decode_layer_bytes(s, w))
    return at_most_one(w.decode_seqs) * _own(s.arch).n_layers * layer_s


def _decode_flops(s: System, w: Step) -> Flops:
    own = _own(s.arch)
    return own.n_layers * w.decode_seqs * 4.0 * own.state_elements / s.parallel.tp


def _mixing_launches(s: System, count: Scalar) -> Scalar:
    """Convolution and scan of every layer, where there is anything to mix."""
    return at_most_one(count) * 2.0 * _own(s.arch).n_layers


def _all_weights(a: Arch) -> Scalar:
    return _own(a).n_layers * weights(a)


def _all_states(a: Arch) -> Scalar:
    return _own(a).n_layers * _own(a).state_elements


RECURRENT = LayerKind(
    "recurrent",
    "recurrent mixing",
    lambda a: _own(a).n_layers / a.n_layers,
    columns=Recurrent,
    weights=weights,
    state_bytes=state_layer_bytes,
    operators=(
        Operator(
            "recurrent_projections",
            "the projections of recurrent layers",
            "weights in it",
            _all_weights,
            "rows",
            recurrent_projections_s,
            flops=_projection_flops,
            bytes_=_projection_bytes,
            weights=_all_weights,
            launches=lambda s, w: (
                _own(s.arch).n_layers
                * (gemm_launches(s, _in_gemm(s, w)) + gemm_launches(s, _out_gemm(s, w)))
            ),
            is_in=is_in,
        ),
        Operator(
            "recurrent_prefill",
            "the recurrence over prompts",
            "state of a sequence",
            _all_states,
            "prompts",
            recurrent_prefill_s,
            flops=_prefill_flops,
            bytes_=_prefill_bytes,
            launches=lambda s, w: _mixing_launches(s, w.prefill_tokens),
            is_in=is_in,
        ),
        Operator(
            "recurrent_decode",
            "the recurrence in decoding (reading and writing the state)",
            "state of a sequence",
            _all_states,
            "decoding",
            recurrent_decode_s,
            flops=_decode_flops,
            bytes_=lambda s, w: _own(s.arch).n_layers * _decode_layer_bytes(s, w),
            launches=lambda s, w: _mixing_launches(s, w.decode_seqs),
            is_in=is_in,
        ),
    ),
)
