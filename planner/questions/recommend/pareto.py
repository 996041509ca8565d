"""Non-dominated rows of two objectives, kept running so that memory stays flat."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import Table


def front(loss: Any, speed: Any) -> Any:
    """Return the indices of rows no other row beats in both; lowest loss first.

    Sort by loss, then keep each row that is faster than all before it.
    """
    order = np.lexsort((-speed, loss))
    best = np.maximum.accumulate(speed[order])
    before = np.concatenate([[-np.inf], best[:-1]])
    return order[speed[order] > before]


def rows(table: Table, index: Any) -> Table:
    """Return the chosen rows of a table."""
    return {name: column[index] for name, column in table.items()}


def join(tables: list[Table]) -> Table:
    """Stack tables of the same columns."""
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


BINS = 1024  # of loss, in which rows are first compared
WAITING = 16_384  # rows that may be on the front, before they are compared


@dataclass(frozen=True, slots=True)
class Bins:
    """The best speed that rows have at each loss or a lower one, by level, coarsely."""

    least: float  # loss
    per_nat: float
    speed: Any  # of shape (levels, bins): the first bin has none below

    def below(self, table: Table) -> Any:
        """Return where the best speed of the bin below each row's is."""
        bins = np.minimum(np.maximum((table["loss"] - self.least) * self.per_nat, 0.0), float(BINS))
        return table["ready"].astype(np.intp) * (BINS + 2) + bins.astype(np.intp)

    def note(self, below: Any, speed: Any) -> None:
        """Remember rows' speeds."""
        np.maximum.at(self.speed.reshape(-1), below + 1, speed)
        np.maximum.accumulate(self.speed, axis=1, out=self.speed)


class Front:
    """The Pareto front of loss against throughput, one a level: how far shapes can be cut.

    Which level is asked for is only known once its best can be weighed against the others'.
    """

    def __init__(self, beside: "Front | None" = None) -> None:
        """Begin with no rows; those that a front `beside` it has already beaten are not kept."""
        self._levels: dict[float, Table] = {}
        self._waiting: list[Table] = []  # rows that may be on the front
        self._beside = beside
        self._bins: Bins | None = None
        if beside is not None and (found := beside._bins) is not None:
            self._bins = replace(found, speed=found.speed.copy())

    def add(self, table: Table) -> None:
        """Merge more rows in; they need columns loss, output_tokens_per_s and ready."""
        hopeful = self._hopeful(table) if len(table["loss"]) else ()
        if len(hopeful):
            self._waiting.append(rows(table, hopeful))
        if sum(len(t["loss"]) for t in self._waiting) > WAITING:
            self._merge()

    def all_levels(self) -> Table | None:
        """Return the rows of every level's front, or None where nothing was added."""
        self._merge()
        return join(list(self._levels.values())) if self._levels else None

    def _merge(self) -> None:
        if not self._waiting:
            return
        table = join(self._waiting)
        self._waiting = []
        for level in np.unique(table["ready"]):
            new = rows(table, table["ready"] == level)
            if level in self._levels:
                new = join([self._levels[level], new])
            self._levels[level] = rows(new, front(new["loss"], new["output_tokens_per_s"]))

    def _hopeful(self, table: Table) -> Any:
        """Return the rows that no row of a lower bin of loss beats, these or before; others are on no front."""
        loss, speed = table["loss"], table["output_tokens_per_s"]
        least, level = float(np.min(loss)), int(table["ready"].max())
        bins = self._bins
        if bins is None or least < bins.least or level >= len(bins.speed):
            bins = self._laid_out(least, float(np.max(loss)), level)
        below, best = bins.below(table), bins.speed.reshape(-1)
        found = np.flatnonzero(speed > best.take(below))
        bins.note(below[found], speed[found])
        return found[speed[found] > best.take(below[found])]

    def _laid_out(self, least: float, most: float, level: int) -> Bins:
        """Lay the bins out anew, from a little below the least loss that was met."""
        self._merge()
        known = dict(self._levels)
        known |= {} if self._beside is None else self._beside._levels.copy()
        if self._bins is not None:
            least, level = min(least, self._bins.least), max(level, len(self._bins.speed) - 1)
        span = max(most - least, 1e-6)
        empty = np.full((int(max(level, *known, 0)) + 1, BINS + 2), -np.inf)
        bins = Bins(least - span / 10, BINS / span, empty)
        for table in known.values():
            bins.note(bins.below(table), table["output_tokens_per_s"])
        self._bins = bins
        return bins
