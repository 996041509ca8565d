"""Each call that writes fails once, or the process is killed there: a file is old or new, no rest is left."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from planner.errors import OutputError
from planner.writer import write_whole

OLD, NEW = "old\n" * 1000, "new\n" * 5000
FAULTS = [
    (call, code)
    for call in ("write", "fsync", "replace", "fchmod", "link")
    for code in (errno.ENOSPC, errno.EACCES, errno.EIO)
]
# A script that writes and is killed at the n-th call of the operating system that changes a file.
KILLED = """
import os, signal, sys
from pathlib import Path
from planner.writer import write_whole
n, path = int(sys.argv[1]), Path(sys.argv[2])
left = [n]
def audit(event, args):
    if event in ("open", "os.rename", "os.remove", "os.chmod", "os.link", "tempfile.mkstemp"):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), getattr(signal, sys.argv[3]))
sys.addaudithook(audit)
write_whole(path, "new\\n" * 5000)
"""


def old_or_new(fault: tuple[str, int], folder: Path) -> str:
    """Let a call fail while a file is replaced; return what is wrong afterwards, or nothing."""
    call, code = fault
    path = folder / "file.txt"
    path.write_text(OLD)
    real = getattr(os, call)

    def fail(*args: object, **options: object) -> object:
        raise OSError(code, os.strerror(code))

    setattr(os, call, fail)
    said = ""
    try:
        write_whole(path, NEW)
    except OutputError as error:
        said = str(error)
    finally:
        setattr(os, call, real)
    held = path.read_text()
    if held not in (OLD, NEW):
        return "half written"
    if held == OLD and not said:
        return "said nothing"
    left = [p.name for p in folder.iterdir() if p != path]
    return f"left {left}" if left else ""


def killed(folder: Path) -> Iterator[str]:
    """Kill a process at each of its calls; yield what is wrong afterwards."""
    path = folder / "file.txt"
    for sign in ("SIGKILL", "SIGTERM"):
        for n in range(40):
            path.write_text(OLD)
            done = subprocess.run(
                [sys.executable, "-c", KILLED, str(n), str(path), sign], check=False
            )
            if path.read_text() not in (OLD, NEW):
                yield f"{sign} at {n}: half written"
            if done.returncode not in (0, -getattr(signal, sign)):
                yield f"{sign} at {n}: exit {done.returncode}"
            if done.returncode == 0:
                break
            for rest in folder.iterdir():
                if rest != path:
                    rest.unlink()
                    yield f"{sign} at {n}: left {rest.name}"
        else:
            yield f"{sign}: never came to an end"
