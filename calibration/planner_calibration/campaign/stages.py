"""The stages of a campaign: each measures what is not on record and stops with the clock."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch

from planner.data import own_folder
from planner.errors import UnknownName
from planner.inputs.device import DeviceSpec, device_named, load_device
from planner.inputs.measurement import Measurement
from planner.inputs.model import ModelSpec
from planner.writer import write_whole
from planner_calibration import runs
from planner_calibration.campaign import plan
from planner_calibration.campaign.clock import Clock
from planner_calibration.measure.kernels import cases, measure, peaks
from planner_calibration.measure.machine import Machine, usable_cpus
from planner_calibration.measure.serve import offline, online
from planner_calibration.measure.serve.offline import Options, Point

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a campaign runs and keeps what it finds."""

    on: Machine
    device: DeviceSpec
    device_id: str
    folder: Path
    threads: int
    dtype: str
    proposed: Path | None = None  # the hardware file that was written for it, if any

    def store(self, name: str) -> Path:
        """Return the run file of a stage."""
        return self.folder / f"{name}.jsonl"

    def rows(self, *names: str) -> list[Measurement]:
        """Return what is on record of stages, this machine's alone."""
        found = runs.load([self.store(n) for n in names]).rows
        return [r for r in found if r.machine == self.on.id]


def engine_threads(on: Machine) -> int:
    """Return a CPU engine's threads: a core is left to the front end, where there are several."""
    return max(1, usable_cpus() - 1) if on.kind == "cpu" else 0


def place(on: Machine, folder: Path, dtype: str, threads: int, say: Say) -> Place:
    """Find the device in the catalogue by its name, or propose a hardware file for it.

    The file goes to the user's own folder, where every command finds it.
    """
    if on.kind == "cpu":
        torch.set_num_threads(threads)
    try:
        known = device_named(on.name)
    except UnknownName:
        known = on.id
    path = own_folder("hardware") / f"{known}.toml"
    proposed = None
    if known == on.id and not (path.is_file() and load_device(str(path)).n_sms == threads):
        gpu = on.kind == "cuda"
        cache = peaks.measured_cache_bytes(on)
        dtypes = tuple(d for d in cases.DTYPES if gpu or d != "float16")
        found = peaks.find_peaks("cuda" if gpu else "cpu", dtypes, cache)
        write_whole(
            path, peaks.propose(on, found, threads=threads, today=date.today()), folders=True
        )
        proposed = path
        say(f"no file of {on.name} yet: its peaks measured, {path}")
    return Place(on, load_device(known), known, folder, threads, dtype, proposed)


def kernels(at: Place, clock: Clock, say: Say) -> list[Measurement]:
    """Time single kernels, as many as the clock allows."""
    gpu = at.on.kind == "cuda"
    cache = peaks.measured_cache_bytes(at.on)
    rates = {n: at.device.flops_per_s(offline_format(n)) for n in (at.dtype,)}
    found = peaks.Peaks(rates, at.device.hbm_bytes_per_s, cache)
    todo = itertools.takewhile(
        lambda case: clock.left_s > 0, cases.sweep("full" if gpu else "small", cache)
    )
    rows = measure.measure(
        todo, on=at.on, dtype=at.dtype, peak=found, store=at.store("kernels"), repeats=5
    )
    say(f"kernels: {len(rows)} measured, {len(at.rows('kernels'))} on record")
    return rows


def offline_format(dtype: str) -> str:
    """Return our name of a torch dtype."""
    from planner.inputs.formats import format_named

    return format_named(dtype).name


def kept(rows: Iterable[Measurement], store: Path, clock: Clock, say: Say) -> Iterator[Measurement]:
    """Append rows as they come and pass them on; what only the clock ended is no failure on record."""
    for row in rows:
        if row.status == "ok" or clock.left_s > 0:
            runs.append(store, row)
            say(f"  {_line(row)}")
            yield row


def _line(row: Measurement) -> str:
    from planner_calibration.measure.serve.command import line

    return line(row)


def batches(
    at: Place,
    models: Sequence[ModelSpec],
    points: Sequence[Point],
    options: Options,
    clock: Clock,
    say: Say,
) -> Iterator[Measurement]:
    """Measure models one after the other, each in an engine of its own, until the clock ends it."""
    store, took = at.store(f"serve-{options.engine}"), 0.0
    for model in models:
        if clock.left_s <= 0.8 * took:  # the next one would hardly end
            return
        begun = clock.spent_s
        own = replace(options, limit_s=min(options.limit_s, clock.left_s))
        recorded = frozenset(runs.done(store))
        if options.engine == "torch":
            from planner_calibration.measure.torch_engine import measure as torch_engine

            keys = torch_engine.keys(model, points, own, at.on)
            left = [p for p, key in zip(points, keys, strict=True) if key not in recorded]
            rows = torch_engine.serve(model, left, own, at.on)
            rows = itertools.takewhile(lambda row: clock.left_s > 0, rows)
        else:
            rows = offline.serve(model, points, own, at.on, recorded)
        yield from kept(rows, store, clock, say)
        took = max(took, clock.spent_s - begun)


def loads(
    at: Place, model: ModelSpec, options: Options, clock: Clock, say: Say
) -> Iterator[Measurement]:
    """Start one server, see what it can do, then send it requests at shares of that.

    Raises:
        online.Failed: the server does not come up.

    """
    store, first = at.store("online"), plan.first_loads(at.on)
    have = {r.key: r for r in at.rows("online") if r.status == "ok"}
    keys = online.keys(model, first, options, at.on)
    planned = rated(at, model, options) if all(k in have for k in keys) else []
    if planned and all(key in have for key, _ in planned):
        say("online: every load is on record")
        return
    flags = online.server_flags(options, longest(at.on), at.on)
    with online.started(model, flags, options, at.on, max(1.0, clock.left_s)) as server:
        say(f"online: one server for all loads, up in {server.start_s:.0f} s")

        def sent(todo: Sequence[offline.Load], known: Sequence[str]) -> Iterator[Measurement]:
            for load, key in zip(todo, known, strict=True):
                if key not in have and clock.left_s > 0:
                    yield server.measure(load, clock.left_s)

        yield from kept(sent(first, keys), store, clock, say)
        after = rated(at, model, options)
        yield from kept(sent([r.load for _, r in after], [k for k, _ in after]), store, clock, say)
        write_whole(at.folder / "metrics.txt", server.metrics())
        write_whole(at.folder / "server.txt", server.log())


def longest(on: Machine) -> list[offline.Load]:
    """Return loads with the longest requests that a server will get: its limits go by them."""
    return [r.load for r in plan.rated_loads(on, 1.0)]


def saturated(at: Place, model: ModelSpec, options: Options) -> str:
    """Return the key of the load that tells what a server can do at most."""
    (key,) = online.keys(model, plan.first_loads(at.on)[-1:], options, at.on)
    return key


def rated(at: Place, model: ModelSpec, options: Options) -> list[tuple[str, plan.Rated]]:
    """Return the loads at shares of what the server on record could do, with their keys."""
    key = saturated(at, model, options)
    row = next((r for r in at.rows("online") if r.key == key and r.status == "ok"), None)
    if row is None:
        return []
    found = plan.rated_loads(at.on, row.values["completed"] / row.values["duration_s"])
    return list(
        zip(online.keys(model, [r.load for r in found], options, at.on), found, strict=True)
    )
