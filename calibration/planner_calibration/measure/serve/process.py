"""A child process on a leash: a time limit, its whole family ended with it, its last words kept."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_OOM = re.compile(
    r"out of memory|OutOfMemoryError|MemoryError|No available memory for the cache"
    r"|larger than the available KV cache memory|Cannot allocate memory|bad_alloc",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended; `status` is "ok", "oom", "crash" or "timeout"."""

    status: Literal["ok", "oom", "crash", "timeout"]
    message: str
    seconds: float


LOOK_S = 0.5  # between looks at what a child has written


def run(argv: Sequence[str], *, limit_s: float, log: Path, env: Mapping[str, str]) -> Ended:
    """Run `argv` to its end or for `limit_s`, its output in `log`; nothing of it is left behind."""
    looks = watch(argv, limit_s=limit_s, log=log, env=env)
    while True:
        try:
            next(looks)
        except StopIteration as end:
            ended: Ended = end.value
            return ended


def watch(
    argv: Sequence[str], *, limit_s: float, log: Path, env: Mapping[str, str]
) -> Generator[None, None, Ended]:
    """Run `argv` to its end or for `limit_s`, its output in `log`; nothing of it is left behind.

    Yields every `LOOK_S` while it runs, and returns how it ended.
    """
    start = time.monotonic()
    code: int | None = None
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, env=dict(env), start_new_session=True
        )
        try:
            while code is None and (left := limit_s - (time.monotonic() - start)) > 0:
                with suppress(subprocess.TimeoutExpired):
                    code = child.wait(min(LOOK_S, left))
                yield
        finally:
            end_family(child)
    return diagnose(code, log, limit_s, time.monotonic() - start)


def end_family(child: "subprocess.Popen[bytes]") -> None:
    """End the child and every process it started (they share its session's group)."""
    for sign, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(child.pid, sign)
        except ProcessLookupError:
            break
        except PermissionError:  # only zombies are left of it
            break
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and _alive(child):
            time.sleep(0.05)
    child.wait()


def give_way(child: "subprocess.Popen[bytes]", name: str, by: int = 10) -> None:
    """Lower the priority (raise the niceness) of those of a child's processes whose name starts so; where there is a /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if not (folder / "comm").read_text().startswith(name):
                continue
            if os.getpgid(int(folder.name)) == child.pid:
                for task in (folder / "task").iterdir():
                    own = os.getpriority(os.PRIO_PROCESS, int(task.name))
                    os.setpriority(os.PRIO_PROCESS, int(task.name), own + by)


def _alive(child: "subprocess.Popen[bytes]") -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def diagnose(code: int | None, log: Path, limit_s: float, seconds: float) -> Ended:
    """Read off an exit code (None: none in time) and a log what became of a child."""
    text = log.read_text(errors="replace")[-20_000:]
    last = [line.strip() for line in text.splitlines() if line.strip()][-1:]
    errors = [
        line.strip() for line in text.splitlines() if re.search(r"\w(Error|Exception)\b", line)
    ]
    told = (errors[-1:] or last or [""])[0][-300:]
    if code is None:
        return Ended("timeout", f"no end within {limit_s:g} s", seconds)
    if code == 0:
        return Ended("ok", "", seconds)
    if _OOM.search(text):
        return Ended("oom", told, seconds)
    if code == -signal.SIGKILL:
        return Ended("oom", "killed by signal 9, as the kernel does when memory runs out", seconds)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return Ended("crash", f"{how}: {told}", seconds)
