"""A step taken apart: what every operator computes, moves and waits for."""

from dataclasses import dataclass

import numpy as np

from planner.columns import Step, System
from planner.cost import step as steps
from planner.cost.kernels import Gemm, gemm_bytes, gemm_flops
from planner.cost.operators.communication import all_reduce_bytes
from planner.cost.traffic import (
    attention_output_gemm,
    cached_pair_flops,
    elementwise_bytes,
    kv_elements_here,
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
from planner.equation import maximum
from planner.units import Bytes, Flops, Number, Seconds


@dataclass(frozen=True, slots=True)
class Operator:
    """What one operator costs in a step, over all layers, on one device.

    `bound` names, for each row, what most of its time would go to at nameplate rates: compute, hbm or
    link; overhead where even twice that bound is not half of its time, so that latency is.
    """

    seconds: Seconds
    flops: Flops = 0.0
    bytes_: Bytes = 0.0  # to and from device memory
    comm_bytes: Bytes = 0.0  # sent to other devices
    bound: Number = "overhead"


def breakdown(s: System, w: Step) -> dict[str, Operator]:
    """Return every operator of the step; their seconds add up to `step_s`."""
    a, layers = s.arch, s.arch.n_layers
    gemms = {
        "qkv": (steps.qkv_s, qkv_gemm, layers),
        "attention_output": (steps.attention_output_s, attention_output_gemm, layers),
        "mlp_up": (steps.mlp_up_s, mlp_up_gemm, layers),
        "mlp_down": (steps.mlp_down_s, mlp_down_gemm, layers),
    }
    heads = a.n_heads / s.parallel.tp
    prompt_pairs = w.prefill_tokens * seen(a, w.prefill_context) * heads
    cached = w.decode_seqs * seen(a, w.decode_context)
    kv_bytes = kv_elements_here(s) * s.precision.kv_bytes
    query_bytes = 2.0 * heads * a.head_dim * s.precision.activation_bytes  # query in, output out
    parts = {name: _gemm(s, op(s, w), g(s, w), n) for name, (op, g, n) in gemms.items()}
    parts["attention_prefill"] = _operator(
        s,
        steps.attention_prefill_s(s, w),
        layers * prompt_pairs * pair_flops(a),
        layers * w.prefill_tokens * (query_bytes + kv_bytes),
    )
    written = w.prefill_tokens * (kv_bytes + kv_elements_here(s) * s.precision.activation_bytes)
    parts["kv_write"] = _operator(s, steps.kv_write_total_s(s, w), bytes_=layers * written)
    parts["attention_decode"] = _operator(
        s,
        steps.attention_decode_s(s, w),
        layers * cached * heads * cached_pair_flops(a),
        layers * (cached * kv_bytes + w.decode_seqs * query_bytes),
    )
    parts["elementwise"] = _operator(
        s, steps.elementwise_total_s(s, w), bytes_=layers * elementwise_bytes(s, w)
    )
    parts["lm_head"] = _gemm(s, steps.lm_head_s(s, w), lm_head_gemm(s, w), 1.0, lm_head_bytes(s, w))
    hidden = step_tokens(w) * a.d_model * s.precision.activation_bytes
    logits = logit_rows(w) * a.vocab_size * s.precision.activation_bytes
    sent = all_reduce_bytes(s, 2.0 * layers * hidden + logits / 2.0)
    parts["communication"] = _operator(
        s, steps.communication_s(s, w), comm_bytes=sent + (s.parallel.pp - 1.0) * hidden
    )
    waiting = maximum(steps.launching_s(s) - steps.device_s(s, w), 0.0)
    parts["overhead"] = Operator(seconds=steps.overhead_s(s, w) + waiting)
    order = [name for name in OPERATORS if name in parts]
    return {name: parts[name] for name in order}


OPERATORS = (
    "qkv",
    "attention_prefill",
    "kv_write",
    "attention_decode",
    "attention_output",
    "mlp_up",
    "mlp_down",
    "elementwise",
    "lm_head",
    "communication",
    "overhead",
)


def _gemm(s: System, seconds: Seconds, g: Gemm, n: Number, more_bytes: Bytes = 0.0) -> Operator:
    return _operator(s, seconds, n * gemm_flops(g), n * gemm_bytes(s, g) + more_bytes)


def _operator(
    s: System,
    seconds: Seconds,
    flops: Flops = 0.0,
    bytes_: Bytes = 0.0,
    comm_bytes: Bytes = 0.0,
) -> Operator:
    bounds = np.stack(
        np.broadcast_arrays(
            np.asarray(seconds) / 4.0,
            flops / s.device.flops_per_s,
            bytes_ / s.device.hbm_bytes_per_s,
            comm_bytes / s.device.link_bytes_per_s,
        )
    )
    names = np.array(["overhead", "compute", "hbm", "link"])
    return Operator(seconds, flops, bytes_, comm_bytes, names[np.argmax(bounds, axis=0)])
