"""An offline batch: all requests are there at the start, and those that do not fit wait.

Prompts are computed first, as many tokens a step as the budget allows, then everyone decodes. Where
the cache cannot hold all at full length, the engine starts more than can finish and sets some back
as the others grow, so the cache stays full: between the start of one request and the next, each
holds its prompt and half its output on average. At the end the late ones drain with ever fewer.
"""

from dataclasses import replace

from planner.columns import Step, System, Workload
from planner.cost.memory import kv_tokens, max_concurrency
from planner.equation import equation, floor, maximum, minimum
from planner.serving.front_end import intake_s
from planner.serving.speculative import engine_step_s
from planner.units import PerS, Scalar, Seconds


@equation
def running(s: System, w: Workload) -> Scalar:
    """Requests in flight together, mean while the batch lasts.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    held = w.input_tokens + w.output_tokens / 2
    at_once = minimum(w.batch, s.limits.max_num_seqs)
    return minimum(at_once, maximum(kv_tokens(s, w) / held, max_concurrency(s, w)))


def prefill_step(s: System, w: Workload) -> Step:
    """A step that is all prompt: as many whole prompts as the budget holds, or a chunk of one.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    budget = s.limits.max_batched_tokens
    prompts = minimum(maximum(floor(budget / w.input_tokens), 1.0), w.batch)
    chunk = minimum(1.0, budget / w.input_tokens)
    share = 1.0 + s.limits.chunked_prefill * (chunk - 1.0)
    tokens = prompts * share * w.input_tokens
    return Step(tokens, prompts * share, prefill_context=w.input_tokens / 2)


def decode_step(s: System, w: Workload, seqs: Scalar) -> Step:
    """A step in which `seqs` requests decode, half-way through their output; a pp-th of them, piped.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        seqs: sequences.

    """
    return Step(
        decode_seqs=maximum(seqs / s.parallel.pp, 1.0),
        decode_context=w.input_tokens + w.output_tokens / 2,
    )


@equation
def idle_ttft_s(s: System, w: Workload) -> Seconds:
    """Time to first token of one request that need not wait.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    alone = replace(w, batch=1.0)
    step = prefill_step(s, alone)
    return intake_s(s.front_end, w) + w.input_tokens / step.prefill_tokens * engine_step_s(s, step)


@equation
def prefill_all_s(s: System, w: Workload) -> Seconds:
    """Prompts of the whole batch; a pipeline works on pp steps at once, once it is full.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    step, pp = prefill_step(s, w), s.parallel.pp
    steps = w.batch * w.input_tokens / step.prefill_tokens
    return (steps + pp - 1.0) / pp * engine_step_s(s, step)


@equation
def full_batch_step_s(s: System, w: Workload) -> Seconds:
    """An engine step in which all that fit decode together.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return engine_step_s(s, decode_step(s, w, running(s, w)))


@equation
def drain_steps(s: System, w: Workload) -> Scalar:
    """Steps at the end, for those set back: none where all fit, half an output where many do not.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    # Output tokens when the cache is full.
    full_at = kv_tokens(s, w) / w.batch - w.input_tokens
    return minimum(maximum(w.output_tokens - full_at, 0.0), w.output_tokens / 2)


@equation
def drain_step_s(s: System, w: Workload) -> Seconds:
    """A step of the end: of those that were set back, or of a full cache, half are left on average.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    late = minimum(maximum(w.batch - max_concurrency(s, w), 0.0), running(s, w))
    return engine_step_s(s, decode_step(s, w, late / 2))


@equation
def batch_s(s: System, w: Workload) -> Seconds:
    """Wall time of the whole batch, prefill included.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    rounds = maximum(w.batch / maximum(running(s, w), 1.0), 1.0)
    full_s = rounds * (w.output_tokens - 1.0) * full_batch_step_s(s, w)
    return prefill_all_s(s, w) + full_s + drain_steps(s, w) * drain_step_s(s, w)


@equation
def batch_output_tokens_per_s(s: System, w: Workload) -> PerS:
    """Output tokens over wall time.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return w.batch * w.output_tokens / batch_s(s, w)
