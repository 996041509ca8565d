"""An open loop in closed form: requests arrive at a mean rate, whether or not others have ended.

Decoding sequences follow from Little's law, decoding = rate · output · time a token, and the time a
token from how many decode and how much of the engine's time prompts take; a sequence meets those
there are on average, and itself. A prompt waits as in a queue with one server (Pollaczek-Khinchine
for Poisson arrivals, Kingman's factor for bursty ones), and for a place if all are taken.
Means only; percentiles are the simulation's. Rates are of one engine: one replica's, or one
pipeline batch's of it. Within 5 % of the simulation up to 85 % of saturation (TPOT, TTFT within
10 %); beyond it queues hang on chance, and only the simulation says how long they get.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Step, System, Workload
from planner.equation import ceil, equation, exp, maximum, minimum, remembering
from planner.serving import closed_loop as steady
from planner.serving.front_end import intake_s
from planner.serving.speculative import engine_step_s
from planner.units import PerS, Scalar, Seconds

ROUNDS = 26  # halvings of the interval the decoding sequences lie in: exact to 1e-5 of one


@dataclass(frozen=True, slots=True)
class Flow:
    """What arrives at one engine."""

    rate_per_s: PerS
    burstiness: Scalar = 1.0  # gamma shape of the gaps: 1 Poisson
    input_cv: Scalar = 0.0  # of prompt lengths: sd over mean


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Means of an open loop at one engine; infinite where it saturates."""

    ttft_s: Seconds
    tpot_s: Seconds
    e2e_s: Seconds
    decoding: Scalar  # sequences, on average
    prompt_share: Scalar  # of the engine's time, spent on prompts
    saturation_per_s: PerS  # arrivals beyond which the queue grows without end


@equation
def saturation_per_s(s: System, w: Workload) -> PerS:
    """Most requests per second one engine completes, with as many in flight as fit.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    full = replace(w, batch=s.limits.max_num_seqs * s.parallel.pp, n_requests=np.inf)
    return steady.requests_per_s(s, full) / s.parallel.pp


def places(s: System, w: Workload) -> Scalar:
    """Sequences one engine has room for.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    return steady.in_flight(s, replace(w, batch=s.limits.max_num_seqs * s.parallel.pp))


def halved(high: Any, more: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Return the ends of an interval from 0 to `high`, halved towards where there are `more`.

    Args:
        high: upper end of where the answer lies.
        more: says of a value whether the answer lies above it.

    """
    low = 0.0 * high
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        above = more(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low, high


def open_loop(s: System, w: Workload, flow: Flow) -> OpenLoop:
    """Return the means of an open loop; `w.batch` is not looked at.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        flow: what is asked of an open loop: rates in 1/s.

    """
    with remembering(), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most = np.asarray(saturation_per_s(s, w), dtype=np.float64)
        rate = np.asarray(flow.rate_per_s, dtype=np.float64)
        decoding = np.zeros(np.broadcast_shapes(most.shape, rate.shape))
        if np.any(steady.decode_steps(w) > 0):
            high = decoding + np.asarray(s.limits.max_num_seqs / s.parallel.pp)
            # More sequences than assumed.
            low, high = halved(high, lambda assumed: _wanted(s, w, rate, assumed) > assumed)
            decoding = (low + high) / 2
        stable = rate < most
        token_s = _token_s(s, w, rate, decoding)
        ttft_s = _ttft_s(s, w, flow, decoding)
        inf = np.inf
        tpot_s = np.where(stable, token_s, inf)
        ttft_s = np.where(stable, ttft_s, inf)
        decoding = minimum(decoding, places(s, w))
        share = minimum(minimum(rate, most) * _prompt_extra_s(s, w, decoding), 1.0)
    e2e_s = ttft_s + steady.decode_steps(w) * np.where(steady.decode_steps(w) > 0, tpot_s, 0.0)
    return OpenLoop(ttft_s, tpot_s, e2e_s, decoding, share, most)


def _decode_s(s: System, w: Workload, decoding: NDArray[np.float64]) -> Seconds:
    """A decode step as a sequence meets it: those there are on average, and itself."""
    seqs = decoding + 1.0
    return engine_step_s(s, Step(decode_seqs=seqs, decode_context=steady.mean_context(w)))


def _chunk(s: System, w: Workload, decoding: Scalar) -> tuple[Scalar, Scalar]:
    """Tokens of a prompt's step and how many such steps the prompt takes, as a fraction."""
    chunked, prompt = s.limits.chunked_prefill, steady.prompt_tokens(w)
    room = maximum(s.limits.max_batched_tokens - decoding, 1.0)
    tokens = chunked * minimum(prompt, room) + (1 - chunked) * prompt
    return tokens, prompt / tokens


def _prompt_step_s(s: System, w: Workload, tokens: Scalar, decoding: Scalar) -> Seconds:
    prompt = steady.prompt_tokens(w)
    step = Step(
        prefill_tokens=tokens,
        prefill_seqs=tokens / prompt,
        prefill_context=w.input_tokens - prompt / 2,
        decode_seqs=s.limits.chunked_prefill * decoding,
        decode_context=steady.mean_context(w),
    )
    return engine_step_s(s, step)


def _prompt_extra_s(s: System, w: Workload, decoding: Scalar) -> Seconds:
    """Engine time a prompt adds to the decoding that goes on anyway."""
    tokens, steps = _chunk(s, w, decoding)
    beside = s.limits.chunked_prefill * minimum(decoding, 1.0) * _decode_s(s, w, decoding)
    return steps * (_prompt_step_s(s, w, tokens, decoding) - beside)


def _token_s(s: System, w: Workload, rate: Scalar, decoding: Scalar) -> Seconds:
    """Time a token: a decode step, stretched by the share of time that prompts take."""
    left = maximum(1 - rate * _prompt_extra_s(s, w, decoding), 1e-9)
    return _decode_s(s, w, decoding) / left


def _wanted(s: System, w: Workload, rate: Scalar, decoding: Scalar) -> Scalar:
    """Sequences that decode at once by Little's law, were there `decoding` of them."""
    return rate * steady.decode_steps(w) * _token_s(s, w, rate, decoding)


def _ttft_s(s: System, w: Workload, flow: Flow, decoding: Scalar) -> Seconds:
    """The rest of the step at hand, the prompts ahead, a place, and the prompt itself."""
    tokens, steps = _chunk(s, w, decoding)
    prompt_s = steps * _prompt_step_s(s, w, tokens, decoding)
    busy = minimum(flow.rate_per_s * prompt_s, 1.0)
    # Prompts that wait share a step: the queue empties faster than one by one.
    full = maximum(s.limits.max_batched_tokens - decoding, tokens)
    each_s = _prompt_step_s(s, w, full, decoding) * steady.prompt_tokens(w) / full
    load = minimum(flow.rate_per_s * minimum(each_s, prompt_s), 1 - 1e-9)
    variability = (1 / flow.burstiness + flow.input_cv**2) / 2
    queue_s = busy * prompt_s / (1 - load) * variability
    beside = minimum(decoding, 1.0) * _decode_s(s, w, decoding)
    at_hand = (
        (1 - busy) * beside * (1 / 2 + s.limits.async_scheduling)
    )  # ahead: the next is made already
    last = (ceil(steps - 1e-9) - steps) * beside
    door_s = intake_s(s.front_end, w)
    return door_s + at_hand + queue_s + prompt_s + last + _place_s(s, w, flow, decoding)


def _place_s(s: System, w: Workload, flow: Flow, decoding: Scalar) -> Seconds:
    """Wait for a place: how likely all are taken, and how fast the queue for them shrinks.

    Without a limit the number there is Poisson; the chance that it reaches the limit, by the
    normal approximation.
    """
    most = saturation_per_s(s, w)
    deviation = (decoding - places(s, w)) / maximum(decoding, 1e-9) ** 0.5
    taken = 1 / (1 + exp(minimum(-1.702 * deviation, 500.0)))
    decodes = minimum(steady.decode_steps(w), 1.0)
    shrinking = maximum(most - flow.rate_per_s, 1e-9)
    return decodes * taken / shrinking / (2 * flow.burstiness)
