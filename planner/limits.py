"""What one command may take: five numbers, each with its flag to raise it and the words of its error.

They keep a hostile or mistaken question from taking the machine, and are far above what an honest one
needs. `bytes`, `points` and `events` hold in the library too; `seconds` and `memory` are of the process,
and the command alone sets them.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from planner.errors import OverLimit, UnknownName


@dataclass(frozen=True, slots=True)
class Limit:
    """One number that a command may not exceed."""

    name: str
    default: float
    words: str
    unit: str = ""


LIMITS: dict[str, Limit] = {
    x.name: x
    for x in (
        Limit("bytes", 2**28, "bytes of one file, as read and as unpacked", "bytes"),
        Limit("points", 200_000, "settings of one grid, or values of one range"),
        Limit(
            "events", 1_000_000, "events of one simulated engine, and requests of one simulation"
        ),
        Limit("seconds", 18, "processor time of one process; of fits and scores 720", "s"),
        Limit("memory", 2**31, "bytes a process takes beyond what it starts with", "bytes"),
    )
}
LEAST, GREATEST = 1.0, 1e15
LONGER = 40  # times as many seconds for a command that looks at a whole file of measurements
_asked: dict[str, float] = {}
_long = False


def greatest(name: str) -> float:
    """Return what a limit is: as asked for, or its default."""
    usual = LIMITS[name].default
    return _asked.get(name, usual * LONGER if name == "seconds" and _long else usual)


def use(**values: float) -> None:
    """Set limits by name, in this process, until they are set again.

    Raises:
        UnknownName: there is no such limit.
        OverLimit: a value is none.

    """
    for name, value in values.items():
        if name not in LIMITS:
            raise UnknownName.among("limit", name, LIMITS)
        if not LEAST <= value <= GREATEST:
            raise OverLimit(
                f"--limit {name}={value:g} is none", hint=f"it lies in 1 to {GREATEST:g}"
            )
        _asked[name] = float(value)
    if _clock:
        start_clock()
        _hold_memory()


def over(name: str, what: str, needed: float | None = None) -> OverLimit:
    """Return the error of a limit that is exceeded: which, and how to raise it."""
    limit, most = LIMITS[name], greatest(name)
    more = 2 ** max(1, (int(needed) - 1).bit_length()) if needed else int(4 * most)
    return OverLimit(
        f"{what}: more than the {most:,.0f} {limit.unit or limit.name} that a command may take",
        hint=f"ask for less, or raise the limit: planner --limit {name}={more} …",
    )


def require(name: str, value: float, what: str) -> None:
    """Refuse more than a limit; `what` says of what.

    Raises:
        OverLimit: `value` is above it; says which limit, and how to raise it.

    """
    if not value <= greatest(name):
        raise over(name, what, value if value < GREATEST else None)


_clock = False  # whether this process counts its seconds


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise over("seconds", "this takes long")


def start_clock() -> None:
    """End this process's work by an error after as much processor time as it may take."""
    global _clock
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPROF, _late)
        signal.setitimer(signal.ITIMER_PROF, greatest("seconds"))
        _clock = True


def die_with(parent: int) -> None:
    """Ask the system to end this process when its parent, process `parent`, ends; Linux can."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(128 + signal.SIGTERM)


PR_SET_PDEATHSIG = 1


def counts() -> bool:
    """Whether this process counts its seconds."""
    return _clock


@contextmanager
def bounded(*, process: bool = True, long: bool = False) -> Iterator[None]:
    """Hold the process to its limits of seconds and memory, where `process`; afterwards to none."""
    global _clock, _long
    _long = long
    if not process:
        yield
        return
    start_clock()
    _hold_memory()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _clock = False
        _let_memory_go()


_before: tuple[int, int] | None = None  # what the process was held to by whoever started it


def _hold_memory() -> None:
    """Limit what this process may take more, where the system counts it."""
    global _before
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - start-up counts
            pages = int(file.read().split()[5])
    except (ImportError, OSError, IndexError, ValueError):
        return
    _before = _before or resource.getrlimit(resource.RLIMIT_DATA)
    most = pages * os.sysconf("SC_PAGE_SIZE") + int(greatest("memory"))
    for known in _before:
        most = most if known == resource.RLIM_INFINITY else min(most, known)
    resource.setrlimit(resource.RLIMIT_DATA, (most, _before[1]))


def _let_memory_go() -> None:
    global _before
    if _before is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, _before)
        _before = None
