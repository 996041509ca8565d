"""A serving sweep: every model's points by vLLM, SGLang or the torch engine, what is recorded skipped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from planner.errors import SpecError
from planner.inputs.measurement import Measurement
from planner.inputs.model import ModelSpec
from planner_calibration.measure.machine import Machine
from planner_calibration.measure.serve import offline
from planner_calibration.measure.serve.offline import Load, Options, Point
from planner_calibration.measure.sweep import Planned


@dataclass(frozen=True, slots=True)
class Job:
    """One model's measurements: what a worker needs to know, wherever it is."""

    spec: ModelSpec
    points: tuple[Point, ...]
    loads: tuple[Load, ...]
    options: Options
    on: Machine
    recorded: frozenset[str] = frozenset()  # keys of points that are not measured again


def resolve(options: Options) -> Options:
    """Choose the engine where it is "auto": vLLM if that Python has it, else ours in torch.

    Raises:
        SpecError: the engine asked for is not there.

    """
    if options.engine in ("auto", "vllm", "sglang"):
        name = "vllm" if options.engine == "auto" else options.engine
        if found := offline.version(name, options.python):
            return replace(options, engine=name, version=found)
        if options.engine != "auto":
            raise SpecError(
                f"{options.python} has no {name}",
                hint="name a Python that has it with --python, or use --engine torch",
            )
    elif options.engine != "torch":
        raise SpecError(f"no engine called {options.engine!r}", hint="auto, vllm, sglang or torch")
    return replace(options, engine="torch")


def plan(
    specs: Sequence[ModelSpec],
    points: Sequence[Point],
    loads: Sequence[Load],
    options: Options,
    on: Machine,
    recorded: frozenset[str] = frozenset(),
) -> list[Planned]:
    """Return one job a model with the keys of its points, `options` being resolved."""
    jobs = [Job(s, tuple(points), tuple(loads), options, on, recorded) for s in specs]
    return [Planned(_keys(job), partial(_failed, job), job) for job in jobs]


def _keys(job: Job) -> tuple[str, ...]:
    if job.options.engine == "torch":
        from planner_calibration.measure.torch_engine import measure

        return tuple(measure.keys(job.spec, job.points, job.options, job.on))
    from planner_calibration.measure.serve import online

    keys = offline.keys(job.spec, job.points, job.options, job.on)
    sent = online.keys(job.spec, job.loads, job.options, job.on) if job.loads else []
    return (*keys, *sent)


def _failed(job: Job, message: str) -> list[Measurement]:
    flags = offline.engine_flags(job.options, job.points, job.on)
    common = {
        "status": "crash",
        "engine": f"{job.options.engine} {job.options.version}".strip(),
        "machine": job.on.id,
        "message": message,
    }
    chosen = (offline.settings(job.spec, p, job.options, flags) for p in job.points)
    return [Measurement.of("serve_offline", what, **common) for what in chosen]


def do(job: Job) -> Iterator[Measurement]:
    """Measure one model and yield its rows, each as it ends."""
    if job.options.engine == "torch":
        from planner_calibration.measure.torch_engine import measure

        yield from measure.serve(job.spec, job.points, job.options, job.on)
        return
    if job.points:
        yield from offline.serve(job.spec, job.points, job.options, job.on, job.recorded)
    if job.loads:
        from planner_calibration.measure.serve import online

        yield from online.serve(job.spec, job.loads, job.options, job.on, job.recorded)
