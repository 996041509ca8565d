"""What the law says away from home: published facts, and fits of awkward runs, each by a command."""

from pathlib import Path

import numpy as np
import pytest
from planner_calibration.fit.law.run import fit_csv
from planner_calibration.fit.law.suites import facts

import planner as pl
from planner.errors import SpecError
from planner.inputs.law import load_law
from planner.law.columns import NDefinition

HEAD = "run_id,n_params_non_embedding,n_params,n_tokens,loss,d_model,n_layers,mlp_attn_ratio,dataset,lr\n"


def test_published_facts_come_out_as_printed():
    """Repeats, bits, vocabulary, and two laws of experts."""
    for f in facts():
        assert f.met, f


def test_what_is_served_in_few_bits_costs_loss_and_says_how_much():
    """`--dtype int4` at 1B and 1T tokens: 0.7 times Kumar et al.'s 0.066 nats; fp8 is free."""
    at = {"tokens": 1e12, "on": "h100-sxm"}
    plain = pl.predict("llama-3.2-1b", **at).candidate.loss.value
    four = pl.predict("llama-3.2-1b", dtype="int4", **at).candidate.loss.value
    eight = pl.predict("llama-3.2-1b", dtype="fp8", **at).candidate.loss.value
    assert four - plain == pytest.approx(0.7 * 0.066, abs=0.003)
    assert 0 <= eight - plain < 0.005


def test_repeats_few_training_bits_and_a_small_vocabulary_cost_loss():
    """Each by its own option, in the order of their published sizes."""

    def loss(**asked):
        return pl.predict("llama-3.2-1b", tokens=1e11, **asked).candidate.loss.value

    plain = loss()
    assert loss(unique_tokens=25e9) - plain < loss(unique_tokens=2.5e9) - plain
    assert loss(training_bits=8) - plain == pytest.approx(0.003, abs=1e-6)
    assert loss(training_bits=4) - plain == pytest.approx(0.03, abs=1e-6)
    small = pl.recommend(1e9, 1e11, vocab_size=32_000).baseline.loss.value
    assert 0 < small - pl.recommend(1e9, 1e11).baseline.loss.value < 0.02


def law(n, tokens, shift=0.0):
    return (1 + shift) * (1.8 + 150 * n**-0.26 + 5500 * tokens**-0.4)


def table(tmp_path: Path, rows: list[str]) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def ladder(sizes, tokens=20.0, corpus="a", shift=0.0, r=3.0, total=False):
    return [
        f"{corpus}{i},{'' if total else n},{1.3 * n},{tokens * n},{law(n, tokens * n, shift):.4f},"
        f",,{r},{corpus},0.001"
        for i, n in enumerate(sizes)
    ]


SIZES = np.geomspace(5e7, 1e9, 6)


def test_pooled_corpora_have_a_level_each(tmp_path: Path):
    """Two corpora 15 % apart are no misfit of one law."""
    rows = ladder(SIZES) + ladder(SIZES, corpus="b", shift=0.15)
    report = fit_csv(table(tmp_path, rows))
    assert report.law.noise_sd < 0.03
    assert any("level of its own" in line for line in report.lines)


def test_diverged_runs_are_left_out_and_named(tmp_path: Path):
    """The same shape and tokens at a loss 15 % worse is no evidence of what training can do."""
    bad = ladder(SIZES, shift=0.15)[2].replace("a2,", "bad,").replace("0.001", "0.01")
    report = fit_csv(table(tmp_path, [*ladder(SIZES), bad]))
    assert any("over 1 % worse" in line and "row 8" in line for line in report.lines)


@pytest.mark.parametrize("count", [3, 5])
def test_few_runs_with_total_n_or_r_beyond_five_fall_back_on_published_laws(
    tmp_path: Path, count: int
):
    """They were refused; what they do not inform is named."""
    total = fit_csv(table(tmp_path, ladder(SIZES[:count], total=True)))
    assert total.law.n_definition is NDefinition.TOTAL
    wide = fit_csv(table(tmp_path, ladder(SIZES[:count], r=9.0)))
    for report in (total, wide):
        assert "ln_level" not in report.uninformed
        assert {"ln_beta", "ln_k_x"} <= set(report.uninformed)


def test_one_number_of_tokens_leaves_beta_to_the_prior_and_says_so(tmp_path: Path):
    """With D fixed beta cannot be seen."""
    rows = [r.replace(f",{20.0 * n},", ",2e10,") for r, n in zip(ladder(SIZES), SIZES, strict=True)]
    report = fit_csv(table(tmp_path, rows))
    assert "ln_beta" in report.uninformed
    assert any("one number of tokens" in line for line in report.lines)


def test_runs_that_no_law_describes_are_refused(tmp_path: Path):
    """Losses without any order in size or tokens."""
    rng = np.random.default_rng(1)
    rows = [
        f"r{i},{n},{1.3 * n},{20 * n},{loss:.3f},,,3,a,0.001"
        for i, (n, loss) in enumerate(
            zip(np.geomspace(5e7, 5e9, 12), rng.uniform(1, 9, 12), strict=True)
        )
    ]
    with pytest.raises(SpecError, match="exceed the spread"):
        fit_csv(table(tmp_path, rows))


def test_a_law_that_loses_to_size_alone_on_the_largest_models_is_refused(tmp_path: Path):
    """Losses on a straight line in ln N, whatever the tokens: three runs of the largest size."""
    sizes = np.repeat(np.geomspace(5e7, 1e9, 5), 3)
    rows = [
        f"r{i},{n},{1.3 * n},{20 * n * (1 + i % 3)},{3.2 * (n / 5e7) ** -0.07:.5f},,,3,a,0.001"
        for i, n in enumerate(sizes)
    ]
    with pytest.raises(SpecError, match="straight line") as refused:
        fit_csv(table(tmp_path, rows))
    assert "--force" in refused.value.hint
    assert "size alone" in fit_csv(table(tmp_path, rows), force=True).text()
    whole = [f"{k:g}{row}" for k in (10.0, 20.0, 40.0) for row in ladder(SIZES, tokens=k)]
    assert fit_csv(table(tmp_path, whole)).law  # where tokens count, the law does better


def test_an_update_never_widens_a_prior_direction(tmp_path: Path):
    """However badly the runs fit: their misfit is their noise, not doubt of what they do not touch."""
    from planner_calibration.fit.law.data import load_runs
    from planner_calibration.fit.law.hierarchy import group_prior
    from planner_calibration.fit.law.update import update_law

    from planner.law.posterior import COORDINATES, LOCAL, spread

    rows = [r.replace(",3.0,a", f",{1 + i},a") for i, r in enumerate(ladder(SIZES[:3], shift=0.3))]
    runs = load_runs(table(tmp_path, rows))
    spec = load_law("bian-average")
    after = np.array(update_law(spec, runs).law.covariance)
    pivot = float(np.exp(np.mean(np.log(runs.n)))), float(np.exp(np.mean(np.log(runs.n_tokens))))
    local = group_prior(pivot, runs.n_definition)[1]
    k, size = len(LOCAL), len(COORDINATES)
    assert np.linalg.eigvalsh(local - after[:k, :k]).min() > -1e-6
    shape = spread(spec.columns(), pivot[0])[k:size, k:size]
    assert np.linalg.eigvalsh(shape - after[k:size, k:size]).min() > -1e-6
