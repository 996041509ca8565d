"""Arguments for any equation: symbols to read its algebra, numbers to read its value.

An equation's annotations say which columns it looks at. What a shape or an engine does not have
(experts, a window, a second device) is a neutral number and not a symbol, so that a dense model's
formulas read as such.
"""

import functools
import importlib
import inspect
import math
import pkgutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_type_hints

import planner.cost
import planner.law
import planner.serving
from planner.columns import Arch, Kernels, Overheads, Step, System, Workload
from planner.equation import EQUATIONS
from planner.law.accuracy import NINE_TASKS, AccuracyLink
from planner.law.columns import LawColumns
from planner.law.law import shapes
from planner.scenario.evaluate import Evaluation
from planner.serving.kinds import KINDS, Kind

Path = tuple[int | str, ...]  # an argument's place, then field names inwards


def load_equations() -> dict[str, Any]:
    """Import every module that holds equations and return them by name."""
    for package in (planner.cost, planner.serving, planner.law):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return EQUATIONS


def signature(name: str) -> dict[str, Any]:
    """Return the parameters of an equation and what each is."""
    fn = inspect.unwrap(EQUATIONS[name])
    hints = get_type_hints(fn, include_extras=False)
    return {p: hints[p] for p in inspect.signature(fn).parameters}


def equation_of(name: str, kind: Kind = KINDS["batch"]) -> str:
    """Return the equation of a quantity: of a metric, the one its kind of workload has."""
    return kind.equations.get(name, name)


def numbers(e: Evaluation, phase: str) -> Mapping[Any, Any]:
    """Return one shape's value for every kind of argument, and for scalar ones by name.

    The workload is what one engine is asked.
    """
    system, t = e.system, e.resolved.trained
    known: dict[Any, Any] = {
        System: system,
        Arch: system.arch,
        Workload: e.resolved.kind.engine(e.load),
        Step: e["mix"][phase][0],
        AccuracyLink: NINE_TASKS,
    }
    if t is None:
        return known
    seen = shapes(t.columns, system.arch, t.tokens)
    known |= {LawColumns: t.columns, "n": seen.n, "n_tokens": t.tokens}
    return known | {"x": seen.x, "r": seen.r, "loss": e["loss"]}


def values_of(name: str, known: Mapping[Any, Any]) -> list[Any] | None:
    """Return the arguments of an equation from `known`; None where it needs something else."""
    kinds = signature(name)
    keys = [kind if is_dataclass(kind) else parameter for parameter, kind in kinds.items()]
    return [_plain(known[key]) for key in keys] if all(key in known for key in keys) else None


def _plain(value: Any) -> Any:
    """Return columns with every field a Python float, so that they compare and print."""
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _plain(getattr(value, f.name)) for f in fields(value)})
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def symbols(name: str, like: list[Any] | None) -> tuple[list[Any], dict[str, float]]:
    """Return symbolic arguments of an equation, and the value of each symbol where `like` has one."""
    import sympy

    labels = dict(leaves(name, like))
    env: dict[str, float] = {}

    def build(kind: Any, value: Any, path: Path) -> Any:
        if not _is_columns(kind):
            if value is not None:
                env[labels[path]] = value
            return sympy.Symbol(labels[path], positive=True)
        made = {}
        for f in fields(kind):
            own = getattr(value, f.name) if value is not None else None
            here = (*path, f.name)
            if _is_columns(hint := _hints(kind)[f.name]) or here in labels:
                made[f.name] = build(hint, own, here)
            else:
                made[f.name] = f.default if own is None else own
        return kind(**made)

    kinds = signature(name).values()
    values = like if like is not None else [None] * len(kinds)
    return [build(k, v, (i,)) for i, (k, v) in enumerate(zip(kinds, values, strict=True))], env


def _is_columns(kind: Any) -> bool:
    return is_dataclass(kind)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def leaves(name: str, like: list[Any] | None) -> list[tuple[Path, str]]:
    """Return where each symbol of an equation's arguments stands, and what it is called.

    A field that shares its name with an equation or another column is called ``owner.field``.
    """
    found: list[tuple[Path, str, str]] = []

    def walk(kind: Any, value: Any, path: Path, owner: str) -> None:
        hints: dict[str, Any] = _hints(kind)
        for f in fields(kind):
            own = getattr(value, f.name) if value is not None else None
            if _is_columns(hints[f.name]):
                walk(hints[f.name], own, (*path, f.name), hints[f.name].__name__.lower())
            elif hints[f.name] is not Any:  # an option that is off, a name, a switch: no quantity
                continue
            elif (own is None or isinstance(own, float | int)) and not neutral(kind, f, own):
                found.append(((*path, f.name), owner, f.name))

    for i, (parameter, kind) in enumerate(signature(name).items()):
        if _is_columns(kind):
            value = like[i] if like is not None else None
            walk(kind, value, (i,), kind.__name__.lower())
        else:
            found.append(((i,), "", parameter))
    plain = Counter(field for _, _, field in found)
    return [
        (p, f"{owner}.{f}" if owner and (f in EQUATIONS or plain[f] > 1) else f)
        for p, owner, f in found
    ]


def scaled(args: tuple[Any, ...], path: Path, factor: float) -> tuple[Any, ...]:
    """Return the arguments with the number at `path` times `factor`."""

    def put(value: Any, rest: Path) -> Any:
        if not rest:
            return value * factor
        return replace(value, **{str(rest[0]): put(getattr(value, str(rest[0])), rest[1:])})

    i = int(path[0])
    return (*args[:i], put(args[i], path[1:]), *args[i + 1 :])


def neutral(kind: Any, f: Any, value: Any) -> bool:
    """Return whether a field says that something is absent, so that it is no symbol."""
    if kind in (Kernels, Overheads):  # a switch, or a cost this engine does not have
        return value is not None and value in (0.0, 1.0)
    if kind is LawColumns and f.name not in ("additive", "gqa_slope"):
        return bool(value == 0.0 and f.default == 0.0)  # a law that says nothing about shape
    absent = isinstance(f.default, float) and (
        f.default in (0.0, 1.0, 3.0) or math.isinf(f.default)
    )
    return absent and (value is None or value == f.default)
