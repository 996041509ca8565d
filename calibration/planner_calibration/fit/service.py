"""What a server adds to its engine on one machine, from loads of requests that it answered.

The very requests of a run, when they were sent and how long they were, are put through the simulated
scheduler under a profile; what first tokens then still lack is the front end's. Loads that are held out
are predicted by a fit on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import FrontEnd, Kernels, Overheads, System
from planner.inputs.device import DeviceSpec
from planner.inputs.measurement import Measurement
from planner.interval import INTERVAL, Z
from planner.scenario.scenario import rows_of
from planner.serving.requests import Requests
from planner.serving.simulate import Simulation, simulate
from planner_calibration.fit.map_fit import MapFit, Prior, Vector, map_fit
from planner_calibration.fit.speed.engines import placed
from planner_calibration.fit.speed.own_runs import MOST
from planner_calibration.fit.speed.rows import served_systems

# Priors: what shipped servers take, within a factor of ten or so either way. What requests cost one after
# the other is not told from what each waits by itself while the front end is hardly busy.
PRIORS = (
    Prior("fixed_s", 3e-3, 1.2, high=0.9),
    Prior("request_s", 2e-3, 1.0, high=0.9),
    Prior("token_s", 5e-5, 1.2, high=9e-3),
)
PROMPT_TOKEN_S = 1e-6  # tokenizers do about a million tokens a second
NOISE = 0.08  # of a load's median, as the sd of its logarithm
MEDIANS = ("ttft_p50_s", "tpot_p50_s")
# What a step costs, beside its kernels and by the weights they read, and how surely profiles know it.
STEPS = {"step_s": 1.5, "sequence_s": 1.5}
LEAST = {
    "sequence_s": 1e-4
}  # of a prior: streaming to each client may cost more than profiles of batches say
READS = {"gemm_hbm_eff": 0.2}
STEP = (
    0.02  # of a logarithm: a request waits for the end of a step, so that finer ones show nothing
)
LEAST_SD = 0.05  # no spread of first tokens is claimed below this
FEW = 3  # rows from which no spread is taken


@dataclass(frozen=True, slots=True)
class Served:
    """One load on one system, and what its requests saw: ``ttft_p50_s``, ``tpot_mean_s`` and their like."""

    key: str
    name: str
    system: System
    requests: Requests
    concurrency: int | None
    measured: Mapping[str, float]

    def predicted(
        self, kernels: Kernels, overheads: Overheads, front_end: FrontEnd
    ) -> dict[str, float]:
        """Return the same of the simulated requests.

        Args:
            kernels: of a profile.
            overheads: of a profile.
            front_end: times of the server around the engine, s.

        """
        system = replace(self.system, kernels=kernels, overheads=overheads, front_end=front_end)
        sim: Simulation = simulate(system, self.requests, concurrency=self.concurrency)
        return _summary(sim.ttft_s, sim.e2e_s, sim.requests.output_tokens.astype(np.float64))


def _summary(ttft_s: Vector, e2e_s: Vector, output_tokens: Vector) -> dict[str, float]:
    further = np.asarray(output_tokens, dtype=float) - 1.0
    tpot = ((e2e_s - ttft_s) / np.maximum(further, 1.0))[further > 0]
    parts = {"ttft": ttft_s, "tpot": tpot, "e2e": e2e_s}
    return {
        f"{name}_{statistic}_s": float(of(part)) if len(part) else float("nan")
        for name, part in parts.items()
        for statistic, of in (("p50", np.median), ("mean", np.mean))
    }


def served(rows: Sequence[Measurement], device: DeviceSpec) -> list[Served]:
    """Return the loads among rows whose requests were recorded one by one.

    Args:
        rows: of a run file.
        device: they were made on.

    """
    told = [r for r in rows if r.kind == "serve_online" and r.status == "ok" and r.samples]
    found = []
    for dtype in sorted({str(r.what["dtype"]) for r in told}):
        own = [r for r in told if r.what["dtype"] == dtype]
        systems = served_systems(own, dtype, device)
        found += [_served(row, rows_of(systems, i)) for i, row in enumerate(own)]
    return found


def _served(row: Measurement, system: System) -> Served:
    s, w = {k: np.array(v) for k, v in row.samples.items()}, row.what
    lengths = (s[n].round().astype(np.int64) for n in ("input_tokens", "output_tokens"))
    kept = int(str(w["concurrency"])) if w.get("concurrency") else None
    name = f"{kept} in flight" if kept else f"{w['requests_per_s']} a second"
    name += ", lengths vary" if w.get("length_range") else ""
    measured = _summary(s["ttft_s"], s["e2e_s"], s["output_tokens"])
    return Served(row.key, name, system, Requests(s["start_s"], *lengths), kept, measured)


@dataclass(frozen=True, slots=True)
class LoadError:
    """A load's latencies beside their prediction."""

    load: Served
    held_out: bool
    predicted: Mapping[str, float]

    @property
    def measured(self) -> Mapping[str, float]:
        """What its requests saw."""
        return self.load.measured

    def off(self, name: str) -> float:
        """Return predicted over measured, less 1."""
        return self.predicted[name] / self.measured[name] - 1.0


@dataclass(frozen=True, slots=True)
class ServiceFit:
    """The front end of a server, how sure it is, and every load beside its prediction."""

    kernels: Kernels
    overheads: Overheads
    front_end: FrontEnd
    posterior: MapFit
    loads: tuple[LoadError, ...]
    ttft_sd: float

    def served(self) -> dict[str, float]:
        """Return what a step costs in a server beside its kernels, as a profile has it."""
        return {n: float(getattr(self.overheads, n)) for n in STEPS if n in self.posterior.values}

    def table(self) -> dict[str, Any]:
        """Return the constants as a profile has them."""
        f = self.front_end
        named = {
            n: float(getattr(f, n)) for n in ("fixed_s", "request_s", "prompt_token_s", "token_s")
        }
        n = sum(not e.held_out for e in self.loads)
        return {"since": "0", **named, "shared": bool(f.shared), "data": f"own runs: {n} loads"}


def fit_service(
    loads: Sequence[Served],
    kernels: Kernels,
    overheads: Overheads,
    *,
    away: frozenset[str] = frozenset(),
    shared: bool = True,
    steps: Mapping[str, float] | None = None,
    fitted_to: Sequence[str] = MEDIANS,
    n_starts: int = 3,
) -> ServiceFit:
    """Fit the front end to loads, and predict those whose keys are in `away` without having seen them.

    Args:
        loads: from `served`.
        kernels: of the machine's profile.
        overheads: of the machine's profile.
        away: keys of loads that are held out.
        shared: whether one process takes requests in and streams tokens out, as vLLM's does.
        steps: what of a step's constants is fitted too, with the sd of its logarithm; `STEPS`, `READS`.
        fitted_to: figures of each load, by name.
        n_starts: of the fit.

    """
    seen = [load for load in loads if load.key not in away]
    steps_of = dict(steps or {})
    now = {
        n: max(getattr(overheads if hasattr(overheads, n) else kernels, n), LEAST.get(n, 0.0))
        for n in steps_of
    }
    priors = (*PRIORS, *(Prior(n, v, steps_of[n], high=MOST if n in READS else np.inf)
                         for n, v in now.items() if v > 0))  # fmt: skip

    def built(values: Mapping[str, float]) -> tuple[Kernels, Overheads, FrontEnd]:
        moved = {n: v for n, v in values.items() if n in steps_of}
        rest = {n: v for n, v in values.items() if n not in steps_of}
        front = FrontEnd(**rest, prompt_token_s=PROMPT_TOKEN_S, shared=float(shared))
        return *placed(moved, kernels, overheads), front

    def residuals(values: Vector) -> Vector:
        named = dict(zip((p.name for p in priors), map(float, values), strict=True))
        said = [(load, load.predicted(*built(named))) for load in seen]
        return np.array([np.log(x.measured[n] / p[n]) for x, p in said for n in fitted_to
                         if x.measured[n] > 0])  # fmt: skip

    found = map_fit(residuals, priors, noise=NOISE, n_starts=n_starts, diff_step=STEP)
    best = built(found.values)
    errors = tuple(LoadError(x, x.key in away, x.predicted(*best)) for x in loads)
    told = [e for e in errors if e.held_out] or errors
    ttft = next(n for n in fitted_to if n.startswith("ttft"))
    logs = np.abs([np.log1p(e.off(ttft)) for e in told])
    few = len(logs) < FEW  # too few to leave a tail out
    sd = float(np.sqrt(np.mean(logs**2))) if few else float(np.quantile(logs, INTERVAL)) / Z
    return ServiceFit(*best, found, errors, max(LEAST_SD, sd))
