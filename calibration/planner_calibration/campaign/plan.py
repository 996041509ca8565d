"""What a campaign measures, in the order it is worth most, and how long the planner says it takes."""

import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from planner.columns import Arch, Workload, stack
from planner.inputs.device import DeviceSpec
from planner.inputs.engine import EngineSpec
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.profile import profile_for
from planner.scenario.scenario import Deployment
from planner.serving.batch import batch_s
from planner_calibration.measure.machine import Machine
from planner_calibration.measure.serve.offline import Load, Point
from planner_calibration.measure.shapes import near

# Shapes that differ in size, depth, x, r and GQA; any first few of them do.
CPU_SHAPES = (  # non-embedding parameters, layers, x, r, GQA
    (4e6, 4, 0.13, 2.0, 2), (4e6, 4, 0.18, 0.7, 1), (2.5e6, 3, 0.16, 3.0, 4), (6e6, 6, 0.13, 1.2, 4),
    (4e6, 4, 0.10, 3.0, 1), (6e6, 4, 0.16, 1.0, 2), (2.5e6, 4, 0.13, 1.0, 1), (4e6, 6, 0.16, 3.0, 2),
    (6e6, 5, 0.10, 2.0, 1), (4e6, 3, 0.20, 1.5, 4), (2.5e6, 5, 0.18, 2.0, 2), (6e6, 4, 0.20, 3.0, 4),
)  # fmt: skip
CPU_POINTS = (
    Point(1, 128, 32),
    Point(8, 64, 32),
    Point(16, 128, 16),
    Point(4, 256, 1),
    Point(2, 64, 48),
)
CPU_LENGTHS = (128, 32)  # tokens in and out of a request
# Bian et al., arXiv 2510.18245: their seven models, in and out of 4096 and 1024 tokens.
GPU_MODELS = ("llama-3.2-1b", "surefire-1b", "panda-1b", "llama-3.2-3b", "surefire-3b", "panda-3b",
              "panda-3b-1bfit")  # fmt: skip
GPU_POINTS = tuple(Point(b, 4096, n) for b, n in itertools.product((1, 16, 128), (1, 1024)))
GPU_LENGTHS = (1024, 256)
SATURATED = {"cpu": 16, "cuda": 128}  # requests kept in flight, whose rate is 100 % of load
ALONE = {"cpu": 40, "cuda": 30}  # requests of the load with one in flight
FITTED, HELD_OUT = (0.2, 0.45, 0.75), (0.3, 0.6)  # shares of that rate at which others arrive
VARIED = 0.4  # share of it at which lengths vary, by half either way; held out, too
LOAD_S = {"cpu": 22.0, "cuda": 40.0}  # of requests arriving
FEWEST = 60  # requests of a load
CLIENT_S = 15.0  # a client's start
START_S = {"cpu": 45.0, "cuda": 90.0}  # an engine's, until one was seen
SLACK = 1.3  # warm-up, prompts made, rows written


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a campaign: what it does, and how long it is expected to take."""

    name: str
    what: str
    seconds: float


def models_for(on: Machine) -> list[ModelSpec]:
    """Return the models to serve: small ones that differ on a CPU, the paper's on a GPU."""
    if on.kind == "cuda":
        return [load_model(name) for name in GPU_MODELS]
    found = [
        near(n, n_layers=layers, x=x, r=r, gqa=gqa, head_dim=32, vocab_size=4096, multiple=32)
        for n, layers, x, r, gqa in CPU_SHAPES
    ]
    return [llama_candidate(*astuple(s), name=f"shape-{i}") for i, s in enumerate(found)]


def points_for(on: Machine) -> tuple[Point, ...]:
    """Return the batches that each model is given."""
    return GPU_POINTS if on.kind == "cuda" else CPU_POINTS


def first_loads(on: Machine) -> list[Load]:
    """Return the loads that tell what a server can do: a lone request, and as many as are of use."""
    lengths = GPU_LENGTHS if on.kind == "cuda" else CPU_LENGTHS
    full = SATURATED[on.kind]
    inf = float("inf")
    return [
        Load(inf, ALONE[on.kind], *lengths, concurrency=1),
        Load(inf, 12 * full, *lengths, concurrency=full),
    ]


@dataclass(frozen=True, slots=True)
class Rated:
    """A load at a share of what a server can do."""

    load: Load
    share: float
    held_out: bool


def rated_loads(on: Machine, most_per_s: float) -> list[Rated]:
    """Return loads at shares of the greatest rate of requests.

    Args:
        on: the machine.
        most_per_s: requests a second with many in flight.

    """
    lengths = GPU_LENGTHS if on.kind == "cuda" else CPU_LENGTHS

    def at(share: float, held_out: bool, varied: float = 0.0) -> Rated:
        rate = float(f"{share * most_per_s:.2g}")
        n = max(FEWEST, round(rate * LOAD_S[on.kind]))
        return Rated(Load(rate, n, *lengths, length_range=varied), share, held_out)

    plain = [at(s, False) for s in FITTED] + [at(s, True) for s in HELD_OUT]
    return [*plain, at(VARIED, True, varied=0.5)]


def offline_seconds(
    models: Sequence[ModelSpec],
    points: Sequence[Point],
    device: DeviceSpec,
    device_id: str,
    engine: EngineSpec,
    repeats: int,
) -> list[float]:
    """Return how long each model's points take by the planner's own figures, without the engine's start.

    Args:
        models: what is served.
        points: batches of each.
        device: where.
        device_id: its id.
        engine: what serves.
        repeats: of each point.

    """
    profile, _, _ = profile_for(device_id, device, engine.generation)
    deployment = Deployment(device, engine, profile, 1.0, "", float("nan"), "")
    pairs = list(itertools.product(models, points))
    arch: Arch = stack([m.arch() for m, _ in pairs])
    system = replace(deployment.system(arch), arch=arch)
    work = Workload(
        *(
            np.array([float(getattr(p, n)) for _, p in pairs])
            for n in ("input_tokens", "output_tokens", "batch")
        )
    )
    each = SLACK * repeats * np.asarray(batch_s(system, work), dtype=np.float64)
    return [float(v) for v in each.reshape(len(models), len(points)).sum(axis=1)]


def that_fit(seconds: Sequence[float], start_s: float, left_s: float) -> int:
    """Return how many of the first models fit into the time that is left.

    Args:
        seconds: of each model's points.
        start_s: of an engine.
        left_s: for all of them.

    """
    ends = np.cumsum([start_s + s for s in seconds])
    return int(np.sum(ends <= left_s))


def online_seconds(on: Machine) -> float:
    """Return how long a server's start and all its loads take, about."""
    n = len(first_loads(on)) + len(FITTED) + len(HELD_OUT) + 1
    return START_S[on.kind] + n * (CLIENT_S + LOAD_S[on.kind])
