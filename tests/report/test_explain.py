"""Derivations add up, closed forms are the published ones, comparisons name the operator."""

import numpy as np
import pytest
import sympy

from planner.equation import derivation, evaluation
from planner.errors import SpecError, UnknownName
from planner.inputs.loading import load_model
from planner.inputs.workload import WorkloadSpec
from planner.questions.predict import predict
from planner.report.asked import evaluations, models, resolved
from planner.report.explain import arguments
from planner.report.explain.closed import CLOSED, closed_form
from planner.report.explain.compare import compare_shapes
from planner.report.explain.derive import derive, quantities
from planner.report.explain.render import as_json, as_latex, closed_latex, formula
from planner.scenario.scenario import Resolved, conditions

MAIN = (
    "tpot_s",
    "ttft_s",
    "idle_ttft_s",
    "decode_step_s",
    "loss",
    "max_concurrency",
    "weight_bytes",
    "n_params",
    "accuracy",
)


@pytest.fixture(scope="module")
def shapes(recommended):
    return evaluations(models(recommended), resolved(recommended))


@pytest.fixture(scope="module")
def fastest(shapes):
    return shapes["fastest"]


def presets(*names, on="a100-sxm-40gb", **more):
    known = {name: load_model(name) for name in names}
    size = known[names[0]].n_params_non_embedding
    return evaluations(known, Resolved.of(conditions(on=on, **more), size))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in ("ttft_s", "tpot_s"))) for n in MAIN],
)
def test_every_line_computes_its_own_value(name, fastest):
    """The printed formula of a step, at the printed values of its terms, gives its printed value."""
    phase = "decode"
    name = arguments.equation_of(name)
    like = arguments.values_of(name, arguments.numbers(fastest, phase))
    symbolic, env = arguments.symbols(name, like)
    values = evaluation(name, *like) | env
    for label, expression in derivation(name, *symbolic).items():
        if label == "placed_burst_ttft_s.rounds":
            continue  # counted out for numbers: no formula gives more than what it comes to
        expression = sympy.sympify(expression)
        names = sorted(expression.free_symbols, key=str)
        names = [sympy.Symbol(str(s), positive=True) for s in names]
        compiled = sympy.lambdify(names, expression, "numpy")
        got = compiled(*(float(values[str(s)]) for s in names))
        assert float(got) == pytest.approx(float(values[label]), rel=1e-9), label


@pytest.mark.parametrize("name", ["decode_step_s", "loss"])
def test_terms_of_a_sum_have_shares_that_add_up(name, fastest):
    d = derive(name, fastest)
    shares = {s.name: s.share for s in d.steps}
    if name == "decode_step_s":
        step = next(s for s in d.steps if s.name.startswith("device_s"))
        parts = [shares[str(t)] for t in step.formula.free_symbols if str(t) in shares]
        assert sum(parts) == pytest.approx(step.share, rel=1e-3)
    assert shares[d.steps[0].name] == pytest.approx(1.0)


def test_prefill_and_decode_are_told_apart(fastest):
    steps = [s.name for s in derive("output_tokens_per_s", fastest).steps]
    assert "step_s[prefill]" in steps and "step_s[decode]" in steps
    assert len(steps) == len(set(steps))


def test_the_result_is_what_the_result_file_says(fastest, recommended):
    top = derive("output_tokens_per_s", fastest).steps[0]
    told = recommended.picks["fastest"].output_tokens_per_s.value
    assert top.value == pytest.approx(told, rel=1e-9)
    loss = derive("loss", fastest).steps[0]
    assert loss.value == pytest.approx(recommended.picks["fastest"].loss.value, abs=1e-9)


LOADS = [{"batch": 16}, {"batch": 400}, {"concurrency": 16}, {"burst": 8},
         {"concurrency": 16, "n_requests": 64}]  # fmt: skip


@pytest.mark.parametrize("load", LOADS, ids=str)
def test_a_metric_is_derived_by_the_equation_of_its_kind_of_workload(load):
    """Equation and the metric itself give one number; of a batch, the prediction is that, too."""
    result = predict("llama-3.2-1b", on="h100-sxm", tp=2, workload=WorkloadSpec(**load))
    (at,) = evaluations(models(result), resolved(result)).values()
    for name in at.resolved.kind.equations:
        if (told := result.candidate.metrics[name]) is not None:
            equation = arguments.equation_of(name, at.resolved.kind)
            *_, top = evaluation(
                equation, *arguments.values_of(equation, arguments.numbers(at, "decode"))
            ).values()
            if "batch" in load:  # where requests arrive, the prediction is the simulation's
                assert top == pytest.approx(told.value, rel=1e-9), name
            assert top == pytest.approx(float(at[name]), rel=1e-9), name


def test_a_metric_without_one_formula_says_so():
    result = predict("llama-3.2-1b", rate="0.5/s")
    (at,) = evaluations(models(result), resolved(result)).values()
    with pytest.raises(SpecError, match="no one formula") as error:
        derive("ttft_s", at)
    assert "idle_ttft_s" in error.value.hint
    assert derive("idle_ttft_s", at).steps[0].value == pytest.approx(float(at["idle_ttft_s"]))


@pytest.mark.slow
def test_every_quantity_has_a_derivation():
    """All of the model reads as algebra, not only what someone thought of printing."""
    names = quantities()
    assert len(names) > 60
    for name in names:
        assert derive(name).steps


def test_the_papers_optima_are_solved_and_not_typed():
    a1, a2, b1, b2 = sympy.symbols("a1 a2 b1 b2", positive=True)
    assert closed_form("x_opt").solution == a2 / a1
    assert closed_form("r_opt").solution == b2 / b1
    fastest = presets("surefire-1b", law="bian-1b")["surefire-1b"]
    assert closed_form("x_opt", fastest).value == pytest.approx(0.074, abs=5e-4)
    assert closed_form("r_opt", fastest).value == pytest.approx(1.22, abs=5e-3)


def test_the_ridge_of_an_a100(fastest):
    """312 TFLOP/s over 1.555 TB/s, as its datasheet has them."""
    assert closed_form("ridge_point", fastest).value == pytest.approx(312e12 / 1.555e12)


def test_at_the_crossover_cache_and_weights_are_read_alike(fastest):
    c = closed_form("kv_crossover_context", fastest)
    v = c.values
    assert v["batch"] * c.value * v["kv_bytes_per_token"] == pytest.approx(v["weight_bytes"])


def test_at_the_compute_bound_batch_both_times_are_equal(fastest):
    c = closed_form("compute_bound_batch", fastest)
    at = {s: c.values[str(s)] for s in c.asked.free_symbols if str(s) in c.values}
    batch = next(s for s in c.asked.free_symbols if str(s) == "batch")
    left, right = (side.subs(at | {batch: c.value}) for side in (c.asked.lhs, c.asked.rhs))
    assert float(left) == pytest.approx(float(right), rel=1e-9)


def test_gqa_saves_all_but_one_group_of_the_cache(fastest):
    c = closed_form("gqa_saving", fastest)
    v = c.values
    cache = v["batch"] * v["context"] * v["kv_bytes_per_token"]
    without = v["weight_bytes"] + cache * v["gqa"]
    assert c.value == pytest.approx(1 - (v["weight_bytes"] + cache) / without, rel=1e-6)


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_closed_forms_are_written_in_latex(name):
    text = closed_latex(closed_form(name))
    assert text.startswith("\\begin{align*}") and text.count("{") == text.count("}")


def test_latex_uses_the_glossarys_symbols():
    text = as_latex(derive("loss"))
    assert r"L_{ref}" in text and r"^{- \alpha}" in text
    assert text.count("{") == text.count("}")


def test_json_is_plain(fastest):
    import json

    plain = json.loads(json.dumps(as_json(derive("loss", fastest))))
    assert plain["steps"][0]["name"] == "loss" and plain["inputs"]


def test_formulas_have_no_noise():
    x = sympy.Symbol("x", positive=True)
    assert formula(1.0 * x) == "x"
    assert formula(2.0 * x + 0.5) == "0.5 + 2*x"


def test_unknown_names_get_a_suggestion(fastest):
    with pytest.raises(UnknownName) as error:
        derive("tpot")
    assert "tpot_s" in error.value.hint
    with pytest.raises(UnknownName):
        closed_form("ridge")


def test_a_comparison_names_the_operator_that_got_cheaper():
    """Surefire-1B reads half the cache of Llama-3.2-1B: 4 KV heads against 8."""
    at = presets("surefire-1b", "llama-3.2-1b")
    v = compare_shapes("surefire-1b", "llama-3.2-1b", at)
    assert v.operators[0].name == "attention_decode"
    assert v.operators[0].a_s < v.operators[0].b_s
    assert "faster" in v.sentences[0] and "0.500 ×" in v.sentences[1]
    assert any("tie" in s for s in v.sentences)


def test_comparing_the_other_way_round_says_the_opposite():
    at = presets("surefire-1b", "llama-3.2-1b")
    v = compare_shapes("llama-3.2-1b", "surefire-1b", at)
    assert "slower" in v.sentences[0] and "costs" in v.sentences[1]
    back = compare_shapes("surefire-1b", "llama-3.2-1b", at)
    sums = [sum(o.a_s for o in x.operators) for x in (v, back)]
    assert np.isclose(sums[0], sum(o.b_s for o in back.operators))
