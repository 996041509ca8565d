"""One scenario, one answer: whoever asks, the numbers are the same to 1e-9."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner as pl
from planner.errors import Infeasible
from planner.inputs.files import Sheet
from planner.inputs.model import llama_candidate
from planner.metrics import METRICS, QUALITY, SERVING
from planner.questions.validate.measured import runs_of
from planner.questions.validate.validate import validate_runs
from planner.report.asked import evaluations, models, resolved
from planner.report.ui import model as ui
from planner.results import Estimate, Prediction

MOST = settings().max_examples  # an example costs up to a second
FEW = settings(
    max_examples=MOST // 8,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
MODELS = ("llama-3.2-1b", "llama-3-8b", "qwen3-30b-a3b", "gemma-2-9b", "deepseek-v2-lite")


@st.composite
def scenarios(draw, kinds=("batch", "concurrency", "burst", "rate")):
    """Options of a scenario, by name."""
    kind = draw(st.sampled_from(kinds))
    many = draw(st.integers(1, 200))
    load = {"rate": draw(st.floats(0.05, 5.0))} if kind == "rate" else {kind: many}
    return load | {
        "on": draw(st.sampled_from(["a100-sxm-80gb", "h100-sxm", "mi300x", "l4"])),
        "engine": draw(st.sampled_from(["vllm", "vllm-0.6", "sglang", "tensorrt-llm"])),
        "tp": draw(st.sampled_from([1, 2, 4])),
        "replicas": draw(st.sampled_from([1, 3])),
        "kv_dtype": draw(st.sampled_from([None, "fp8"])),
        "max_num_seqs": draw(st.sampled_from([32, 256])),
        "input_tokens": draw(st.integers(16, 6000)),
        "output_tokens": draw(st.integers(2, 800)),
        "usd_per_hour": 2.0,
    }


def same(a, b, names=SERVING):
    """Hold two records of metrics to each other, intervals included."""
    for name in names:
        one, other = a[name], b[name]
        if one is None or other is None:
            assert one is other, name
            continue
        parts = ("value", "low", "high") if isinstance(one, Estimate) else ("__float__",)
        for part in parts:
            x, y = (getattr(v, part) for v in (one, other))
            x, y = (float(v()) if callable(v) else v for v in (x, y))
            assert math.isclose(x, y, rel_tol=1e-9), (name, part, x, y)


def asked(model, options):
    """Return what `predict` says, or None where the model does not fit."""
    try:
        return pl.predict(model, **options).candidate.metrics
    except Infeasible:
        return None


@FEW
@given(model=st.sampled_from(MODELS), options=scenarios())
def test_predict_and_what_if(model, options):
    found = asked(model, options)
    if found is None:
        with pytest.raises(Infeasible):
            pl.what_if(model, {"replicas": [options["replicas"]]}, **options)
        return
    alone = pl.what_if(model, {"replicas": [options["replicas"]]}, **options).points[0]
    same(found, alone.metrics)
    # And in the company of others: other devices, formats, loads, models.
    rest = {k: v for k, v in options.items() if k not in ("tp", "on")}
    vary = {"on": ["h200-sxm", options["on"]], "tp": [1, options["tp"]]}
    grid = pl.what_if(model, vary, **rest).points
    mine = next(p for p in grid if p.settings == {"on": options["on"], "tp": options["tp"]})
    same(found, mine.metrics)


ENGINES = ["vllm==0.6.0", "vllm==0.9", "vllm==0.13", "vllm==0.14", "sglang", "tensorrt-llm"]


@pytest.mark.slow
@FEW
@given(model=st.sampled_from(MODELS), options=scenarios())
def test_engines_beside_each_other(model, options):
    """Versions that share constants do not share how they work."""
    rest = {k: v for k, v in options.items() if k != "engine"}
    alone = {engine: asked(model, rest | {"engine": engine}) for engine in ENGINES}
    fits = [engine for engine, found in alone.items() if found is not None]
    if fits:
        points = pl.what_if(model, {"engine": fits}, **rest).points
        for engine, point in zip(fits, points, strict=True):
            same(alone[engine], point.metrics)


@FEW
@given(model=st.sampled_from(MODELS), options=scenarios(kinds=("batch",)))
def test_predict_and_what_pages_and_derivations_look_at(model, options):
    """A result read from its file, looked at again."""
    if asked(model, options) is None:
        return
    result = pl.predict(model, **options)
    read = Prediction.model_validate_json(json.dumps(result.to_dict()))
    (seen,) = evaluations(models(read), resolved(read)).values()
    for name in (*SERVING, *QUALITY):
        value = result.candidate.metrics.get(name)
        if value is not None:
            value = value.value if isinstance(value, Estimate) else value
            assert math.isclose(float(seen[name]), value, rel_tol=1e-9), name


@pytest.mark.slow
@settings(FEW, max_examples=MOST // 12)
@given(options=scenarios(kinds=("rate",)), model=st.sampled_from(MODELS[:2]))
def test_budget_and_what_if(options, model):
    """A plan as a whole is a scenario: so many replicas, so many arrivals."""
    on, tp, rate = options.pop("on"), options.pop("tp"), options.pop("rate")
    options.pop("replicas")
    try:
        answer = pl.budget(model, e2e=500.0, on=[on], tps=[tp], rate=rate, **options)
    except Infeasible:
        return
    (plan,) = answer.plans
    at = {"on": on, "tp": tp, "rate": rate, "replicas": plan.replicas}
    point = pl.what_if(model, {"rate": [rate]}, **options | at).points[0]
    seen = ("ttft_s", "tpot_s", "e2e_s", "kv_utilisation")  # the simulation's, at the statistic
    same(plan.metrics, point.metrics, [n for n in SERVING if n not in seen])
    assert plan.configuration.startswith(on)


@pytest.mark.slow
@FEW
@given(
    options=scenarios(),
    layers=st.integers(8, 24),
    width=st.integers(6, 20),
    group=st.sampled_from([1, 2, 4]),
    kv_heads=st.sampled_from([4, 8]),
    d_ff=st.integers(12, 60),
    tokens=st.floats(2e10, 3e11),
)
def test_predict_and_recommend_of_a_space_of_one_shape(
    options, layers, width, group, kv_heads, d_ff, tokens
):
    model = llama_candidate(layers, width * 128, group * kv_heads, kv_heads, 64, d_ff * 128)
    found = asked(model, options | {"tokens": tokens})
    if found is None:
        return
    r, x = model.mlp_attn_ratio, model.d_over_sqrt_n
    space = {
        "layers": (layers,),
        "head_dim": (64,),
        "gqa": (group,),
        "mlp_attn_ratio": (r * 0.999, r * 1.001),
        "d_over_sqrt_n": (x * 0.999, x * 1.001),
        "tolerance": 1e-6,
        "max_loss": 20.0,
        "confidence": 0.0,
    }
    try:
        answer = pl.recommend(model.n_params_non_embedding, tokens, **options, **space)
    except Infeasible as error:
        raise AssertionError(str(error)) from error
    pick = answer.picks["fastest"]
    if pick.name == "fastest" and pick.d_ff == model.d_ff and pick.d_model == model.d_model:
        same(found, pick.metrics, [n for n in METRICS if n != "lifetime_usd"])
    (front,) = answer.pareto
    assert (front.d_model, front.n_heads, front.d_ff) == (model.d_model, model.n_heads, model.d_ff)
    if "batch" not in options:  # the front is ranked, and shown, by the closed form
        return
    same(found, front.metrics, [n for n in METRICS if n != "lifetime_usd"])
    view = ui.answer(answer.inputs)  # the page with sliders
    same(found, view.result.pareto[0].metrics, [n for n in METRICS if n != "lifetime_usd"])


@FEW
@given(options=scenarios(kinds=("batch", "concurrency")), model=st.sampled_from(MODELS[:2]))
def test_predict_and_validate(options, model):
    options = options | {"replicas": 1}
    kept = options.get("concurrency")
    options |= {"requests": 10 * kept} if kept else {}
    found = asked(model, options)
    row = {
        "model": model,
        "gpu": options["on"],
        "engine": options["engine"].removesuffix("-0.6"),
        "engine_version": "0.6" if options["engine"].endswith("-0.6") else "",
        "tp": str(options["tp"]),
        "dtype": "bfloat16",
        "kv_dtype": options["kv_dtype"] or "",
        "max_num_seqs": str(options["max_num_seqs"]),
        "arrival": "closed" if kept else "batch",
        "concurrency": str(kept or options["batch"]),
        "n_requests": str(10 * kept) if kept else "",
        "input_tokens": str(options["input_tokens"]),
        "output_tokens": str(options["output_tokens"]),
        "ttft_mean_s": "1.0",
        "tpot_mean_s": "1.0",
        "e2e_mean_s": "1.0",
        "output_tokens_per_s": "1.0",
    }
    runs, unread = runs_of(Sheet.of([row], Path("runs.csv")))
    assert not unread
    lines = {x.metric: x for x in validate_runs(runs, "one row").lines}
    names = {"ttft_mean_s": "ttft_s", "tpot_mean_s": "tpot_s", "e2e_mean_s": "e2e_s"}
    for column, name in (names | {"output_tokens_per_s": "output_tokens_per_s"}).items():
        line = lines[column]
        if found is None:
            assert line.refused
            continue
        assert line.row == 1 and line.measured == 1.0
        for part, value in (("value", line.predicted), ("low", line.low), ("high", line.high)):
            assert math.isclose(getattr(found[name], part), value, rel_tol=1e-9), (name, part)
