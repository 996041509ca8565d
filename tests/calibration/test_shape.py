"""U-shapes of one size: known optima come back within their errors, and what is not seen is said."""

import numpy as np
import pytest

pytest.importorskip("torch")

from planner_calibration.fit.law.shape import fit_shape
from planner_calibration.measure.train.sweep import cross

from planner.cli.output import as_text
from planner.errors import SpecError
from planner.inputs.measurement import Measurement
from planner.law.terms.shape import phi

pytestmark = pytest.mark.torch

TRUTH = {"x_opt": 0.09, "k_x": 0.06, "r_opt": 1.3, "k_r": 0.02}


def sweep(noise, seeds=3, x=(0.05, 0.07, 0.09, 0.12, 0.16), r=(0.5, 1, 2, 4)):
    rng = np.random.default_rng(0)
    shapes = cross(5e7, 8, x=x, r=r, gqa=(2, 4), head_dim=32, vocab_size=4096)
    rows = []
    for seed in range(seeds):
        for s in shapes:
            loss = (3.0 + 0.02 * seed) * (1 + TRUTH["k_x"] * phi(s.x / TRUTH["x_opt"]))
            loss *= 1 + TRUTH["k_r"] * phi(s.r / TRUTH["r_opt"])
            values = {"heldout_nats_per_token": float(loss + rng.normal(0, noise))}
            rows.append(Measurement.of("train", s.settings() | {"seed": seed}, values=values))
    return rows


def test_known_optima_come_back_within_their_errors():
    report = fit_shape(sweep(0.004))
    for name, truth in TRUTH.items():
        pull = np.log(report.fit.values[name] / truth) / report.fit.sds[name]
        assert abs(pull) < 3, (name, report.fit.values[name], report.fit.sds[name])
        assert report.fit.sds[name] < 0.5
    assert report.fit.noise == pytest.approx(0.004, rel=0.4)
    assert report.rms < report.rms_flat / 3


def test_an_arm_that_was_not_swept_is_called_the_prior():
    text = as_text(fit_shape(sweep(0.004, r=(1,))))
    (line,) = (line for line in text.splitlines() if line.startswith("r_opt"))
    assert "this is the prior" in line
    (line,) = (line for line in text.splitlines() if line.startswith("x_opt"))
    assert "prior" not in line


def test_several_sizes_or_too_few_runs_are_no_sweep():
    with pytest.raises(SpecError, match="make no sweep"):
        fit_shape(sweep(0.004)[:3])
