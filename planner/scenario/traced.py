"""Equations read as a graph: what each part of them depends on, in a form that keeps to small grids.

`Column` stands in for a column of an `Arch`; the equations run on it once, as they are, and leave a
graph in which every node knows which columns it depends on. Nothing is declared of an operator that
could go out of date: what it depends on is what its equation reads. Sums are regrouped, so results
agree with the plain path to rounding.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Needs = frozenset[str]  # columns that a node depends on
LAYERS = frozenset({"n_layers"})  # a factor of most parts of a sum: it stays outside of them


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
        if layers is None and (by := layers_of(a)) is not None:
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
        if fixed and (layers := layers_of(a)) is not None:
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
        if (layers := layers_of(a)) is not None and layers_of(b) is layers:
            return self.node(np.multiply, (self.node(np.add, (a.args[0], b.args[0])), layers))
        return self.node(np.add, (a, b))


def _number(value: Any) -> Any:
    """Return a number as one; columns of numbers are no part of a program."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if np.ndim(value):
        raise UntraceableError("a column of numbers among columns")
    return float(value)


def layers_of(a: Any) -> Column | None:
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
    layers = layers_of(new)
    own = new.needs if layers is None else new.args[0].needs
    for i, part in enumerate(parts):
        if not isinstance(part, Column):
            return i
        if layers_of(part) is layers:
            others = part.needs if layers is None else part.args[0].needs
            if others <= own or own <= others:
                return i
    return None
