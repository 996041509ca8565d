"""Shape fits: the published coefficients come back; priors hold what the data leave open."""

import numpy as np
import pytest
from planner_calibration.fit.law.conditional import PRIOR, fit_conditional, shape_effect
from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.update import update_law

from planner.errors import SpecError
from planner.inputs.law import load_law
from planner.law.columns import NDefinition

SIZES = ((8e7, 8e9, 3.80), (1.45e8, 14.5e9, 3.47), (2.97e8, 29.7e9, 3.17))
TRUE = np.log([0.0382, 0.0801, 0.0160, 1.032])  # k_x, x_opt, k_r, r_opt of the 80-297M set


def shapes(form: str = "multiplicative", noise: float = 0.0, per_size: int = 40) -> Runs:
    rng = np.random.default_rng(0)
    n, tokens, best = np.repeat(np.array(SIZES), per_size, axis=0).T
    x = np.exp(rng.uniform(np.log(0.045), np.log(0.14), len(n)))
    r = np.exp(rng.uniform(np.log(0.5), np.log(5), len(n)))
    effect = shape_effect(form, TRUE, x, r)
    loss = (best + effect if form == "additive" else best * effect) + rng.normal(0, noise, len(n))
    unknown, blank = np.full(len(n), np.nan), np.full(len(n), "")
    return Runs(
        n=n, n_tokens=tokens, loss=loss, shape=np.arange(len(n)), row=np.arange(2, len(n) + 2),
        n_definition=NDefinition.NON_EMBEDDING, n_layers=unknown, d_model=x * np.sqrt(n),
        head_dim=unknown, n_heads=unknown, n_kv_heads=unknown, r=r, x=x, n_experts=unknown, n_active_experts=unknown,
        run_id=blank, source=blank, dataset=blank,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["multiplicative", "additive"])
def test_each_form_gives_back_its_own_coefficients(form: str) -> None:
    """Clean data, no prior: four shape numbers and three best losses, exactly."""
    found = fit_conditional(shapes(form), form, n_starts=6)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.theta, TRUE, atol=1e-5)
    np.testing.assert_allclose(found.l_opt, [s[2] for s in SIZES], rtol=1e-6)


def test_the_non_separable_form_fits_separable_data_worse() -> None:
    """As in the paper: one curve in d r / sqrt(N) cannot follow two."""
    runs = shapes(noise=0.002)
    product = fit_conditional(runs, "multiplicative", n_starts=4)
    joint = fit_conditional(runs, "joint", n_starts=4)
    assert joint.rms > 3 * product.rms


def test_shapes_outside_the_r_rule_are_left_out_and_named() -> None:
    """R outside [0.5, 5] never reaches the fit; its rows are reported."""
    runs = shapes()
    runs.r[[4, 9]] = 8.0, 0.1
    runs.loss[[4, 9]] = 9.0
    found = fit_conditional(runs, n_starts=4)
    assert set(found.dropped) == {6, 11}
    np.testing.assert_allclose(found.theta, TRUE, atol=1e-5)


def test_few_shapes_are_refused_without_a_prior_and_fall_back_to_it_with_one() -> None:
    """Two runs a size say nothing about four numbers: the prior stays, and the fit says so."""
    few = shapes(per_size=2)
    with pytest.raises(SpecError, match="cannot set 4 shape coefficients"):
        fit_conditional(few)
    held = fit_conditional(few, prior=PRIOR, n_starts=3)
    assert "r_opt" in held.uninformed
    assert held.natural["r_opt"] == pytest.approx(1.12, rel=0.25)


def test_own_runs_move_the_law_toward_them_and_never_widen_it() -> None:
    """Runs made by another law: predictions there improve, and the report names what stayed."""
    from planner_calibration.fit.law.data import shapes_of

    from planner.law.law import predict_loss

    runs, spec = shapes(), load_law("bian-1b")
    some, rest = np.array([0, 50, 100]), np.array([7, 57, 107, 20, 60])
    moved = update_law(spec, runs[some])
    before = predict_loss(spec.columns(), shapes_of(runs[rest], spec.columns())) - runs.loss[rest]
    after = predict_loss(moved.law.columns(), shapes_of(runs[rest], spec.columns()))
    assert np.abs(after - runs.loss[rest]).mean() < 0.5 * np.abs(before).mean()
    assert moved.uninformed
    assert moved.informed
    assert moved.law.basis == "user"


def test_runs_that_count_parameters_otherwise_are_refused() -> None:
    """Exponents differ by half between definitions."""
    from dataclasses import replace

    runs = replace(shapes(), n_definition=NDefinition.TOTAL)
    with pytest.raises(SpecError, match="N is total, but the law counts non-embedding"):
        update_law(load_law("bian-1b"), runs, other_data=False)


def test_misfit_beyond_the_laws_noise_stays_in_the_moved_law() -> None:
    """Runs that scatter by 0.05 nats are not predicted to 0.015."""
    runs = shapes(noise=0.05)
    moved = update_law(load_law("bian-1b"), runs[np.arange(0, 120, 3)])
    assert 0.035 < moved.law.noise_sd < 0.07
    assert moved.law.columns().noise_sd == moved.law.noise_sd
