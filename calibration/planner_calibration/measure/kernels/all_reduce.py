"""All-reduce over processes of this machine: gloo between CPUs, NCCL between GPUs."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import distributed, multiprocessing

from planner.inputs.measurement import Measurement
from planner_calibration.measure.machine import Machine, free_port, torch_name
from planner_calibration.measure.timing import Timing


def measure(
    ranks: int, elements: Sequence[int], on: Machine, dtype: str = "float32", repeats: int = 9
) -> list[Measurement]:
    """Return a row for each size; the time is the slowest rank's median."""
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    arguments = (ranks, free_port(), list(elements), on.kind, dtype, repeats, queue)
    multiprocessing.spawn(_rank, arguments, nprocs=ranks, join=True)  # type: ignore
    times: dict[int, list[list[float]]] = {n: [] for n in elements}
    for _ in range(ranks):
        for n, samples in queue.get():
            times[n].append(samples)
    rows, common = [], {"machine": on.id, "engine": torch_name(), "environment": on.environment}
    for n in elements:
        values = asdict(Timing.of(max(times[n], key=statistics.median)))
        del values["clock_drifted"]  # it is not told from other ranks being late
        size = n * getattr(torch, dtype).itemsize
        # Each byte crosses a link 2·(ranks − 1)/ranks times in a ring.
        values["bus_bytes_per_s"] = 2 * (ranks - 1) / ranks * size / values["median_s"]
        what: dict[str, Any] = {"elements": n, "ranks": ranks, "dtype": dtype}
        rows.append(Measurement.of("all_reduce", what, values=values, **common))
    return rows


def _rank(
    rank: int,
    ranks: int,
    port: int,
    elements: list[int],
    kind: str,
    dtype: str,
    repeats: int,
    queue: Any,
) -> None:
    on_gpu = kind == "cuda"
    device = torch.device("cuda", rank) if on_gpu else torch.device("cpu")
    torch.set_num_threads(1)
    if on_gpu:
        torch.cuda.set_device(device)  # else every rank synchronises the first
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=ranks,
    )
    found = []
    for n in elements:
        x = torch.ones(n, device=device, dtype=getattr(torch, dtype))
        samples = []
        for i in range(repeats + 3):
            distributed.barrier()
            if on_gpu:
                torch.cuda.synchronize()
            start = time.perf_counter()
            distributed.all_reduce(x)
            if on_gpu:
                torch.cuda.synchronize()
            if i >= 3:
                samples.append(time.perf_counter() - start)
        found.append((n, samples))
    queue.put(found)
    distributed.destroy_process_group()
