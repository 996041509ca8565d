"""The highest load a configuration carries within an SLO, by simulation."""

from dataclasses import dataclass, replace
from typing import Any

from planner.columns import System
from planner.scenario.scenario import Points
from planner.scenario.simulated import workload
from planner.serving.load import requests_of
from planner.serving.requests import Requests
from planner.serving.simulate import Simulation, simulate
from planner.serving.simulate_pools import simulate_pools
from planner.serving.slo import Slo
from planner.serving.step_times import StepTimes

N_REQUESTS = 1000  # a p99 stands on ten of them: within 5 % or so of a longer run's
HALVINGS = 6
IDLE = 1e-3  # of saturation: nobody meets anybody


@dataclass(frozen=True, slots=True)
class Carried:
    """What one replica carries: arrivals per second, and what users of it see."""

    rate_per_s: float  # 0 where not even an idle engine meets the SLO
    seen: dict[str, float]  # the SLO's quantities at its statistic, at that rate
    binds: str  # the limit that the next step up breaks
    simulation: Simulation | None = None


class Replica:
    """One replica and the requests asked of it, ready to be simulated at any rate."""

    def __init__(self, points: Points, row: int, n: int = N_REQUESTS) -> None:
        """Draw requests once: at every rate they are the same, only closer together."""
        setting = points.settings[row]
        self.setting = setting
        self.system: System = points.system(row)
        self.prefix_hit = setting["prefix_hit"]
        spec = workload({**setting, "rate": 1.0}, n)
        requests = requests_of(spec)
        span = float(requests.arrival_s[-1])
        self.requests: Requests = requests.faster(span / max(len(requests) - 1, 1) or 1.0)
        longest = int((requests.input_tokens + requests.output_tokens).max())
        self.times = StepTimes(self.system, longest + 1.0)
        self.most = float(points.table["saturation_per_s"][row])
        self._known: dict[float, Simulation] = {}  # other limits are tried at the same rates

    def at(self, rate_per_s: float) -> Simulation:
        """Simulate at a rate."""
        if rate_per_s not in self._known:
            self._known[rate_per_s] = self._run(rate_per_s)
        return self._known[rate_per_s]

    def _run(self, rate_per_s: float) -> Simulation:
        coming = self.requests.faster(rate_per_s)
        prefill, replicas = self.setting["prefill_replicas"], self.setting["replicas"]
        if prefill:
            return simulate_pools(
                self.system, coming, prefill, replicas, prefix_hit=self.prefix_hit
            )
        return simulate(
            self.system, coming, replicas=replicas, prefix_hit=self.prefix_hit, times=self.times
        )

    def carries(self, slo: Slo) -> Carried:
        """Return the highest rate at which every limit holds; within 2 % of saturation."""
        low, high = IDLE * self.most, self.most
        idle = self.at(low)
        kept, broken = idle, _broken(idle, slo)
        if broken:
            return Carried(0.0, seen(idle, slo), broken, idle)
        at_most = self.at(high)
        binds = _broken(at_most, slo)
        if not binds:
            return Carried(high, seen(at_most, slo), "saturation", at_most)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            sim = self.at(middle)
            broken = _broken(sim, slo)
            if broken:
                high, binds = middle, broken
            else:
                low, kept = middle, sim
        return Carried(low, seen(kept, slo), binds, kept)


def seen(sim: Simulation, slo: Slo) -> dict[str, float]:
    """Return every latency at the SLO's statistic."""
    return {name: s.at(slo.at) for name, s in sim.latency.items()}


def _broken(sim: Simulation, slo: Slo) -> str:
    """Return the limit exceeded most, or nothing."""
    values = seen(sim, slo)
    over = {n: values[n] / limit for n, limit in slo.limits.items() if values[n] > limit}
    return max(over, key=lambda n: over[n]) if over else ""


def relaxed(slo: Slo, limit: str, factor: float) -> Slo:
    """Return the SLO with one limit `factor` times as long."""
    return replace(slo, **{limit: getattr(slo, limit) * factor})


def saturating(setting: dict[str, Any]) -> dict[str, Any]:
    """Return a setting that has a saturation rate to be asked for: an open loop, hardly used."""
    return setting | {"rate": 1e-6}
