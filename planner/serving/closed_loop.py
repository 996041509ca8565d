"""A closed loop at a fixed concurrency: `batch` requests are kept in flight, each replaced as it ends.

In a loop without an end starts are spread over the cycle of a request: a prompt, a step a token, and
each of the others' prompts once. Decoding goes on beside a prompt (chunked), or stands still. Held to
the simulation by the tests for 1 to 64 in flight, spreads (cv) of lengths up to 0.3, prompts up to
three tenths of the time and no wait for memory: throughput and TPOT within 5 %, TTFT within 40 %, 20 %
in nine of ten cases and 2 % in the median.

A batch, or a run of n_requests, starts with a burst (all arrive at once, prompts wait for those
ahead) and ends with a drain. Requests that do not fit in memory wait. A pipeline of pp stages works
on pp batches at once, each a pp-th of what is in flight.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import Step, System, Workload
from planner.cost.memory import kv_tokens, max_concurrency
from planner.equation import ceil, equation, floor, maximum, minimum, named, rowwise
from planner.serving.front_end import intake_s
from planner.serving.speculative import engine_step_s
from planner.units import PerS, Scalar, Seconds

MEETING_CV = 0.1  # spread of lengths at which prompts meet half as often as by chance


@equation
def in_flight(s: System, w: Workload) -> Scalar:
    """Requests that hold memory at once, of one pipeline batch; the others wait for a place.

    The engine starts more than the cache can hold to their end, and sets some back as others grow:
    each holds its prompt and half its output on average.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    held = w.input_tokens + w.output_tokens / 2
    places = maximum(kv_tokens(s, w) / held, max_concurrency(s, w))
    at_most = minimum(places, s.limits.max_num_seqs)
    return minimum(w.batch, maximum(at_most, 1.0)) / s.parallel.pp


@equation
def prompt_tokens(w: Workload) -> Scalar:
    """Prompt tokens a request computes: those the prefix cache does not hold, one at least.

    Args:
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return maximum(w.input_tokens * (1 - w.prefix_hit), 1.0)


@equation
def decode_steps(w: Workload) -> Scalar:
    """Steps after the one that yields the first token.

    Args:
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return maximum(w.output_tokens - 1, 0.0)


@equation
def riding(s: System, w: Workload) -> Scalar:
    """Decoding sequences beside prompt tokens: all others, or as many as prompts can keep going.

    Where prompts are the bottleneck, m prompt tokens a step start m / prompt sequences that stay
    for decode_steps: decoding = decode_steps · (budget - decoding) / prompt.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    budget, steps = s.limits.max_batched_tokens, decode_steps(w)
    sustained = steps * budget / (prompt_tokens(w) + steps)
    return minimum(in_flight(s, w) - 1, sustained)


def prompts_within(s: System, w: Workload, decoding: Scalar) -> Scalar:
    """Prompts a step completes on average, beside `decoding` sequences; below 1 for long prompts.

    Where all prompts fit in one step, nobody decodes beside them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        decoding: decoding sequences, a count.

    """
    m, prompt, n = s.limits.max_batched_tokens, prompt_tokens(w), in_flight(s, w)
    mixed = maximum(m - decoding, 1.0) / prompt
    alone = maximum(floor(m / prompt), 1.0)
    chunked = s.limits.chunked_prefill
    together = minimum(floor(m / prompt / n), 1.0)
    within = minimum(chunked * mixed + (1 - chunked) * alone, maximum(n, 1.0))
    return within + together * (n - within)


def prompt_step(s: System, w: Workload, decoding: Scalar, prompts: Scalar) -> Step:
    """A step that computes `prompts` prompts, beside `decoding` sequences in the chunked engine.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        decoding: decoding sequences, a count.
        prompts: prompts in a step, a count.

    """
    return Step(
        prefill_tokens=prompts * prompt_tokens(w),
        prefill_seqs=prompts,
        prefill_context=w.input_tokens - prompt_tokens(w) / 2,
        decode_seqs=s.limits.chunked_prefill * maximum(decoding, 0.0),
        decode_context=mean_context(w),
    )


@equation
def mean_context(w: Workload) -> Scalar:
    """Cached tokens of a decoding sequence, mean over its life; step time is linear in it.

    Args:
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return w.input_tokens + w.output_tokens / 2


@equation
def prompts_a_full_step(s: System, w: Workload) -> Scalar:
    """Prompts completed in a step that computes as many as it can; a fraction of a long one.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return prompts_within(s, w, riding(s, w))


@equation
def prompts_a_step(s: System, w: Workload) -> Scalar:
    """Prompts completed in a step that computes prompts, once starts have spread out.

    A group of which the last prompt is cut in two starts apart next time: groups become whole,
    unless there are then more of them than steps in a cycle.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    full = prompts_a_full_step(s, w)
    enough = in_flight(s, w) / (decode_steps(w) + 1)
    return minimum(full, maximum(maximum(floor(full), minimum(full, 1.0)), enough))


@equation
def riding_beside(s: System, w: Workload) -> Scalar:
    """Sequences that decode in a step that computes prompts.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    others = in_flight(s, w) - maximum(prompts_a_step(s, w), 1.0)
    return minimum(maximum(others, 0.0), decode_steps(w) * prompts_a_step(s, w))


@equation
def decode_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step in which all in flight decode.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return engine_step_s(s, Step(decode_seqs=in_flight(s, w), decode_context=mean_context(w)))


@equation
def steps_for_others(s: System, w: Workload) -> Scalar:
    """Steps that compute others' prompts while a request decodes, in a full cycle.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    own = maximum(prompts_a_step(s, w), 1.0)
    return maximum(in_flight(s, w) - own, 0.0) / prompts_a_step(s, w)


@equation
def full_prompt_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step that computes as many prompt tokens as it can.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    prompts = prompts_a_full_step(s, w)
    return engine_step_s(s, prompt_step(s, w, riding_beside(s, w), prompts))


@equation
def burst_rest(s: System, w: Workload) -> Scalar:
    """Share of a burst's last step that no prompt fills.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    steps = in_flight(s, w) / burst_prompts_a_step(s, w)
    return ceil(steps - 1e-9) - steps


@equation
def burst_s(s: System, w: Workload) -> Seconds:
    """Time until every prompt of a burst that fits is computed.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    steps = in_flight(s, w) / burst_prompts_a_step(s, w)
    return steps * burst_step_s(s, w) + burst_rest(s, w) * decode_step_s(s, w)


@dataclass(frozen=True, slots=True)
class Cycle:
    """From one start in a place to the next, in a loop without an end, and what it is made of."""

    lag_s: Seconds  # until the step that the prompt begins in
    own_s: Seconds  # the prompt's own steps
    extra_s: Seconds  # what another's prompt adds to decoding that goes on, or stops for it
    queue_s: Seconds  # wait for the prompts of others
    whole_s: Seconds


def cycle(s: System, w: Workload) -> Cycle:
    """Return the cycle of a request among `in_flight`.

    A predecessor ends with a step: the next request is a front end later in a step that is under way,
    and enters the one after it, or where steps are put together ahead, the second. Then its prompt,
    and a step a token; each of the others' prompts falls into it once. Prompts meet others by chance
    as far as lengths spread; of one length they keep out of each other's way.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    n, steps, prompt = in_flight(s, w), decode_steps(w), prompt_tokens(w)
    mixed, cuts = s.limits.chunked_prefill, s.limits.cuts_prompts
    ahead, door_s = s.limits.async_scheduling, intake_s(s.front_end, w)
    chance = w.cv / (w.cv + MEETING_CV)
    company = minimum(n - 1, 1.0)
    beside = mixed * (n - 1)
    room = maximum(s.limits.max_batched_tokens - beside, 1.0)
    chunks = 1 + cuts * (maximum(prompt / room, 1.0) - 1)
    step_s = _decoding_s(s, w, n)
    base_s = mixed * company * _decoding_s(s, w, maximum(beside, 1.0))
    alone_s = engine_step_s(s, prompt_step(s, w, beside, 1 / chunks))
    extra_s = chunks * (alone_s - base_s)
    lag_s = company * (ceil(door_s / step_s - 1e-9) + ahead) * step_s + (1 - company) * door_s
    own_s = chunks * alone_s + (ceil(chunks - 1e-9) - chunks) * base_s
    whole_s = lag_s + own_s + steps * step_s + (n - 1) * extra_s
    others_per_s = (n - 1) / whole_s
    long = 1 - minimum(floor(1 / chunks + 1e-9), 1.0)
    busy = minimum(others_per_s * chunks * alone_s, 0.95)
    in_turn = busy * chunks * alone_s / 2 / (1 - busy)
    shared = others_per_s * alone_s * (extra_s + (1 - mixed) * alone_s / 2)
    stretch = minimum(others_per_s * extra_s, 0.9)
    queue_s = chance * (long * in_turn + (1 - long) * shared + lag_s * stretch / (1 - stretch))
    return Cycle(lag_s, own_s, extra_s, queue_s, whole_s)


def _decoding_s(s: System, w: Workload, seqs: Scalar) -> Seconds:
    return engine_step_s(s, Step(decode_seqs=seqs, decode_context=mean_context(w)))


@equation
def cycle_s(s: System, w: Workload) -> Seconds:
    """From one start in a place to the next: the prompt, a step a token, and others' prompts once each.

    Where prompts take all the time there is, it is that of them all in turn.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    all_prompts = in_flight(s, w) / prompts_a_full_step(s, w) * full_prompt_step_s(s, w)
    return maximum(cycle(s, w).whole_s, s.limits.chunked_prefill * all_prompts)


@equation
def place_wait_s(s: System, w: Workload) -> Seconds:
    """Wait for a place in memory, in the steady state: one frees each cycle_s / in_flight.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    queued = w.batch / s.parallel.pp - in_flight(s, w)
    return queued * cycle_s(s, w) / in_flight(s, w)


@equation
def placed_ttft_s(s: System, w: Workload) -> Seconds:
    """Time from a place in memory to the first token: its own prompt, and those it has to wait for.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    c = cycle(s, w)
    queued = cycle_s(s, w) - decode_steps(w) * full_prompt_step_s(s, w)
    free = minimum(c.lag_s + c.own_s + c.queue_s, c.whole_s)
    return maximum(free, s.limits.chunked_prefill * queued)


@equation
def steady_ttft_s(s: System, w: Workload) -> Seconds:
    """Time to first token once the start is forgotten: a place, the prompts ahead, its own.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return place_wait_s(s, w) + placed_ttft_s(s, w)


@equation
def steady_decode_s(s: System, w: Workload) -> Seconds:
    """From first token to last, once the start is forgotten.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return (cycle_s(s, w) - placed_ttft_s(s, w)) * minimum(decode_steps(w), 1.0)


def _burst_decoding(s: System, w: Workload) -> Scalar:
    """Sequences decoding in the mean step a burst's request waits for: early ones count most."""
    return riding_beside(s, w) / 3


@equation
def burst_prompts_a_step(s: System, w: Workload) -> Scalar:
    """Prompts completed in a step of the start-up burst, while few decode yet.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return prompts_within(s, w, _burst_decoding(s, w))


@equation
def burst_step_s(s: System, w: Workload) -> Seconds:
    """Time of a step of the start-up burst.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    step = prompt_step(s, w, _burst_decoding(s, w), burst_prompts_a_step(s, w))
    return engine_step_s(s, replace(step, decode_context=w.input_tokens))


@rowwise
def mean_rounds(n: Scalar, each: Scalar) -> Scalar:
    """Return the mean over the i-th of `n` of ⌈i / each⌉: the step in which it is done.

    Counted out for numbers; a formula shows what the count comes to for `each` no whole number.

    Args:
        n: a count, or counts.
        each: requests an engine serves, a count.

    """
    if not all(isinstance(v, float | int | np.ndarray) for v in (n, each)):
        return (n + 1) / (2 * each) + 1 / 2
    columns: list[Any] = list(np.broadcast_arrays(n, each))
    most = float(np.max(columns[0], initial=1.0))
    place = np.minimum(np.arange(1.0, 513.0), 512.0) - 0.5  # up to 512 places sample the burst
    place = np.ceil(place / 512 * most) if most > 512 else np.arange(1.0, most + 1)
    total, count = np.zeros(columns[0].shape), np.zeros(columns[0].shape)
    for i in place:
        there = i <= columns[0] + 0.5
        total += there * np.ceil(i / columns[1] - 1e-9)
        count += there
    return (total / np.maximum(count, 1.0))[()]


@equation
def waves_ahead(s: System, w: Workload) -> Scalar:
    """Full cycles the mean request of a burst waits, where not all fit at once.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    arrived = w.batch / s.parallel.pp
    waves = ceil(arrived / in_flight(s, w))
    return (waves - 1) * (1 - waves * in_flight(s, w) / (2 * arrived))


@equation
def placed_burst_ttft_s(s: System, w: Workload) -> Seconds:
    """Mean time to first token of those of a burst that fit at once.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    n, each = in_flight(s, w), burst_prompts_a_step(s, w)
    # Share that ends with the last step.
    last = 1 - floor(each * (ceil(n / each - 1e-9) - 1) + 1e-9) / n
    saved = last * burst_rest(s, w) * (burst_step_s(s, w) - decode_step_s(s, w))
    rounds = named("rounds", mean_rounds(n, each))
    return rounds * burst_step_s(s, w) - saved


@equation
def burst_ttft_s(s: System, w: Workload) -> Seconds:
    """Mean time to first token of `batch` requests that arrive at once at an idle engine.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return placed_burst_ttft_s(s, w) + waves_ahead(s, w) * cycle_s(s, w)


@equation
def closed_ttft_s(s: System, w: Workload) -> Seconds:
    """Mean time to first token over a run of n_requests that starts with a burst of `batch`.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    first = minimum(w.batch / w.n_requests, 1.0)
    return first * burst_ttft_s(s, w) + (1 - first) * steady_ttft_s(s, w)


@equation
def drain_decode_s(s: System, w: Workload) -> Seconds:
    """From first token to last in a run's last wave, whose places are not filled again.

    The mean request there sees half of the others' prompts, and later a batch that shrinks. Where
    prompts are the bottleneck, only those still decoding at the end are in that wave.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    chunked, steps = s.limits.chunked_prefill, decode_steps(w)
    after = (burst_s(s, w) - placed_burst_ttft_s(s, w)) / burst_step_s(s, w)
    others = maximum(2 * after, 1e-9)
    shared = minimum(others, steps)
    ending = minimum(1.0, steps / others) / 2 * shared
    shrunk = Step(decode_seqs=riding_beside(s, w) * 2 / 3 + 1 / 3, decode_context=mean_context(w))
    full = (steps - shared) * decode_step_s(s, w)
    spread = (shared - ending) * full_prompt_step_s(s, w) + full + ending * engine_step_s(s, shrunk)
    whole = burst_s(s, w) - placed_burst_ttft_s(s, w) + steps * decode_step_s(s, w)
    return chunked * spread + (1 - chunked) * whole


@equation
def last_decode_s(s: System, w: Workload) -> Seconds:
    """From first token to last of the run's last request: alone in the end.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    chunked, steps = s.limits.chunked_prefill, decode_steps(w)
    shared = minimum(steps_for_others(s, w), steps)
    half = Step(decode_seqs=riding_beside(s, w) / 2 + 1 / 2, decode_context=mean_context(w))
    spread = (steps - shared) * decode_step_s(s, w) + shared * engine_step_s(s, half)
    return chunked * spread + (1 - chunked) * steps * decode_step_s(s, w)


@equation
def closed_tpot_s(s: System, w: Workload) -> Seconds:
    """Mean time per output token after the first, over the run.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    last = minimum(s.parallel.pp * in_flight(s, w) / w.n_requests, 1.0)
    whole = last * drain_decode_s(s, w) + (1 - last) * steady_decode_s(s, w)
    return whole / maximum(decode_steps(w), 1.0)


@equation
def closed_e2e_s(s: System, w: Workload) -> Seconds:
    """Mean time from arrival to last token, over the run.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return closed_ttft_s(s, w) + decode_steps(w) * closed_tpot_s(s, w)


@equation
def requests_per_s(s: System, w: Workload) -> PerS:
    """Requests completed per second in the steady state.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return s.parallel.pp * in_flight(s, w) / cycle_s(s, w)


@equation
def run_s(s: System, w: Workload) -> Seconds:
    """Wall time of a run of n_requests, burst and drain included.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    waves = maximum(w.n_requests / (s.parallel.pp * in_flight(s, w)), 1.0)
    return burst_s(s, w) + (waves - 1) * cycle_s(s, w) + last_decode_s(s, w)


@equation
def closed_output_tokens_per_s(s: System, w: Workload) -> PerS:
    """Output tokens per second over the run; over the steady state where n_requests is endless.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    endless = minimum(w.n_requests, 1e15)  # so that the arithmetic stays finite
    return endless * w.output_tokens / run_s(s, replace(w, n_requests=endless))
