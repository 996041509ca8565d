"""What our scripts do first in the engine's Python; it imports nothing of ours.

A process that holds an engine ends, with all it started, when whoever wanted it is gone, however that was.
"""

import os
import signal
import threading
import time

LOOK_S = 0.5


def hold() -> None:
    """Stay on the cores we are given, and end this whole process group once our parent is gone."""
    if cores := os.environ.get("PLANNER_CORES"):  # the engine's kernels have others
        os.sched_setaffinity(0, {*map(int, cores.split(","))})
    if os.getpgrp() == os.getpid():  # ours alone: `process.watch` starts a session
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)
