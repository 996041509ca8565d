"""Measured kernels from a CSV file, and what the operator model says each takes.

The columns: `op`, `gpu`, `dtype`, `time_s`, and what the operator needs, per device:

    gemm                            m n k
    attn_prefill attn_decode        batch n_heads n_kv_heads head_dim q_len kv_len
    allreduce                       m (elements) tp
    norm act rope add embed         m (tokens) n (width)

`kernel` may name the implementation, `flag` why a row should not count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, Device, Kernels, Limits, Overheads, Parallel, Precision, System
from planner.cost.operators.attention.decode import decode_attention_s
from planner.cost.operators.attention.prefill import kv_write_s, prefill_attention_s
from planner.cost.operators.communication import all_reduce_s
from planner.cost.operators.elementwise import elementwise_s
from planner.cost.operators.gemm import Gemm, gemm_s
from planner.errors import SpecError
from planner.inputs.device import device_named, load_device
from planner.inputs.files import Sheet
from planner.inputs.formats import FORMATS, Format, formats_in

Floats = NDArray[np.float64]
_NUMBERS = ("m", "n", "k", "batch", "n_heads", "n_kv_heads", "head_dim", "q_len", "kv_len", "tp")
# Reads and writes of an element of the width given: of gate and up together in `act`.
MOVES = {"norm": 2.0, "act": 1.5, "rope": 2.0, "add": 3.0, "embed": 2.0}
_NO_ARCH = Arch(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Rows of one operator on one device in one dtype, as columns."""

    op: str
    device_id: str
    dtype: str
    time_s: Floats
    columns: dict[str, Floats]
    source: list[str]
    kernel: list[str]
    flag: list[str]
    line: list[int]  # of the file

    @property
    def held(self) -> Format:
        """The format of the weights; a kernel's int8 is its own, not a weight-only one."""
        return FORMATS.get(self.dtype, FORMATS[formats_in(self.dtype)[0]])

    @property
    def cached(self) -> Format | None:
        """The format of the cache where it is not 16 bits."""
        name = formats_in(self.dtype)[1]
        return FORMATS[name] if name else None

    def take(self, rows: NDArray[np.bool_]) -> "KernelRows":
        """Return the chosen rows."""
        index = np.flatnonzero(rows)
        listed: dict[str, Any] = {
            name: [getattr(self, name)[i] for i in index]
            for name in ("source", "kernel", "flag", "line")
        }
        columns = {k: v[index] for k, v in self.columns.items()}
        return replace(self, time_s=self.time_s[index], columns=columns, **listed)


def group_kernels(sheet: Sheet) -> list[KernelRows]:
    """Return a file's kernels, grouped by operator, device and dtype.

    Raises:
        SpecError: a column is missing, or a cell is no number.

    """
    if missing := [c for c in ("op", "gpu", "dtype", "time_s") if c not in sheet.header]:
        hint = "see `planner validate --help` for the columns"
        raise SpecError(f"{sheet.path}: no column {missing[0]!r}", hint=hint)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, row in enumerate(sheet.rows):
        groups.setdefault((row["op"], row["gpu"], row["dtype"]), []).append(i)
    numbers = {c: sheet.numbers(c) for c in ("time_s", *_NUMBERS)}
    return [_group(key, sheet, index, numbers) for key, index in groups.items()]


def _group(
    key: tuple[str, str, str], sheet: Sheet, index: list[int], numbers: Mapping[str, Floats]
) -> KernelRows:
    op, gpu, dtype = key
    rows = [sheet.rows[i] for i in index]
    return KernelRows(
        op=op,
        device_id=device_named(gpu),
        dtype=dtype,
        time_s=numbers["time_s"][index],
        columns={c: numbers[c][index] for c in _NUMBERS},
        source=[r.get("source", "") for r in rows],
        kernel=[r.get("kernel", "") for r in rows],
        flag=[r.get("flag", "") for r in rows],
        line=[sheet.lines[i] for i in index],
    )


def kernel_system(device: Device, bytes_: Sequence[float]) -> System:
    """Return a system for kernels alone, `bytes_` being its precision: they know no model."""
    return System(
        _NO_ARCH, Precision(*bytes_), device, Parallel(), Kernels(), Overheads(), Limits()
    )


def predicted_s(rows: KernelRows, kernels: Kernels) -> Floats:
    """Return the time of every row. Benchmarks run in short bursts, at the full clock."""
    device = load_device(rows.device_id)
    held, kept = device.runs(rows.held.name), rows.cached.bytes if rows.cached else 2.0
    s = replace(
        kernel_system(device.columns(held.name), (held.bytes, 2.0, kept, 2.0, held.input_bytes)),
        parallel=Parallel(tp=np.nan_to_num(rows.columns["tp"], nan=1.0)),
        kernels=replace(kernels, sustained_clock=1.0),
    )
    predict = OPERATORS.get(rows.op)
    if predict is None:
        moved = MOVES[rows.op] * rows.columns["m"] * rows.columns["n"]
        return np.asarray(elementwise_s(s, moved * s.precision.activation_bytes))
    return np.asarray(predict(s, rows.columns))


def _gemm(s: System, c: dict[str, Floats]) -> Floats:
    return np.asarray(gemm_s(s, Gemm(c["m"], c["n"], c["k"], s.precision.weight_bytes)))


def _prefill(s: System, c: dict[str, Floats]) -> Floats:
    """New tokens with what they write to the cache; a single one is a decode."""
    tokens, context = c["batch"] * c["q_len"], c["kv_len"] - c["q_len"] / 2
    heads, kv_heads = c["n_heads"], c["n_kv_heads"]
    attention = prefill_attention_s(s, tokens, context, heads, kv_heads, 4.0 * c["head_dim"])
    written = kv_write_s(s, tokens, 2.0 * kv_heads * c["head_dim"])
    return np.where(c["q_len"] > 1, attention + written, _decode(s, c))


def _decode(s: System, c: dict[str, Floats]) -> Floats:
    kv_heads = c["n_kv_heads"]
    return np.asarray(
        decode_attention_s(
            s,
            c["batch"],
            c["kv_len"],
            kv_heads,
            c["n_heads"] / kv_heads,
            2.0 * kv_heads * c["head_dim"] * s.precision.kv_bytes,
            4.0 * c["head_dim"],
        )
    )


def _all_reduce(s: System, c: dict[str, Floats]) -> Floats:
    return np.asarray(all_reduce_s(s, c["m"] * s.precision.activation_bytes))


OPERATORS: dict[str, Callable[[System, dict[str, Floats]], Floats]] = {
    "gemm": _gemm,
    "attn_prefill": _prefill,
    "attn_decode": _decode,
    "allreduce": _all_reduce,
}
