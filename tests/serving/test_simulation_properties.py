"""Whatever is asked of the simulated engine, its books balance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.columns import Workload
from planner.serving.requests import Requests
from planner.serving.scheduler import Engine
from planner.serving.simulate import rules, simulate
from planner.serving.step_times import StepTimes

QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
REQUEST = st.tuples(
    st.floats(0, 5), st.integers(1, 1500), st.one_of(st.integers(0, 3), st.integers(0, 600))
)


@st.composite
def traffic(draw, most=40):
    rows = sorted(draw(st.lists(REQUEST, min_size=1, max_size=most)))
    arrival, given_, made = map(np.array, zip(*rows, strict=True))
    return Requests(arrival.astype(float), given_.astype(np.int64), made.astype(np.int64))


CHUNKED = st.booleans()


class Linear(StepTimes):
    """Steps whose time is linear in tokens, sequences and cached tokens: the scheduler alone is tried.

    The cost model sees a batch by its mean context, so that a short sequence that joins a long one
    can make it 0.5 % faster; here, more is always more.
    """

    def decode(self, seqs, context):
        return 2e-3 + seqs * (2e-5 + 1e-8 * context)

    def run(self, seqs, context, steps):
        return steps * self.decode(seqs, context + (steps - 1) / 2)

    def mixed(self, tokens, keys, prompts, seqs, context):
        return 2e-3 + tokens * (2e-5 + 1e-8 * keys) + seqs * (2e-5 + 1e-8 * context)


@pytest.fixture(scope="module")
def linear(small):
    return Linear(small, 10_000)


@QUICK
@given(traffic(), CHUNKED, st.one_of(st.none(), st.integers(1, 20)))
def test_every_request_ends_once_and_tokens_are_conserved(tight, times, requests, chunked, loop):
    s = replace(tight, limits=replace(tight.limits, chunked_prefill=float(chunked)))
    sim = simulate(s, requests, times=times, concurrency=loop)
    assert np.array_equal(sim.served, ~sim.refused)
    kept = requests.at(sim.served)
    made = np.maximum(kept.output_tokens - 1, 0).sum()
    log = sim.logs[0]
    resumed = log.preemptions  # a preempted sequence's next token comes out of its prompt step
    assert made - resumed <= log.decode_tokens <= made
    assert log.prompt_tokens >= kept.input_tokens.sum()
    if not log.preemptions:
        assert log.prompt_tokens == kept.input_tokens.sum() and log.decode_tokens == made
    assert sum(n for _, n in log.gaps) == made


@QUICK
@given(traffic(), CHUNKED)
def test_the_cache_never_holds_more_than_it_has_and_is_empty_in_the_end(
    tight, times, requests, chunked
):
    s = replace(tight, limits=replace(tight.limits, chunked_prefill=float(chunked)))
    sim = simulate(s, requests, times=times)
    t = sim.timeline()
    assert np.all(t["kv_blocks"] <= sim.n_blocks) and np.all(t["kv_blocks"] >= 0)
    assert np.all(t["running"] <= s.limits.max_num_seqs)
    if sim.served.any():
        assert t["kv_blocks"][-1] == 0 and t["running"][-1] == 0 and t["waiting"][-1] == 0
    assert np.all(np.diff(t["time_s"]) >= 0)


@QUICK
@given(traffic())
def test_times_are_in_order(tight, times, requests):
    sim = simulate(tight, requests, times=times)
    done = sim.served
    has_token = done & (requests.output_tokens > 0)
    assert np.all(sim.first_s[has_token] > sim.arrival_s[has_token])
    assert np.all(sim.finish_s[has_token] >= sim.first_s[has_token])
    assert np.all(np.isnan(sim.first_s[requests.output_tokens == 0]))
    gpu = sim.means["gpu_utilisation"]
    assert 0 <= gpu <= 1 + 1e-9


@QUICK
@given(traffic())
def test_the_same_requests_give_the_same_run(tight, times, requests):
    a, b = (simulate(tight, requests, times=times) for _ in range(2))
    assert np.array_equal(a.finish_s, b.finish_s, equal_nan=True)
    assert a.logs[0].timeline == b.logs[0].timeline


class OneByOne(Engine):
    """The same scheduler without jumps: every decode step is an event of its own."""

    def _decode_run(self, most):
        super()._decode_run(1)


@settings(QUICK, max_examples=20)
@given(traffic(10), CHUNKED)
def test_jumping_over_like_steps_changes_nothing(tight, times, requests, chunked):
    s = replace(tight, limits=replace(tight.limits, chunked_prefill=float(chunked)))
    r = rules(s, Workload(1.0, 1.0, 1.0))
    fits = requests.input_tokens + requests.output_tokens <= r.n_blocks * r.block_tokens
    kept = requests.at(fits)
    runs = []
    for kind in (Engine, OneByOne):
        engine = kind(
            times,
            r,
            kept.arrival_s.tolist(),
            kept.input_tokens.tolist(),
            [0] * len(kept),
            kept.output_tokens.tolist(),
        )
        engine.simulate()
        runs.append(np.array(engine.finish))
    assert runs[0] == pytest.approx(runs[1], rel=1e-3)


@QUICK
@given(traffic(20), st.integers(1, 30), st.integers(1, 300), st.integers(0, 300))
def test_a_longer_queue_never_lowers_latency(small, linear, requests, more, n_in, n_out):
    """Requests behind those that were there at the start can only slow them down."""
    at_once = replace(requests, arrival_s=np.zeros(len(requests)))
    longer = Requests(
        np.zeros(len(requests) + more),
        np.append(requests.input_tokens, np.full(more, n_in)),
        np.append(requests.output_tokens, np.full(more, n_out)),
    )
    short, long = (simulate(small, r, times=linear) for r in (at_once, longer))
    n = len(requests)
    assert np.all(long.finish_s[:n] >= short.finish_s * (1 - 1e-9))
    has = requests.output_tokens > 0
    assert np.all(long.first_s[:n][has] >= short.first_s[has] * (1 - 1e-9))


# The longest of linear's: an arrival may fall luckily by one.
STEP_S = 2e-3 + 512 * 5e-5 + 16 * 5e-5


def alike(seed, gap_s, n_in, n_out, n=80):
    """Requests of one length that arrive at random."""
    arrival_s = np.cumsum(np.random.default_rng(seed).exponential(gap_s, n))
    return Requests(arrival_s, np.full(n, n_in), np.full(n, n_out))


def assert_no_faster(slow, fast):
    for quantity in ("ttft_s", "e2e_s"):
        assert slow.latency[quantity].mean >= fast.latency[quantity].mean - STEP_S


@QUICK
@given(st.integers(0, 10**6), st.integers(100, 1500), st.integers(2, 300), st.floats(1.1, 4))
def test_load_up_never_means_latency_down(small, linear, seed, n_in, n_out, faster):
    """The same requests, closer together."""
    requests = alike(seed, 0.3, n_in, n_out)
    calm, hectic = (simulate(small, requests.faster(f), times=linear) for f in (1.0, faster))
    assert_no_faster(hectic, calm)


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(100, 1500), st.integers(2, 300))
def test_another_replica_never_hurts(small, linear, seed, replicas, n_in, n_out):
    requests = alike(seed, 0.05, n_in, n_out)
    few, many = (simulate(small, requests, times=linear, replicas=replicas + k) for k in (0, 1))
    assert_no_faster(few, many)
