"""Predictions: columns equal scalars, guards widen and never narrow, ties are called ties."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_calibration.plan.settle import runs_that_settle

from planner.equation import evaluation
from planner.errors import Infeasible, SpecError, UnknownName
from planner.inputs.law import default_law, law_names, load_law
from planner.inputs.loading import load_model
from planner.interval import ENDS, INTERVAL, Z
from planner.law.accuracy import NINE_TASKS, accuracy, accuracy_draws
from planner.law.ask import compute_optimal, inference_aware, shape_cost, sure
from planner.law.columns import NDefinition, Shapes
from planner.law.compare import compare, loss_draws, p_at_most, quality
from planner.law.evidence import GUARDS, warnings, widening_sd
from planner.law.law import n_of, predict_loss, shapes, switched
from planner.law.posterior import draw_law
from planner.law.terms import SWITCHES, TERMS
from planner.law.terms.depth import (
    best_aspect,
    best_depth,
    best_width,
    evidence_depth,
    field_depths,
    reference_depth,
)
from planner.law.terms.experts import ln_expert_factor
from planner.law.terms.head_size import reference_head_dim
from planner.law.terms.precision import ln_training_bits_factor
from planner.law.terms.reference import reference_loss
from planner.law.terms.repeated_data import effective_params, effective_tokens
from planner.law.terms.shape import phi
from planner.scenario.evaluate import Evaluation
from planner.scenario.scenario import Resolved, conditions

LAW = load_law("bian-1b").columns()


def at(**change: float) -> Shapes:
    base = {"n": 1e9, "n_tokens": 1e11, "x": 0.074, "r": 1.2}
    base["n_layers"] = float(evidence_depth(change.get("n", 1e9)))
    base |= {"head_dim": 64.0}
    return Shapes(**{k: np.array([v]) for k, v in (base | change).items()})


@given(st.floats(1e-3, 1e3))
def test_phi_is_never_negative_and_zero_only_at_one(u: float) -> None:
    """Ln u + 1/u - 1 >= 0."""
    assert phi(u) >= -1e-15
    if abs(u - 1) > 1e-3:
        assert phi(u) > 0


@given(st.floats(8e7, 3e9), st.floats(1e9, 1e12), st.floats(0.04, 0.14), st.floats(0.5, 5))
def test_loss_falls_with_n_and_with_tokens_and_a_column_equals_a_scalar(
    n: float, tokens: float, x: float, r: float
) -> None:
    """More of either never hurts; row by row equals all at once."""
    one = predict_loss(LAW, Shapes(n, tokens, x, r))
    column = predict_loss(
        LAW, Shapes(np.array([n, 1.5 * n, n]), np.array([tokens, tokens, 2 * tokens]), x, r)
    )
    assert column[0] == pytest.approx(one, rel=1e-14)
    assert column[1] < column[0] > column[2]


def test_the_best_shape_is_the_reference_and_every_other_costs() -> None:
    """At x_opt, r_opt the multiplier is exactly 1."""
    best = predict_loss(LAW, at(x=best_width(LAW, 1e9), r=LAW.r_opt))
    assert best == pytest.approx(reference_loss(LAW, 1e9, 1e11), rel=1e-14)
    assert predict_loss(LAW, at(x=0.05)) > best < predict_loss(LAW, at(r=5.0))


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("mlp-attn-ratio", {"r": 9.0}),
        ("width", {"x": 0.2}),
        ("tokens-per-param", {"n_tokens": 2e12}),
        ("size", {"n": 2e10, "n_tokens": 1e12}),
        ("depth", {"n_layers": 120.0}),
        ("gqa", {"gqa": 16.0}),
    ],
)
def test_outside_the_evidence_a_named_warning_and_a_wider_interval(
    code: str, change: dict[str, float]
) -> None:
    """Inside there is neither."""
    assert not warnings(LAW, at())
    assert widening_sd(LAW, at())[0] == 0
    outside = at(**change)
    assert code in [w.code for w in warnings(LAW, outside)]
    inside = loss_draws(LAW, at(), 4000, noise=False).std()
    assert widening_sd(LAW, outside)[0] > 0 or loss_draws(LAW, outside, 4000).std() > inside


def test_what_leaves_the_evidence_for_all_shapes_alike_cancels_between_them() -> None:
    """At 1B and 10T tokens two shapes share most of their doubt; 0.013 nats are each one's own."""
    pair = replace(at(n_tokens=1e13), x=np.array([0.074, 0.065]), r=np.array([1.2, 4.8]))
    draws = loss_draws(LAW, pair, 4000, noise=False)
    assert draws.std(axis=0).min() > 0.03
    assert np.std(draws[:, 0] - draws[:, 1]) < 0.01
    assert widening_sd(LAW, pair)[0] == pytest.approx(0.003 * (np.log(1e4 / 110) - 0.02))


def test_common_error_cancels_between_variants_of_one_size() -> None:
    """At 8B the loss is unsure by tenths, the difference of two shapes by hundredths."""
    pair = replace(at(), n=np.full(2, 8e9), x=np.array([0.074, 0.065]), r=np.array([1.2, 1.2]))
    draws = loss_draws(LAW, pair, 4000)
    assert np.std(draws[:, 0] - draws[:, 1]) < 0.7 * np.std(draws[:, 0])


def test_draws_repeat_by_seed_and_the_interval_holds_the_value() -> None:
    """Same seed, same draws; low <= value <= high."""
    np.testing.assert_array_equal(loss_draws(LAW, at(), 50), loss_draws(LAW, at(), 50))
    q = quality(LAW, at(n=2e10))
    assert q.low <= q.value <= q.high


def test_ties_are_called_by_size_and_by_doubt() -> None:
    """Under 0.01 nats, or less than 90 % sure."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.001, 1000)
    assert compare(2.600 + noise, np.full(1000, 2.605)).tie
    assert not compare(2.600 + noise, np.full(1000, 2.62)).tie
    assert compare(2.600 + 40 * noise, np.full(1000, 2.62)).tie
    assert p_at_most(np.array([[1.0, 3.0]] * 4), 2.0).tolist() == [1.0, 0.0]


def test_gqa_is_doubt_and_never_a_benefit() -> None:
    """The mean does not move; the spread grows away from the evidence's group size."""
    assert predict_loss(LAW, at(gqa=16.0)) == predict_loss(LAW, at())
    two = replace(at(), x=np.array([0.074, 0.074]), gqa=np.array([4.0, 9.0]))
    spread = loss_draws(LAW, two, 4000, noise=False).std(axis=0)
    assert spread[1] > spread[0]


def test_the_reference_depth_and_head_size_are_the_papers() -> None:
    """16 layers and 64 at 1B, 28 and 128 at 3B."""
    assert reference_depth(0.973e9) == reference_depth(1e9) == 16
    assert reference_depth(2.8186e9) == 28
    assert 28 <= reference_depth(3e9) <= 29
    assert reference_head_dim(1e9) == 64
    assert reference_head_dim(3e9) == 128
    assert np.all(np.diff(reference_depth(np.geomspace(1e7, 1e12, 60))) >= 0)


def test_depth_is_neutral_at_the_reference_and_acts_beside_it() -> None:
    """At the reference depth it changes nothing; deeper is better until too deep.

    Width keeps its ratio to the inner width, so the best d_model shrinks as layers grow.
    """
    layers = float(evidence_depth(1e9))
    plain = predict_loss(LAW, Shapes(1e9, 1e11, 0.074, 1.2))
    assert predict_loss(LAW, at(n_layers=layers)) == pytest.approx(plain, rel=1e-14)
    shallow, deep, deepest = (
        predict_loss(LAW, at(n_layers=k, x=0.074 * (layers / k) ** 0.5))[0]
        for k in (4.0, 28.0, 300.0)
    )
    assert deep < plain < deepest
    # The audit: four layers at 1B cost 0.12 to 0.23 nats against the depths around the reference.
    assert 0.1 < shallow - plain < 0.25


@pytest.mark.parametrize(("n", "layers"), [(1e8, 18), (1e9, 32), (7e9, 32), (7e10, 80)])
def test_the_field_lies_within_two_sd_of_the_depth_the_law_thinks_best(
    n: float, layers: int
) -> None:
    """What well-tuned families chose, within the prior's own spread; it was 204 layers at 70B."""
    drawn = best_depth(draw_law(LAW, n, 4000), n)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert low < layers < high
    few, many = field_depths(n)
    assert few < layers < many
    assert best_depth(LAW, n) < many


def test_the_best_aspect_grows_with_size_as_published() -> None:
    """R* = 60 (N / 1B)^0.12: half way between sweeps and the field."""
    assert best_aspect(LAW, 1e9) == 60
    assert best_aspect(LAW, 7e10) == pytest.approx(60 * 70**0.12)


def test_corrections_compose_on_effective_parameters() -> None:
    """Two factors act as their product on N."""
    experts, excess = ln_expert_factor(8.0), 1e9
    routed = at(x=best_width(LAW, 1e9), r=LAW.r_opt, n_experts=8.0)
    moved = predict_loss(switched(LAW, unique_tokens=excess), routed)
    wanted = (LAW.alpha * LAW.A / (LAW.beta * LAW.B)) ** (1 / LAW.alpha) * excess ** (
        LAW.beta / LAW.alpha
    )
    n = np.exp(experts) * effective_params(1e9, wanted)
    fresh = effective_tokens(1e11, excess)
    assert moved == pytest.approx(reference_loss(LAW, n, fresh), rel=1e-12)
    assert ln_expert_factor(1.0) == pytest.approx(0.0, abs=1e-12)
    assert ln_training_bits_factor() == 0.0
    assert ln_training_bits_factor(weight_bits=4.0) < 0


def test_a_term_of_any_kind_is_on_when_asked_and_refused_by_another_name() -> None:
    """Every switch moves the loss; zero is off; a wrong name is answered with the nearest."""
    seen = at(n_layers=28.0, head_dim=32.0)
    asked = {"training_bits": 4, "quantised_bits": 4}
    asked |= {"unique_tokens": 1e9}
    assert set(asked) == set(SWITCHES)
    for name, value in asked.items():
        assert predict_loss(switched(LAW, **{name: value}), seen) != predict_loss(LAW, seen)
        assert switched(LAW, **{name: 0}) == switched(LAW, **{name: None}) == LAW
    with pytest.raises(UnknownName, match="training_bit"):
        switched(LAW, training_bit=4)
    with pytest.raises(SpecError, match="training_bits"):
        switched(LAW, training_bits=64)


def test_what_only_a_terms_file_knows_is_drawn_where_it_acts() -> None:
    """The power of experts widens a routed model's interval and leaves a dense one's alone."""
    routed, dense = at(n_experts=8.0), at()
    drawn = draw_law(LAW, 1e9, 4000)
    fixed = replace(drawn, drawn={"misfit_rest": drawn.drawn["misfit_rest"]})
    assert predict_loss(drawn, routed).std() > predict_loss(fixed, routed).std()
    np.testing.assert_array_equal(predict_loss(drawn, dense), predict_loss(fixed, dense))


def test_every_coefficient_states_its_prior_and_every_guard_its_own_code() -> None:
    """Names are used once; a law's own numbers are fields of its columns."""
    coefficients = [c for term in TERMS for c in term.coefficients]
    assert len({c.name for c in coefficients}) == len(coefficients)
    assert all(c.words and c.source and c.sd >= 0 for c in coefficients)
    assert all(np.isfinite(c.of(LAW)) for c in coefficients)
    assert len({g.code for g in GUARDS}) == len(GUARDS)


def test_the_interval_holds_eight_in_ten_draws() -> None:
    """One home for the interval: its share, its ends and its normal quantile agree."""
    low, high = np.quantile(loss_draws(LAW, at(), 20_000, seed=1), ENDS)
    fresh = loss_draws(LAW, at(), 20_000, seed=2)
    assert np.mean((fresh >= low) & (fresh <= high)) == pytest.approx(INTERVAL, abs=0.015)
    assert math.erf(Z / 2**0.5) == pytest.approx(INTERVAL, abs=1e-12)


@pytest.mark.parametrize("model", ["llama-3.2-1b", "surefire-3b", "mixtral-8x7b"])
def test_the_search_explain_and_law_ask_read_one_loss(model: str) -> None:
    """To 1e-9, off the reference depth too."""
    arch = load_model(model).arch()
    law = load_law("bian-1b").columns()
    resolved = Resolved.of(conditions(law="bian-1b", tokens=1e11), 1e9)
    one = float(Evaluation(resolved, arch)["loss"])
    steps = evaluation("loss", law, arch, 1e11)  # what `planner explain loss` prints
    assert next(reversed(steps.values())) == pytest.approx(one, rel=1e-9)
    assert predict_loss(law, shapes(law, arch, 1e11)) == pytest.approx(one, rel=1e-9)
    best = reference_loss(law, n_of(law, arch), 1e11)
    assert float(best) + shape_cost(law, shapes(law, arch, 1e11)).nats == pytest.approx(
        one, rel=1e-9
    )


def test_accuracy_falls_with_loss_and_stays_a_share() -> None:
    """Chance at worst; draws within [0, 1]; another corpus is less sure."""
    loss = np.linspace(1.5, 6.0, 40)
    acc = accuracy(NINE_TASKS, loss)
    assert np.all(np.diff(acc) < 0)
    assert acc[-1] > 0.25
    draws = accuracy_draws(NINE_TASKS, np.tile(loss, (500, 1)))
    other = accuracy_draws(NINE_TASKS, np.tile(loss, (500, 1)), other_data=True)
    assert draws.min() >= 0
    assert other.std() > 0
    assert other[:, 10].std() > draws[:, 10].std()


def test_table_1_accuracy_within_its_prediction_interval() -> None:
    """Residual sd 0.48 points: all seven within 1.2 of the link (Bian et al., Table 1)."""
    loss = np.array([2.803, 2.782, 2.804, 2.625, 2.619, 2.620, 2.606])
    acc = np.array([54.9, 57.0, 55.4, 61.9, 62.5, 62.6, 62.5])
    assert np.abs(100 * accuracy(NINE_TASKS, loss) - acc).max() < 1.2


def test_the_inference_aware_model_is_smaller_trains_longer_and_costs_less() -> None:
    """Sardana et al. 2024: no inference gives the training optimum; more inference shrinks N."""
    law = load_law("besiroglu-2024").columns()
    n0, d0 = compute_optimal(law, 1e22)
    loss = float(reference_loss(law, n0, d0))
    n, d = inference_aware(law, loss, 0.0)
    assert n == pytest.approx(n0, rel=1e-6)
    served, tokens = inference_aware(law, loss, 1e13)
    assert served < n
    assert tokens > d
    assert 6 * served * tokens + 2 * served * 1e13 < 6 * n * d + 2 * n * 1e13
    beside = [(k * served) for k in (0.9, 1.1)]
    for size in beside:
        left = loss - law.E - law.A * size**-law.alpha
        more = (law.B / left) ** (1 / law.beta)
        assert 6 * size * more + 2 * size * 1e13 > 6 * served * tokens + 2 * served * 1e13


def test_a_loss_below_the_floor_is_infeasible() -> None:
    """The message names the floor."""
    with pytest.raises(Infeasible, match="floor"):
        inference_aware(LAW, 1.5, 1e12)


def test_a_worse_shape_is_priced_in_tokens_and_parameters() -> None:
    """The price buys back exactly the loss."""
    s = at(x=0.0579, r=3.0, n=2.82e9)
    cost = shape_cost(LAW, s)
    assert cost.nats > 0.01
    again = predict_loss(LAW, replace(s, n_tokens=s.n_tokens * cost.tokens_factor))[0]
    assert again == pytest.approx(reference_loss(LAW, 2.82e9, 1e11), rel=1e-9)
    assert reference_loss(LAW, 2.82e9 * cost.params_factor, 1e11) == pytest.approx(
        predict_loss(LAW, s)[0], rel=1e-9
    )


def test_how_sure_and_what_would_settle_it() -> None:
    """A shape against itself is an even bet; three runs narrow, in order, and differ in size never."""
    a, b = at(x=0.0579, r=3.0), at()
    assert sure(LAW, a, a).p_better == pytest.approx(0.5, abs=0.03)
    assert sure(LAW, b, a).p_better > 0.8
    runs = runs_that_settle(LAW, a, b)
    assert len(runs) == 3
    assert runs[0].sd_before > runs[0].sd_after >= runs[1].sd_after >= runs[2].sd_after
    with pytest.raises(SpecError, match="differ in size"):
        runs_that_settle(LAW, a, at(n=2e9))


def test_every_preset_says_what_it_counts_and_where_it_comes_from() -> None:
    """N definition, range, licence and source on every law; mixing is refused."""
    assert len(law_names()) >= 15
    for name in law_names():
        law = load_law(name)
        assert law.name == name
        assert law.source
        assert law.licence
        q = quality(law.columns(), at(), 200)
        assert np.isfinite([q.value, q.low, q.high]).all()
    with pytest.raises(SpecError, match="N is total"):
        NDefinition.NON_EMBEDDING.require(NDefinition.TOTAL, where="x")


def test_the_default_averages_the_published_sets_and_says_so() -> None:
    """One law at every size: 2.8 % more parameters never raise the loss; the file is what is computed."""
    from planner_calibration.fit.law.average import average

    law, why = default_law()
    assert "bian-80m-297m, bian-80m-1b, bian-1b averaged" in why
    n = np.geomspace(1e8, 1e10, 400)
    best = predict_loss(law.columns(), Shapes(n, 1e11, 0.074, 1.2))
    assert np.all(np.diff(best) < 0)
    again = average()
    assert pytest.approx(law.reference.E, rel=1e-6) == again.reference.E
    np.testing.assert_allclose(again.covariance, law.covariance, rtol=1e-4, atol=1e-7)


def test_corrections_are_switches_on_a_model() -> None:
    """Experts help, few bits and repeated data hurt, and each is named or asked for."""
    from planner.columns import Arch

    law = LAW
    dense = Arch(16.0, 2048.0, 32.0, 8.0, 64.0, 8192.0, 128256.0)
    plain = predict_loss(law, shapes(law, dense, 1e11))
    routed = replace(dense, n_experts=8.0)
    assert predict_loss(law, shapes(law, routed, 1e11)) < plain
    assert "experts" in [w.code for w in warnings(law, shapes(law, routed, 1e11))]
    assert "other-data" in [
        w.code for w in warnings(law, shapes(law, dense, 1e11), data="my web crawl")
    ]
    for worse in ({"training_bits": 4.0}, {"quantised_bits": 4.0}, {"unique_tokens": 5e9}):
        assert predict_loss(switched(law, **worse), shapes(law, dense, 1e11)) > plain


def test_runs_at_sizes_the_law_knows_tell_nothing_new() -> None:
    """Fitted at 971M, asked about 3B: the drift between is the doubt, so the runs are larger."""
    a, b = at(n=2.9e9, x=0.0579, r=3.0), at(n=2.9e9)
    runs = runs_that_settle(LAW, a, b)
    assert runs[0].n > 1.2e9
    assert runs[-1].sd_after < 0.75 * runs[0].sd_before


def test_an_additive_laws_shape_is_priced_by_nats() -> None:
    """The tokens named buy back exactly the loss there too."""
    law = replace(LAW, additive=1.0, k_x=0.3, k_r=0.03)
    s = at(x=0.06, r=3.0)
    cost = shape_cost(law, s)
    again = predict_loss(law, replace(s, n_tokens=s.n_tokens * cost.tokens_factor))[0]
    assert again == pytest.approx(reference_loss(law, 1e9, 1e11), rel=1e-9)


def test_where_depth_may_change_the_answer_says_what_that_rests_on_and_is_less_sure() -> None:
    """Any depth but the reference one is named."""
    from planner.columns import Arch

    arch = Arch(18.0, 2048.0, 32.0, 8.0, 64.0, 7168.0, 128256.0)
    assert "depth-term" in [w.code for w in warnings(LAW, shapes(LAW, arch, 1e11))]
    same = replace(arch, n_layers=16.0, d_ff=8192.0)
    assert "depth-term" not in [w.code for w in warnings(LAW, shapes(LAW, same, 1e11))]
    beside = loss_draws(LAW, at(n_layers=28.0), 4000)
    assert beside.std() > 1.3 * loss_draws(LAW, at(), 4000).std()


def test_three_billion_within_a_searchs_tolerance_is_inside_the_evidence() -> None:
    """A budget of 3B is met within a percent: 3.02B earns no warning, 3.2B does."""
    assert "size" not in [w.code for w in warnings(LAW, at(n=3.03e9))]
    assert "size" in [w.code for w in warnings(LAW, at(n=3.2e9))]
