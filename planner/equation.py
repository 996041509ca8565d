"""Write a formula once; read it as numbers, as algebra, or as units.

An equation is an ordinary function of ordinary arithmetic. Arrays flow through it at numpy speed;
sympy symbols flow through it to become the formula that `planner explain` prints; pint quantities
flow through it in the tests, which proves its units.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Reader = Callable[[Callable[..., Any], tuple[Any, ...]], Any]

EQUATIONS: dict[str, Callable[..., Any]] = {}
_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


def equation(fn: F) -> F:
    """Register `fn`, named after the quantity it returns, as one line of the model."""

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        reader = _reader.get()
        return fn(*args) if reader is None else reader(fn, args)

    EQUATIONS[fn.__name__] = call
    return cast(F, call)


@contextmanager
def reading(reader: Reader) -> Iterator[None]:
    """Hand every equation called inside the block to `reader` instead of running it."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


@contextmanager
def remembering() -> Iterator[None]:
    """Compute each equation once for the same arguments inside the block.

    Throughput, TTFT and TPOT share most of their terms; the same column objects mean the same work.
    """
    known: dict[tuple[Any, ...], tuple[Any, tuple[Any, ...]]] = {}

    def read(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        key = (fn, *map(id, args))
        if key not in known:
            known[key] = (fn(*args), args)  # holding the arguments keeps their ids theirs
        return known[key][0]

    with reading(read):
        yield


def derivation(name: str, *args: Any) -> dict[str, Any]:
    """Return every step equation `name` takes on symbolic `args`, innermost first."""
    import sympy

    steps: dict[str, Any] = {}

    def read(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if fn.__name__ not in steps:
            value = fn(*args)
            steps[fn.__name__] = value  # after its own terms, so the order is bottom-up
        return sympy.Symbol(fn.__name__, positive=True)

    with reading(read):
        EQUATIONS[name](*args)
    return steps


def _is_symbolic(*values: Any) -> bool:
    sympy = sys.modules.get("sympy")  # symbols exist only once someone imported sympy
    return sympy is not None and any(isinstance(v, sympy.Basic) for v in values)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger, element by element."""
    if _is_symbolic(a, b):
        import sympy

        return sympy.Max(a, b)
    return np.maximum(a, b)


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller, element by element."""
    if _is_symbolic(a, b):
        import sympy

        return sympy.Min(a, b)
    return np.minimum(a, b)


def ceil(a: Any) -> Any:
    """Round up, element by element."""
    if _is_symbolic(a):
        import sympy

        return sympy.ceiling(a)
    return np.ceil(a)


def floor(a: Any) -> Any:
    """Round down, element by element."""
    if _is_symbolic(a):
        import sympy

        return sympy.floor(a)
    return np.floor(a)


def exp(a: Any) -> Any:
    """Return e to the power `a`."""
    if _is_symbolic(a):
        import sympy

        return sympy.exp(a)
    return np.exp(a)


def log(a: Any) -> Any:
    """Return the natural logarithm."""
    if _is_symbolic(a):
        import sympy

        return sympy.log(a)
    return np.log(a)
