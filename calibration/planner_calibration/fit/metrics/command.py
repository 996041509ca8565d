"""The call behind `planner calibrate from-metrics`: a profile from what a running server publishes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from planner.columns import System
from planner.data import own_folder
from planner.errors import SpecError
from planner.inputs.profile import ProfileSpec
from planner.scenario.scenario import Scenario, conditions, resolve
from planner.serving.requests import Drawn, draw
from planner.units import show
from planner.writer import write_whole
from planner_calibration import words
from planner_calibration.fit.map_fit import MapFit
from planner_calibration.fit.memory import profile as memory
from planner_calibration.fit.memory.report import MemoryReport
from planner_calibration.fit.memory.starts import parted
from planner_calibration.fit.metrics.page import Window, pages_of, windows
from planner_calibration.fit.service import READS, STEPS, Served, ServiceFit, fit_service
from planner_calibration.fit.speed import profile as profiles
from planner_calibration.fit.write import constants, posterior, profile_toml

MEANS = ("ttft_mean_s", "tpot_mean_s", "e2e_mean_s")
SIMULATED = (60, 300)  # requests of a window, at least and at most
SHARED = {"vllm": True, "sglang": False}


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """A profile moved by windows of a server's own figures, and where it was written."""

    prior: ProfileSpec
    seen: tuple[Window, ...]
    fitted: ServiceFit
    before: ServiceFit | None
    memory: MemoryReport | None
    device: str
    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """Return the constants, one a row."""
        p: MapFit = self.fitted.posterior
        return [
            {"constant": n, "value": v, "ln_sd": p.sds[n], "shrinkage": p.shrinkage()[n]}
            for n, v in p.values.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "profile": str(self.path),
            "prior": self.prior.name,
            "windows": [
                {
                    "seconds": w.seconds,
                    "requests": w.requests,
                    "requests_per_s": w.rate_per_s,
                    "in_flight": w.in_flight,
                    "input_tokens": w.input_tokens,
                    "output_tokens": w.output_tokens,
                    "measured": dict(e.measured),
                    "predicted": dict(e.predicted),
                }
                for w, e in zip(self.seen, self.fitted.loads, strict=True)
            ],
            "constants": self.rows(),
            "ttft_sd": self.fitted.ttft_sd,
            "memory": self.memory.to_dict() if self.memory else None,
        }

    def __rich__(self) -> Any:
        """Render: each window beside its prediction, constants and how much the windows said of them."""
        from rich.console import Group
        from rich.table import Table

        table = Table("window", "requests", "in flight", "TTFT", "said", "TPOT", "said", "end to end",
                      "said", box=None, pad_edge=False)  # fmt: skip
        for w, e in zip(self.seen, self.fitted.loads, strict=True):
            pairs = [show(of[n], "s") for n in MEANS for of in (e.measured, e.predicted)]
            load = f"{w.seconds:.0f} s", f"{w.requests:.0f}", f"{w.in_flight:.1f}"
            table.add_row(*load, *pairs)
        told = Table("constant", "value", "±", "said", box=None, pad_edge=False)
        for row in self.rows():
            spread = f"{100 * row['ln_sd']:.0f} %"
            how = "the windows" if row["shrinkage"] < 0.5 else "mostly the prior"
            told.add_row(row["constant"], _written(row["constant"], row["value"]), spread, how)
        w = self.seen[-1]
        cache = (
            f"the cache holds {w.cache_tokens:,.0f} tokens"
            if w.cache_tokens == w.cache_tokens
            else ""
        )
        lines: list[Any] = [self._headline(), "", table, "", told, ""]
        lines += [cache] if cache else []
        lines += [self.memory, ""] if self.memory else []
        return Group(*lines, f"wrote {self.path}; {self._use()}")

    def _use(self) -> str:
        if self.path.parent == own_folder("calibration"):
            return f"it is used wherever --on {self.device} is asked"
        return f"use it with --profile {self.path}"

    def _headline(self) -> str:
        n, r = len(self.seen), sum(w.requests for w in self.seen)
        return (
            f"{n} window{'s' * (n > 1)} of {r:.0f} requests, from {self.prior.name}; first tokens are told"
            f" within {100 * self.fitted.ttft_sd:.0f} % (sd"
            + (", in sample: few windows)" if n < 2 * len(self.fitted.posterior.priors) else ")")
        )


def _written(name: str, value: float) -> str:
    return show(value, "s") if name.endswith("_s") else f"{value:.3g}"


def run(
    sources: Sequence[str],
    *,
    model: str,
    on: str,
    every: str,
    times: int,
    logs: Sequence[Path],
    name: str,
    folder: Path | None,
    engine: str,
    settings: dict[str, Any],
    say: Callable[[str], None],
) -> MetricsReport:
    """Fit front end and step constants to what a server publishes, its memory to start-up logs.

    Raises:
        SpecError: a source says too little, or of another engine.
        MissingExtra: `prometheus_client` is not installed.

    """
    profiles.check_name(name or "mine")
    pages = pages_of(sources, every_s=words.seconds(every), times=times, say=say)
    names = {p.engine for p in pages}
    if len(names) > 1:
        raise SpecError(
            f"these pages are of {' and '.join(sorted(names))}", hint="give one server's"
        )
    seen = windows(pages)
    known = engine or names.pop()
    asked = conditions(engine=known, on=on, **{k: v for k, v in settings.items() if v is not None})
    scenario = Scenario.of(model, asked)
    d = resolve(scenario)
    system = d.system(scenario.model.arch())
    loads = [_load(i, w, system) for i, w in enumerate(seen)]
    kernels, overheads = d.profile.columns()
    shared = SHARED.get(scenario.engine.name, True)
    found = fit_service(
        loads, kernels, overheads, shared=shared, steps=STEPS | READS, fitted_to=MEANS, n_starts=2
    )
    device_id = profiles.own_id(on)
    name = name or f"{device_id}-{scenario.engine.name}-metrics"
    started = None
    if logs:
        started = memory.fit(parted(logs)[1], on, engine=known, prior=d.profile.name)
    path = (folder or own_folder("calibration")) / f"{name}.toml"
    table = _profile(name, device_id, d.profile, scenario, found, seen)
    table |= memory.memory_of(started) if started else {}
    write_whole(
        path, profile_toml(table, "Written by planner calibrate from-metrics."), folders=True
    )
    report = MemoryReport(started, path) if started else None
    return MetricsReport(d.profile, tuple(seen), found, None, report, device_id, path)


def _load(i: int, w: Window, system: System) -> Served:
    n = int(min(max(w.requests, SIMULATED[0]), SIMULATED[1]))
    tokens = max(round(w.input_tokens), 1), max(round(w.output_tokens), 1)
    requests = draw(Drawn(n, *tokens, rate_per_s=w.rate_per_s))
    measured = {"ttft_mean_s": w.ttft_s, "tpot_mean_s": w.itl_s, "e2e_mean_s": w.e2e_s}
    return Served(str(i), f"window {i + 1}", system, requests, None, measured)


def _profile(
    name: str,
    device_id: str,
    prior: ProfileSpec,
    s: Scenario,
    found: ServiceFit,
    seen: Sequence[Window],
) -> dict[str, Any]:
    requests = sum(w.requests for w in seen)
    own = prior.spread.model_dump() | {"ttft": found.ttft_sd}
    return {
        "name": name,
        "architecture": prior.architecture if device_id in prior.devices else _architecture(s),
        "devices": [device_id],
        "engine": s.engine.generation,
        "engine_version": s.engine.version,
        "fitted": date.today(),
        "data": f"{len(seen)} windows of a server's own metrics, {requests:.0f} requests; "
        f"prior: {prior.name} ({prior.fitted})",
        "kernels": constants(found.kernels),
        "overheads": constants(found.overheads),
        "front_end": found.table() | {"data": f"{len(seen)} windows of a server's own metrics"},
        "load_spread": {"ttft": max(found.ttft_sd, 0.1), "duration": prior.spread.throughput},
        "spread": own,
        **({"memory": prior.memory} if prior.memory else {}),
        "posterior": posterior({"metrics": found.posterior}, digits=3, places=3),
    }


def _architecture(s: Scenario) -> str:
    from planner.inputs.device import load_device

    return load_device(s.on).architecture
