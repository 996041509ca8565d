"""Every error a user can meet, with the exit code the command returns for it.

PlannerError
├── Infeasible         1  nothing satisfies the constraints
├── SpecError          3  a file or value the user wrote
│   ├── WrongType      3  an argument of another type than it takes
│   ├── UnknownName    3  a name we could not find
│   └── OverLimit      3  more than one command may take; see planner.limits
├── MissingExtra       4  an optional dependency is absent
├── OutputError        5  a file could not be written
└── ReaderGone       141  whoever read our output has seen enough

Exit code 2 is the command line's own: a flag or argument it could not parse. 70 is a fault of planner's,
whatever it was: its traceback is in a file that the hint names. 130 and 143 are an interrupt and a
request to end.
"""

import difflib
import functools
from collections.abc import Iterable


class PlannerError(Exception):
    """Shown to the user as one `error:` and one `hint:` line, without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Infeasible(PlannerError):  # noqa: N818 - an expected answer, not a fault
    """Nothing satisfies the constraints; says which one binds."""

    exit_code = 1


class SpecError(PlannerError, ValueError):
    """A file or a value that the user wrote cannot be."""

    exit_code = 3


class UnknownName(SpecError):  # noqa: N818
    """A name that is in no folder on the search path."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str], *, see: str = "") -> "UnknownName":
        """Say which `what` is unknown and suggest the nearest of `known`, else where to look."""
        known = sorted(known)
        near = functools.partial(difflib.get_close_matches, possibilities=known, n=1)
        close = near(name.lower()) or near(name)
        hint = f"did you mean {close[0]!r}?" if close else see or f"one of: {', '.join(known)}"
        return cls(f"no {what} called {name!r}", hint=hint)


class WrongType(SpecError, TypeError):  # noqa: N818
    """An argument of another type than it takes; the hint says what to write."""

    @classmethod
    def of(cls, where: str, value: object, takes: str, *, hint: str = "") -> "WrongType":
        """Say which argument, what it takes and what it got."""
        return cls(f"{where}: takes {takes}, not {type(value).__name__} {value!r:.60}", hint=hint)


class OverLimit(SpecError):  # noqa: N818
    """More than one command may take; the hint says how to raise the limit."""


class MissingExtra(PlannerError):  # noqa: N818
    """An optional dependency is absent; the hint says how to get it."""

    exit_code = 4

    @classmethod
    def of(cls, package: str, *, extra: str) -> "MissingExtra":
        """Say that `package` is absent and which extra of ours brings it."""
        return cls(
            f"this command needs {package}, which is not installed",
            hint=f"in a clone of planner's repository: pip install '.[{extra}]'",
        )


class OutputError(PlannerError):
    """A file could not be written; nothing is left half-written."""

    exit_code = 5


class ReaderGone(PlannerError):  # noqa: N818
    """The reader of a pipe, such as `head`, has seen enough: nothing is said."""

    exit_code = 141
