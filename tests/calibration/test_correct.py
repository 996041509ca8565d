"""Correcting a profile: known constants come back, the prior rules one run, held-out error falls."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from planner_calibration import runs
from planner_calibration.fit.command import run as fit_command
from planner_calibration.fit.law.data import to_csv
from planner_calibration.fit.speed import own_runs as fitting
from planner_calibration.fit.speed import profile as profiles
from planner_calibration.fit.speed import rows
from planner_calibration.measure.shapes import near

from planner.errors import SpecError
from planner.inputs.device import DeviceSpec, load_device
from planner.inputs.measurement import Measurement
from planner.inputs.profile import load_profile

DEVICE = "a100-sxm-80gb"
NAMES = ("gemm_hbm_eff", "decode_hbm_eff", "step_s")


@pytest.fixture(scope="module")
def device() -> DeviceSpec:
    return load_device(DEVICE)


@pytest.fixture(scope="module")
def truth():
    """Constants unlike the shipped ones: slower memory, a slower engine."""
    kernels, overheads = load_profile("class-default").columns()
    return replace(kernels, gemm_hbm_eff=0.6, decode_hbm_eff=0.5), replace(overheads, step_s=6e-3)


def campaign(n_shapes, truth, device, noise=0.03, seed=0, batches=(1, 16, 64)):
    """Serving runs as a machine with the constants `truth` would record them."""
    rng = np.random.default_rng(seed)
    grid = [(x, r, g) for x in (0.05, 0.08, 0.11) for r in (0.6, 2.5) for g in (2, 8)]
    blank = []
    for x, r, g in grid[:n_shapes]:
        shape = near(1e9, n_layers=16, x=x, r=r, gqa=g, head_dim=64, vocab_size=32768, multiple=64)
        for b in batches:
            what = shape.settings() | {
                "batch": b, "input_tokens": 1024, "output_tokens": 256, "dtype": "bfloat16",
                "tied_embeddings": True, "flag_max_num_seqs": 256,
            }  # fmt: skip
            blank.append(what)

    def row(what, t):
        values = {"e2e_s": t, "e2e_min_s": t, "e2e_iqr_s": 0.0}
        return Measurement.of(
            "serve_offline", what, values=values, engine="vllm 0.14", machine="gpu-x"
        )

    (group,) = rows.groups([row(w, 1.0) for w in blank], device)
    times = group.predict(*truth) * np.exp(rng.normal(0, noise, len(blank)))
    return [row(w, float(t)) for w, t in zip(blank, times, strict=True)]


def correct(measured, device, **options):
    prior = load_profile("class-default")
    return fitting.correct(
        rows.groups(measured, device), prior, same_device=False, **{"n_starts": 1} | options
    )


@pytest.mark.slow
def test_known_constants_come_back_within_their_stated_errors(truth, device):
    """What the runs tell about, by their own account, is where it should be.

    An engine that works ahead hides its host's work behind the devices' or the reverse: two optima, and
    the fit starts at either.
    """
    found = correct(campaign(12, truth, device), device).posterior
    wanted = {n: getattr(truth[0], n, None) or getattr(truth[1], n) for n in NAMES}
    for name in NAMES:
        pull = np.log(found.values[name] / wanted[name]) / found.sds[name]
        assert abs(pull) < 3, (name, found.values[name], found.sds[name])
    assert found.shrinkage()["step_s"] < 0.2


def test_one_run_leaves_the_prior_in_charge_and_many_take_over(truth, device):
    one = correct(campaign(1, truth, device, batches=(1,)), device).posterior.shrinkage()
    many = correct(campaign(12, truth, device), device).posterior.shrinkage()
    assert sum(v > 0.95 for v in one.values()) > len(one) - 5
    assert many["decode_hbm_eff"] < one["decode_hbm_eff"]


def test_three_runs_help_on_architectures_not_seen(truth, device):
    prior = load_profile("class-default").columns()
    few = correct(campaign(3, truth, device, batches=(16,)), device)
    (unseen,) = rows.groups(campaign(12, truth, device, seed=5)[12:], device)
    before = fitting.error(unseen.measured_s, unseen.predict(*prior))
    after = fitting.error(unseen.measured_s, unseen.predict(few.kernels, few.overheads))
    assert after.mape < before.mape / 2


@pytest.mark.slow
def test_efficiencies_stay_within_physics_however_fast_the_runs(truth, device, tmp_path):
    """Weights read at 2.5 times the stated bandwidth: the profile loads all the same, and says what binds."""
    store = tmp_path / "runs.jsonl"
    fast = replace(truth[0], gemm_hbm_eff=2.5), truth[1]
    for row in campaign(4, fast, device):
        runs.append(store, row)
    report = fit_command(
        [store], name="fast", on=DEVICE, engine="", machine=None, prior=None, folder=tmp_path
    )
    kernels = load_profile(str(report.path)).kernels
    assert all(v <= 1 for n, v in kernels.items() if n.endswith("_eff"))
    assert report.fitted.corrected.at_bounds


def test_held_out_error_is_of_architectures_the_fit_has_not_seen(truth, device):
    found = correct(campaign(6, truth, device), device)
    held, before = found.held_out["serve_offline"], found.before["serve_offline"]
    assert held.n == 18 and found.n_shapes == 6
    assert held.mape < 0.1 < before.mape and held.spearman > 0.9
    seen, unseen = fitting.split(
        rows.groups(campaign(6, truth, device), device),
        {rows.shape_of(campaign(1, truth, device)[0])},
    )
    assert sum(len(g.rows) for g in unseen) == 3 and sum(len(g.rows) for g in seen) == 15


@pytest.mark.slow
def test_a_written_profile_is_one_the_planner_reads(truth, device, tmp_path):
    store = tmp_path / "runs.jsonl"
    for row in campaign(4, truth, device):
        runs.append(store, row)
    report = fit_command(
        [store], name="mine", on=DEVICE, engine="", machine=None, prior=None, folder=tmp_path
    )
    profile = load_profile(str(report.path))
    assert profile.engine == "vllm" and profile.engine_version == "0.14"
    assert profile.devices == (DEVICE,) and profile.fitted == date.today()
    assert 0.02 <= profile.spread.throughput < 0.2 and profile.held_out.n == 12
    assert profile.posterior.covariance().shape[0] == len(report.rows())
    from planner.cli.output import as_text

    text = as_text(report)
    assert text.startswith("held out, 4 architectures, 12 runs: error")
    assert report.to_dict()["held_out"]["serve_offline"]["n"] == 12


def test_runs_of_several_machines_or_engines_are_not_mixed(truth, device, tmp_path):
    store = tmp_path / "runs.jsonl"
    for i, row in enumerate(campaign(2, truth, device)):
        engine = "torch 2" if i % 2 else "vllm 1"
        runs.append(store, row.model_copy(update={"engine": engine, "key": str(i)}))
    with pytest.raises(SpecError, match="torch and vllm"):
        profiles.fit([store], DEVICE, name="mine")


def test_nothing_to_fit_is_said_so(device):
    with pytest.raises(SpecError, match="none of these runs"):
        rows.groups([Measurement.of("gemm", {"m": 1}, status="oom")], device)
    with pytest.raises(SpecError, match="finished training"):
        to_csv([])
