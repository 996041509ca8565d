"""The one boundary: whatever happens inside a command leaves as one `error:` and one `hint:` line."""

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from planner.errors import OutputError, PlannerError, ReaderGone
from planner.writer import LONGEST_LINE, printable, shortened

FAULT = 70  # an exit code of its own for what nobody foresaw: EX_SOFTWARE of sysexits.h
ENDED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT
# One thread each: our matrices are small, and two threads of a BLAS wait for each other.
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class Ended(BaseException):
    """SIGTERM: a request to end, which unwinds so that what is half-done is removed."""


def guarded(
    run: Callable[[], Any], *, threads: bool, process: bool, long: bool = False
) -> NoReturn:
    """Run a command and exit with its code, whatever it raises.

    Args:
        run: returns an exit code, or None for 0.
        threads: whether linear algebra may use several, as training does.
        process: whether it is held to the limits of seconds and memory.
        long: whether it may take longer than a question does.

    """
    from planner import limits

    if not sys.warnoptions:  # what numpy has to say names our files and helps nobody
        warnings.simplefilter("ignore")
    if not threads:
        for name in THREADS:
            os.environ.setdefault(name, "1")
    _standard_streams()
    code = 0
    try:
        with _ending():
            try:
                with limits.bounded(process=process, long=long):
                    code = run() or 0
                with to_stdout():
                    sys.stdout.flush()
            except BaseException as error:  # noqa: BLE001 - it is the boundary
                code = _said(error)
    except Ended:
        code = ENDED
    _flush_quietly()
    sys.exit(code)


def _said(error: BaseException) -> int:
    """Say what an exception means, and return its exit code."""
    import typer

    from planner.cli.app import UsageError

    if isinstance(error, ReaderGone | BrokenPipeError):
        _silence()
        return ReaderGone.exit_code
    if isinstance(error, PlannerError):
        complain(str(error), error.hint)
        return error.exit_code
    if isinstance(error, UsageError):  # a flag or argument the command line could not read
        command = error.ctx.command_path if error.ctx else "planner"
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
        else:
            complain(error.format_message(), f"see `{command} --help`")
        return int(error.exit_code)
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, Ended):
        return ENDED
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    return _fault(error)


def _fault(error: BaseException) -> int:
    """Say that planner is at fault, and keep the traceback in a file."""
    if _out_of_memory(error):
        from planner import limits

        most = limits.greatest("memory")
        again = f"ask for less, or raise the limit: planner --limit memory={int(4 * most)} …"
        complain(f"this takes more than {most / 2**30:.3g} GiB of memory, or than there is", again)
        return FAULT
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    kept = _kept(error)
    where = f"please report it with {kept}" if kept else "please report it"
    complain(f"planner met a fault of its own: {shortened(printable(what), 300)}", where)
    return FAULT


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, in the end or underneath: what reads files wraps what it meets."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == 12):
            return True
        if isinstance(error, RuntimeError) and "start new thread" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _kept(error: BaseException) -> str:
    """Write the traceback to a file and return its name; nothing where none can be written."""
    from planner import __version__
    from planner.cli.output import command_line

    head = (
        f"planner {__version__}, Python {sys.version.split()[0]}\n{printable(command_line())}\n\n"
    )
    try:
        handle, name = tempfile.mkstemp(prefix="planner-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(head + "".join(traceback.format_exception(error)))
    except (OSError, MemoryError, RecursionError):
        return ""
    return name


def complain(message: str, hint: str) -> None:
    """Print one `error:` line and, where there is one, one `hint:` line."""
    for head, text in (("error", message), ("hint", hint)):
        line = printable(" ".join(text.split()))
        if line:
            try:
                print(shortened(f"{head}: {line}", LONGEST_LINE), file=sys.stderr, flush=True)
            except (OSError, ValueError):  # nobody listens
                return


@contextmanager
def _ending() -> Iterator[None]:
    """Let SIGTERM unwind what is at work."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker that was forked has nothing to put away
            os._exit(ENDED)
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _standard_streams() -> None:
    """Make sure that there are a stdout and a stderr, and that each can write any text."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if (
            stream is None
        ):  # closed by whoever started us; the next file opened must not take its place
            mode = os.O_RDONLY if number == 0 else os.O_WRONLY
            handle = os.open(os.devnull, mode)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            made = os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)
            setattr(sys, name, made if number != 1 else _Closed(made))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Closed:
    """A stdout that was closed before we began: to write to it is an error that says so."""

    def __init__(self, beneath: Any) -> None:
        self._beneath = beneath

    def write(self, text: str) -> int:
        raise OutputError("stdout: is closed", hint="name a file by --out, or let stdout be open")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


@contextmanager
def to_stdout() -> Iterator[None]:
    """Say in words why stdout does not take what is written to it."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone("") from None
    except OSError as error:
        hint = "name a file in a folder you may write to"
        raise OutputError(f"stdout: {error.strerror}", hint=hint) from None


def _flush_quietly() -> None:
    """Write what is left; what cannot be written now must not raise while Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence()


def _silence() -> None:
    """Let what is still buffered for stdout go nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stdout without a file of its own
        pass
