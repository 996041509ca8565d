"""An offline batch: all requests are there at the start, and those that do not fit wait.

Requests of one length run in waves of as many as fit; a wave is its prompts' prefill and then one
decode step a further token, taken at the mean context (step time is linear in it).
"""

from planner.columns import Step, System, Workload
from planner.cost.memory import max_concurrency
from planner.cost.step import step_s
from planner.equation import ceil, equation, maximum, minimum
from planner.units import PerS, Scalar, Seconds


@equation
def running(s: System, w: Workload) -> Scalar:
    """Requests in flight together."""
    return minimum(w.batch, max_concurrency(s, w))


def prefill_step(s: System, w: Workload) -> Step:
    """A step that is all prompt: as many tokens as the budget, or the whole prompt, allows."""
    tokens = minimum(w.input_tokens, s.limits.max_batched_tokens)
    seqs = tokens / w.input_tokens
    return Step(prefill_tokens=tokens, prefill_seqs=seqs, prefill_context=w.input_tokens / 2)


def decode_step(s: System, w: Workload, seqs: Scalar) -> Step:
    """A step in which `seqs` requests decode, half-way through their output."""
    return Step(decode_seqs=seqs, decode_context=w.input_tokens + w.output_tokens / 2)


@equation
def ttft_s(s: System, w: Workload) -> Seconds:
    """Time to first token of one request that need not wait."""
    chunks = w.input_tokens / minimum(w.input_tokens, s.limits.max_batched_tokens)
    return chunks * step_s(s, prefill_step(s, w))


@equation
def tpot_s(s: System, w: Workload) -> Seconds:
    """Time per output token after the first, with all that fit decoding together."""
    return step_s(s, decode_step(s, w, running(s, w)))


@equation
def batch_s(s: System, w: Workload) -> Seconds:
    """Wall time of the whole batch, prefill included."""
    waves = ceil(w.batch / maximum(running(s, w), 1.0))
    return w.batch * ttft_s(s, w) + waves * (w.output_tokens - 1) * tpot_s(s, w)


@equation
def output_tokens_per_s(s: System, w: Workload) -> PerS:
    """Output tokens over wall time."""
    return w.batch * w.output_tokens / batch_s(s, w)
