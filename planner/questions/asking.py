"""How the questions are called from Python: a call that cannot be says how it is written."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from planner.errors import WrongType

P = ParamSpec("P")
R = TypeVar("R")


def asked(example: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function refuse arguments that do not fit with `example`, a call that does."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise WrongType(f"{function.__name__}: {error}", hint=f"write {example}") from None
            return function(*args, **kwargs)

        return call

    return wrap


def several(value: Any, where: str, of: type | tuple[type, ...] = str) -> list[Any]:
    """Return a list of what is given: one alone is a list of one.

    Raises:
        WrongType: it is neither, or holds something else.

    """
    many = [value] if isinstance(value, of) else value
    if isinstance(many, Mapping | str) or not isinstance(many, Iterable):
        raise WrongType.of(where, value, "one or a list", hint=f"write {where}=[…]")
    many = list(many)
    for one in many:
        if not isinstance(one, of):
            kinds = of if isinstance(of, tuple) else (of,)
            raise WrongType.of(where, one, " or ".join(k.__name__ for k in kinds))
    return many
