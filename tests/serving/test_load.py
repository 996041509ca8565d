"""Services under load: what must hold of any answer, and of the server around the engine."""

import resource
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner as pl
from planner.columns import FrontEnd
from planner.inputs.workload import WorkloadSpec
from planner.scenario.simulated import requests_of
from planner.serving.front_end import NONE
from planner.serving.requests import Drawn, Requests, draw, fixed
from planner.serving.scheduler import Engine, Rules
from planner.serving.simulate import simulate
from planner.serving.step_times import StepTimes

MODEL, ON = "llama-3-8b", "h100-sxm"
ENGINES = ("vllm", "vllm-0.6", "sglang", "tensorrt-llm")
FEW = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Of a mean of a thousand requests: how the front end's delay falls on the beat of steps moves it.
NOISE = 0.1


def ttft(**settings):
    (point,) = pl.what_if(MODEL, on=ON, **settings).points
    return point.metrics["ttft_s"].value


# -- whatever is asked


@FEW
@given(
    engine=st.sampled_from(ENGINES),
    concurrency=st.integers(1, 60),
    n_in=st.integers(32, 3000),
    n_out=st.integers(8, 300),
    cv=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_littles_law_and_order_of_percentiles(engine, concurrency, n_in, n_out, cv):
    (p,) = pl.what_if(
        MODEL, on=ON, engine=engine, concurrency=concurrency, input_tokens=n_in,
        output_tokens=n_out, input_cv=cv, output_cv=cv,
    ).points  # fmt: skip
    m = {n: getattr(v, "value", v) for n, v in p.metrics.items()}
    assert m["requests_per_s"] * m["e2e_s"] == pytest.approx(concurrency, rel=0.06)
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        assert m[f"{name}_p50"] <= m[f"{name}_p90"] <= m[f"{name}_p95"] <= m[f"{name}_p99"]
        assert m[name] <= m[f"{name}_p99"] * 1.01  # a few beyond it
    assert m["e2e_s"] == pytest.approx(m["ttft_s"] + m["tpot_s"] * (n_out - 1), rel=0.15)


@pytest.mark.parametrize("engine", ENGINES)
def test_ttft_grows_with_prompts_with_company_and_with_what_the_cache_lacks(engine):
    asked = {"engine": engine, "output_tokens": 200, "input_cv": 0.2, "output_cv": 0.2}
    ways = {
        "input_tokens": ({"concurrency": 16}, (256, 1024, 4096)),
        "concurrency": ({"input_tokens": 1000}, (1, 4, 16, 48)),
        "prefix_hit": ({"concurrency": 16, "input_tokens": 4000}, (0.9, 0.5, 0.0)),
    }
    for name, (rest, values) in ways.items():
        seen = [ttft(**asked, **rest, **{name: v}) for v in values]
        assert all(b >= a * (1 - NOISE) for a, b in pairwise(seen)), (name, seen)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_burst_of_one_and_a_rate_near_nothing_are_a_lone_request(engine):
    asked = {"engine": engine, "input_tokens": 900, "output_tokens": 100}
    alone = ttft(**asked, concurrency=1)
    assert ttft(**asked, burst=1) == pytest.approx(alone, rel=1e-3)
    assert ttft(**asked, rate=1e-3) == pytest.approx(alone, rel=1e-3)
    (p,) = pl.what_if(MODEL, on=ON, **asked, concurrency=1).points
    assert p.metrics["idle_ttft_s"].value == pytest.approx(alone, rel=0.01)


def test_a_budget_is_what_what_if_says_at_the_load_it_found():
    asked = {"input_tokens": 1000, "output_tokens": 200}
    answer = pl.budget(MODEL, ttft="200ms", tpot="30ms", on=[ON], tps=[1], **asked)
    (plan,) = answer.plans
    (point,) = pl.what_if(MODEL, on=ON, tp=1, rate=plan.rate_per_s, **asked).points
    for name in ("ttft_s", "tpot_s"):
        assert plan.metrics[name].value == pytest.approx(
            point.metrics[f"{name}_p99"].value, rel=1e-9
        )


def test_replicas_that_fare_alike_carry_as_much_as_one_of_them():
    asked = {"input_tokens": 1000, "output_tokens": 200}
    (one,) = pl.what_if(MODEL, on=ON, concurrency=16, **asked).points
    (ten,) = pl.what_if(MODEL, on=ON, concurrency=160, replicas=10, **asked).points
    speed = [p.metrics["output_tokens_per_s"].value for p in (one, ten)]
    assert speed[1] == pytest.approx(10 * speed[0], rel=1e-9)
    assert ten.metrics["in_flight"] == pytest.approx(10 * one.metrics["in_flight"], rel=1e-9)


def test_saturation_is_said_and_a_run_beyond_it_has_an_end():
    asked = {"input_tokens": 1000, "output_tokens": 200}
    (p,) = pl.what_if(MODEL, on=ON, rate=1, **asked).points
    most = p.metrics["saturation_per_s"].value
    near = pl.what_if(MODEL, on=ON, rate=0.9 * most, **asked)
    assert "near-saturation" in [w.code for w in near.warnings]
    assert near.points[0].metrics["ttft_s"] is not None
    beyond = pl.what_if(MODEL, on=ON, rate=1.3 * most, **asked)
    assert beyond.points[0].bound == "saturated" and beyond.points[0].metrics["ttft_s"] is None
    ends = pl.what_if(MODEL, on=ON, rate=1.5 * most, requests=4000, **asked)
    assert "overloaded-run" in [w.code for w in ends.warnings]
    assert ends.points[0].metrics["duration_s"].value > 4000 / most * 0.95
    assert ends.points[0].metrics["ttft_s"].value > 5 * near.points[0].metrics["ttft_s"].value


# -- lengths


def test_lengths_are_drawn_as_they_are_called():
    def drawn(lengths):
        w = WorkloadSpec(input_tokens=1000, output_tokens=200, burst=4000, lengths=lengths)
        r = requests_of(w)
        assert r.input_tokens.mean() == pytest.approx(1000, rel=0.005)
        assert r.output_tokens.mean() == pytest.approx(200, rel=0.01)
        return r.input_tokens, r.output_tokens

    given_, _ = drawn("fixed")
    assert set(given_) == {1000}
    given_, made = drawn("uniform:0.8")  # as random lengths of `vllm bench serve` with a ratio
    assert given_.min() / given_.max() == pytest.approx(0.8, abs=0.002)
    assert abs(np.corrcoef(given_, made)[0, 1]) < 0.05
    given_, _ = drawn("lognormal")
    assert given_.std() / given_.mean() == pytest.approx(1.0, rel=0.05)
    chat = WorkloadSpec(input_tokens=217, output_tokens=202, burst=4000, lengths="sharegpt")
    r = requests_of(chat)
    assert r.input_tokens.mean() == pytest.approx(217, rel=0.02)
    assert r.output_tokens.mean() == pytest.approx(202, rel=0.02)
    assert (r.input_tokens + r.output_tokens).max() < 2400


def test_lengths_of_a_file_are_drawn_from_it(tmp_path):
    path = tmp_path / "lengths.csv"
    path.write_text("input_tokens,output_tokens\n100,10\n300,30\n")
    answer = pl.what_if(MODEL, on=ON, concurrency=4, lengths=str(path))
    assert answer.points[0].metrics["ttft_s"].value < ttft(concurrency=4, input_tokens=4096)


def test_a_trace_drives_lengths_rate_and_price(tmp_path):
    rng = np.random.default_rng(1)
    rows = zip(np.cumsum(rng.exponential(0.5, 400)), rng.integers(100, 900, 400), rng.integers(20, 80, 400), strict=True)  # fmt: skip
    path = tmp_path / "trace.csv"
    path.write_text(
        "arrival_s,input_tokens,output_tokens\n" + "".join(f"{a},{i},{o}\n" for a, i, o in rows)
    )
    (p,) = pl.what_if(MODEL, on=ON, trace=str(path), usd_per_hour=2.0).points
    (long,) = pl.what_if(MODEL, on=ON, rate=2.0, usd_per_hour=2.0).points  # 4096 in, 1024 out
    assert p.metrics["ttft_s"].value < 0.5 * long.metrics["ttft_s"].value
    assert p.metrics["max_concurrency"] > 5 * long.metrics["max_concurrency"]
    assert p.metrics["requests_per_s"].value == pytest.approx(2.0, rel=0.15)
    assert p.metrics["ttft_s_p50"].value <= p.metrics["ttft_s_p99"].value


# -- the server around the engine


class Even(StepTimes):
    """Every step takes 10 ms."""

    def decode(self, seqs, context):
        return 0.01

    def run(self, seqs, context, steps):
        return 0.01 * steps

    def mixed(self, tokens, keys, prompts, seqs, context):
        return 0.01


RULES = Rules(
    max_num_seqs=64, max_batched_tokens=8192, block_tokens=16, n_blocks=10**6, chunked=True
)


def engine(small, arrival, *, rules=RULES, front_end=NONE, output=50, **more):
    n = len(arrival)
    made = Engine(
        Even(small, 1e5), rules, list(arrival), [100] * n, [0] * n, [output] * n,
        front_end=front_end, **more,
    )  # fmt: skip
    made.simulate()
    return np.array(made.first), np.array(made.finish)


def test_a_step_put_together_ahead_costs_a_newcomer_one_more(small):
    """Arrives in the middle of the sixth step: enters the seventh, or ahead the eighth."""
    first, _ = engine(small, [0.0, 0.055])
    assert first[1] == pytest.approx(0.07)
    first, _ = engine(small, [0.0, 0.055], rules=replace(RULES, ahead=True))
    assert first[1] == pytest.approx(0.08)
    first, _ = engine(small, [0.0, 2.0], rules=replace(RULES, ahead=True))
    assert first[1] == pytest.approx(2.01)  # of an idle engine, nothing


def test_prompts_first_and_cut_fill_a_step_with_the_next_ones_head(small):
    """SGLang's chunk: 150 tokens hold one prompt and half another, while decoding stands still."""
    rules = replace(RULES, chunked=False, max_batched_tokens=150)
    first, _ = engine(small, [0.0] * 3, rules=rules, output=1)
    assert first == pytest.approx([0.01, 0.02, 0.02])
    whole, _ = engine(small, [0.0] * 3, rules=replace(rules, cuts=False), output=1)
    assert whole == pytest.approx([0.01, 0.02, 0.03])


def test_reserved_output_is_never_set_back_and_waits_instead(small):
    n, rules = 8, replace(RULES, n_blocks=40)
    for reserves in (False, True):
        e = Engine(
            Even(small, 1e5), replace(rules, reserves=reserves), [0.0] * n, [100] * n, [0] * n, [100] * n
        )  # fmt: skip
        e.simulate()
        assert (e.log.preemptions > 0) is not reserves
        assert min(e.finish) > 0 and e.promised == 0


def test_a_front_end_delays_a_lone_request_and_bounds_requests_a_second(small):
    door = FrontEnd(fixed_s=0.005, request_s=0.02, token_s=1e-4)
    first, _ = engine(small, [0.0], front_end=door)
    assert first[0] == pytest.approx(0.005 + 0.02 + 0.01, abs=2e-4)
    first, finish = engine(small, [0.0] * 200, front_end=door, output=2)
    assert finish.max() == pytest.approx(200 * 0.02, rel=0.02)
    assert np.median(first) == pytest.approx(100 * 0.02, rel=0.1)


def test_tokens_of_a_process_that_also_takes_requests_in_wait_behind_them(small):
    door = FrontEnd(request_s=0.02, token_s=1e-5)
    apart, _ = engine(small, [0.0] * 200, front_end=door, output=2)
    shared, _ = engine(small, [0.0] * 200, front_end=replace(door, shared=1.0), output=2)
    assert np.median(apart) < 2.2 and np.median(shared) > 3.9


def test_what_the_stream_cannot_send_reaches_clients_late(small):
    door = FrontEnd(token_s=0.001)  # 32 sequences every 10 ms are three times too many
    _, finish = engine(small, [0.0] * 32, front_end=door, output=200)
    assert finish.max() == pytest.approx(32 * 200 * 0.001, rel=0.05)


# -- speed


def cpu_s():
    """CPU time of this process and those it waited for: others on the machine do not count."""
    own, children = (
        resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@pytest.mark.slow
def test_sixteen_points_take_two_cores_a_second_and_a_million_requests_one_a_minute(small):
    start = cpu_s()
    pl.what_if(
        MODEL, {"concurrency": list(range(2, 34, 2))}, on=ON, input_tokens=1000, output_tokens=250
    )
    assert cpu_s() - start < 2
    n = 50_000
    times = StepTimes(small, 5000)
    rate = 0.5 * simulate(small, fixed(200, 50, 20), times=times).requests_per_s
    coming = draw(Drawn(n, 50, 20, 0.3, 0.3, rate_per_s=rate))
    start = cpu_s()
    assert simulate(small, coming, times=times).served.all()
    assert cpu_s() - start < 60 * n / 1e6


def test_what_is_not_measured_is_not_waited_for(small, times):
    requests = Requests(np.zeros(300), np.full(300, 50), np.full(300, 100))
    sim = simulate(small, requests, times=times, concurrency=8, counted=range(50, 100))
    assert sim.served[50:100].all() and not sim.served[150:].any()
