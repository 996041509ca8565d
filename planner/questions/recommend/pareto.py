"""Non-dominated rows of two objectives, kept running so that memory stays flat."""

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


class Front:
    """The Pareto front of loss against throughput, one a level: how far shapes can be cut.

    Which level is asked for is only known once its best can be weighed against the others'.
    """

    def __init__(self) -> None:
        self._levels: dict[float, Table] = {}

    def add(self, table: Table) -> None:
        """Merge more rows in; they need columns loss, output_tokens_per_s and ready."""
        for level in np.unique(table["ready"]):
            new = rows(table, table["ready"] == level)
            if level in self._levels:
                new = join([self._levels[level], new])
            self._levels[level] = rows(new, front(new["loss"], new["output_tokens_per_s"]))

    def all_levels(self) -> Table | None:
        """Return the rows of every level's front, or None where nothing was added."""
        return join(list(self._levels.values())) if self._levels else None
