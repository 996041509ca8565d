"""Recorded runs as columns, and what the cost model says of each of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, Device, Kernels, Limits, Overheads, System, Workload, as_columns
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

KERNELS = ("gemm", "attention_prefill", "attention_decode", "elementwise")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one kind and dtype: measured seconds, and their prediction from constants."""

    kind: str
    rows: tuple[Measurement, ...]
    measured_s: Vector
    predict: Predict

    def take(self, keep: Sequence[bool]) -> "Group":
        """Return the rows to keep."""
        index = np.flatnonzero(keep)
        everything = self.predict

        def predict(kernels: Kernels, overheads: Overheads) -> Vector:
            return everything(kernels, overheads)[..., index]

        rows = tuple(self.rows[i] for i in index)
        return Group(self.kind, rows, self.measured_s[index], predict)


def seconds(row: Measurement, reference_s: float = math.nan) -> float:
    """Return the time a row stands for.

    A GPU is ours alone: the median. On a CPU other work only ever adds time: the least disturbed repeat, or,
    where reference work ran beside it, the ratio to that at the machine's best (`reference_s`).
    """
    quiet = row.machine.startswith("cpu")
    if row.kind == "serve_offline":
        if quiet and (ratio := row.values.get("e2e_per_reference")) is not None:
            return ratio * reference_s
        return row.values["e2e_min_s" if quiet else "e2e_s"]
    return row.values["min_s" if quiet else "median_s"]


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
    best = min(
        (r.values["reference_s"] for r in rows if "reference_s" in r.values), default=math.nan
    )
    return [
        Group(
            kind,
            tuple(part),
            np.array([seconds(r, best) for r in part]),
            (_serving if kind == "serve_offline" else _kernel)(kind, part, dtype, device),
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
    name, version = engine_named(r.engine)
    return engines()[name].at(version).async_scheduling and not r.machine.startswith("cpu")


def _serving(kind: str, rows: Sequence[Measurement], dtype: str, device: DeviceSpec) -> Predict:
    columns: dict[str, Any] = {name: _column(rows, name) for name in FIELDS}
    arch = Arch(**columns, untied=1.0 - _column(rows, "tied_embeddings", 0.0))
    limits = Limits(
        max_num_seqs=_column(rows, "flag_max_num_seqs", 4096.0),
        max_batched_tokens=_column(rows, "flag_max_num_batched_tokens", 8192.0),
        reserve_bytes=0.0,
        chunked_prefill=np.array([float(not r.engine.startswith("torch")) for r in rows]),
        async_scheduling=np.array([float(_async(r)) for r in rows]),
    )
    system = replace(_system(dtype, device), arch=arch, limits=limits)
    work = Workload(*(_column(rows, n) for n in ("input_tokens", "output_tokens", "batch")))

    def predict(kernels: Kernels, overheads: Overheads) -> Vector:
        served = replace(system, kernels=kernels, overheads=overheads)
        return np.asarray(batch_s(served, work), dtype=np.float64)

    return predict


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
