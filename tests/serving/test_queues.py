"""Waits and bursts of the closed forms against sums written out and queues that can be counted."""

from math import factorial
from types import SimpleNamespace

import numpy as np
import pytest

from planner.columns import Workload
from planner.questions.budget.max_load import _broken
from planner.serving.closed_loop import mean_rounds
from planner.serving.open_loop import Flow, open_loop
from planner.serving.percentiles import Slo
from planner.serving.requests import Requests
from planner.serving.simulate import simulate


@pytest.mark.parametrize("n", [1, 7, 512, 513, 3000])
@pytest.mark.parametrize("each", [1.0, 7.5, 64.0])
def test_the_mean_round_of_a_burst_is_its_sum_written_out(n, each):
    written = np.mean([np.ceil(i / each) for i in range(1, n + 1)])
    assert float(mean_rounds(float(n), each)) == pytest.approx(written, rel=0.01)


def erlang_wait_s(rate, service_s, servers):
    """Mean wait for one of `servers`, Poisson arrivals and memoryless service.  [Erlang 1917]"""
    load = rate * service_s
    busy = load**servers / factorial(servers) * servers / (servers - load)
    waits = busy / (sum(load**k / factorial(k) for k in range(servers)) + busy)
    return waits * service_s / (servers - load)


@pytest.fixture(scope="module")
def long_answers():
    return Workload(16.0, 400.0, 16.0)


def test_waits_for_a_place_are_between_none_and_those_of_memoryless_service(
    small, times, long_answers
):
    """Answers of one length wait about half as long as memoryless ones: M/D/c against M/M/c."""
    most = float(open_loop(small, long_answers, Flow(1.0)).saturation_per_s)
    rate = 0.93 * most
    found = open_loop(small, long_answers, Flow(rate))
    idle = float(open_loop(small, long_answers, Flow(0.01 * most)).ttft_s)
    service_s = 16 / most  # of 16 places, all taken at saturation
    bound = erlang_wait_s(rate, service_s, 16)
    assert 0.1 * bound < float(found.ttft_s) - idle < 1.2 * bound
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(1 / rate, 4000))
    asked = Requests(arrivals, np.full(4000, 16), np.full(4000, 400))
    waited = simulate(small, asked, times=times).latency["ttft_s"].mean
    assert float(found.ttft_s) == pytest.approx(waited, rel=0.6)


def test_arrivals_in_bursts_wait_longer_for_a_place_and_even_ones_less(small, long_answers):
    most = float(open_loop(small, long_answers, Flow(1.0)).saturation_per_s)
    waits = [
        float(open_loop(small, long_answers, Flow(0.9 * most, b)).ttft_s) for b in (0.25, 1, 4)
    ]
    assert waits[0] > 2 * waits[1] and waits[1] > 1.5 * waits[2]


def test_the_limit_named_is_the_one_exceeded_most():
    def at(value):
        return SimpleNamespace(at=lambda statistic: value)

    seen = SimpleNamespace(latency={"ttft_s": at(3.0), "tpot_s": at(0.06), "e2e_s": at(5.0)})
    assert _broken(seen, Slo(ttft_s=1.0, tpot_s=0.05, e2e_s=10.0)) == "ttft_s"
    assert _broken(seen, Slo(ttft_s=2.9, tpot_s=0.03, e2e_s=4.9)) == "tpot_s"
    assert _broken(seen, Slo(ttft_s=4.0)) == ""
