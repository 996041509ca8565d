"""One training run: AdamW, warm-up and a schedule, clipping, checkpoints that resume to the bit."""

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from planner_calibration.measure.shapes import Shape
from planner_calibration.measure.train.data import Corpus
from planner_calibration.measure.train.model import Llama

QUARTERS = 4
CURVE_POINTS = 50  # kept of the loss curve
Schedule = Literal["wsd", "cosine"]
DIVERGED = 1.0  # nats above the best smoothed loss so far


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every shape of a sweep is trained: the same for all of them."""

    n_tokens: int
    batch: int = 16  # sequences in a step
    length: int = 128  # tokens in a sequence
    lr: float = 4e-3  # at BASE_WIDTH; muP carries it to other widths
    schedule: Schedule = "wsd"
    warmup: float = 0.05  # share of the steps
    decay: float = 0.3  # share of the steps that WSD falls over; cosine falls all the way
    weight_decay: float = 0.1
    clip: float = 1.0
    heldout_windows: int = 512
    device: str = "cpu"
    compile: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps in a run."""
        return max(1, round(self.n_tokens / (self.batch * self.length)))

    def rate(self, step: int) -> float:
        """Return the share of the peak rate at `step` (WSD: Hägele et al., arXiv 2405.18392)."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return (step + 1) / warm
        if self.schedule == "cosine":
            done = (step - warm) / max(1, self.steps - warm)
            return 0.1 + 0.45 * (1 + math.cos(math.pi * done))
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, left)

    def settings(self) -> dict[str, Any]:
        """Return what a run records; the device is recorded as the machine."""
        return {k: v for k, v in asdict(self).items() if k not in ("device", "compile")}


@dataclass(slots=True)
class Outcome:
    """What a run came to; `status` is "ok" or "diverged"."""

    status: Literal["ok", "diverged"] = "ok"
    heldout_nats_per_token: float = math.nan
    heldout_bits_per_byte: float = math.nan
    train_nats_per_token: float = math.nan
    steps: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    quarters: list[tuple[int, float]] = field(default_factory=list)  # held out, at each quarter
    tokens_per_s: float = math.nan  # trained on, of the steps done here


@dataclass(slots=True)
class _State:
    step: int = 0
    smooth: float = math.nan
    best: float = math.inf
    curve: list[tuple[int, float]] = field(default_factory=list)
    quarters: list[tuple[int, float]] = field(default_factory=list)


def train(
    shape: Shape,
    corpus: Corpus,
    recipe: Recipe,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    every: int = 200,
    stop_at: int | None = None,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Outcome:
    """Train `shape` and return its held-out loss.

    Args:
        shape: what to train.
        corpus: on what; the step and `seed` decide each batch.
        recipe: how.
        seed: of the start and of the order of the data.
        checkpoint: a file to save to every so many steps and to resume from; removed at the end.
        every: steps between checkpoints.
        stop_at: leave after this step, as a killed run would (with its checkpoint written).
        progress: called after each step with step, steps and the smoothed loss.

    """
    device = torch.device(recipe.device)
    model = Llama(shape, recipe.length, seed).to(device)
    optimiser = torch.optim.AdamW(
        model.groups(recipe.lr, recipe.weight_decay),
        lr=recipe.lr,
        betas=(0.9, 0.95),
        eps=1e-10,
        fused=device.type == "cuda",
    )
    state = _State()
    if checkpoint is not None and checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        state = _State(
            saved["step"], saved["smooth"], saved["best"], saved["curve"], saved["quarters"]
        )
    if recipe.compile:
        torch._dynamo.reset()  # shapes trained before count against the limit of recompilations
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    forward = torch.compile(model) if recipe.compile else model
    keep = max(1, recipe.steps // CURVE_POINTS)
    quarters = {recipe.steps * k // QUARTERS for k in range(1, QUARTERS)} - {0}
    begun, first, aside = time.perf_counter(), state.step, 0.0
    while state.step < recipe.steps:
        loss = _step(forward, model, optimiser, corpus, recipe, seed, state.step)
        state.step += 1
        state.smooth = loss if math.isnan(state.smooth) else 0.95 * state.smooth + 0.05 * loss
        state.best = min(state.best, state.smooth)
        if state.step % keep == 0 or state.step == recipe.steps:
            state.curve.append((state.step, round(state.smooth, 5)))
        if state.step in quarters:
            paused = time.perf_counter()
            state.quarters.append((state.step, round(_heldout(forward, corpus, recipe), 5)))
            aside += time.perf_counter() - paused
        progress(state.step, recipe.steps, state.smooth)
        if not math.isfinite(loss) or state.smooth > state.best + DIVERGED:
            _forget(checkpoint)
            return Outcome("diverged", steps=state.step, curve=state.curve)
        if checkpoint is not None and (state.step % every == 0 or state.step == stop_at):
            _save(checkpoint, model, optimiser, state)
        if state.step == stop_at:
            return Outcome(steps=state.step, train_nats_per_token=state.smooth, curve=state.curve)
    seconds = time.perf_counter() - begun - aside
    nats = _heldout(forward, corpus, recipe)
    _forget(checkpoint)
    return Outcome(
        heldout_nats_per_token=nats,
        heldout_bits_per_byte=nats / math.log(2) / corpus.heldout_bytes_per_token,
        train_nats_per_token=state.smooth,
        steps=state.step,
        curve=state.curve,
        quarters=state.quarters,
        tokens_per_s=(state.step - first) * recipe.batch * recipe.length / max(seconds, 1e-9),
    )


def _step(
    forward: Any,
    model: Llama,
    optimiser: torch.optim.Optimizer,
    corpus: Corpus,
    recipe: Recipe,
    seed: int,
    step: int,
) -> float:
    tokens = torch.from_numpy(corpus.batch(step, seed, recipe.batch, recipe.length)).to(
        recipe.device
    )
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * recipe.rate(step)
    with _precision(recipe):
        loss = forward(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())


def _precision(recipe: Recipe) -> AbstractContextManager[Any]:
    """bf16 where a GPU has it, full precision elsewhere."""
    if recipe.device.startswith("cuda"):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@torch.no_grad()
def _heldout(forward: Any, corpus: Corpus, recipe: Recipe) -> float:
    losses = []
    for window in corpus.heldout_batches(recipe.batch, recipe.length, recipe.heldout_windows):
        tokens = torch.from_numpy(window).to(recipe.device)
        with _precision(recipe):
            losses.append(float(forward(tokens[:, :-1], tokens[:, 1:])))
    return sum(losses) / len(losses)


def _save(path: Path, model: Llama, optimiser: torch.optim.Optimizer, state: _State) -> None:
    """Write beside, then rename: a checkpoint is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    content = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), **asdict(state)}
    torch.save(content, part)
    part.replace(path)


def _forget(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)
