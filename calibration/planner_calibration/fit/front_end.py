"""Front ends: what servers add to their engines, from published runs of services; spreads of what is said of load.

The engine is simulated without a front end, and what is then missing of a lone request's TTFT is the front
end's. Bursts of a thousand prompts of 128 tokens and 4 of output say how much of it is CPU time that others
wait for: they end when the last prompt is taken in. Medians over architectures; each architecture is scored
by the constants of the others, and the spreads are what 80 % of those rows stay within.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.columns import FrontEnd
from planner.inputs.engine import version_numbers
from planner.inputs.files import read_csv
from planner.inputs.front_end import FrontEndVersion
from planner.interval import INTERVAL, Z
from planner.questions.validate.measured import COLUMNS, Run, runs_of
from planner.questions.validate.scoring import Prepared, prepare, seen_in
from planner.scenario.simulated import Seen
from planner.writer import write_whole
from planner_calibration.fit.speed.fleet import FITTED
from planner_calibration.fit.write import profile_toml

# Files, and what they leave out.
FILES: Mapping[str, Mapping[str, str]] = {
    "servebench.csv": {"endpoint": "chat"},
    "openloop.csv": {},
    "reports.csv": {},
    "inferencex_ttft.csv": {"kv_dtype": "fp8"},
}
COLUMNS_READ = ("ttft_mean_s", "ttft_p50_s", "tpot_mean_s", "duration_s", "e2e_mean_s")
# From these versions on an engine is taken to have other constants: vLLM 0.10.2 looked for a processor
# of every chat request of a text model, until github.com/vllm-project/vllm/pull/25341.
SINCE = {"vllm": ("0", "0.10.2", "0.11.1"), "sglang": ("0",), "tensorrt-llm": ("0",)}
CHAT_APART = {"vllm": ("0.10.2",)}  # where chat requests take longer than prompts
SHARED = {"vllm": True, "sglang": False, "tensorrt-llm": False}
PROMPT = 1100  # tokens computed at most: of longer prompts the engine's own time is most
FEW = 8  # requests in flight at most, where a request hardly meets another
SHORT = (200, 8)  # tokens in and out of a burst that its front end may rule
RULED = 1.3  # times as long as the engine takes: the front end's
REQUEST_S = 0.002  # where no burst tells: HTTP and a short prompt
PROMPT_TOKEN_S = 1e-6  # tokenizers do about a million tokens a second
TOKEN_S = 2e-5  # detokenising and an event of a stream; no published run is bound by it
METRICS = {"ttft_mean_s": "ttft", "ttft_p50_s": "ttft", "tpot_mean_s": "tpot", "duration_s": "duration",
           "e2e_mean_s": "duration"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of a service beside what its engine alone would do."""

    run: Run
    alone: float  # simulated without a front end
    n: int  # requests of the run

    @property
    def engine(self) -> str:
        return self.run.scenario.engine.name

    @property
    def chat(self) -> bool:
        return self.run.scenario.workload.endpoint == "chat"

    @property
    def since(self) -> str:
        """The version of `SINCE` that it ran."""
        asked = version_numbers(self.run.scenario.engine.version)
        known = [v for v in SINCE[self.engine] if not asked or version_numbers(v) <= asked]
        return known[-1]

    @property
    def lone(self) -> bool:
        w = self.run.scenario.workload
        few = (w.concurrency or 0) <= FEW and w.kind == "concurrency"
        short = w.input_tokens * (1 - w.prefix_hit) <= PROMPT
        dense = self.run.scenario.model.n_experts == 1  # whose short steps are known
        seen = self.run.column.startswith("ttft") and short and dense
        return seen and (few or w.kind == "rate")

    @property
    def short_burst(self) -> bool:
        w = self.run.scenario.workload
        short = w.input_tokens <= SHORT[0] and w.output_tokens <= SHORT[1]
        return w.kind == "burst" and short and self.run.column == "duration_s"


def median(values: Iterable[tuple[Any, float]]) -> float | None:
    """Return the median over architectures of the medians of each; None where there are no values."""
    by: dict[Any, list[float]] = {}
    for key, value in values:
        by.setdefault(key, []).append(value)
    return float(np.median([np.median(v) for v in by.values()])) if by else None


def constants(rows: Sequence[Measured], engine: str, since: str) -> dict[str, float | bool]:
    """Return an engine's constants from a version on, by the rows that tell."""
    own = [r for r in rows if r.engine == engine]
    here = [r for r in own if r.since == since]

    def delay(among: Sequence[Measured], *chats: bool) -> float | None:
        told = [r for r in among if r.lone and r.chat in chats]
        return median((r.run.architecture, r.run.value - r.alone) for r in told)

    bursts = [r for r in here if r.short_burst and r.run.value > RULED * r.alone]
    taken = median((r.run.architecture, r.run.value / r.n) for r in bursts) or REQUEST_S
    apart = since in CHAT_APART.get(engine, ())
    ends = (False,) if apart else (False, True)
    plain = delay(here, *ends) or delay(own, *ends) or 0.0
    request = REQUEST_S if apart else taken
    plain = max(plain, request)
    chat = max(delay(here, True) or plain, plain) if apart else plain
    chat_request = max(min(taken, chat) - request, 0.0) if apart else 0.0
    return {
        "fixed_s": plain - request,
        "request_s": request,
        "prompt_token_s": PROMPT_TOKEN_S,
        "token_s": TOKEN_S,
        "chat_fixed_s": max(chat - chat_request - plain, 0.0),
        "chat_request_s": chat_request,
        "shared": SHARED[engine],
    }


def columns(found: Mapping[str, Any], chat: bool) -> FrontEnd:
    """Return constants as columns, at the endpoint of completions or of chat."""
    version = FrontEndVersion(since="0", data="fitted here", **found)
    return version.columns("chat" if chat else "completions")


def read(folder: Path) -> list[Run]:
    """Return the runs of services that are not flagged, of the engines that have a front end here."""
    runs: list[Run] = []
    for name, filled in FILES.items():
        sheet = read_csv(folder / name, hint="name the folder of the runs")
        known, _ = runs_of(sheet.filled(filled))
        runs += [replace(r, line=r.line + 100_000 * (list(FILES).index(name) + 1)) for r in known]
    return [
        r
        for r in runs
        if r.column in COLUMNS_READ
        and not r.flag
        and r.scenario.engine.name in SINCE
        and r.scenario.workload.kind != "batch"
    ]


def simulated(p: Prepared, front_end: Callable[[Run], FrontEnd]) -> list[Seen | None]:
    """Simulate every run under a front end."""
    return p.see(lambda i, system: replace(system, front_end=front_end(p.runs[i])))


def fit(runs: Sequence[Run], say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Return each engine's file: constants by version, and spreads of rows predicted by the others."""
    p = prepare(runs)
    rows = [
        Measured(run, value, run.scenario.workload.n_requests or run.batch)
        for run, seen in zip(runs, simulated(p, lambda run: FrontEnd()), strict=True)
        if seen is not None and np.isfinite(value := seen_in(seen, run))
    ]
    architectures = {r.run.architecture for r in rows}
    away = {
        (a, e, v): constants([r for r in rows if r.run.architecture != a], e, v)
        for a in architectures
        for e, versions in SINCE.items()
        for v in versions
    }

    def left_out(run: Run) -> FrontEnd:
        m = Measured(run, 0.0, 0)
        return columns(away[run.architecture, m.engine, m.since], m.chat)

    errors: dict[tuple[str, str], list[float]] = {}
    for run, seen in zip(runs, simulated(p, left_out), strict=True):
        if seen is None or not np.isfinite(value := seen_in(seen, run)) or value <= 0:
            continue
        where = run.scenario.engine.name, METRICS[run.column]
        errors.setdefault(where, []).append(float(np.log(value / run.value)))
    found = {}
    for engine, versions in SINCE.items():
        spread = {}
        for metric in ("ttft", "tpot", "duration"):
            e = np.abs(errors.get((engine, metric), []))
            if len(e):
                if metric != "tpot":  # whose spread is the step's: a profile has it
                    spread[metric] = float(np.quantile(e, INTERVAL) / Z)
                say(
                    f"{engine:<13} {metric:<9} {len(e):>4} rows of architectures left out: "
                    f"median error {100 * np.median(np.expm1(e)):.0f} %, mean |ln| {e.mean():.3f}, "
                    f"bias {100 * np.expm1(np.median(errors[engine, metric])):+.0f} %"
                )
        known = [
            {"since": v, **constants(rows, engine, v), "data": _data(rows, engine, v)}
            for v in versions
        ]
        found[engine] = {
            "engine": engine,
            "fitted": FITTED,
            "spread": spread,
            "versions": known,
        }
    return found


def _data(rows: Sequence[Measured], engine: str, since: str) -> str:
    own = [r for r in rows if r.engine == engine and r.since == since]
    lone = sum(r.lone for r in own)
    bursts = sum(r.short_burst for r in own)
    if not lone:
        return "no lone requests of these versions: those of others"
    return (
        f"{lone} times to first token of lone requests, {bursts} short bursts: users' reports, gpustack "
        "(Apache-2.0), inference-sim/training (figures only), InferenceX (SemiAnalysis; Apache-2.0, attribution)"
    )


def main(folder: Path, out: Path, say: Callable[[str], None]) -> list[Path]:
    """Fit the front ends and write a file an engine; return their paths."""
    assert set(COLUMNS_READ) <= set(COLUMNS)
    paths = []
    for engine, content in fit(read(folder), say).items():
        path = out / f"{engine}.toml"
        write_whole(
            path,
            profile_toml(
                content, "Written by `planner calibrate front-ends`; see calibration/LOG.md."
            ),
            folders=True,
        )
        paths.append(path)
    return paths
