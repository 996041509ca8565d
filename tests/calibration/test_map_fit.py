"""Known constants come back within their stated errors; priors rule with one run, data with many."""

import numpy as np
import pytest
from planner_calibration.fit.map_fit import Prior, map_fit

from planner.errors import SpecError

TRUTH = np.array([3.0e-3, 0.62])  # an overhead in seconds, an efficiency
PRIORS = (Prior("overhead_s", 2e-3, 0.5), Prior("eff", 0.5, 0.3))


def runs(n, noise, seed=0, outliers=0):
    rng = np.random.default_rng(seed)
    work = np.geomspace(1e-4, 1e-1, n)
    log_time = np.log(TRUTH[0] + work / TRUTH[1]) + rng.normal(0, noise, n)
    log_time[:outliers] += 1.0
    return work, log_time


def fit_to(work, log_time, **options):
    return map_fit(lambda c: log_time - np.log(c[0] + work / c[1]), PRIORS, **options)


@pytest.mark.slow
def test_constants_come_back_within_their_stated_errors():
    """Over many synthetic campaigns the pull has unit spread: neither shy nor boastful."""
    pulls = []
    for seed in range(60):
        fit = fit_to(*runs(24, 0.03, seed), n_starts=4)
        pulls.append((fit.peak - np.log(TRUTH)) / np.sqrt(np.diag(fit.covariance)))
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert (spread > 0.7).all() and (spread < 1.35).all(), spread


def test_the_noise_itself_comes_back():
    fit = fit_to(*runs(400, 0.03))
    assert fit.noise == pytest.approx(0.03, rel=0.15)


def test_one_run_leaves_the_prior_in_charge_and_many_take_over():
    few, many = fit_to(*runs(1, 0.03)), fit_to(*runs(200, 0.03))
    assert max(few.shrinkage().values()) > 0.8
    assert max(many.shrinkage().values()) < 0.1
    assert many.values["eff"] == pytest.approx(0.62, rel=0.03)


def test_three_runs_help_and_no_run_changes_nothing():
    three = fit_to(*runs(3, 0.01))
    before = abs(np.log(0.5 / 0.62))
    assert abs(np.log(three.values["eff"] / 0.62)) < before / 3
    none = fit_to(np.array([]), np.array([]), noise=0.05)
    assert none.values == {p.name: pytest.approx(p.mean) for p in PRIORS}
    assert none.sds == {p.name: pytest.approx(p.sd) for p in PRIORS}


def test_a_stalled_run_does_not_drag_the_constants_away():
    clean, stalled = fit_to(*runs(30, 0.02)), fit_to(*runs(30, 0.02, outliers=2))
    assert stalled.values["eff"] == pytest.approx(clean.values["eff"], rel=0.02)


def test_draws_have_the_posterior_they_come_from():
    fit = fit_to(*runs(30, 0.02))
    draws = np.log(fit.draws(10_000))
    np.testing.assert_allclose(draws.std(axis=0), list(fit.sds.values()), rtol=0.03)
    assert (fit.draws(5, seed=1) == fit.draws(5, seed=1)).all()


def test_every_start_finds_the_same_optimum():
    assert fit_to(*runs(30, 0.02)).starts_agreeing == 1.0


def test_an_impossible_prior_is_refused():
    with pytest.raises(SpecError, match="impossible"):
        map_fit(lambda c: c, [Prior("eff", -1.0, 0.1)])
