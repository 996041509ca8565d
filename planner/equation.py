"""Write a formula once; read it as numbers, as algebra, or as units.

An equation is an ordinary function of ordinary arithmetic. Arrays flow through it at numpy speed;
sympy symbols flow through it to become the formula that `planner explain` prints; pint quantities
flow through it in the tests, which proves its units.
"""

import functools
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
Reader = Callable[[Callable[..., Any], tuple[Any, ...]], Any]

EQUATIONS: dict[str, Callable[..., Any]] = {}
_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)
_namer: ContextVar[Callable[[str, Any], Any] | None] = ContextVar("namer", default=None)
_smooth: ContextVar[bool] = ContextVar("smooth", default=False)


def equation(fn: F) -> F:
    """Register `fn`, named after the quantity it returns, as one line of the model.

    Raises:
        ValueError: another equation has that name: a derivation could not tell them apart.

    """
    known = EQUATIONS.get(fn.__name__)
    if known is not None and inspect.unwrap(known).__module__ != fn.__module__:
        raise ValueError(f"{fn.__module__}.{fn.__name__}: {known.__module__} has that equation")

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        reader = _reader.get()
        return fn(*args) if reader is None else reader(fn, args)

    EQUATIONS[fn.__name__] = call
    return cast(F, call)


def rowwise(fn: F) -> F:
    """Let `fn`, which looks at values row by row, stand as one step where columns have none yet."""

    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        lazy = next((a for a in args if hasattr(a, "by_row")), None)
        return fn(*args) if lazy is None else lazy.by_row(fn, args)

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
        return value if _is_zero(value) else sympy.Symbol(label, positive=True)

    steps = _steps(name, args, symbol)
    top = next(reversed(steps))
    return {k: v for k, v in steps.items() if k == top or not _is_zero(v)}


def evaluation(name: str, *args: Any) -> dict[str, Any]:
    """Return the value of every step equation `name` takes on numbers, named as in `derivation`."""
    return _steps(name, args, lambda _, value: value)


def nudged(name: str, args: tuple[Any, ...], step: str, factor: float) -> Any:
    """Return equation `name` on numbers, with the value of one of its steps times `factor`.

    Rounding up and down is left out, so that a small nudge has the effect of many.
    """
    token = _smooth.set(True)
    try:
        nudge = _steps(name, args, lambda label, v: v * factor if label == step else v)
    finally:
        _smooth.reset(token)
    return next(reversed(nudge.values()))


def _steps(name: str, args: tuple[Any, ...], shown: Callable[[str, Any], Any]) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    labels: dict[tuple[Any, ...], str] = {}  # of an equation with its arguments
    inside: list[tuple[str, str]] = []  # equations being taken, with the phase of their step

    def record(stem: str, phase: str, value: Any) -> str:
        label = first = f"{stem}[{phase}]" if phase else stem
        for n in itertools.count(2):
            if label not in steps:
                break
            label = f"{first}#{n}"
        steps[label] = value  # after its own terms, so the order is bottom-up
        return label

    def read(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        key = (fn.__name__, *args)
        if key not in labels:
            phase = next((a.phase for a in args if getattr(a, "phase", "")), "")
            inside.append((fn.__name__, phase))
            value = fn(*args)
            inside.pop()
            labels[key] = record(fn.__name__, phase, value)
        return shown(labels[key], steps[labels[key]])

    def name_part(part: str, value: Any) -> Any:
        equation, phase = inside[-1]
        return shown(record(f"{equation}.{part}", phase, value), value)

    token = _namer.set(name_part)
    try:
        with reading(read):
            EQUATIONS[name](*args)
    finally:
        _namer.reset(token)
    return steps


def named(part: str, value: Any) -> Any:
    """Return `value`, a part of an equation that a derivation shows as a step: ``qkv_s.math_s``."""
    namer = _namer.get()
    return value if namer is None else namer(part, value)


def _is_zero(value: Any) -> bool:
    return getattr(value, "is_zero", None) is True if _is_symbolic(value) else bool(value == 0)


@functools.cache
def _numpy() -> Any:
    import numpy  # late: to ask for help needs no numbers

    return numpy


def _is_symbolic(a: Any, b: Any = None) -> bool:
    sympy = sys.modules.get("sympy")  # symbols exist only once someone imported sympy
    return sympy is not None and (isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic))


def maximum(a: Any, b: Any) -> Any:
    """Return the larger, element by element."""
    if _is_symbolic(a, b):
        import sympy

        return sympy.Max(a, b, evaluate=False)  # to evaluate it may take seconds
    return _numpy().maximum(a, b)


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller, element by element."""
    if _is_symbolic(a, b):
        import sympy

        return sympy.Min(a, b, evaluate=False)
    return _numpy().minimum(a, b)


def ceil(a: Any) -> Any:
    """Round up, element by element."""
    if _is_symbolic(a):
        import sympy

        return sympy.ceiling(a)
    return a if _smooth.get() else _numpy().ceil(a)


def floor(a: Any) -> Any:
    """Round down, element by element."""
    if _is_symbolic(a):
        import sympy

        return sympy.floor(a)
    return a if _smooth.get() else _numpy().floor(a)


def nearest(a: Any) -> Any:
    """Round to the nearest whole number, element by element."""
    if _is_symbolic(a):
        import sympy

        return sympy.floor(a + sympy.Rational(1, 2))
    return a if _smooth.get() else _numpy().rint(a)


def exp(a: Any) -> Any:
    """Return e to the power `a`."""
    if _is_symbolic(a):
        import sympy

        return sympy.exp(a)
    return _numpy().exp(a)


def log(a: Any) -> Any:
    """Return the natural logarithm."""
    if _is_symbolic(a):
        import sympy

        return sympy.log(a)
    return _numpy().log(a)
