"""Do many runs, each once: here on a pool of processes, or over a Ray cluster, one run a GPU.

A job is a plain description; `work` turns it into rows, one or several. Rows are written by this process alone, as they
come in, so a worker, or a whole node, that dies loses its own run and nothing else; that run is then done
again elsewhere. What is on record already is not run again.
"""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner import cluster, limits
from planner.inputs.measurement import Measurement
from planner_calibration import runs

Work = Callable[[Any], Iterable[Measurement]]
Seen = Callable[[Measurement, int, int], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to do: its rows' keys on record, the rows that would tell of its failure, and the job."""

    keys: tuple[str, ...]
    failed: Callable[[str], Sequence[Measurement]]
    job: Any


@dataclass(frozen=True, slots=True)
class Tally:
    """How a sweep went; failures are counted in rows."""

    planned: int
    skipped: int
    done: int
    failed: int


def sweep(
    planned: Sequence[Planned],
    work: Work,
    store: Path,
    *,
    workers: int = 1,
    ray: str | None = None,
    gpus: float | None = None,
    retries: int = 2,
    seen: Seen = lambda row, done, of: None,
) -> Tally:
    """Run what is not on record in `store` and append every row to it.

    Args:
        planned: the runs, in the order they are to start.
        work: a module-level function from job to rows; it may be called on another machine. Rows that
            it yields one by one are kept one by one where it is called in this process.
        store: the run file.
        workers: processes here; 0 or 1 runs them in this one, one after the other.
        ray: address of a Ray cluster ("auto", "host:port" or "ray://…"); None stays here.
        gpus: of a Ray worker; None takes one where the cluster has any.
        retries: times a run is repeated when its worker dies.
        seen: called with each row and the count so far.

    Raises:
        MissingExtra: `ray` is given and Ray is not installed.

    """
    have = runs.done(store)
    todo, keys = [], set(have)
    for p in planned:
        if not keys.issuperset(p.keys):
            keys.update(p.keys)
            todo.append(p)
    rows: Generator[Iterable[Measurement]]
    if ray is not None:
        rows = _on_ray(todo, work, ray, gpus, retries)
    elif workers > 1:
        rows = _on_pool(todo, work, workers, retries)
    else:
        rows = (iter(work(p.job)) for p in todo)
    done = failed = 0
    try:
        for found in rows:
            done += 1
            for row in found:
                runs.append(store, row)
                failed += row.status != "ok"
                seen(row, done, len(todo))
    finally:
        rows.close()  # ends its workers, where we were asked to end
    return Tally(len(planned), len(planned) - len(todo), done, failed)


def _or_end(
    pool: ProcessPoolExecutor, rows: Iterator[Future[Sequence[Measurement]]]
) -> Iterator[Future[Sequence[Measurement]]]:
    """Yield what ends; if we are asked to end meanwhile, the pool's processes do not go on."""
    try:
        yield from rows
    except BaseException:
        for child in list((pool._processes or {}).values()):
            child.terminate()
        raise


def _whole(work: Work, job: Any) -> list[Measurement]:
    """Return a job's rows together: what crosses to another process is no generator."""
    return list(work(job))


def _on_pool(
    todo: Sequence[Planned], work: Work, workers: int, retries: int
) -> Generator[Sequence[Measurement]]:
    """Yield rows as they finish. A dead worker breaks its pool: what was unfinished starts anew."""
    attempts = dict.fromkeys((p.keys for p in todo), 0)
    left = {p.keys: p for p in todo}
    alone = False
    while left:
        # After a death nobody knows whose run it was: one at a time, the culprit is the one that dies.
        size = 1 if alone else workers
        batch = list(left.values())[:1] if alone else list(left.values())
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            size, mp_context=context, initializer=limits.die_with, initargs=(os.getpid(),)
        ) as pool:
            futures: dict[Future[Sequence[Measurement]], Planned] = {
                pool.submit(_whole, work, p.job): p for p in batch
            }
            for future in _or_end(pool, as_completed(futures)):
                p = futures[future]
                try:
                    row = future.result()
                except BrokenProcessPool:
                    if alone or len(batch) == 1:
                        attempts[p.keys] += 1
                        if attempts[p.keys] <= retries:
                            continue
                        row = p.failed("its process died")
                    else:
                        alone = True
                        continue
                del left[p.keys]
                yield row


def _on_ray(
    todo: Sequence[Planned], work: Work, address: str, gpus: float | None, retries: int
) -> Generator[Sequence[Measurement]]:
    """Yield rows as they finish anywhere in the cluster."""
    with cluster.connected(address) as ray:
        jobs = ((p, p.job) for p in todo)
        for p, rows in cluster.spread(ray, _whole, jobs, (work,), gpus=gpus, retries=retries):
            yield p.failed(rows.words) if isinstance(rows, cluster.Lost) else rows
