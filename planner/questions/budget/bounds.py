"""The speed of light: what a system cannot beat at its nameplate rates, whatever the kernels."""

from dataclasses import dataclass

import numpy as np

from planner.columns import Step, System, Workload
from planner.cost.breakdown import breakdown
from planner.units import show


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time a step can take, and the physical rate that sets it."""

    seconds: float
    why: str


def first_token(s: System, w: Workload) -> Bound:
    """Return the least time to first token: the prompt's arithmetic, or reading the weights once."""
    prompt = float(w.input_tokens * (1 - w.prefix_hit))
    context = float(w.input_tokens) - prompt / 2
    step = Step(prefill_tokens=prompt, prefill_seqs=1.0, prefill_context=context)
    return _bound(s, step, f"a prompt of {prompt:.0f} tokens")


def next_token(s: System, w: Workload) -> Bound:
    """Return the least time per output token: weights and one sequence's cache read once."""
    context = float(w.input_tokens + w.output_tokens / 2)
    return _bound(s, Step(decode_seqs=1.0, decode_context=context), "one sequence's next token")


def _bound(s: System, step: Step, what: str) -> Bound:
    flops = bytes_ = 0.0
    for part in breakdown(s, step).values():
        flops += float(np.ravel(part.flops)[0])
        bytes_ += float(np.ravel(part.bytes_)[0])
    math_s = flops / float(s.device.flops_per_s)
    memory_s = bytes_ / float(s.device.hbm_bytes_per_s)
    devices = float(s.parallel.tp)
    each = f" on each of {devices:.0f} devices" if devices > 1 else ""
    if math_s > memory_s:
        rate = show(float(s.device.flops_per_s), "flop/s")
        return Bound(math_s, f"{what} is {show(flops, 'flop')}{each}, at {rate}")
    rate = show(float(s.device.hbm_bytes_per_s), "byte/s")
    return Bound(memory_s, f"{what} reads {show(bytes_, 'byte')}{each}, at {rate}")
