"""Where rows differ: for some columns, the combinations that occur, each once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from planner.scenario.traced import LAYERS, Needs

SPARSE = 8  # a grid is used where it is so many times smaller than the rows
SAMPLE = 8192  # rows from which the size of a grid is guessed, before it is counted
FREE = frozenset({"d_ff"})  # what fills a size once all else is chosen: it differs most


class Grids:
    """Where the rows of a chunk differ: for some columns, the combinations that occur.

    A grid is found among the places of a larger one where there is one, not among the rows.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        """Take rows: columns of one length, numbers where all rows share one."""
        self.rows = max(np.size(c) for c in columns.values())
        self.columns = {n: np.atleast_1d(np.asarray(c, np.float64)) for n, c in columns.items()}
        self.fixed = frozenset(n for n, c in self.columns.items() if len(c) == 1)
        self._code: dict[str, tuple[Any, int]] = {}  # of each row: a number for its value
        self._row: dict[Needs, Any] = {}  # of each place: a row that has it
        self._index: dict[Needs, Any] = {}  # of each row: its place
        self._between: dict[tuple[Needs, Needs], Any] = {}
        self._found_on: dict[Needs, Needs] = {}  # the larger grid on which one was found
        self._small: dict[Needs, bool] = {}
        self.tables: dict[int, Any] = {}  # nodes on their grids, which programs made together share
        for left_out in (FREE | LAYERS, FREE):
            self.is_small(self.key(frozenset(columns) - left_out))
        self.is_small(self.key(frozenset({"d_model", *FREE, *LAYERS})))

    def key(self, needs: Needs) -> Needs:
        """Return the columns of `needs` that differ."""
        return needs - self.fixed

    def size(self, key: Needs) -> int:
        """Return how many combinations of some columns there are."""
        if key and key not in self._row:
            self._find(key)
        return len(self._row[key]) if key else 1

    def is_small(self, key: Needs) -> bool:
        """Whether a grid is so much smaller than the rows that what is on it is computed there."""
        if key not in self._small:
            few = any(key <= k for k in self._row) or self._guess(key) * SPARSE < self.rows
            self._small[key] = few and self.size(key) * SPARSE <= self.rows
        return self._small[key]

    def index(self, key: Needs) -> Any:
        """Return each row's place on the grid of some columns."""
        self.size(key)
        if key not in self._index:
            larger = self._found_on[key]
            self._index[key] = self.between(larger, key)[self.index(larger)]
        return self._index[key]

    def between(self, key: Needs, part: Needs) -> Any:
        """Return each place's place on the grid of fewer columns."""
        self.size(key), self.size(part)
        if (key, part) not in self._between:
            if part in self._index:
                self._between[key, part] = self._index[part][self._row[key]]
            else:  # by way of rows' places on a grid that has both
                larger = self._found_on[part]
                at = self.index(larger)[self._row[key]]
                self._between[key, part] = self.between(larger, part)[at]
        return self._between[key, part]

    def values(self, name: str) -> Any:
        """Return a column on its own grid."""
        column = self.columns[name]
        if name in self.fixed:
            return column
        self.size(frozenset({name}))
        return column[self._row[frozenset({name})]]

    def _larger(self, key: Needs) -> Needs | None:
        """Return the smallest known grid of these columns and others."""
        known = [k for k in self._row if key < k]
        return min(known, key=lambda k: len(self._row[k])) if known else None

    def _find(self, key: Needs) -> None:
        larger = self._larger(key)
        among = None if larger is None else self._row[larger]
        codes: Any = 0
        most = 1
        for name in sorted(key, key=_order):
            own, n = self._codes(name)
            own = own if among is None else own[among]
            if most > 1 and most * n > 4 * len(own):
                codes, most = _dense(codes, most)
            codes, most = codes * n + own, most * n
        codes, n = _dense(codes, most)
        row = np.zeros(n, np.intp)
        row[codes] = np.arange(self.rows) if among is None else among
        self._row[key] = row
        if larger is None:
            self._index[key] = codes
        else:
            self._between[larger, key], self._found_on[key] = codes, larger

    def _codes(self, name: str) -> tuple[Any, int]:
        if name not in self._code:
            column = self.columns[name]
            whole = column.astype(np.intp)
            least, most = int(whole.min()), int(whole.max())
            if most - least <= 4 * self.rows + 1024 and np.array_equal(whole, column):
                self._code[name] = _dense(whole - least, most - least + 1)
            else:
                found, codes = np.unique(column, return_inverse=True)
                self._code[name] = codes, len(found)
        return self._code[name]

    def _guess(self, key: Needs) -> float:
        """Return about how many combinations there are: by how often rows of a sample meet."""
        if self.rows <= SAMPLE:
            return 0.0
        rows = np.random.default_rng(0).integers(0, self.rows, SAMPLE)
        codes: Any = np.zeros(SAMPLE, np.int64)
        for name in key:
            own, n = self._codes(name)
            codes = codes * n + own[rows]  # may overflow, which makes no pair that was none
        met = SAMPLE - len(np.unique(codes))
        return SAMPLE**2 / (2.0 * met + 1.0)


def _order(name: str) -> tuple[bool, str]:
    return name in FREE, name  # what has most values last, so that codes stay small


def _dense(codes: Any, most: int) -> tuple[Any, int]:
    """Return codes without gaps, and how many there are."""
    if most > 16 * len(codes) + 1024:
        found, dense = np.unique(codes, return_inverse=True)
        return dense, len(found)
    seen = np.zeros(most, bool)
    seen[codes] = True
    found = np.flatnonzero(seen)
    if len(found) == most:
        return codes, most
    number = np.empty(most, np.intp)
    number[found] = np.arange(len(found))
    return number[codes], len(found)
