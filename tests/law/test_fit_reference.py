"""The fitter gives back the law that made the data, its noise, and its silences."""

import time
from pathlib import Path

import numpy as np
import pytest
from planner_calibration.fit.law.data import OPTIONAL, Runs, sizes
from planner_calibration.fit.law.evaluate import interval_coverage, progressive, stage
from planner_calibration.fit.law.model import design, ln_loss
from planner_calibration.fit.law.reference import bootstrap, fit
from planner_calibration.fit.law.solve import vpnls

from planner.law.columns import NDefinition

TRUE = {"E": 1.8172, "A": 477.8, "alpha": 0.3473, "B": 2143.0, "beta": 0.3672}


def runs_of(
    n: np.ndarray, tokens: np.ndarray, loss: np.ndarray, shape: np.ndarray, **known: np.ndarray
) -> Runs:
    unknown = np.full(len(n), np.nan)
    blank = np.full(len(n), "")
    names = OPTIONAL
    return Runs(
        n=n, n_tokens=tokens, loss=loss, shape=shape, row=np.arange(2, len(n) + 2),
        n_definition=NDefinition.TOTAL, run_id=blank, source=blank, dataset=blank,
        **{k: known.get(k, unknown) for k in names},
    )  # fmt: skip


def chinchilla_like(count: int, noise: float = 0.0, seed: int = 0) -> Runs:
    rng = np.random.default_rng(seed)
    size = np.geomspace(5e7, 1.5e10, max(count // 10, 6))
    which = rng.integers(0, len(size), count)
    n = size[which]
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(3e11), count))
    loss = TRUE["E"] + TRUE["A"] * n ** -TRUE["alpha"] + TRUE["B"] * tokens ** -TRUE["beta"]
    return runs_of(n, tokens, loss * np.exp(rng.normal(0, noise, count)), which)


def depth_like(noise: float = 0.003, seed: int = 0) -> Runs:
    """Models whose aspect ratio acts on effective parameters, R_opt = 50, q = 0.06."""
    rng = np.random.default_rng(seed)
    rows = [(n, a, d) for n in (5e7, 1.5e8, 5e8, 1.5e9) for a in (12, 25, 50, 110, 250)
            for d in (2e10, 6e10, 1.2e11)]  # fmt: skip
    n, aspect, tokens = np.array(rows).T
    n_eff = n * np.exp(-0.06 * np.log(aspect / 50) ** 2)
    loss = 1.8 + 40 * n_eff**-0.2 + 4500 * tokens**-0.39
    layers = (n / (12 * aspect**2)) ** (1 / 3)
    shape = np.unique(np.column_stack([n, aspect]), axis=0, return_inverse=True)[1].reshape(-1)
    return runs_of(n, tokens, loss * np.exp(rng.normal(0, noise, len(n))), shape,
                   n_layers=layers, d_model=layers * aspect)  # fmt: skip


def test_noiseless_data_give_back_every_coefficient_from_every_start() -> None:
    """All twenty random starts meet at the truth."""
    law = fit(chinchilla_like(240), n_starts=20)
    for key, value in TRUE.items():
        assert law.natural[key] == pytest.approx(value, rel=2e-3)
    assert law.n_agreeing == 20


def test_the_gradient_is_the_slope_of_the_objective() -> None:
    """Every block's analytic Jacobian equals central differences."""
    runs = depth_like()
    rng = np.random.default_rng(1)
    x, r = rng.uniform(0.04, 0.14, len(runs)), rng.uniform(0.5, 5, len(runs))
    from dataclasses import replace

    z = design(replace(runs, x=x, r=r), ("reference", "depth", "width", "ratio"))
    theta = np.array([0.5, -0.4, -1.2, 0.2, 0.35, 0.06, 3.8, -2.5, -2.6, -4.2, 0.2])
    _, jac = ln_loss(theta, z)
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = 1e-6
        slope = (ln_loss(theta + step, z)[0] - ln_loss(theta - step, z)[0]) / 2e-6
        np.testing.assert_allclose(jac[:, i], slope, atol=1e-8)


def test_a_different_estimator_agrees_on_clean_data() -> None:
    """Variable projection shares no code with the Huber fit and lands at the same place."""
    other = vpnls(chinchilla_like(240))
    for key, value in TRUE.items():
        assert other[key] == pytest.approx(value, rel=2e-3)


def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 30 intervals of 90 %, over six data sets, most hold; none may be empty."""
    held = []
    for seed in range(6):
        runs = chinchilla_like(80, 0.007, seed)
        law = fit(runs, n_starts=2)
        draws = law.design.natural(bootstrap(law, runs, 40, by_shape=False))
        for key, value in TRUE.items():
            low, high = np.quantile(draws[key], [0.05, 0.95])
            assert high > low
            held.append(low <= value <= high)
    assert 0.72 <= np.mean(held) <= 1.0


def test_held_out_intervals_of_80_percent_cover_70_to_90() -> None:
    """Whole sizes held out of synthetic runs with seven parts in a thousand of noise."""
    runs = chinchilla_like(120, 0.007)
    covered = interval_coverage(runs, n_draws=25, n_folds=3)
    assert 0.7 <= covered <= 0.9


@pytest.mark.slow
def test_a_thousand_rows_twenty_starts_a_thousand_draws_in_thirty_seconds() -> None:
    """Processor time, so that a busy machine does not decide; it takes about eight."""
    runs = chinchilla_like(1000, 0.007)
    started = time.process_time()
    law = fit(runs, n_starts=20)
    bootstrap(law, runs, 1000)
    spent = time.process_time() - started
    print(f"{spent:.1f} s")
    assert spent < 30


def test_the_depth_term_predicts_the_next_size_and_beats_the_baselines() -> None:
    """Where aspect acts, the law with depth says so, and ranks; without it, it may not."""
    runs = depth_like(noise=0.0005)
    label = sizes(runs)
    last = stage(runs[label < 3], runs[label == 3], ("reference", "depth"), n_starts=3)
    assert last.law.spearman > 0.9
    assert last.law.regret < 0.003
    assert last.verdict == "beats every baseline"


def test_a_law_that_does_not_beat_the_baseline_says_so() -> None:
    """With losses that size does not explain, no law helps, and the verdict names who won."""
    runs = depth_like()
    from dataclasses import replace

    noise = np.random.default_rng(3).uniform(2.5, 3.5, len(runs))
    verdicts = [s.verdict for s in progressive(replace(runs, loss=noise), n_starts=1)]
    assert any("does not beat" in v for v in verdicts)


def test_a_fitted_depth_term_is_in_the_law_written_and_an_unfitted_one_keeps_its_prior(
    tmp_path: Path,
) -> None:
    """Through TOML and back: q and the best aspect; without the part, the prior's spread."""
    from planner_calibration.fit.law.export import law_of_fit, write_law

    from planner.inputs.law import load_law
    from planner.law.posterior import COORDINATES

    runs = depth_like(noise=0.0005)
    found = []
    for blocks in (("reference", "depth"), ("reference",)):
        law = fit(runs, blocks, n_starts=4)
        spec = law_of_fit(law, bootstrap(law, runs, 30), runs, name="d", source="s", data="t")
        write_law(spec, tmp_path / "d.toml")
        found.append(load_law(str(tmp_path / "d.toml")).columns())
    deep, bare = found
    assert deep.depth_q == pytest.approx(0.06, rel=0.1)
    assert deep.depth_aspect == pytest.approx(50, rel=0.1)
    i = COORDINATES.index("ln_depth_q")
    assert np.sqrt(bare.covariance[i][i]) == pytest.approx(bare.depth_q_ln_sd, rel=0.05)
