"""Whatever happens inside a command leaves as an `error:` line, a `hint:` line and an exit code."""

import multiprocessing
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from planner import limits
from planner.writer import LONGEST_LINE

RUN = [sys.executable, "-c", "from planner.cli.app import main; main()"]
ASK = ["what-if", "llama-3.2-1b", "--vary", "concurrency=1"]


@pytest.fixture
def raising(planner, monkeypatch):
    """Return a function that runs a command in which `error` is raised."""

    def run(error):
        def fail(*_args, **_options):
            raise error

        monkeypatch.setattr("planner.questions.what_if.what_if", fail)
        return planner(*ASK)

    return run


@pytest.mark.parametrize("error", [RuntimeError("odd\x1b[31m"), AssertionError(), EOFError("cut")])
def test_a_fault_is_two_lines_and_a_file(raising, error):
    run = raising(error)
    said, hint = run.stderr.splitlines()
    assert run.returncode == 70 and run.stdout == ""
    assert said.startswith("error: planner met a fault") and "\x1b" not in said
    kept = Path(hint.rpartition(" ")[2])
    assert type(error).__name__ in kept.read_text() and "Traceback" in kept.read_text()
    kept.unlink()


def test_no_memory_names_the_limit(raising):
    run = raising(MemoryError())
    assert run.returncode == 70 and "--limit memory=" in run.stderr.splitlines()[1]


def test_an_interrupt_and_a_gone_reader_say_nothing(raising):
    assert raising(KeyboardInterrupt()).returncode == 130
    run = raising(BrokenPipeError())
    assert run.returncode == 141 and run.stderr == ""


def test_no_line_is_long_and_no_name_speaks_to_the_terminal(planner):
    run = planner("predict", "x" * 3000 + "\x1b]0;owned\x07")
    assert run.returncode == 3 and all(len(x) <= LONGEST_LINE for x in run.stderr.splitlines())
    run = planner("predict", "no\x1b[2Jsuch\x9b31m")
    assert run.returncode == 3 and not {"\x1b", "\x9b"} & set(run.stderr) and "\\x1b" in run.stderr


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full"])
def test_a_stdout_that_takes_nothing_is_an_error(redirected):
    shell = f'"$@" {redirected}'
    command = ["sh", "-c", shell, "sh", *RUN, "models", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5 and done.stderr.startswith("error: stdout")


def test_the_seconds_of_a_command_are_limited_and_the_limit_can_be_raised():
    ask = [*RUN, "--limit", "seconds=1", "what-if", "llama-3.2-1b", "--concurrency", "200000"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "--limit " in done.stderr and done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    "limit", ["points=x", "point=3", "points", "points=-1", "=", "seconds=nan"]
)
def test_a_limit_that_is_none_is_refused(planner, limit):
    run = planner("--limit", limit, "models", "list")
    assert run.returncode == 3 and run.stderr.count("\n") == 2


def test_a_limit_holds_and_its_error_says_how_to_raise_it(planner, monkeypatch):
    monkeypatch.setattr(limits, "_asked", {})
    run = planner("--limit", "points=3", "what-if", "llama-3.2-1b", "--vary", "concurrency=1..64")
    assert run.returncode == 3 and "--limit points=" in run.stderr


def test_workers_end_where_their_pool_cannot_be_made(planner, monkeypatch):
    real = threading.Thread.start

    def start(thread):  # what a limit of memory does to the thread that a pool is led by
        if "Executor" in type(thread).__name__:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    run = planner("what-if", "llama-3.2-1b", "--vary", "concurrency=1..8")
    left = multiprocessing.active_children()  # Python waits for these before it ends
    for child in left:
        child.kill()
    assert run.returncode == 70 and "--limit memory" in run.stderr and not left


def test_a_request_to_end_unwinds():
    child = subprocess.Popen(
        [*RUN, "report", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    try:
        child.wait(1.5)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 143 and child.stderr.read() == ""
    child.stdin.close(), child.stderr.close()
