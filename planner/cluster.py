"""Jobs over a Ray cluster, by the extra `cluster`: as many under way as there are processors.

Ray runs again elsewhere what a worker, or a whole node, was at when it died; it loses that job's time
and nothing else.
"""

import logging
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from planner.errors import MissingExtra, SpecError

SOON_S = 5.0  # in which a cluster answers
WAITING = 2  # jobs a processor: one it is at, one to go on with


@dataclass(frozen=True, slots=True)
class Lost:
    """A job that no worker brought to its end, and why."""

    words: str
    cause: BaseException | None = None  # what the job itself raised


def require_answer(address: str) -> None:
    """Refuse at once a HOST:PORT at which nothing listens: Ray would try for minutes.

    Raises:
        OSError: why not.

    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), SOON_S).close()


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give Ray, connected to the cluster at an address; whoever connected before stays so.

    Raises:
        MissingExtra: Ray is not installed.
        SpecError: no cluster answers there.

    """
    try:
        import ray
    except ImportError:
        raise MissingExtra.of("ray", extra="cluster") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            require_answer(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (OSError, ValueError, RuntimeError) as error:
            hint = "start one with `ray start --head`, then --ray auto, or give its HOST:PORT"
            said = str(error).partition(". ")[0] or type(error).__name__
            raise SpecError(f"--ray {address}: no cluster answers: {said}", hint=hint) from None
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def spread(
    ray: Any,
    work: Callable[..., Any],
    jobs: Iterable[tuple[Any, Any]],
    shared: tuple[Any, ...] = (),
    *,
    gpus: float | None = 0.0,
    retries: int = 2,
) -> Generator[tuple[Any, Any]]:
    """Yield jobs' labels and what came of them, or that they are `Lost`, as they end anywhere.

    Args:
        ray: connected, see `connected`.
        work: a module-level function of `shared` and one job.
        jobs: a label, which stays here, and a job each, in the order they are to start.
        shared: what all jobs are given; it crosses once a node.
        gpus: of a job; None takes one where the cluster has any.
        retries: times a job is begun again when its worker dies.

    """
    have = ray.cluster_resources()
    if gpus is None:
        gpus = 1.0 if have.get("GPU", 0) else 0.0
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=retries, retry_exceptions=False)(
        work
    )
    given = [ray.put(x) for x in shared]
    left, waiting = iter(jobs), {}

    def start(n: int) -> None:
        waiting.update({remote.remote(*given, job): label for label, job in islice(left, n)})

    start(max(1, int(WAITING * have.get("CPU", 1))))
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        label = waiting.pop(ready)
        try:
            found = ray.get(ready)
        except ray.exceptions.RayError as error:
            words = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            found = Lost(words, getattr(error, "cause", None))
        start(1)
        yield label, found
