"""Write a formula once; read it as numbers, as algebra, or as units.

An equation is an ordinary function of ordinary arithmetic. Arrays flow through it at numpy speed;
sympy symbols flow through it to become the formula that `planner explain` prints; pint quantities
flow through it in the tests, which proves its units.
"""

import functools
import itertools
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
    """Return every step equation `name` takes on symbolic `args`, innermost first.

    A step is named after its equation. One that is taken for different arguments is labelled by
    them, e.g. ``step_s[prefill]`` and ``step_s[decode]``; steps that are exactly zero are left out.
    """
    import sympy

    def symbol(label: str, value: Any) -> Any:
        return value if value == 0 else sympy.Symbol(label, positive=True)

    return {k: v for k, v in _steps(name, args, symbol).items() if v != 0}


def evaluation(name: str, *args: Any) -> dict[str, Any]:
    """Return the value of every step equation `name` takes on numbers, named as in `derivation`."""
    return _steps(name, args, lambda _, value: value)


def _steps(name: str, args: tuple[Any, ...], shown: Callable[[str, Any], Any]) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    seen: list[tuple[str, tuple[Any, ...], str]] = []  # equation, its arguments, its label

    def read(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        for known, its_args, label in seen:
            if known == fn.__name__ and its_args == args:
                return shown(label, steps[label])
        value = fn(*args)
        phase = next((a.phase for a in args if getattr(a, "phase", "")), "")
        label = first = f"{fn.__name__}[{phase}]" if phase else fn.__name__
        for n in itertools.count(2):
            if label not in steps:
                break
            label = f"{first}#{n}"
        steps[label] = value  # after its own terms, so the order is bottom-up
        seen.append((fn.__name__, args, label))
        return shown(label, value)

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
