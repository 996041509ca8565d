"""Trainings of a campaign: shapes of one size, seed by seed, while the clock allows."""

from collections.abc import Iterator
from pathlib import Path

from planner.inputs.measurement import Measurement
from planner_calibration import runs
from planner_calibration.campaign.clock import Clock
from planner_calibration.campaign.stages import Place, Say
from planner_calibration.measure.shapes import Shape
from planner_calibration.measure.sweep import Planned
from planner_calibration.measure.train.command import line
from planner_calibration.measure.train.data import corpus, require_enough
from planner_calibration.measure.train.loop import Recipe
from planner_calibration.measure.train.sweep import Run, cross, do, plan

SEEDS = 3
MFU = 0.25  # of small models, about
SHARE = 0.5  # of the time left after kernels and a first model: what trainings may take


def recipe(gpu: bool) -> Recipe:
    """Return how every shape is trained: 200M tokens on a GPU, as many as 30 s of a core allow elsewhere."""
    if gpu:
        return Recipe(200_000_000, 64, 512, lr=1e-2, device="cuda", compile=True)
    return Recipe(750_000, 16, 64, lr=1e-2)


def shapes(gpu: bool) -> list[Shape]:
    """Return shapes of one size along x and along r."""
    if gpu:
        fixed = {"head_dim": 64, "vocab_size": 8192}
        return cross(20e6, 8, (0.05, 0.065, 0.08, 0.10, 0.13), (0.5, 1, 2, 4), (4,), **fixed)
    fixed = {"head_dim": 16, "vocab_size": 512}
    return cross(1e5, 2, (0.13, 0.2, 0.3), (0.5, 1, 2.2), (1,), **fixed)


def flops(shape: Shape, how: Recipe) -> float:
    """Return a training's FLOP: 6 a parameter and token."""
    return 6.0 * shape.n_params * how.n_tokens


def planned(at: Place, data: Path | None) -> list[Planned]:
    """Return the runs in the order they are worth most.

    Raises:
        SpecError: the corpus is too small for that many tokens.

    """
    gpu = at.on.kind == "cuda"
    how, some = recipe(gpu), shapes(gpu)
    text = corpus(data, vocab_size=some[0].vocab_size)
    require_enough(text, how.n_tokens, warn=lambda line: None)
    store = at.folder / "checkpoints"
    found = [
        Run(s, how, seed, data, store, threads=at.threads or 1)
        for seed in range(SEEDS)
        for s in some
    ]
    return plan(found, at.on, text.name)


def seconds_each(at: Place) -> float:
    """Return how long one training takes, by FLOP over what the device does."""
    gpu = at.on.kind == "cuda"
    rate = at.device.dense_flops_per_s["bf16" if gpu else "fp32"]
    return max(flops(s, recipe(gpu)) for s in shapes(gpu)) / (MFU * rate)


def train(
    at: Place, data: Path | None, until_s: float, clock: Clock, say: Say, most: int = 10**6
) -> Iterator[Measurement]:
    """Train what is not on record, as long as one more run ends within the time.

    Args:
        at: where.
        data: text to train on; None: the standard library's.
        until_s: clock's reading by which the last one is to end.
        clock: of the campaign.
        say: told of each run.
        most: runs at most.

    """
    store, each = at.store("train"), seconds_each(at)
    have = runs.done(store)
    left = [p for p in planned(at, data) if not have.issuperset(p.keys)]
    for p in left[:most]:
        if clock.spent_s + each > until_s or each > clock.left_s:
            return
        begun = clock.spent_s
        for row in do(p.job):
            runs.append(store, row)
            say(f"  {line(row)}")
            yield row
        each = 1.05 * (clock.spent_s - begun)
