"""The call behind `planner calibrate train`."""

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from planner.inputs.measurement import Measurement
from planner.units import count
from planner_calibration import runs as recorded
from planner_calibration import words
from planner_calibration.measure.machine import machine
from planner_calibration.measure.sweep import Tally, sweep
from planner_calibration.measure.train.data import corpus, require_enough
from planner_calibration.measure.train.loop import Recipe, Schedule
from planner_calibration.measure.train.sweep import Run, cross, do, plan


def run(
    store: Path,
    *,
    shapes: tuple[str, int, str, str, str, int, int],
    recipe: tuple[str, int, int, float, str],
    seeds: int,
    data: Path | None,
    checkpoints: Path | None,
    device: str | None,
    threads: int,
    workers: int,
    ray: str | None,
    quiet: bool,
    say: Callable[[str], None],
    repeat_data: bool = False,
) -> Tally:
    """Train every shape from every seed that is not yet in `store`.

    Raises:
        SpecError: an option makes no sense, or there is no text.
        Infeasible: no such shape exists.

    """
    size, layers, x, r, gqa, head_dim, vocab_size = shapes
    tokens, batch, length, lr, schedule = recipe
    on = machine(device)
    # Prepared here once, so that workers find it.
    text = corpus(data, vocab_size=vocab_size)
    require_enough(text, int(count(tokens)), say, allowed=repeat_data)
    arms = words.numbers(x, "--x"), words.numbers(r, "--r"), words.counts(gqa)
    chosen = cross(count(size), layers, *arms, head_dim=head_dim, vocab_size=vocab_size)
    how = Recipe(
        n_tokens=int(count(tokens)),
        batch=batch,
        length=length,
        lr=lr,
        schedule=cast(Schedule, words.choice(schedule, get_args(Schedule), "--schedule")),
        device="cuda" if on.kind == "cuda" else "cpu",
        compile=on.kind == "cuda",
    )
    pairs = itertools.product(chosen, range(seeds))
    runs = [Run(shape, how, seed, data, checkpoints, threads) for shape, seed in pairs]
    planned = plan(runs, on, text.name)
    here = workers <= 1 and ray is None
    have = recorded.done(store)
    left = sum(not have.issuperset(p.keys) for p in planned)
    with progress(left * how.steps, quiet=quiet or not here) as tick:
        tally = sweep(
            planned,
            functools.partial(do, progress=tick) if here else do,
            store,
            workers=workers,
            ray=ray,
            seen=lambda row, done, of: say(f"[{done}/{of}] {line(row)}") if not quiet else None,
        )
    say(f"{tally.done} runs trained, {tally.skipped} on record already, {tally.failed} failed")
    return tally


@contextmanager
def progress(steps: int, *, quiet: bool) -> Iterator[Callable[[int, int, float], None]]:
    """Show steps, loss and time left on stderr, on a terminal."""
    from rich import progress as bars
    from rich.console import Console

    columns = [
        bars.TextColumn("loss {task.fields[loss]:.3f}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    ]
    bar = bars.Progress(*columns, console=Console(stderr=True), disable=quiet)
    with bar:
        task = bar.add_task("", total=steps, loss=float("nan"))

        def tick(step: int, of: int, loss: float) -> None:
            bar.update(task, advance=1, loss=loss)

        yield tick


def line(row: Measurement) -> str:
    """Return a row in one line."""
    w: dict[str, Any] = row.what
    head = f"d{w['d_model']} h{w['n_heads']}/{w['n_kv_heads']} ff{w['d_ff']} seed {w['seed']}: "
    if row.status != "ok":
        return head + row.status + (f": {row.message}" if row.message else "")
    v = row.values
    bits = v.get("heldout_bits_per_byte")
    tail = f", {bits:.4f} bits/byte" if bits is not None else ""
    return head + f"{v['heldout_nats_per_token']:.4f} nats/token{tail} in {row.seconds:.0f} s"
