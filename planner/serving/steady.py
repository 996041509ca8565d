"""A closed loop at a fixed concurrency: `batch` requests are kept in flight, each replaced as it ends.

Requests of one length stay in step with each other, so the engine repeats a cycle: a spell in which
prompts are computed, `prompts_a_step` at a time, and a spell in which everyone decodes. A run
starts with a burst (all arrive at once, prompts wait for those ahead) and ends with a drain.

    chunked   a step carries prompt tokens beside the decoding sequences, up to its token budget
    whole     a step is all prompt or all decode, and decoding stands still meanwhile

Exact for requests of one length that all fit in memory; the tests hold it to the simulation.
A pipeline of pp stages works on pp batches at once, each a pp-th of what is in flight.
"""

from dataclasses import replace

from planner.columns import Step, System, Workload
from planner.cost.memory import max_concurrency
from planner.cost.step import step_s
from planner.equation import ceil, equation, floor, maximum, minimum
from planner.units import PerS, Scalar, Seconds


@equation
def in_flight(s: System, w: Workload) -> Scalar:
    """Requests that hold memory at once, of one pipeline batch; the others wait for a place."""
    return minimum(w.batch, maximum(max_concurrency(s, w), 1.0)) / s.parallel.pp


@equation
def prompt_tokens(w: Workload) -> Scalar:
    """Prompt tokens a request computes: those the prefix cache does not hold, one at least."""
    return maximum(w.input_tokens * (1 - w.prefix_hit), 1.0)


@equation
def decode_steps(w: Workload) -> Scalar:
    """Steps after the one that yields the first token."""
    return maximum(w.output_tokens - 1, 0.0)


@equation
def riding(s: System, w: Workload) -> Scalar:
    """Decoding sequences beside prompt tokens: all others, or as many as prompts can keep going.

    Where prompts are the bottleneck, m prompt tokens a step start m / prompt sequences that stay
    for decode_steps: decoding = decode_steps · (budget - decoding) / prompt.
    """
    budget, steps = s.limits.max_batched_tokens, decode_steps(w)
    sustained = steps * budget / (prompt_tokens(w) + steps)
    return minimum(in_flight(s, w) - 1, sustained)


def prompts_within(s: System, w: Workload, decoding: Scalar) -> Scalar:
    """Prompts a step completes on average, beside `decoding` sequences; below 1 for long prompts."""
    m, prompt = s.limits.max_batched_tokens, prompt_tokens(w)
    mixed = maximum(m - decoding, 1.0) / prompt
    alone = maximum(floor(m / prompt), 1.0)
    chunked = s.limits.chunked_prefill
    return minimum(chunked * mixed + (1 - chunked) * alone, maximum(in_flight(s, w), 1.0))


def prompt_step(s: System, w: Workload, decoding: Scalar) -> Step:
    """A step with as many prompt tokens as there is room for beside `decoding` sequences."""
    prompts = prompts_within(s, w, decoding)
    return Step(
        prefill_tokens=prompts * prompt_tokens(w),
        prefill_seqs=prompts,
        prefill_context=w.input_tokens - prompt_tokens(w) / 2,
        decode_seqs=s.limits.chunked_prefill * maximum(decoding, 0.0),
        decode_context=mean_context(w),
    )


@equation
def mean_context(w: Workload) -> Scalar:
    """Cached tokens of a decoding sequence, mean over its life; step time is linear in it."""
    return w.input_tokens + w.output_tokens / 2


@equation
def prompts_a_step(s: System, w: Workload) -> Scalar:
    """Prompts completed in a step that computes prompts."""
    return prompts_within(s, w, riding(s, w))


@equation
def riding_beside(s: System, w: Workload) -> Scalar:
    """Sequences that decode in a step that computes prompts."""
    others = in_flight(s, w) - maximum(prompts_a_step(s, w), 1.0)
    return minimum(maximum(others, 0.0), decode_steps(w) * prompts_a_step(s, w))


@equation
def prompt_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step that computes prompts."""
    return step_s(s, prompt_step(s, w, riding_beside(s, w)))


@equation
def decode_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step in which all in flight decode."""
    return step_s(s, Step(decode_seqs=in_flight(s, w), decode_context=mean_context(w)))


@equation
def steps_for_others(s: System, w: Workload) -> Scalar:
    """Steps that compute others' prompts while a request decodes, in a full cycle."""
    own = maximum(prompts_a_step(s, w), 1.0)
    return maximum(in_flight(s, w) - own, 0.0) / prompts_a_step(s, w)


@equation
def closed_decode_s(s: System, w: Workload) -> Seconds:
    """From first token to last, in the steady state."""
    chunked, steps = s.limits.chunked_prefill, decode_steps(w)
    shared = minimum(steps_for_others(s, w), steps)  # these make a token for the request too
    mixed = shared * prompt_step_s(s, w) + (steps - shared) * decode_step_s(s, w)
    stalled = minimum(steps, 1.0) * steps_for_others(s, w) * prompt_step_s(s, w)
    return chunked * mixed + (1 - chunked) * (stalled + steps * decode_step_s(s, w))


@equation
def cycle_s(s: System, w: Workload) -> Seconds:
    """From one start in a place to the next: own prompt and decoding, or all prompts in turn."""
    own = maximum(1 / prompts_a_step(s, w), 1.0) * prompt_step_s(s, w)
    all_prompts = in_flight(s, w) / prompts_a_step(s, w) * prompt_step_s(s, w)
    return maximum(own + closed_decode_s(s, w), all_prompts)


@equation
def place_wait_s(s: System, w: Workload) -> Seconds:
    """Wait for a place in memory, in the steady state: one frees each cycle_s / in_flight."""
    queued = w.batch / s.parallel.pp - in_flight(s, w)
    return queued * cycle_s(s, w) / in_flight(s, w)


@equation
def steady_ttft_s(s: System, w: Workload) -> Seconds:
    """Time to first token once the start is forgotten: a place, the prompts ahead, its own."""
    return place_wait_s(s, w) + cycle_s(s, w) - closed_decode_s(s, w)


def _burst_mean_decoding(s: System, w: Workload) -> Scalar:
    """Sequences decoding in the mean step a burst's request waits for: early ones count most."""
    return riding_beside(s, w) / 3


@equation
def burst_prompts_a_step(s: System, w: Workload) -> Scalar:
    """Prompts completed in a step of the start-up burst, while few decode yet."""
    return prompts_within(s, w, _burst_mean_decoding(s, w))


@equation
def burst_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step of the start-up burst."""
    step = prompt_step(s, w, _burst_mean_decoding(s, w))
    return step_s(s, replace(step, decode_context=w.input_tokens))


@equation
def waves_ahead(s: System, w: Workload) -> Scalar:
    """Full cycles the mean request of a burst waits, where not all fit at once."""
    arrived = w.batch / s.parallel.pp
    waves = ceil(arrived / in_flight(s, w))
    return (waves - 1) * (1 - waves * in_flight(s, w) / (2 * arrived))


@equation
def burst_ttft_s(s: System, w: Workload) -> Seconds:
    """Mean time to first token of `batch` requests that arrive at once at an idle engine."""
    prompts = burst_prompts_a_step(s, w)
    ahead = (in_flight(s, w) + maximum(prompts, 1.0)) / (2 * prompts)
    return ahead * burst_step_s(s, w) + waves_ahead(s, w) * cycle_s(s, w)


@equation
def closed_ttft_s(s: System, w: Workload) -> Seconds:
    """Mean time to first token over a run of n_requests that starts with a burst of `batch`."""
    first = minimum(w.batch / w.n_requests, 1.0)
    return first * burst_ttft_s(s, w) + (1 - first) * steady_ttft_s(s, w)


@equation
def drain_decode_s(s: System, w: Workload) -> Seconds:
    """From first token to last in a run's last wave, whose places are not filled again.

    The mean request sees half of the others' prompts, and later a batch that has begun to shrink.
    """
    chunked, steps = s.limits.chunked_prefill, decode_steps(w)
    half, fewer = steps_for_others(s, w) / 2, in_flight(s, w) * 2 / 3
    shrinking = step_s(s, Step(decode_seqs=fewer, decode_context=mean_context(w)))
    shared = minimum(half, steps / 2)
    full = (steps - 2 * shared) * decode_step_s(s, w)
    mixed = shared * (prompt_step_s(s, w) + shrinking) + full
    stalled = minimum(steps, 1.0) * half * prompt_step_s(s, w)
    return chunked * mixed + (1 - chunked) * (stalled + steps * decode_step_s(s, w))


@equation
def closed_tpot_s(s: System, w: Workload) -> Seconds:
    """Mean time per output token after the first, over the run."""
    last = minimum(s.parallel.pp * in_flight(s, w) / w.n_requests, 1.0)
    whole = last * drain_decode_s(s, w) + (1 - last) * closed_decode_s(s, w)
    return whole / maximum(decode_steps(w), 1.0)


@equation
def closed_e2e_s(s: System, w: Workload) -> Seconds:
    """Mean time from arrival to last token, over the run."""
    return closed_ttft_s(s, w) + decode_steps(w) * closed_tpot_s(s, w)


@equation
def requests_per_s(s: System, w: Workload) -> PerS:
    """Requests completed per second in the steady state."""
    return s.parallel.pp * in_flight(s, w) / cycle_s(s, w)


@equation
def run_s(s: System, w: Workload) -> Seconds:
    """Wall time of a run of n_requests, burst and drain included."""
    prompts = burst_prompts_a_step(s, w)
    burst = in_flight(s, w) / prompts * burst_step_s(s, w)
    waves = maximum(w.n_requests / (s.parallel.pp * in_flight(s, w)), 1.0)
    return maximum(burst, burst_step_s(s, w)) + (waves - 1) * cycle_s(s, w) + drain_decode_s(s, w)


@equation
def closed_output_tokens_per_s(s: System, w: Workload) -> PerS:
    """Output tokens per second over the run; over the steady state where n_requests is endless."""
    endless = minimum(w.n_requests, 1e15)  # so that the arithmetic stays finite
    return endless * w.output_tokens / run_s(s, replace(w, n_requests=endless))
