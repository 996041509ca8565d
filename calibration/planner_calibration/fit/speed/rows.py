"""Recorded runs as columns, and what the cost model says of each of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import (
    Arch,
    Device,
    Kernels,
    Limits,
    Overheads,
    Parallel,
    System,
    Workload,
    as_columns,
)
from planner.cost.operators.attention.prefill import prefill_attention_s
from planner.cost.operators.elementwise import elementwise_s
from planner.errors import SpecError
from planner.inputs.device import DeviceSpec
from planner.inputs.engine import engine_named, engines
from planner.inputs.formats import FORMATS, Format, format_named
from planner.inputs.measurement import Measurement
from planner.questions.validate.kernel_rows import OPERATORS, kernel_system
from planner.serving.batch import batch_s
from planner_calibration.measure.shapes import FIELDS

Vector = NDArray[np.float64]
# Constants may be columns of shape (m, 1): m sets of them give m rows of predictions.
Predict = Callable[[Kernels, Overheads], Vector]

IQR_SD = 1.349  # sds between the quartiles of a normal
KERNELS = ("gemm", "attention_prefill", "attention_decode", "elementwise")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one kind and dtype: measured seconds, and their prediction from constants."""

    kind: str
    rows: tuple[Measurement, ...]
    measured_s: Vector
    predict: Predict
    steady_s: Vector  # what a fit aims at: measured, had the machine been as fast as it mostly was

    def take(self, keep: Sequence[bool]) -> "Group":
        """Return the rows to keep."""
        index = np.flatnonzero(keep)
        everything = self.predict

        def predict(kernels: Kernels, overheads: Overheads) -> Vector:
            return everything(kernels, overheads)[..., index]

        rows = tuple(self.rows[i] for i in index)
        return Group(self.kind, rows, self.measured_s[index], predict, self.steady_s[index])


def seconds(row: Measurement) -> float:
    """Return the time a row stands for: the median of its repeats, as the clock on the wall has it."""
    return row.values["e2e_s" if row.kind == "serve_offline" else "median_s"]


def repeat_sd(row: Measurement) -> float:
    """Return how far a row's repeats scatter, as the sd of a logarithm: no prediction errs less."""
    iqr, median = ("e2e_iqr_s", "e2e_s") if row.kind == "serve_offline" else ("iqr_s", "median_s")
    return row.values.get(iqr, 0.0) / row.values[median] / IQR_SD


def slowness(row: Measurement) -> float | None:
    """Return the wall time of the reference work beside a row, s; None where none ran."""
    if "e2e_per_reference" not in row.values:
        return None
    return row.values["e2e_s"] / row.values["e2e_per_reference"]


def usual_slowness(rows: Sequence[Measurement]) -> float:
    """Return the median over rows of what the reference work took beside them, s; NaN where none ran."""
    told = [s for r in rows if (s := slowness(r)) is not None]
    return float(np.median(told)) if told else math.nan


def steady_seconds(row: Measurement, usual_s: float) -> float:
    """Return a row's time, had the machine been as fast as it mostly was.

    What others do on a CPU slows whole stretches of a campaign by a factor, which the reference work
    beside each row sees too.
    """
    return seconds(row) * (usual_s / own if (own := slowness(row)) else 1.0)


def shape_of(row: Measurement) -> str:
    """Return what tells one architecture from another, for splits that hold whole ones out."""
    return " ".join(str(row.what.get(n)) for n in FIELDS)


def groups(rows: Sequence[Measurement], device: DeviceSpec) -> list[Group]:
    """Return finished runs that the cost model covers, by kind and dtype.

    Raises:
        SpecError: there are none.

    """
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        if row.status == "ok" and row.kind in (*KERNELS, "serve_offline"):
            found.setdefault((row.kind, str(row.what.get("dtype", "auto"))), []).append(row)
    if not found:
        raise SpecError(
            "none of these runs is a finished kernel or serving run",
            hint="measure first: planner calibrate kernels, planner calibrate serve",
        )
    usual = usual_slowness(rows)
    return [
        Group(
            kind,
            tuple(part),
            np.array([seconds(r) for r in part]),
            (_serving if kind == "serve_offline" else _kernel)(kind, part, dtype, device),
            np.array([steady_seconds(r, usual) for r in part]),
        )
        for (kind, dtype), part in sorted(found.items())
    ]


def _format(dtype: str) -> Format:
    return FORMATS["bf16"] if dtype == "auto" else format_named(dtype)


def _system(dtype: str, device: DeviceSpec) -> System:
    """Return a system that holds and computes everything in `dtype`."""
    rates = device.dense_flops_per_s
    held = _format(dtype)
    alike = [held, *(f for f in FORMATS.values() if f.torch and f.bytes == held.bytes)]
    named = next((f.computes_in for f in alike if f.computes_in in rates), None)
    if named is None:
        raise SpecError(
            f"{device.name} lists no rate for {dtype}", hint="add it to the hardware file"
        )
    own = {"flops_per_s": rates[named], "attention_flops_per_s": rates[named]}
    own["node_link_bytes_per_s"] = device.link_bytes_per_s
    return kernel_system(as_columns(Device, device.model_dump() | own), [held.bytes] * 5)


def _column(rows: Sequence[Measurement], name: str, default: float | None = None) -> Vector:
    def read(row: Measurement) -> Any:
        value = row.what.get(name, default)
        if value is None:
            raise SpecError(f"run {row.key} does not say its {name}", hint="it was not made by us")
        return value

    return np.array([float(read(row)) for row in rows])


def _async(r: Measurement) -> bool:
    """Whether the engine of a run schedules ahead: on a CPU there is nobody else to work."""
    if r.machine.startswith("cpu"):
        return False
    name, version = engine_named(r.engine)
    own = r.environment.get("engine_async_scheduling")
    return engines()[name].at(version).async_scheduling if own is None else bool(own)


def _chosen(rows: Sequence[Measurement], name: str, default: float) -> Vector:
    """Return what the engine of each run settled on, else what it was told, else a default."""

    def read(row: Measurement) -> float:
        own = row.environment.get(f"engine_{name}")
        told = row.what.get(f"flag_{name}")
        return float(next((v for v in (own, told) if v is not None), default))

    return np.array([read(row) for row in rows])


def served_systems(rows: Sequence[Measurement], dtype: str, device: DeviceSpec) -> System:
    """Return the systems that serving rows ran on, a row each, under the constants that come by default."""
    columns: dict[str, Any] = {name: _column(rows, name) for name in FIELDS}
    arch = Arch(**columns, untied=1.0 - _column(rows, "tied_embeddings", 0.0))
    limits = Limits(
        max_num_seqs=_chosen(rows, "max_num_seqs", 4096.0),
        max_batched_tokens=_chosen(rows, "max_num_batched_tokens", 8192.0),
        block_tokens=_chosen(rows, "block_size", 16.0),
        reserve_bytes=0.0,
        cache_bytes=_cache_bytes(arch, rows, _format(dtype).bytes),
        chunked_prefill=np.array([float(not r.engine.startswith("torch")) for r in rows]),
        async_scheduling=np.array([float(_async(r)) for r in rows]),
    )
    parallel = Parallel(tp=_chosen(rows, "tensor_parallel_size", 1.0))
    return replace(_system(dtype, device), arch=arch, limits=limits, parallel=parallel)


def _serving(kind: str, rows: Sequence[Measurement], dtype: str, device: DeviceSpec) -> Predict:
    system = served_systems(rows, dtype, device)
    work = Workload(*(_column(rows, n) for n in ("input_tokens", "output_tokens", "batch")))

    def predict(kernels: Kernels, overheads: Overheads) -> Vector:
        served = replace(system, kernels=kernels, overheads=overheads)
        return np.asarray(batch_s(served, work), dtype=np.float64)

    return predict


def _cache_bytes(arch: Arch, rows: Sequence[Measurement], element_bytes: float) -> Vector:
    """Return the cache each engine had, of keys and values of all layers; 0 where no row says."""
    blocks, tokens = _chosen(rows, "num_gpu_blocks", 0.0), _chosen(rows, "block_size", 16.0)
    token_bytes = 2.0 * arch.n_layers * arch.n_kv_heads * arch.head_dim * element_bytes
    return np.asarray(blocks * tokens * token_bytes / _chosen(rows, "tensor_parallel_size", 1.0))


def _kernel(kind: str, rows: Sequence[Measurement], dtype: str, device: DeviceSpec) -> Predict:
    system, width = _system(dtype, device), _format(dtype).bytes

    def at(name: str) -> Vector:
        return _column(rows, name)

    def predict(kernels: Kernels, overheads: Overheads) -> Vector:
        s = replace(system, kernels=kernels, overheads=overheads)
        if kind == "gemm":
            return OPERATORS["gemm"](s, {name: at(name) for name in "mnk"})
        if kind == "elementwise":
            return np.asarray(elementwise_s(s, 3.0 * at("tokens") * at("width") * width))
        shape = {name: at(name) for name in ("n_heads", "n_kv_heads", "head_dim")}
        if kind == "attention_prefill":
            tokens = at("tokens")
            heads = shape["n_heads"], shape["n_kv_heads"], 4.0 * shape["head_dim"]
            return np.asarray(prefill_attention_s(s, tokens, tokens / 2, *heads))
        return OPERATORS["attn_decode"](s, shape | {"batch": at("seqs"), "kv_len": at("context")})

    return predict
