"""Rows from the torch engine, of the same kind and settings as those from vLLM."""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from planner.inputs.measurement import Measurement, content_key
from planner.inputs.model import ModelSpec
from planner_calibration.measure.machine import Machine, torch_name
from planner_calibration.measure.serve.offline import Options, Point, settings, summary
from planner_calibration.measure.serve.reference import Reference
from planner_calibration.measure.torch_engine.run import BUDGET_TOKENS, Engine


def keys(spec: ModelSpec, points: Sequence[Point], options: Options, on: Machine) -> list[str]:
    """Return each point's key on record."""
    chosen = (settings(spec, p, options, options.flags) for p in points)
    return [content_key("serve_offline", what, on.id, torch_name()) for what in chosen]


def serve(
    spec: ModelSpec, points: Sequence[Point], options: Options, on: Machine
) -> Iterator[Measurement]:
    """Measure every point and yield its row; out of memory is a result."""
    before = torch.get_num_threads()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        for point in points:
            yield _point(spec, point, options, on)
    finally:
        torch.set_num_threads(before)


def _point(spec: ModelSpec, point: Point, options: Options, on: Machine) -> Measurement:
    what = settings(spec, point, options, options.flags)
    common: dict[str, Any] = {
        "engine": torch_name(),
        "machine": on.id,
        "environment": {
            **on.environment,
            "threads": torch.get_num_threads(),
            "engine_max_num_batched_tokens": options.flags.get("budget_tokens", BUDGET_TOKENS),
            "engine_tensor_parallel_size": 1,
        },
    }
    random = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    try:
        engine = Engine(
            spec,
            point.batch,
            point.input_tokens + point.output_tokens,
            device="cuda" if on.kind == "cuda" else "cpu",
            dtype=options.dtype,
            **options.flags,
        )
        engine.generate(_prompts(spec, point, random), point.output_tokens)  # warm up, compile
        core = Reference() if on.kind == "cpu" else None
        times, begun = [], time.perf_counter()
        shared: list[tuple[float, float]] = []
        for done in itertools.count():
            spent = time.perf_counter() - begun
            if done >= options.repeats and (
                done >= 4 * options.repeats or spent >= options.seconds_per_point
            ):
                break
            before = core.seconds() if core else 0.0
            times.append(engine.generate(_prompts(spec, point, random), point.output_tokens))
            if core:
                shared.append((times[-1].e2e_s, (before + core.seconds()) / 2))
    except torch.OutOfMemoryError as error:
        common |= {"status": "oom", "message": str(error)[:300]}
        return Measurement.of("serve_offline", what, **common)
    common["environment"] |= engine.compiled()
    common |= {
        "values": summary([t.e2e_s for t in times], point, shared)
        | {n: statistics.median(getattr(t, n) for t in times) for n in ("prefill_s", "decode_s")},
        "samples": {n: [round(getattr(t, n), 6) for t in times] for n in ("e2e_s", "prefill_s")},
        "seconds": round(time.perf_counter() - start, 2),
    }
    return Measurement.of("serve_offline", what, **common)


def _prompts(spec: ModelSpec, point: Point, random: torch.Generator) -> torch.Tensor:
    return torch.randint(0, spec.vocab_size, (point.batch, point.input_tokens), generator=random)
