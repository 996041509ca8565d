"""The law against what it was made of, and its intervals against fresh draws of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from planner_calibration.plan import settle

from planner.inputs.law import default_law, law_names, load_law
from planner.interval import ENDS, INTERVAL
from planner.law.accuracy import TASKS, accuracy
from planner.law.columns import Shapes
from planner.law.compare import compare, loss_draws, quality
from planner.law.law import predict_loss
from planner.law.terms.depth import reference_depth
from planner.law.terms.experts import E_MAX, E_START, effective_experts, ln_expert_factor
from planner.law.terms.head_size import head_multiplier

LAW = default_law()[0].columns()
TWO = Shapes(n=np.full(2, 1e9), n_tokens=1e11, x=np.array([0.07, 0.11]), r=np.array([1.2, 3.0]))


@pytest.mark.parametrize("name", law_names())
def test_the_pivot_of_a_law_lies_amid_its_evidence(name):
    law = load_law(name)
    low, high = law.evidence.n
    assert low <= law.columns().pivot[0] <= high


@pytest.mark.parametrize("name", law_names())
def test_a_law_passes_through_its_own_anchors(name):
    """At the best shape, at their size and tokens, trained models have the loss they were measured at."""
    law = load_law(name)
    for a in law.anchors:
        best = Shapes(n=a.n, n_tokens=a.n_tokens, x=law.columns().x_opt, r=law.columns().r_opt)
        assert float(predict_loss(law.columns(), best)) == pytest.approx(a.loss, abs=3 * a.sd)


def test_an_interval_of_loss_holds_four_in_five_fresh_draws():
    found = quality(LAW, TWO, 4000, seed=1)
    fresh = loss_draws(LAW, TWO, 4000, seed=2)
    held = np.mean((fresh >= found.low) & (fresh <= found.high), axis=0)
    assert held == pytest.approx(np.full(2, INTERVAL), abs=0.03)
    below, above = np.mean(fresh < found.low, axis=0), np.mean(fresh > found.high, axis=0)
    assert below == pytest.approx(np.full(2, ENDS[0]), abs=0.03)
    assert above == pytest.approx(np.full(2, ENDS[0]), abs=0.03)
    assert np.all((found.low < found.value) & (found.value < found.high))


def test_an_interval_of_a_difference_holds_four_in_five_fresh_draws():
    draws, fresh = loss_draws(LAW, TWO, 4000, seed=1), loss_draws(LAW, TWO, 4000, seed=2)
    found = compare(draws[:, 0], draws[:, 1])
    difference = fresh[:, 0] - fresh[:, 1]
    assert np.mean(difference < found.low) == pytest.approx(ENDS[0], abs=0.03)
    assert np.mean(difference > found.high) == pytest.approx(ENDS[0], abs=0.03)
    assert found.p_better == pytest.approx(np.mean(difference < 0), abs=0.03)


@pytest.mark.parametrize(("task", "choices"), [
    ("arc-easy", 4), ("arc-challenge", 4), ("hellaswag", 4), ("openbookqa", 4), ("piqa", 2), ("winogrande", 2),
])  # fmt: skip
def test_without_a_clue_a_task_is_answered_by_chance(task, choices):
    """Error at chance is (choices - 1) / choices; fits leave it free, and end within 0.12 of it."""
    assert 1 - float(accuracy(TASKS[task], 50.0)) == pytest.approx(1 - 1 / choices, abs=0.12)
    assert float(accuracy(TASKS[task], 0.5)) > 0.9 or task in ("openbookqa", "piqa")


def test_layers_grow_as_the_cube_root_of_small_models():
    """N = 12 L d², d a fixed multiple of L: an eighth of the parameters has half the layers."""
    assert float(reference_depth(1.1e8)) == pytest.approx(
        float(reference_depth(8.8e8)) / 2, rel=0.1
    )


@pytest.mark.parametrize(("head", "percent"), [(24.0, 3.3), (60.0, 0.3)])
def test_small_heads_cost_what_the_sweep_says(head, percent):
    """Gadre et al. 2024: +3.3 % at heads of 20 to 28, +0.3 % at 50 to 70, against 96 and more."""
    assert 100 * (float(head_multiplier(LAW, head, 128.0)) - 1) == pytest.approx(percent, rel=0.25)
    small, large = (replace(TWO, head_dim=h) for h in (32.0, 128.0))
    assert np.all(predict_loss(LAW, small) > predict_loss(LAW, large))


def test_one_expert_is_a_dense_model_and_more_are_worth_ever_less():
    """The count saturates: Clark et al. 2022."""
    assert float(ln_expert_factor(1.0)) == pytest.approx(0.0, abs=1e-12)
    counts = np.array([effective_experts(n) for n in (1, 8, 64, 512, 1e9)])
    assert np.all(np.diff(counts) > 0) and counts[-1] == pytest.approx(E_MAX, rel=1e-3)
    assert counts[0] == pytest.approx(E_START)
    assert counts[2] / counts[1] > counts[3] / counts[2]  # eight times as many, each time


@pytest.mark.parametrize("other", [(0.12, 4.0), (0.09, 2.0)])
def test_the_run_that_settles_most_is_the_one_that_trying_all_finds(other):
    """Each shape of the grid tried alone: none leaves less variance than the one recommended."""
    a, b = (Shapes(n=1e9, n_tokens=1e11, x=x, r=r) for x, r in ((0.06, 1.0), other))
    share, n_draws = 0.5, 2000
    (best,) = settle._best_runs(LAW, a, b, share, 1, n_draws, 0)
    full, there = settle._laws_at(LAW, 1e9, 1e9 * share, n_draws, 0)
    target = np.ravel(predict_loss(full, a) - predict_loss(full, b))
    left = {}
    xs = settle._spread_of(a.x, b.x, LAW.x_opt, LAW.x_low * 1.1, LAW.x_high * 0.9)
    rs = settle._spread_of(a.r, b.r, LAW.r_opt, LAW.r_low, LAW.r_high)
    for x, r in ((float(x), float(r)) for x in xs for r in rs):
        run = Shapes(n=5e8, n_tokens=5e10, x=x, r=r, gqa=LAW.gqa)
        ((var, cov), (_, own)) = np.cov(target, np.ravel(predict_loss(there, run)))
        left[x, r] = math.sqrt(max(var - cov**2 / (own + LAW.noise_sd**2), 0.0))
    assert best.sd_after == pytest.approx(min(left.values()), rel=1e-9)
    assert left[best.x, best.r] == pytest.approx(best.sd_after, rel=1e-9)
