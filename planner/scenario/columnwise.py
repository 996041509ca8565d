"""Equations run over the grids on which their parts differ, not over the rows.

A space of shapes repeats itself: a million rows have some ten thousand pairs of (d_model, d_ff), and a
matrix product is the same wherever its width and depth are. `Trace` reads the equations as a graph
(`planner.scenario.traced`), `Grids` finds where the columns of its nodes differ, and `Program` computes
each node there, once, and gathers: only what differs from row to row is computed on rows, in blocks
that stay in cache.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planner.scenario.grids import Grids
from planner.scenario.traced import Column, Needs, layers_of

BLOCK_ROWS = 32_768  # so few that columns stay in cache, so many that Python's part is small


class Program:
    """Outputs of a trace on the rows of a chunk: grids are filled at once, rows block by block."""

    def __init__(self, grids: Grids, outputs: Mapping[Any, Any]) -> None:
        """Compile `outputs` (columns, or numbers) for `grids`."""
        self.grids = grids
        self._cells: list[Any] = []  # constants and tables; None where a block's column goes
        self._steps: list[tuple[Any, tuple[int, ...], int]] = []
        self._at: dict[Any, int] = {}
        self.outputs = {name: self._cell(value) for name, value in outputs.items()}
        self._plan_buffers()

    def run(self, rows: Any, buffers: list[Any]) -> dict[Any, Any]:
        """Return the outputs of a block: a slice of the rows, or their numbers.

        Columns are overwritten by the next block's that uses the same buffers.
        """
        cells, whole = list(self._cells), isinstance(rows, slice)
        n = rows.stop - rows.start if whole else len(rows)
        while len(buffers) < self._n_buffers:
            buffers.append(np.empty(BLOCK_ROWS))
        for (op, args, out), buffer in zip(self._steps, self._buffers, strict=True):
            if op == "rows":
                column = cells[args[0]]
                cells[out] = column[rows] if whole else column.take(rows)
            elif buffer is None:
                cells[out] = op(*(cells[i] for i in args))
            elif op == "take":
                table, index = cells[args[0]], cells[args[1]]
                cells[out] = table.take(index, out=buffers[buffer][:n], mode="clip")
            else:
                cells[out] = op(*(cells[i] for i in args), out=buffers[buffer][:n])
        return {name: cells[i] for name, i in self.outputs.items()}

    def _place(self, value: Any) -> int:
        self._cells.append(value)
        return len(self._cells) - 1

    def _cell(self, node: Any) -> int:
        """Return the cell that holds a node on the rows of a block, with the steps that fill it."""
        if not isinstance(node, Column):
            return self._place(node)
        if id(node) not in self._at:
            self._at[id(node)] = self._filled(node)
        return self._at[id(node)]

    def _filled(self, node: Column) -> int:
        if node.op == "leaf":
            name = node.args[0]
            column = self.grids.columns[name]
            return self._place(column[0]) if name in self.grids.fixed else self._rows(name, column)
        key = self.grids.key(node.needs)
        if not key:
            return self._place(self._table(node, keep=True)[0])
        if self.grids.is_small(key):
            table, index = (
                self._place(self._table(node, keep=True)),
                self._rows(key, self.grids.index(key)),
            )
            return self._step("take", (table, index))
        if node.op == "sum":
            first, *others = [self._cell(part) for part in self._together(node)]
            for other in others:
                first = self._step(np.add, (first, other))
            return first
        return self._step(node.op, tuple(self._cell(a) for a in node.args))

    def _together(self, node: Column) -> list[Any]:
        """Return the parts of a sum, those together that share a grid smaller than the rows."""
        parts: list[Any] = []
        for part in node.args:
            for i, other in enumerate(parts):
                if self.grids.is_small(self.grids.key(other.needs | part.needs)):
                    parts[i] = node.trace.node("sum", (*_flat(other), *_flat(part)))
                    break
            else:
                parts.append(part)
        return _times_layers(parts)

    def _rows(self, name: Any, column: Any) -> int:
        if ("rows", name) not in self._at:
            self._at[("rows", name)] = self._step("rows", (self._place(column),))
        return self._at[("rows", name)]

    def _step(self, op: Any, args: tuple[int, ...]) -> int:
        out = self._place(None)
        self._steps.append((op, args, out))
        return out

    def _table(self, node: Column, keep: bool = False) -> Any:
        """Return a node on its own grid; kept for whoever needs it again."""
        found = self.grids.tables.get(id(node))
        if found is None:
            key = self.grids.key(node.needs)
            if node.op == "leaf":
                self.grids.size(key)
                value = self.grids.values(node.args[0])
            else:
                args = [self._on(a, key) for a in node.args]
                value = _sum(args) if node.op == "sum" else node.op(*args)
            found = np.broadcast_to(value, (self.grids.size(key),))
            if keep or node.uses > 1:
                self.grids.tables[id(node)] = found
        return found

    def _on(self, a: Any, key: Needs) -> Any:
        if not isinstance(a, Column):
            return a
        own = self.grids.key(a.needs)
        table = self._table(a)
        if own == key:
            return table
        return table[0] if not own else table[self.grids.between(key, own)]

    def _plan_buffers(self) -> None:
        """Give every step a buffer that nothing later looks at."""
        last = {i: at for at, (_, args, _) in enumerate(self._steps) for i in args}
        kept, free, held = set(self.outputs.values()), list[int](), dict[int, int]()
        self._buffers: list[int | None] = []
        self._n_buffers = 0
        for at, (op, args, out) in enumerate(self._steps):
            spent = [held.pop(i) for i in {*args} if last[i] == at and i in held and i not in kept]
            if op in TRUTHS or not (op == "take" or isinstance(op, np.ufunc)):
                self._buffers.append(None)
            else:
                free += spent if op != "take" else []
                if not free:
                    free, self._n_buffers = [self._n_buffers], self._n_buffers + 1
                held[out] = free.pop()
                self._buffers.append(held[out])
                spent = [] if op != "take" else spent
            free += spent


TRUTHS = {
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
    np.logical_and, np.logical_or, np.logical_not, np.bitwise_and, np.bitwise_or, np.invert,
}  # fmt: skip


def _times_layers(parts: Sequence[Any]) -> list[Any]:
    """Return the parts of a sum, those that are multiplied by the layers as one."""
    inner = [p for p in parts if layers_of(p) is not None]
    if len(inner) < 2:
        return list(parts)
    trace, layers = inner[0].trace, inner[0].args[1]
    whole = trace.node("sum", tuple(p.args[0] for p in inner))
    others = [p for p in parts if layers_of(p) is None]
    return [trace.node(np.multiply, (whole, layers)), *others]


def _flat(a: Column) -> tuple[Any, ...]:
    return a.args if a.op == "sum" else (a,)


def _sum(args: Sequence[Any]) -> Any:
    total = args[0]
    for a in args[1:]:
        total = total + a
    return total
