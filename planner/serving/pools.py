"""Prompts computed by some replicas, decoding done by others; the cache travels between them.

In closed form: prompts queue as in an open loop whose requests end with their first token; decoding
sequences follow from Little's law. A closed loop is the arrival rate at which as many are in flight
as asked for.  [Zhong 2024, arXiv 2401.09670; Patel 2024, arXiv 2311.18677]
"""

from dataclasses import dataclass, replace

import numpy as np

from planner.columns import Step, System, Workload
from planner.cost.memory import kv_bytes_per_token, state_bytes_per_sequence
from planner.equation import maximum, minimum, remembering
from planner.serving import closed_loop as steady
from planner.serving.open_loop import Flow, OpenLoop, halved, open_loop, places
from planner.serving.speculative import engine_step_s
from planner.units import Scalar, Seconds


@dataclass(frozen=True, slots=True)
class Pools:
    """How many replicas do which."""

    prefill: Scalar
    decode: Scalar


def transfer_s(s: System, w: Workload) -> Seconds:
    """A request's cache over the network from one replica to another, every device its share.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.

    """
    held = kv_bytes_per_token(s) * w.input_tokens + state_bytes_per_sequence(s)
    share = held / (s.parallel.tp * s.parallel.pp)
    return s.kernels.link_latency_s + share / (s.device.node_link_bytes_per_s * s.kernels.link_eff)


def _token_s(s: System, w: Workload, seqs: Scalar) -> Seconds:
    return engine_step_s(s, Step(decode_seqs=seqs, decode_context=steady.mean_context(w)))


def _first(s: System, w: Workload, pools: Pools, flow: Flow) -> OpenLoop:
    """Return what a prefill replica does: requests that end with their first token."""
    each = replace(flow, rate_per_s=flow.rate_per_s / pools.prefill / s.parallel.pp)
    return open_loop(s, replace(w, output_tokens=w.output_tokens * 0 + 1.0), each)


def _flow(s: System, w: Workload, pools: Pools, decoding: Scalar) -> Scalar:
    """Return the arrivals per second that keep so many sequences decoding in each decode engine."""
    each_s = maximum(steady.decode_steps(w), 1.0) * _token_s(s, w, decoding + 1.0)
    return pools.decode * s.parallel.pp * decoding / each_s


def _most(s: System, w: Workload, pools: Pools) -> Scalar:
    first = _first(s, w, pools, Flow(0.0)).saturation_per_s
    room = places(s, w)
    steps = maximum(steady.decode_steps(w), 1.0)
    decode = pools.decode * room / (steps * _token_s(s, w, room))
    return minimum(pools.prefill * first, decode) * s.parallel.pp


def _means(
    s: System, w: Workload, pools: Pools, flow: Flow, decoding: Scalar, most: Scalar
) -> OpenLoop:
    steps = steady.decode_steps(w)
    gap_s = transfer_s(s, w) / maximum(steps, 1.0)
    stable = flow.rate_per_s < most
    tpot_s = np.where(stable, _token_s(s, w, decoding + 1.0) + gap_s, np.inf)
    ttft_s = np.where(stable, _first(s, w, pools, flow).ttft_s, np.inf)
    e2e_s = ttft_s + np.where(steps > 0, steps * tpot_s, 0.0)
    return OpenLoop(ttft_s, tpot_s, e2e_s, decoding, np.zeros_like(decoding), most)


def disaggregated(s: System, w: Workload, pools: Pools, flow: Flow) -> OpenLoop:
    """Return the means of an open loop over both pools; `flow` is what arrives at all of them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        pools: prefill and decode pools.
        flow: what is asked of an open loop: rates in 1/s.

    """
    with remembering(), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most = _most(s, w, pools)
        at_most = places(s, w) + 0.0 * np.asarray(flow.rate_per_s)
        low, high = halved(at_most, lambda n: _flow(s, w, pools, n) < flow.rate_per_s)
        return _means(s, w, pools, flow, (low + high) / 2, most)


def closed(s: System, w: Workload, pools: Pools) -> tuple[Scalar, OpenLoop]:
    """Return the rate at which `w.batch` requests are in flight over both pools, and its means.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: lengths in tokens, and requests there are: numbers or columns.
        pools: prefill and decode pools.

    """

    def fewer(decoding: Scalar) -> Scalar:
        rate = _flow(s, w, pools, decoding)
        waiting = rate * _first(s, w, pools, Flow(rate)).ttft_s
        return decoding * pools.decode * s.parallel.pp + waiting < w.batch

    with remembering(), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most = _most(s, w, pools)
        low, _ = halved(places(s, w) + 0.0 * np.asarray(w.batch), fewer)
        rate = minimum(_flow(s, w, pools, low), most * (1 - 1e-9))
        # Requests beyond what both pools hold wait: they are in flight all the same.
        means = _means(s, w, pools, Flow(rate), low, most)
        e2e_s = maximum(means.e2e_s, w.batch / rate)
        ttft_s = means.ttft_s + (e2e_s - means.e2e_s)
        return rate, replace(means, ttft_s=ttft_s, e2e_s=e2e_s)
