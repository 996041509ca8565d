"""The call behind `planner calibrate serve`."""

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

from planner.errors import SpecError
from planner.inputs.loading import load_model
from planner.inputs.measurement import Measurement
from planner.inputs.model import ModelSpec, llama_candidate
from planner.units import count, show
from planner_calibration import runs, words
from planner_calibration.measure.machine import machine
from planner_calibration.measure.serve import sweep as serving
from planner_calibration.measure.serve.offline import Load, Options, Point
from planner_calibration.measure.shapes import distinct
from planner_calibration.measure.sweep import Tally, sweep

MULTIPLE = 32  # of widths
Generated = tuple[str | None, int, str, str, str, int, int]


def run(
    models: Sequence[str],
    store: Path,
    *,
    engine: str,
    python: str | None,
    points: tuple[str, str, str],
    online: tuple[str | None, int],
    generated: Generated,
    device: str | None,
    dtype: str | None,
    threads: int,
    repeats: int,
    limit: str,
    flags: Sequence[str],
    workers: int,
    ray: str | None,
    say: Callable[[str], None],
) -> Tally:
    """Measure every model not yet in `store`, one process a model.

    Raises:
        SpecError: no models, or an engine that is not there.
        MissingExtra: torch is needed and absent.

    """
    specs = [load_model(name) for name in models] + shapes(generated)
    if not specs:
        raise SpecError("no model to measure", hint="name some, or generate them with --near 50M")
    on = machine(device)
    options = serving.resolve(
        Options(
            engine=engine,
            python=python or sys.executable,
            dtype=dtype or ("bfloat16" if on.kind == "cuda" else "float32"),
            repeats=repeats,
            limit_s=words.seconds(limit),
            threads=threads,
            flags=words.settings(flags),
        )
    )
    batches, inputs, outputs = (words.counts(text) for text in points)
    wanted = [Point(*p) for p in itertools.product(batches, inputs, outputs)]
    rates, requests = online
    loads = [
        Load(rate, requests, inputs[0], outputs[-1])
        for rate in (words.numbers(rates, "--rate") if rates else ())
    ]
    if loads and options.engine != "vllm":
        raise SpecError(f"{options.engine} has no server here", hint="--rate needs vLLM")
    say(
        f"{options.engine} {options.version} on {on.name}: {len(specs)} models, {len(wanted)} points"
    )
    if options.engine != "torch":
        say("an engine is started for each model: half a minute or more before its first line")
    begun = time.monotonic()

    def told(row: Measurement, done: int, of: int) -> None:
        left = (time.monotonic() - begun) / done * (of - done)
        say(f"[{done}/{of}, {show(left, 's')} left] {line(row)}")

    planned = serving.plan(specs, wanted, loads, options, on, frozenset(runs.done(store)))
    tally = sweep(
        planned,
        serving.do,
        store,
        workers=workers,
        ray=ray,
        seen=told,
    )
    say(
        f"{tally.done} models measured, {tally.skipped} on record already, {tally.failed} rows failed"
    )
    return tally


def shapes(generated: Generated) -> list[ModelSpec]:
    """Return a grid of shapes of one size."""
    size, layers, x, r, gqa, head_dim, vocab_size = generated
    if size is None:
        return []
    grid = itertools.product(words.numbers(x, "--x"), words.numbers(r, "--r"), words.counts(gqa))
    fixed = {"n_layers": layers, "head_dim": head_dim, "vocab_size": vocab_size}
    found = distinct(count(size), grid, **fixed, multiple=MULTIPLE)
    found.sort(key=lambda s: (s.d_model, s.d_ff, s.n_heads))
    return [llama_candidate(*astuple(s), name=f"shape-{i}") for i, s in enumerate(found)]


def line(row: Measurement) -> str:
    """Return a row in one line."""
    w = row.what
    head = f"d{w['d_model']} h{w['n_heads']}/{w['n_kv_heads']} ff{w['d_ff']}"
    load = f"batch {w['batch']}" if "batch" in w else f"{w['requests_per_s']}/s"
    head += f" {load} {w['input_tokens']}+{w['output_tokens']}: "
    if row.status != "ok":
        return head + f"{row.status}: {row.message}"
    if row.kind == "serve_online":
        v = row.values
        return head + f"TTFT {show(v['ttft_median_s'], 's')}, ITL {show(v['itl_median_s'], 's')}"
    spread = row.values["e2e_iqr_s"] / row.values["e2e_s"]
    return head + f"{show(row.values['e2e_s'], 's')} ± {100 * spread:.0f} %"
