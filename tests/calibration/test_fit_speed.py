"""Speed fits give back known constants, stay within physics, and write the same bytes twice."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from planner_calibration.fit.map_fit import Constant, fit_constants
from planner_calibration.fit.speed import fleet
from planner_calibration.fit.speed.crossval import leave_one_out, spread
from planner_calibration.fit.speed.engines import fit_engine
from planner_calibration.fit.speed.kernels import fit_kernels
from planner_calibration.fit.write import posterior, profile_toml

from planner.columns import Kernels, Overheads
from planner.data import bundled, catalogue
from planner.inputs.profile import ProfileSpec, load_profile
from planner.questions.validate.kernel_rows import KernelRows, predicted_s
from planner.questions.validate.measured import Run
from planner.questions.validate.scoring import prepare
from planner.scenario.scenario import Scenario, conditions


def test_a_fit_finds_constants_and_stays_in_bounds():
    x = np.linspace(1, 10, 50)
    y = np.log(3.0 * x**0.5)
    constants = {"a": Constant(1.0, 2.0, 0.1, 10.0), "b": Constant(1.0, 1.0, 0.1, 2.0)}
    found = fit_constants(constants, lambda v: np.log(v["a"] * x ** v["b"]) - y)
    assert found.values == pytest.approx({"a": 3.0, "b": 0.5}, rel=0.02)
    capped = fit_constants(
        constants | {"a": Constant(1.0, 2.0, 0.1, 2.0)},
        lambda v: np.log(v["a"] * x ** v["b"]) - y,
    )
    assert capped.values["a"] <= 2.0


def test_rows_that_say_nothing_leave_the_prior():
    constants = {"a": Constant(2.0, 0.3, 0.1, 10.0)}
    found = fit_constants(constants, lambda v: np.zeros(5))
    assert found.values["a"] == pytest.approx(2.0)
    assert found.sds["a"] == pytest.approx(0.3)


def gemm_rows(kernels):
    rng = np.random.default_rng(0)
    n = 400
    sizes = {c: 2.0 ** rng.integers(5, 14, n) for c in ("m", "n", "k")}
    other = {c: np.full(n, np.nan) for c in ("batch", "n_heads", "n_kv_heads", "head_dim", "tp")}
    columns = sizes | other | {c: np.full(n, np.nan) for c in ("q_len", "kv_len")}
    words = [""] * n
    rows = KernelRows(
        "gemm",
        "a100-sxm-80gb",
        "bfloat16",
        np.ones(n),
        columns,
        words,
        words,
        words,
        list(range(n)),
    )
    return replace(rows, time_s=predicted_s(rows, kernels) * rng.lognormal(0, 0.02, n))


def test_kernel_constants_come_back():
    true = Kernels(gemm_compute_eff=0.7, gemm_hbm_eff=0.8, launch_s=4e-6)
    found = fit_kernels([gemm_rows(true)], Kernels())
    assert found.kernels.gemm_compute_eff == pytest.approx(0.7, rel=0.03)
    assert found.kernels.gemm_hbm_eff == pytest.approx(0.8, rel=0.03)
    assert set(found.parts) == {"gemm"}
    assert found.kernels.decode_hbm_eff == Kernels().decode_hbm_eff


def runs_of(overheads, kernels):
    runs = []
    for name in ("llama-3.1-8b", "llama-3.2-1b", "qwen2.5-14b"):
        for batch in (1, 4, 16, 64):
            for length in (128, 1024):
                runs.append(
                    Run(
                        Scenario.of(
                            name,
                            conditions(
                                on="a100-sxm-80gb",
                                engine="vllm-0.6",
                                batch=batch,
                                input_tokens=length,
                                output_tokens=length,
                            ),
                        ),
                        "e2e_latency_s",
                        1.0,
                    )
                )
    values = prepare(runs).predict(kernels, overheads)
    return [replace(r, value=float(v)) for r, v in zip(runs, values, strict=True)]


def test_engine_overheads_come_back_and_unseen_architectures_are_predicted():
    kernels = Kernels(gemm_hbm_eff=0.88, sustained_clock=0.9)
    runs = runs_of(Overheads(step_s=3e-3, layer_s=4e-5, sequence_s=8e-5), kernels)
    found = fit_engine(runs, kernels)
    assert found.overheads.step_s == pytest.approx(3e-3, rel=0.1)
    assert found.overheads.sequence_s == pytest.approx(8e-5, rel=0.1)
    unseen = leave_one_out(runs, lambda some: fit_engine(some, kernels))
    assert spread(unseen) < 0.03


def test_the_spread_covers_four_fifths():
    errors = np.random.default_rng(0).standard_t(3, 5000) * 0.05
    assert np.mean(np.abs(errors) <= 1.2816 * spread(errors)) == pytest.approx(0.8, abs=0.01)


def test_a_profile_is_written_and_read_back(tmp_path):
    x = np.linspace(1, 10, 50)
    constants = {"a": Constant(1.0, 2.0, 0.1, 10.0), "b": Constant(1.0, 1.0, 0.1, 2.0)}
    parts = {"plain": fit_constants(constants, lambda v: np.log(v["a"] * x ** v["b"] / x))}
    profile = {"name": "x", "fitted": fleet.FITTED, "devices": ["a"], "posterior": posterior(parts)}
    text = profile_toml(profile, "c")
    assert text == profile_toml(profile, "c")
    back = tomllib.loads(text)
    assert back["fitted"] == fleet.FITTED
    assert back["posterior"]["constants"] == ["a", "b"]


@pytest.mark.parametrize("name", sorted(catalogue("calibration")))
def test_every_profile_says_where_it_comes_from(name):
    p = load_profile(name)
    assert isinstance(p, ProfileSpec)
    assert p.data
    assert p.held_out or p.borrowed or p.architecture == "any"
    assert all(v >= 0 for v in (p.kernels | p.overheads).values())
    if p.posterior:
        assert np.all(np.linalg.eigvalsh(p.posterior.covariance()) > -1e-6)
    if p.held_out:
        one_row = 1 / p.held_out.n
        assert abs(p.held_out.coverage - 0.8) <= max(0.1, one_row)


def test_every_profile_that_ships_is_in_the_plan():
    planned = {p.name for p in fleet.PLANS} | {b.name for b in fleet.BORROWED}
    shipped = {path.stem for path in bundled("calibration").glob("*.toml")}
    assert shipped >= planned | {"class-default"}
