"""Every error a user can meet, with the exit code the command returns for it.

PlannerError
├── Infeasible         1  nothing satisfies the constraints
├── SpecError          3  a file or value the user wrote
│   └── UnknownName    3  a name we could not find
├── MissingExtra       4  an optional dependency is absent
└── OutputError        5  a file could not be written

Exit code 2 is the command line's own: a flag or argument it could not parse.
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
    exit_code = 1


class SpecError(PlannerError, ValueError):
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


class MissingExtra(PlannerError):  # noqa: N818
    exit_code = 4

    @classmethod
    def of(cls, package: str, *, extra: str) -> "MissingExtra":
        """Say that `package` is absent and which extra of ours brings it."""
        return cls(
            f"this command needs {package}, which is not installed",
            hint=f"pip install 'llm-planner[{extra}]'",
        )


class OutputError(PlannerError):
    exit_code = 5
