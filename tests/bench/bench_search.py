"""Candidates a second, memory as the space grows, and cold start: figures, never assertions.

Run: python tests/bench/bench_search.py
"""

import resource
import statistics
import subprocess
import sys
import time

from planner.allocator import keep_freed_memory
from planner.inputs.question import Question
from planner.questions.recommend.choice import OBJECTIVES
from planner.questions.recommend.limits import Tally, limits_of
from planner.questions.recommend.recommend import resolve_question, search
from planner.questions.recommend.space import space_for
from planner.scenario.evaluate import evaluate_all


def candidates_per_second() -> None:
    """Loss, accuracy, throughput, TTFT, TPOT and memory of every shape, the front kept."""
    for align, tolerance in ((32, 0.01), (8, 0.01), (4, 0.02)):
        question = Question(params=1e9, tokens=1e11, align=align, tolerance=tolerance)
        space, c = space_for(question), resolve_question(question, question.params)
        runs = []
        for _ in range(3):
            tally = Tally(limits_of(question))
            start = time.perf_counter()
            search(space, c, tally)
            runs.append(time.perf_counter() - start)
        seconds = statistics.median(runs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"grid {align:3d}: {tally.n_evaluated:9,} shapes in {seconds:6.2f} s = "
            f"{tally.n_evaluated / seconds / 1e6:.2f} M candidates/s, peak memory {peak:.0f} MiB"
        )


def one_thread() -> None:
    question = Question(params=1e9, tokens=1e11, align=8)
    c = resolve_question(question, question.params)
    start = time.perf_counter()
    n = sum(
        evaluate_all(
            space_for(question).chunks(), c, OBJECTIVES, lambda t: len(t["loss"]), threads=1
        )
    )
    seconds = time.perf_counter() - start
    print(f"one thread, evaluation alone: {n / seconds / 1e6:.2f} M candidates/s")


def cold_start() -> None:
    """Whole processes, five runs each."""
    for argv in (["--help"], ["recommend", "--params", "3e9", "--tokens", "1e11"]):
        runs = []
        for _ in range(5):
            start = time.perf_counter()
            command = [sys.executable, "-m", "planner", *argv]
            subprocess.run(command, check=True, capture_output=True)
            runs.append(time.perf_counter() - start)
        low, high = min(runs), max(runs)
        middle = statistics.median(runs)
        print(f"planner {argv[0]}: median {middle:.2f} s ({low:.2f} – {high:.2f})")


if __name__ == "__main__":
    keep_freed_memory()  # as the command does; a library leaves its process as it is
    candidates_per_second()
    one_thread()
    cold_start()
