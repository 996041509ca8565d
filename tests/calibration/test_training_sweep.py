"""A real sweep of tiny models, minutes on a CPU: a width far too narrow costs more than seeds differ by."""

from statistics import mean, stdev

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from planner_calibration import runs
from planner_calibration.fit.law.data import to_csv
from planner_calibration.measure.machine import machine
from planner_calibration.measure.shapes import Shape
from planner_calibration.measure.sweep import sweep
from planner_calibration.measure.train.data import corpus
from planner_calibration.measure.train.loop import Recipe
from planner_calibration.measure.train.sweep import Run, cross, do, plan

pytestmark = pytest.mark.torch

SEEDS = 2


@pytest.mark.train
def test_a_sweep_of_tiny_models_resolves_the_narrow_arm_of_the_u(tmp_path):
    shapes = cross(1e5, 2, x=(0.08, 0.2, 0.4), r=(1,), gqa=(1,), head_dim=16, vocab_size=512)
    recipe = Recipe(n_tokens=150_000, batch=16, length=64, lr=1e-2, heldout_windows=256)
    jobs = [Run(s, recipe, seed, None, None) for s in shapes for seed in range(SEEDS)]
    store = tmp_path / "train.jsonl"
    tally = sweep(plan(jobs, machine("cpu"), corpus(vocab_size=512).name), do, store)
    assert (tally.done, tally.failed) == (len(shapes) * SEEDS, 0)
    found: dict[float, list[float]] = {}
    for row in runs.load(store).rows:
        found.setdefault(round(Shape.of(row.what).x, 3), []).append(
            row.values["heldout_nats_per_token"]
        )
    narrow, middle, wide = (found[x] for x in sorted(found))
    noise = max(stdev(v) for v in found.values())
    for x, losses in sorted(found.items()):
        print(f"x {x}: {mean(losses):.4f} nats/token, seeds differ by {stdev(losses):.4f}")
    assert mean(narrow) > mean(middle) + 3 * noise
    assert max(*middle, *wide) < 5.0  # it learnt: a uniform guess is 6.24
    assert len(to_csv(runs.load(store).rows).splitlines()) == 1 + len(jobs)
