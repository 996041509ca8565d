"""A joint space against the plain path in one run: figures, never assertions.

Shape × depth × head size × device × precision × load; CPU time of this process, so that what others do
on the machine counts as little as it can. Run: python tests/bench/bench_joint.py [rows, 1e8]
"""

import itertools
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from planner.allocator import keep_freed_memory
from planner.columns import Arch
from planner.questions.recommend.choice import OBJECTIVES
from planner.questions.recommend.pareto import Front, rows
from planner.questions.recommend.recommend import resolve_question
from planner.questions.recommend.space import space_for
from planner.scenario.evaluate import evaluate_all
from planner.scenario.joint import Block, evaluate_joint
from planner.scenario.options import question

NAMES = (*OBJECTIVES, "ready", "max_concurrency")
SPACE = {"layers": ",".join(map(str, range(8, 42))), "head_dim": "64,96,128"}
DEVICES, LOADS = ("h100-sxm", "l40s", "h200-sxm"), (8, 32, 64, 128)


def chunks(asked: list[Any], rows_wanted: float) -> Iterator[Arch]:
    """Yield shapes until there are enough rows."""
    n = 0
    for align in (64, 32, 16):  # finer grids after coarser ones: each is a space of its own
        space = space_for(asked[0].model_copy(update={"align": align}))
        for arch in space.chunks():
            yield arch
            n += np.size(arch.d_model) * len(asked)
            if n >= rows_wanted:
                return


def kept(blocks: Iterator[Block]) -> int:
    """Keep the front under each of the conditions; return how many rows there were."""
    n, fronts = 0, {}
    for block in blocks:
        for i, table in enumerate(block.tables):
            ok = table["max_concurrency"] >= 1
            whole = block.shapes | table
            fronts.setdefault(i, Front()).add(whole if ok.all() else rows(whole, ok))
            n += len(block)
    return n


def plainly(table: Any) -> int:
    """Keep the front as the plain path does."""
    fit = rows(table, table["max_concurrency"] >= 1)
    Front().add(fit)
    return len(table["loss"])


def main(wanted: float) -> None:
    keep_freed_memory()
    asked = [
        question(1e9, 1e11, on=on, dtype=dtype, batch=load, **SPACE)
        for on, dtype, load in itertools.product(DEVICES, ("bf16", "fp8"), LOADS)
    ]
    resolved = [resolve_question(q, q.params) for q in asked]
    few = list(chunks(asked, 3e6 * len(asked) / 24))[::4][:3]
    start, n = time.process_time(), 0
    for r in resolved:
        n += sum(evaluate_all(iter(few), r, NAMES, plainly, threads=1))
    plain = (time.process_time() - start) / n
    print(f"plain path: {n:,} rows, {plain * 1e9:.0f} ns of CPU a row, {1e-6 / plain:.2f} M rows/s")
    for threads in (1, 2):
        cpu, wall = time.process_time(), time.perf_counter()
        n = sum(evaluate_joint(chunks(asked, wanted), resolved, NAMES, kept, threads))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{threads} thread{'s' * (threads > 1)}: {n:,} rows, {cpu / n * 1e9:.1f} ns of CPU a row, "
            f"{1e-6 * n / cpu:.1f} M rows a CPU second, {1e-6 * n / wall:.1f} M rows/s on the clock, "
            f"{plain / (cpu / n):.1f} times the plain path, peak {peak:.2f} GiB"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1e8)
