"""The highest load a configuration carries within an SLO, by simulation."""

from dataclasses import dataclass, replace

from planner.scenario.evaluate import Evaluated
from planner.scenario.scenario import Scenario
from planner.scenario.simulated import run, saturation_per_s, step_times
from planner.serving.percentiles import Slo
from planner.serving.simulate import Simulation

HALVINGS = 6
NEAR, CLIFF = 0.9, 0.9  # of saturation, and of a limit: nearer to the one than to the other
IDLE = 1e-3  # of saturation: nobody meets anybody


@dataclass(frozen=True, slots=True)
class MaxLoad:
    """What one replica carries: arrivals per second, and what users of it see."""

    rate_per_s: float  # 0 where not even an idle engine meets the SLO
    latencies: dict[str, float]  # the SLO's quantities at its statistic, at that rate
    binds: (
        str  # the limit that the next step up breaks; or saturation, where a queue begins to grow
    )
    simulation: Simulation


class Replica:
    """One replica, ready to be simulated at any rate: as `what-if` would be asked."""

    def __init__(self, found: Evaluated, row: int) -> None:
        """Look up step times once, and find the load at which the queue grows."""
        self.scenario = found.scenarios[row]
        self.system = found.system(row)
        self.times = step_times(self.scenario, self.system)
        if self.scenario.prefill_replicas:
            self.most = float(found.table["saturation_per_s"][row])
        else:
            each = saturation_per_s(self.scenario, self.system, self.times)
            self.most = each * self.scenario.replicas
        self._known: dict[float, Simulation] = {}  # other limits are tried at the same rates

    def at(self, rate_per_s: float) -> Simulation:
        """Simulate at a rate."""
        if rate_per_s not in self._known:
            asked = at_rate(self.scenario, rate_per_s)
            self._known[rate_per_s] = run(asked, self.system, times=self.times)
        return self._known[rate_per_s]

    def max_load(self, slo: Slo) -> MaxLoad:
        """Return the highest rate at which every limit holds; within 2 % of saturation.

        It costs some nine simulations of a point, and a few for each limit that is loosened after.
        """
        low, high = IDLE * self.most, self.most
        kept = self.at(low)
        broken = _broken(kept, slo)
        if broken:
            return MaxLoad(0.0, latencies(kept, slo), broken, kept)
        at_most = self.at(high)
        binds = _broken(at_most, slo)
        if not binds:
            return MaxLoad(high, latencies(at_most, slo), "saturation", at_most)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            sim = self.at(middle)
            broken = _broken(sim, slo)
            if broken:
                high, binds = middle, broken
            else:
                low, kept = middle, sim
        seen = latencies(kept, slo)
        if low > NEAR * self.most and seen[binds] < CLIFF * slo.limits[binds]:
            binds = (
                "saturation"  # far below its limit one step, and over it the next: the queue grows
            )
        return MaxLoad(low, seen, binds, kept)


def latencies(sim: Simulation, slo: Slo) -> dict[str, float]:
    """Return every latency at the SLO's statistic."""
    return {name: s.at(slo.at) for name, s in sim.latency.items()}


def _broken(sim: Simulation, slo: Slo) -> str:
    """Return the limit exceeded most, or nothing."""
    values = latencies(sim, slo)
    over = {n: values[n] / limit for n, limit in slo.limits.items() if values[n] > limit}
    return max(over, key=lambda n: over[n]) if over else ""


def relaxed(slo: Slo, limit: str, factor: float) -> Slo:
    """Return the SLO with one limit `factor` times as long."""
    return replace(slo, **{limit: getattr(slo, limit) * factor})


def at_rate(s: Scenario, rate_per_s: float, replicas: int | None = None) -> Scenario:
    """Return a scenario whose requests arrive at a rate, on so many replicas."""
    asked = {"rate_per_s": rate_per_s, "concurrency": None, "burst": None}
    workload = s.workload.model_copy(update=asked)
    copies = s.replicas if replicas is None else replicas
    return s.model_copy(update={"workload": workload, "replicas": copies})
