"""The call behind `planner calibrate this-machine`."""

import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from planner.data import own_folder
from planner.errors import PlannerError, SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.formats import format_named
from planner.inputs.profile import load_profile
from planner.scenario.scenario import conditions, resolve
from planner.writer import write_whole
from planner_calibration import words
from planner_calibration.campaign import plan, stages, trainings
from planner_calibration.campaign.clock import Clock
from planner_calibration.campaign.plan import Stage
from planner_calibration.campaign.report import CampaignReport, Took
from planner_calibration.campaign.stages import Place, Say
from planner_calibration.fit.service import STEPS, ServiceFit, fit_service, served
from planner_calibration.fit.speed import profile as profiles
from planner_calibration.measure.machine import machine
from planner_calibration.measure.serve import sweep as serving
from planner_calibration.measure.serve.offline import Options
from planner_calibration.measure.serve.online import Failed

REPEATS = {"cpu": 5, "cuda": 3}
LEAST_S = 120.0


def run(
    time_: str,
    *,
    vllm: str | None,
    data: Path | None,
    device: str | None,
    dtype: str | None,
    threads: int,
    folder: Path | None,
    say: Say,
) -> CampaignReport:
    """Measure this machine within a time, fit a profile of it, and hold it against what it has not seen.

    Raises:
        SpecError: the time is too short, or a format or an engine is not there.
        OutputError: a file cannot be written.

    """
    clock = Clock(words.seconds(time_))
    if clock.seconds < LEAST_S:
        raise SpecError(
            f"--time {time_} is too short", hint="two minutes at least, e.g. --time 20m"
        )
    on = machine(device)
    threads = threads or stages.engine_threads(on)
    held = dtype or ("bfloat16" if on.kind == "cuda" else "float32")
    store = folder or Path(f"calibration-{on.id}")
    at = stages.place(on, store, held, threads, say)
    at.device.flops_per_s(stages.offline_format(held))
    campaign = _Campaign(at, clock, say, vllm, data)
    campaign.measure()
    return campaign.finish()


class _Campaign:
    """One campaign under way."""

    def __init__(
        self, at: Place, clock: Clock, say: Say, vllm: str | None, data: Path | None
    ) -> None:
        self.at, self.clock, self.say, self.data = at, clock, say, data
        self.took: list[Took] = []
        self.planned: list[Stage] = []
        self.notes: list[str] = []
        self.models, self.points = plan.models_for(at.on), plan.points_for(at.on)
        base = Options(
            engine="vllm" if vllm else "auto",
            python=vllm or sys.executable,
            dtype=at.dtype,
            repeats=REPEATS[at.on.kind],
            threads=at.threads,
        )
        first = serving.resolve(base)
        # In the processes that a server has, so that one set of constants is of both.
        as_served = Options(
            **{**_fields(first), "as_served": at.on.kind == "cpu" and first.engine != "torch"}
        )
        self.engines = [as_served]
        if first.engine != "torch" and at.on.kind == "cuda":
            self.engines.append(Options(**{**_fields(first), "engine": "torch", "version": ""}))

    def stage(self, name: str, rows: Callable[[], Iterable[Any]]) -> bool:
        """Run a stage to its end, take note of it, and say whether it worked."""
        begun, n, failed = self.clock.spent_s, 0, ""
        try:
            for row in rows():
                n += 1
                failed = row.message if row.status != "ok" and self.clock.left_s > 0 else failed
        except (PlannerError, Failed, OSError, RuntimeError) as error:
            failed = str(error).splitlines()[0] if str(error) else type(error).__name__
        seconds = self.clock.spent_s - begun
        self.took.append(Took(name, n, seconds, failed))
        if failed:
            self.say(f"{name}: {failed}")
        return not failed

    def measure(self) -> None:
        """Try every stage on its first, small run; then do what fits into the time."""
        at, clock, say = self.at, self.clock, self.say
        self._tell_plan()
        main, *others = self.engines
        say(
            f"first runs of every stage, kept like the rest (at most {clock.smoke_s / 60:.1f} min):"
        )
        self.stage("kernels", lambda: stages.kernels(at, clock, say))
        first = self.models[:1]
        begun = time.monotonic()
        works = self.stage(
            f"{main.engine}, first model",
            lambda: stages.batches(at, first, self.points, main, clock, say),
        )
        took = time.monotonic() - begun
        if self.data is not None:
            self.stage(
                "training",
                lambda: trainings.train(at, self.data, clock.seconds, clock, say, most=1),
            )
        if main.engine == "vllm":
            self.stage("online", lambda: stages.loads(at, self.models[0], main, clock, say))
        if self.data is not None:
            until = clock.spent_s + trainings.SHARE * clock.left_s
            self.stage("trainings", lambda: trainings.train(at, self.data, until, clock, say))
        for options in [main, *others] if works else others:
            n = self._models_that_fit(options, took if options is main else 0.0)
            say(f"{options.engine}: {n} of {len(self.models)} models fit into the time left")
            some = self.models[: max(n, 1)]
            self.stage(
                options.engine,
                partial(stages.batches, at, some, self.points, options, clock, say),
            )

    def _tell_plan(self) -> None:
        at, clock = self.at, self.clock
        main = self.engines[0]
        each = self._offline_seconds(main)
        start = plan.START_S[at.on.kind]
        online = plan.online_seconds(at.on) if main.engine == "vllm" else 0.0
        left = clock.left_s - online
        self.planned = [Stage("kernels", "single kernels", 30.0)]
        if online:
            self.planned.append(
                Stage("online", f"one server, {main.engine}, loads of requests", online)
            )
        if self.data is not None:
            share = trainings.SHARE * left
            n = int(share // trainings.seconds_each(at))
            self.planned.append(Stage("trainings", f"{n} trainings on {self.data}", share))
            left -= share
        n = plan.that_fit(each, start, left)
        what = f"{max(n, 2)} of {len(self.models)} models, {len(self.points)} batches each"
        self.planned.append(Stage(main.engine, what, sum(each[:n]) + n * start))
        self.planned.append(Stage("fit", "profile, front end, held-out error", clock.reserve_s))
        self.say(
            f"{at.device.name} ({at.device_id}): {main.engine} {main.version} in {at.dtype}"
            + (f", {at.threads} of its threads" if at.threads else "")
        )
        for s in self.planned:
            self.say(f"  {s.name}: {s.what}, about {s.seconds / 60:.1f} min")

    def _offline_seconds(self, options: Options) -> list[float]:
        engine = EngineSpec(
            name=options.engine, version=options.version, dtype=format_named(options.dtype).name
        )
        at = self.at
        return plan.offline_seconds(
            self.models, self.points, at.device, at.device_id, engine, options.repeats
        )

    def _models_that_fit(self, options: Options, first_s: float) -> int:
        """Return how many models fit, by the planner's figures and what the first one took beside them."""
        each = self._offline_seconds(options)
        start = max(first_s - each[0], 0.0) or plan.START_S[self.at.on.kind]
        store = self.at.rows(f"serve-{options.engine}")
        n = sum(r.status == "ok" for r in store) // len(self.points)
        return min(len(each), n + plan.that_fit(each[n:], start, self.clock.left_s))

    def finish(self) -> CampaignReport:
        """Fit what there is, check it, write and load the profile and the report."""
        at, main = self.at, self.engines[0]
        begun = self.clock.spent_s
        fitted, service, path = None, None, None
        shares: dict[str, float] = {}
        name = f"{at.device_id}-{main.engine}"
        try:
            self.say("fit:")
            paths = [at.store("kernels"), at.store(f"serve-{main.engine}")]
            fitted = profiles.fit(
                [p for p in paths if p.exists()],
                at.device_id,
                name=name,
                engine=main.engine,
                machine=at.on.id,
            )
            service, shares = self._service(fitted)
            path = profiles.write(fitted, own_folder("calibration"), date.today(), service=service)
            self._found_by_name(name)
        except PlannerError as error:
            self.notes.append(f"no profile: {error}")
        law = self._law(name)
        self.took.append(Took("fit", 0, self.clock.spent_s - begun))
        report = CampaignReport(
            at.device_id, fitted, service, shares, tuple(self.took), tuple(self.planned), path, at.folder,
            self.clock.spent_s, self.clock.seconds,
            f"--on {at.device_id} --engine {main.engine} --dtype {format_named(at.dtype).name}", law, tuple(self.notes),
        )  # fmt: skip
        from planner.cli.output import as_json, as_text

        write_whole(at.folder / "report.txt", as_text(report), folders=True)
        write_whole(at.folder / "report.json", as_json(report.to_dict()))
        return report

    def _service(self, fitted: profiles.Fitted) -> tuple[ServiceFit | None, dict[str, float]]:
        rows = self.at.rows("online")
        if not rows or self.engines[0].engine != "vllm":
            return None, {}
        known = stages.rated(self.at, self.models[0], self.engines[0])
        shares = {key: r.share for key, r in known}
        away = {key for key, r in known if r.held_out}
        if shares:  # the load that says what 100 % is lies beyond those that are asked about
            full = stages.saturated(self.at, self.models[0], self.engines[0])
            shares[full], away = 1.0, away | {full}
        loads = served(rows, self.at.device)
        if not any(load.key not in away for load in loads):
            return None, shares
        c = fitted.corrected
        return fit_service(loads, c.kernels, c.overheads, away=frozenset(away), steps=STEPS), shares

    def _found_by_name(self, name: str) -> None:
        """Load what was written, as every command does."""
        load_profile(name)
        options = self.engines[0]
        dtype = format_named(self.at.dtype).name
        found = resolve(conditions(on=self.at.device_id, engine=options.engine, dtype=dtype))
        if found.profile.name != name:
            self.notes.append(
                f"--on {self.at.device_id} takes profile {found.profile.name}, not {name}"
            )

    def _law(self, name: str) -> str:
        store = self.at.store("train")
        if self.data is None or not store.exists():
            return ""
        from planner.cli.output import as_text
        from planner_calibration.fit.command import run as fit

        try:
            found = fit(
                [store],
                name=f"{name}-law",
                on=None,
                engine="",
                machine=None,
                prior=None,
                folder=own_folder("presets/laws"),
            )
            return as_text(found)
        except PlannerError as error:
            return f"no law: {error}"


def _fields(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Options.__dataclass_fields__}
