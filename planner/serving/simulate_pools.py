"""Simulate separate prefill and decode replicas: two simulations, the cache travelling between."""

from dataclasses import replace

import numpy as np

from planner.columns import System, Workload
from planner.serving.pools import transfer_s
from planner.serving.requests import Requests
from planner.serving.simulate import Simulation, simulate


def simulate_pools(
    s: System, requests: Requests, prefill: int, decode: int, *, prefix_hit: float = 0.0
) -> Simulation:
    """Serve `requests` by `prefill` replicas, which make first tokens, and `decode` ones, the rest.

    A cache of mean size travels in mean time. Requests longer than a decode replica's cache are
    refused before they start.
    """
    probe = simulate(s, requests.at(slice(0, 0)), replicas=1)
    fits = requests.input_tokens + requests.output_tokens <= probe.capacity_tokens
    going = requests.at(fits)
    prompts = replace(going, output_tokens=np.minimum(going.output_tokens, 1))
    first = simulate(s, prompts, replicas=prefill, prefix_hit=prefix_hit)
    mean = float(going.input_tokens.mean()) if len(going) else 1.0
    arrives = first.finish_s + float(transfer_s(s, Workload(mean, 1.0, 1.0)))
    order = np.argsort(arrives, kind="stable")
    more = going.output_tokens[order] > 1
    rows = order[more]
    second = simulate(
        s, replace(going.at(rows), arrival_s=arrives[rows]), replicas=decode, cached=True
    )
    n = len(requests)
    first_s, finish_s = np.full(n, np.nan), np.full(n, np.nan)
    kept = np.flatnonzero(fits)
    first_s[kept], finish_s[kept] = first.first_s, first.finish_s
    finish_s[kept[rows]] = second.finish_s
    logs = first.logs + second.logs
    return Simulation(
        requests,
        requests.arrival_s,
        first_s,
        finish_s,
        ~fits,
        logs,
        first.n_blocks,
        first.capacity_tokens,
    )
