"""Equations read as a program over the grids on which their parts differ, not over the rows.

A space of shapes repeats itself: a million rows have some ten thousand pairs of (d_model, d_ff), and a
matrix product is the same wherever its width and depth are. `Column` stands in for a column of an
`Arch`; the equations run on it once, as they are, and leave a graph in which every node knows which
columns it depends on. `Grids` finds where those differ, and `Program` computes each node there, once,
and gathers: only what differs from row to row is computed on rows, in blocks that stay in cache.

Nothing is declared of an operator that could go out of date: what it depends on is what its equation
reads. Sums are regrouped, so results agree with the plain path to rounding.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Needs = frozenset[str]  # columns that a node depends on
BLOCK_ROWS = 32_768  # so few that columns stay in cache, so many that Python's part is small
SPARSE = 8  # a grid is used where it is so many times smaller than the rows
SAMPLE = 8192  # rows from which the size of a grid is guessed, before it is counted
LAYERS = frozenset({"n_layers"})  # a factor of most parts of a sum: it stays outside of them
FREE = frozenset({"d_ff"})  # what fills a size once all else is chosen: it differs most


class UntraceableError(TypeError):
    """An equation looks at values: it has to be computed row by row."""


class Column(NDArrayOperatorsMixin):
    """A column that is known by how it is computed."""

    __slots__ = ("args", "is_positive", "needs", "op", "trace", "uses")

    def __init__(self, trace: "Trace", op: Any, args: tuple[Any, ...], needs: Needs) -> None:
        """Hold an operation (a ufunc or function of rows, "sum" or "leaf") and what it is applied to."""
        self.trace, self.op, self.args, self.needs = trace, op, args, needs
        self.uses = 0  # nodes that are computed of it
        signs = map(_is_positive, args)
        self.is_positive = op == "leaf" or (
            any(signs) if op is np.maximum else op in KEEP_SIGN and all(signs)
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **more: Any) -> Any:
        """Return the node of a numpy operation."""
        if method != "__call__" or more:
            raise UntraceableError(f"{ufunc.__name__}.{method}")
        return self.trace.apply(ufunc, *args)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Return the node of a choice; no other function of numpy is known."""
        if func is np.clip and len(args) == 3 and not kwargs:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        if func is not np.where or len(args) != 3 or kwargs:
            raise UntraceableError(func.__name__)
        return self.trace.node(np.where, args)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse to be a number."""
        raise UntraceableError("a column has no values yet")

    def __bool__(self) -> bool:
        """Refuse to be judged."""
        raise UntraceableError("a column has no truth yet")

    def by_row(self, fn: Any, args: Sequence[Any]) -> "Column":
        """Return the node of a function that looks at values, row by row."""
        return self.trace.node(fn, args)

    __hash__ = object.__hash__


# Operations that make what is above zero of what is above zero.
KEEP_SIGN = {"sum", np.add, np.multiply, np.true_divide, np.sqrt, np.square, np.power, np.minimum}


def _is_positive(a: Any) -> bool:
    return a.is_positive if isinstance(a, Column) else isinstance(a, float | int) and a > 0


class Trace:
    """The nodes of equations that were read together: what is the same is one node."""

    def __init__(self, names: Iterable[str]) -> None:
        """Start from the columns that rows have."""
        self._known: dict[Any, Column] = {}
        self.columns = {n: Column(self, "leaf", (n,), frozenset({n})) for n in names}

    def node(self, op: Any, args: Sequence[Any]) -> Column:
        """Return the node of an operation, made at most once."""
        args = tuple(a if isinstance(a, Column) else _number(a) for a in args)
        key = (op, *(id(a) if isinstance(a, Column) else (type(a), a) for a in args))
        found = self._known.get(key)
        if found is None:  # two threads may come here: one node stays
            needs = frozenset().union(*(a.needs for a in args if isinstance(a, Column)))
            found = self._known.setdefault(key, Column(self, op, args, needs))
            for a in args:
                if isinstance(a, Column):
                    a.uses += 1
        return found

    def apply(self, ufunc: Any, *args: Any) -> Any:
        """Return the node of a ufunc: sums and factors of them in a form that keeps to small grids."""
        if not any(isinstance(a, Column) for a in args):
            return ufunc(*args)
        if ufunc is np.add:
            return self.sum(args)
        if ufunc is np.subtract:
            return self.sum((args[0], self.apply(np.multiply, args[1], -1.0)))
        if ufunc is np.negative:
            return self.apply(np.multiply, args[0], -1.0)
        if ufunc is np.power and not isinstance(args[1], Column):
            special = {0.5: np.sqrt, 2.0: np.square}.get(float(args[1]))
            return self.node(special, args[:1]) if special else self.node(ufunc, args)
        if ufunc is np.true_divide and not isinstance(args[1], Column):
            return self._scaled(ufunc, *args)
        if ufunc is np.true_divide and not isinstance(args[0], Column) and args[0] == 0:
            return 0.0
        if ufunc is np.multiply:
            a, b = args if isinstance(args[0], Column) else args[::-1]
            if isinstance(b, Column) and (b.op == "sum" or a.needs <= LAYERS):
                a, b = b, a
            return self._scaled(ufunc, a, b)
        if ufunc is np.maximum and (larger := self._larger(*args)) is not None:
            return larger
        if ufunc in (np.floor, np.ceil, np.rint) and args[0].op == "leaf":
            return args[0]  # shapes are counts
        return self.node(ufunc, args)

    def _larger(self, a: Any, b: Any) -> Any:
        """Return the one of two that is no less everywhere, where their form says so."""
        for one, other in ((a, b), (b, a)):
            if not isinstance(other, Column) and other <= 0 and _is_positive(one):
                return one
            if isinstance(one, Column) and isinstance(other, Column):
                more = self._addends(one)
                within = all(more.pop(key, None) is not None for key in self._addends(other))
                if within and all(map(_is_positive, more.values())):
                    return one
        return None

    def _addends(self, a: Any, layers: Column | None = None) -> dict[tuple[int, int], Any]:
        """Return all that is added up in `a`, each with the layers it is multiplied by."""
        if layers is None and isinstance(a, Column) and len(parts := self.parts(a)) > 1:
            return {k: v for part in parts for k, v in self._addends(part).items()}
        if layers is None and (by := _layers(a)) is not None:
            return self._addends(a.args[0], by)
        if isinstance(a, Column) and a.op is np.add:
            return {k: v for part in a.args for k, v in self._addends(part, layers).items()}
        return {(id(layers), id(a) if isinstance(a, Column) else hash(a)): a}

    def _scaled(self, ufunc: Any, a: Column, by: Any) -> Any:
        """Return `a` times or over `by`: numbers go together, inside of layers."""
        fixed = not isinstance(by, Column)
        if fixed and ufunc is np.multiply and float(by) in (0.0, 1.0):
            return a if float(by) == 1.0 else 0.0
        if fixed and float(by) == 1.0:
            return a
        if fixed and (layers := _layers(a)) is not None:
            return self.node(np.multiply, (self._scaled(ufunc, a.args[0], by), layers))
        if fixed and a.op is ufunc and not isinstance(a.args[1], Column):
            return self._scaled(ufunc, a.args[0], a.args[1] * by)
        if ufunc is np.multiply and a.op is np.true_divide and a.args[1] is by:
            return a.args[0]
        return self.node(ufunc, (a, by))

    def parts(self, a: Any) -> tuple[Any, ...]:
        """Return what a sum is the sum of; a multiple of one is the sum of its parts' multiples."""
        if not isinstance(a, Column):
            return (_number(a),)
        if a.op == "sum":
            return a.args
        if a.op in (np.multiply, np.true_divide) and isinstance(a.args[0], Column):
            inner, by = a.args
            if not isinstance(by, Column) or (by.op == "leaf" and by.needs == LAYERS):
                found = self.parts(inner)
                if len(found) > 1:
                    return tuple(self.apply(a.op, part, by) for part in found)
        return (a,)

    def sum(self, args: Sequence[Any]) -> Any:
        """Return a sum; parts of which one needs all that another does are one part."""
        parts: list[Any] = []
        for new in (p for a in args for p in self.parts(a)):
            while (i := _beside(parts, new)) is not None:
                new = self._pair(parts.pop(i), new)
            if isinstance(new, Column) or new != 0.0:
                parts.append(new)
        if len(parts) < 2:
            return parts[0] if parts else 0.0
        return self.node("sum", tuple(parts))

    def _pair(self, a: Any, b: Any) -> Any:
        if not isinstance(a, Column) and not isinstance(b, Column):
            return a + b
        if (layers := _layers(a)) is not None and _layers(b) is layers:
            return self.node(np.multiply, (self.node(np.add, (a.args[0], b.args[0])), layers))
        return self.node(np.add, (a, b))


def _number(value: Any) -> Any:
    """Return a number as one; columns of numbers are no part of a program."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if np.ndim(value):
        raise UntraceableError("a column of numbers among columns")
    return float(value)


def _layers(a: Any) -> Column | None:
    """Return the layers that a part of a sum is multiplied by; they stay outermost."""
    if isinstance(a, Column) and a.op is np.multiply:
        by = a.args[1]
        if isinstance(by, Column) and by.op == "leaf" and by.needs == LAYERS:
            return by
    return None


def _beside(parts: Sequence[Any], new: Any) -> int | None:
    """Return the place of a part that needs no more than `new`, or all of it, and adds something."""
    if not isinstance(new, Column):
        return 0 if parts and new != 0.0 else None
    layers = _layers(new)
    own = new.needs if layers is None else new.args[0].needs
    for i, part in enumerate(parts):
        if not isinstance(part, Column):
            return i
        if _layers(part) is layers:
            others = part.needs if layers is None else part.args[0].needs
            if others <= own or own <= others:
                return i
    return None


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
    inner = [p for p in parts if _layers(p) is not None]
    if len(inner) < 2:
        return list(parts)
    trace, layers = inner[0].trace, inner[0].args[1]
    whole = trace.node("sum", tuple(p.args[0] for p in inner))
    others = [p for p in parts if _layers(p) is None]
    return [trace.node(np.multiply, (whole, layers)), *others]


def _flat(a: Column) -> tuple[Any, ...]:
    return a.args if a.op == "sum" else (a,)


def _sum(args: Sequence[Any]) -> Any:
    total = args[0]
    for a in args[1:]:
        total = total + a
    return total
