"""The limits a shape must meet, and which one binds when none can."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planner.columns import Table
from planner.errors import Infeasible
from planner.inputs.question import Question
from planner.scenario.system import Served
from planner.units import show


@dataclass(frozen=True, slots=True)
class Limit:
    """`column` must be at most `at_most` (or, with a minus sign, at least)."""

    flag: str
    column: str
    at_most: float
    unit: str
    sign: float = 1.0  # -1 where more is better

    def value(self, table: Table) -> Any:
        """Return what must not exceed the limit."""
        return self.sign * table[self.column]

    def say(self, value: float) -> str:
        """Write a value of this limit for people."""
        return f"{abs(value):.3f}" if self.column == "loss" else show(abs(value), self.unit)


def require_weights_fit(q: Question, served: Served) -> None:
    """Refuse at once a size whose matrices alone exceed the memory, before any shape is weighed.

    Raises:
        Infeasible: by how much, and what would help.

    """
    weights = q.params * served.engine.precision().weight_bytes / served.engine.n_devices
    room = served.device.hbm_bytes * served.engine.memory_fraction
    if q.params_kind == "non-embedding" and weights * (1 - q.tolerance) > room:
        fits = 2 ** int(np.ceil(np.log2(weights * served.engine.n_devices / room)))
        raise Infeasible(
            f"{show(q.params)} parameters take {show(weights, 'byte')} a device and {q.on} has "
            f"{show(room, 'byte')} for them: {show(weights - room, 'byte')} short",
            hint=f"try --tp {fits}, a smaller --dtype, or a device with more memory",
        )


def limits_of(q: Question) -> list[Limit]:
    """Return the limits a question sets; that one request fits in memory is always one."""
    asked = [
        Limit("--max-loss", "loss", q.max_loss, "nats") if q.max_loss else None,
        Limit("--ttft", "ttft_s", q.ttft_s, "s") if q.ttft_s else None,
        Limit("--tpot", "tpot_s", q.tpot_s, "s") if q.tpot_s else None,
    ]
    fits = Limit("memory", "max_concurrency", -1.0, "", sign=-1.0)
    return [fits, *filter(None, asked)]


@dataclass(slots=True)
class Tally:
    """How many rows each limit dropped, and how near the best row came to each, the others met."""

    limits: list[Limit]
    n_evaluated: int = 0
    n_feasible: int = 0
    nearest: dict[str, float] = field(default_factory=dict)

    def keep(self, table: Table) -> Any:
        """Return the mask of rows that meet every limit, and remember the near misses."""
        met = [limit.value(table) <= limit.at_most for limit in self.limits]
        ok = np.logical_and.reduce(met)
        self.n_evaluated += len(ok)
        self.n_feasible += int(ok.sum())
        for i, limit in enumerate(self.limits):
            others = np.logical_and.reduce([*met[:i], *met[i + 1 :], np.ones(len(ok), bool)])
            if others.any():
                best = float(limit.value(table)[others].min())
                self.nearest[limit.flag] = min(self.nearest.get(limit.flag, np.inf), best)
        return ok

    def merge(self, other: "Tally") -> None:
        """Add what another tally of the same limits counted."""
        self.n_evaluated += other.n_evaluated
        self.n_feasible += other.n_feasible
        for flag, best in other.nearest.items():
            self.nearest[flag] = min(self.nearest.get(flag, np.inf), best)

    def infeasible(self, q: Question) -> Infeasible:
        """Name the limit whose loosening alone, by the least, would let a shape through."""
        if not self.n_evaluated:
            return Infeasible(
                f"no legal shape of {show(q.params)} parameters within {q.tolerance:.3g} on a grid "
                f"of {q.align}",
                hint="raise --tolerance or lower --align",
            )
        by_flag = {limit.flag: limit for limit in self.limits}
        alone = {f: v for f, v in self.nearest.items() if v > by_flag[f].at_most}
        if not alone:
            flags = ", ".join(limit.flag for limit in self.limits)
            return Infeasible(f"no shape meets {flags} together", hint="loosen two of them")
        flag = min(alone, key=lambda f: abs(alone[f] / by_flag[f].at_most))
        limit = by_flag[flag]
        if flag == "memory":
            return Infeasible(
                f"no shape of {show(q.params)} parameters fits one request of "
                f"{q.workload.input_tokens} + {q.workload.output_tokens} tokens on {q.on}",
                hint="choose a device with more memory, a smaller --dtype or a higher --tp",
            )
        nearest = limit.say(alone[flag])
        return Infeasible(
            f"no shape meets {flag} {limit.say(limit.at_most)}; it is what binds",
            hint=f"the nearest feasible value is {flag} {nearest.replace(' ', '')}",
        )
