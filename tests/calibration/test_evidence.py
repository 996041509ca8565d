"""A real engine on this machine's CPU: eight shapes of one size at two batch sizes, half predicted.

The shapes hold N and vary d_model, r and GQA. The cost model's constants are fitted on every other shape,
with single kernels measured here and the device's own peak and bandwidth; the rest are then predicted.
Figures of one such run, with its date, are in calibration/LOG.md.
"""

from datetime import date

import pytest

torch = pytest.importorskip("torch")

from planner_calibration.fit.speed import own_runs as fit
from planner_calibration.fit.speed import rows
from planner_calibration.measure.kernels import cases, measure, peaks
from planner_calibration.measure.machine import machine
from planner_calibration.measure.serve.offline import Options, Point
from planner_calibration.measure.shapes import near
from planner_calibration.measure.torch_engine import measure as torch_engine

from planner.inputs.device import load_device
from planner.inputs.model import llama_candidate
from planner.inputs.profile import load_profile

N = 4e6
WANTED = [  # x, r, GQA
    (0.10, 1, 1), (0.10, 3, 4), (0.13, 1, 4), (0.13, 4, 2),
    (0.18, 0.6, 1), (0.18, 2, 2), (0.25, 1, 2), (0.25, 4, 1),
]  # fmt: skip
POINTS = [Point(batch, 128, out) for out in (1, 32) for batch in (2, 16)]

pytestmark = [pytest.mark.slow, pytest.mark.torch]


@pytest.fixture(scope="module")
def shapes():
    return [
        near(N, n_layers=4, x=x, r=r, gqa=g, head_dim=32, vocab_size=4096, multiple=32)
        for x, r, g in WANTED
    ]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Take this CPU for an unknown device: its hardware file proposed, its kernels measured."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    on = machine("cpu")
    cache = peaks.measured_cache_bytes(on)
    found = peaks.find_peaks("cpu", ("float32",), cache)
    path = tmp_path_factory.mktemp("hardware") / "this-cpu.toml"
    path.write_text(peaks.propose(on, found, threads=1, today=date.today()))
    kernels = measure.measure(
        cases.sweep("small", cache), on=on, dtype="float32", peak=found, repeats=5, sample_s=0.01
    )
    torch.set_num_threads(before)
    return on, load_device(str(path)), kernels


def show_and_check(name, measured, here, shapes):
    """Fit on every other shape, predict the rest, print both and hold them to what was asked of them."""
    on, device, kernels = here
    assert [r.status for r in measured] == ["ok"] * len(POINTS) * len(shapes)
    order = list(dict.fromkeys(rows.shape_of(r) for r in measured))
    away = set(order[1::2])
    groups = rows.groups([*kernels, *measured], device)
    seen, unseen = fit.split(groups, away)
    prior = load_profile("class-default")
    found = fit.correct(seen, prior, same_device=False, tile_rows=fit.TILE_ROWS)
    (group,) = unseen
    predicted = group.predict(found.kernels, found.overheads)
    before = fit.error(group.measured_s, group.predict(*prior.columns()))
    after = fit.error(group.measured_s, predicted)
    print(f"\n{name} on {on.name}: held out {len(away)} of {len(shapes)} shapes, {after.n} runs")
    for row, t, p in zip(group.rows, group.measured_s, predicted, strict=True):
        w = row.what
        print(
            f"  d{w['d_model']} h{w['n_heads']}/{w['n_kv_heads']} ff{w['d_ff']} batch {w['batch']}"
            f" out {w['output_tokens']}: measured {t:.4f} s, predicted {p:.4f} s, {100 * (p / t - 1):+.0f} %"
        )
    print(f"  error {100 * before.mape:.0f} % before, {100 * after.mape:.1f} % after")
    print(f"  worst {100 * after.worst:.0f} %, Spearman {after.spearman:.3f}")
    assert after.mape <= 0.15 and after.mape < before.mape
    assert after.spearman >= 0.9
    return after


def test_the_torch_engine_is_predicted_on_shapes_not_fitted(here, shapes):
    options = Options(dtype="float32", threads=1, repeats=5, seconds_per_point=1)
    measured = [
        row
        for s in shapes
        for row in torch_engine.serve(llama_candidate(**s.settings()), POINTS, options, here[0])
    ]
    show_and_check(measured[0].engine, measured, here, shapes)
