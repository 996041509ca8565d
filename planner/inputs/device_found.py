"""Devices as others describe them, in our keys: nvidia-smi, rocm-smi, and the files of peers.

What a description does not say is missing and listed; nothing is filled in by guess.
"""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.device import DEFAULTS, DeviceSpec
from planner.inputs.files import documents_in
from planner.units import GIB, MIB

KEYS = tuple(n for n, f in DeviceSpec.model_fields.items() if f.is_required())
READS = "planner reads nvidia-smi, rocm-smi, and device files of calculon, aiconfigurator, llm-analysis and GenZ"
# Memory that cards are sold with, GiB.
_SIZES = (4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 144, 180, 192, 256, 288)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a description says of a device, in the text of our files, and of where it is from."""

    tool: str
    values: Mapping[str, str]
    rates: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys a device needs that it does not say."""
        has = {*self.values, *(["dense_flops_per_s"] if self.rates else [])}
        return tuple(key for key in KEYS if key not in has)

    @property
    def optional(self) -> dict[str, str]:
        """Keys it does not say that a file may leave out, and what is taken then."""
        return {key: taken for key, taken in DEFAULTS.items() if key not in self.values}

    @property
    def words(self) -> str:
        """Say what was found, and what is missing."""
        said = [f"{k} {v}" for k, v in self.values.items()]
        said += [f"{k} {v}" for k, v in self.rates.items()]
        return f"{self.tool}: {', '.join(said)}; missing: {', '.join(self.missing)}"

    def toml(self) -> str:
        """Return it as a file of ours; missing keys stand as comments."""
        lines = [f"# Of {self.tool}. Fill in what is missing, then run `planner hardware check`."]
        lines += [f"{key} = {json.dumps(value)}" if key != "hbm_offered" else f"{key} = {value}"
                  for key, value in self.values.items()]  # fmt: skip
        lines += [f"# {key} =                    # missing" for key in self.missing
                  if key != "dense_flops_per_s"]  # fmt: skip
        lines += [f"# {key} =                    # may be left out: {taken}"
                  for key, taken in self.optional.items()]  # fmt: skip
        lines += [f"notes = {json.dumps(self.notes)}"] if self.notes else []
        lines += ["", "[dense_flops_per_s]"]
        lines += [f"{name} = {json.dumps(rate)}" for name, rate in self.rates.items()]
        return (
            "\n".join(lines if self.rates else [*lines, "# bf16 =                    # missing"])
            + "\n"
        )


@dataclass(frozen=True, slots=True)
class _Peer:
    """How a peer writes a device: our key → path, and how many of our unit one of its is."""

    tool: str
    marks: tuple[str, ...]
    values: Mapping[str, tuple[str, float]]
    rates: Mapping[str, tuple[str, float]]


_PEERS = (
    _Peer("llm-analysis", ("mem_per_GPU_in_GB", "hbm_bandwidth_in_GB_per_sec"), {
        "hbm_bytes": ("mem_per_GPU_in_GB", 1e9),
        "hbm_bytes_per_s": ("hbm_bandwidth_in_GB_per_sec", 1e9),
        "link_bytes_per_s": ("intra_node_bandwidth_in_GB_per_sec", 0.5e9),  # it adds both directions
    }, {
        "fp16": ("peak_fp16_TFLOPS", 1e12),
        "int8": ("peak_i8_TFLOPS", 1e12),
        "int4": ("peak_i4_TFLOPS", 1e12),
    }),
    _Peer("calculon", ("matrix", "mem1"), {
        "hbm_bytes": ("mem1.GiB", 1e9),
        "hbm_bytes_per_s": ("mem1.GBps", 1e9),
        "link_bytes_per_s": ("networks.0.bandwidth", 1e9),
    }, {
        "fp16": ("matrix.float16.tflops", 1e12),
        "fp8": ("matrix.float8.tflops", 1e12),
        "tf32": ("matrix.float32.tflops", 1e12),
        "fp32": ("vector.float32.tflops", 1e12),
    }),
    _Peer("aiconfigurator", ("gpu.mem_bw", "gpu.mem_capacity"), {
        "hbm_bytes": ("gpu.mem_capacity", 1e9 / GIB),  # binary; datasheets print it in GB
        "hbm_bytes_per_s": ("gpu.mem_bw", 1.0),
        "link_bytes_per_s": ("node.intra_node_bw", 1.0),
        "tdp_w": ("gpu.power", 1.0),
    }, {
        "bf16": ("gpu.bfloat16_tc_flops", 1.0),
        "fp16": ("gpu.float16_tc_flops", 1.0),
        "int8": ("gpu.int8_tc_flops", 1.0),
        "fp8": ("gpu.fp8_tc_flops", 1.0),
        "fp4": ("gpu.fp4_tc_flops", 1.0),
    }),
    _Peer("GenZ", ("Flops", "Memory_BW"), {
        "hbm_bytes": ("Memory_size", 1e9),
        "hbm_bytes_per_s": ("Memory_BW", 1e9),
        "link_bytes_per_s": ("ICN", 1e9),
    }, {"bf16": ("Flops", 1e12)}),
)  # fmt: skip


def found_in(text: str, path: Path) -> Found:
    """Return what a description says.

    Raises:
        SpecError: it is none that is known, or describes no device.

    """
    for read in (_nvidia_query, _nvidia_q, _nvidia_table, _rocm):
        if found := read(text):
            return found
    try:
        documents = documents_in(text, path, hint=READS)
    except SpecError:
        documents = []
    for peer in _PEERS:
        if found := _peer(peer, documents[0] if documents else None, path):
            return found
    raise SpecError(f"{path}: no known description of a device", hint=READS)


def _peer(peer: _Peer, data: Any, path: Path) -> Found | None:
    if not isinstance(data, dict):
        return None
    name = str(data.get("name") or path.name.partition(".")[0])
    if not _marked(peer, data):  # a table of devices by name
        inside = [(k, v) for k, v in data.items() if isinstance(v, dict) and _marked(peer, v)]
        if not inside:
            return None
        if len(inside) > 1:
            raise SpecError(
                f"{path}: describes {len(inside)} devices: {', '.join(k for k, _ in inside)[:200]}",
                hint="leave one of them in it",
            )
        name, data = inside[0]
    units = {"hbm_bytes": "GB", "hbm_bytes_per_s": "GB/s", "link_bytes_per_s": "GB/s", "tdp_w": "W"}
    values = {"name": name}
    for key, (where, per) in peer.values.items():
        if number := _number(_at(data, where)):
            if peer.tool == "aiconfigurator" and key == "hbm_bytes" and number % MIB:
                per = 1.0  # bytes as a datasheet prints them
            scale = 1.0 if key == "tdp_w" else 1e9
            values[key] = f"{number * per / scale:.6g} {units[key]}"
    rates = {
        name: f"{number * per / 1e12:.6g} TFLOP/s"
        for name, (where, per) in peer.rates.items()
        if (number := _number(_at(data, where)))
    }
    return Found(
        peer.tool, values, rates, "Rates as the file has them: make sure that they are dense."
    )


def _marked(peer: _Peer, data: Mapping[str, Any]) -> bool:
    return all(_at(data, mark) is not None for mark in peer.marks)


def _at(data: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(data, list):
            data = data[int(part)] if part.isdigit() and int(part) < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _number(value: Any) -> float | None:
    found = re.search(r"\d+(\.\d+)?(e[+-]?\d+)?", str(value)) if value is not None else None
    return float(found[0]) if found and not isinstance(value, bool) else None


def _smi(
    tool: str,
    name: str,
    vendor: str,
    total_bytes: float | None,
    reserved_bytes: float = 0.0,
    watts: float | None = None,
    mhz: float | None = None,
    architecture: str = "",
) -> Found | None:
    """Return what a vendor's tool says; its memory is what the card offers, next below what is printed."""
    if not name or not total_bytes:
        return None
    values = {"name": name, "vendor": vendor}
    values |= {"architecture": architecture.lower().replace(" ", "-")} if architecture else {}
    # What a datasheet prints, read as GiB: ECC and firmware take a little of it.
    size = next((g for g in _SIZES if g * GIB * 1.002 >= total_bytes), round(total_bytes / GIB))
    values["hbm_bytes"] = f"{size} GB"
    offered = (total_bytes - reserved_bytes) / (size * GIB)
    values["hbm_offered"] = f"{min(offered, 1.0):.4f}"
    values |= {"boost_clock_hz": f"{mhz:.0f} MHz"} if mhz else {}
    values |= {"tdp_w": f"{watts:.0f} W"} if watts else {}
    return Found(tool, values)


def _nvidia_query(text: str) -> Found | None:
    """Read the first card of `nvidia-smi --query-gpu=… --format=csv`."""
    head, _, rest = text.lstrip().partition("\n")
    if "memory.total" not in head or "," not in head:
        return None
    row = next(csv.reader(io.StringIO(rest)), None)
    if not row:
        return None
    names = [cell.strip().partition(" [")[0] for cell in head.split(",")]
    units = dict(zip(names, head.split(","), strict=True))
    cells = {n: cell.strip() for n, cell in zip(names, row, strict=False)}

    def first(*keys: str) -> float | None:
        return next((v for k in keys if (v := _number(cells.get(k)))), None)

    def memory(key: str) -> float:
        said = f"{units.get(key, '')} {cells.get(key, '')}".lower()
        return (first(key) or 0.0) * (GIB if "gib" in said else MIB)

    return _smi(
        "nvidia-smi --query-gpu", cells.get("name") or cells.get("gpu_name", ""), "nvidia",
        memory("memory.total"), memory("memory.reserved"),
        first("power.default_limit", "power.max_limit", "power.limit"),
        first("clocks.max.sm", "clocks.max.graphics", "clocks.max.gr"),
    )  # fmt: skip


def _nvidia_q(text: str) -> Found | None:
    """Read the first card of `nvidia-smi -q`, whose sections are told apart by indentation."""
    if not re.search(r"^\s*Product Name\s*:", text, re.MULTILINE):
        return None
    sections: list[tuple[int, str]] = []
    cells: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        while sections and sections[-1][0] >= depth:
            sections.pop()
        key, colon, value = line.partition(" : ")
        if colon:
            above = f"{sections[-1][1]}." if sections else ""
            cells.setdefault(above + key.strip(), value.strip())
            cells.setdefault(key.strip(), value.strip())
        else:
            sections.append((depth, line.strip()))
    cells = {k: v for k, v in cells.items() if v != "N/A"}

    def first(*keys: str) -> float | None:
        return next((v for k in keys if (v := _number(cells.get(k)))), None)

    return _smi(
        "nvidia-smi -q", cells.get("Product Name", ""), "nvidia",
        (first("FB Memory Usage.Total") or 0.0) * MIB,
        (first("FB Memory Usage.Reserved") or 0.0) * MIB,
        first("Default Power Limit", "Max Power Limit", "Current Power Limit", "Power Limit"),
        first("Max Clocks.SM", "Max Clocks.Graphics"),
        cells.get("Product Architecture", ""),
    )  # fmt: skip


def _nvidia_table(text: str) -> Found | None:
    """Read the first card of what `nvidia-smi` prints by itself; its names may be cut short."""
    name = re.search(
        r"^\|\s+\d+\s+((?:NVIDIA|Tesla|Quadro|GeForce) .+?)\s+(?:On|Off|N/A|WDDM|TCC)\b",
        text,
        re.MULTILINE,
    )
    memory = re.search(r"\d+MiB\s*/\s*(\d+)MiB", text)
    if not name or not memory:
        return None
    watts = re.search(r"\d+W\s*/\s*(\d+)W", text)
    return _smi("nvidia-smi", name[1], "nvidia", float(memory[1]) * MIB,
                watts=float(watts[1]) if watts else None)  # fmt: skip


def _rocm(text: str) -> Found | None:
    """Read the first card of rocm-smi, printed or --json."""
    cells: dict[str, str] = {}
    try:
        data = json.loads(text)
        first = next((v for k, v in data.items() if k.startswith("card")), None)
        cells = {str(k): str(v) for k, v in first.items()} if isinstance(first, dict) else {}
    except (ValueError, AttributeError, RecursionError):
        for _, key, value in re.findall(
            r"^(?:GPU|card)\[?(\d+)\]?\s*:\s*(.+?)\s*:\s+(.+?)\s*$", text, re.MULTILINE
        ):
            cells.setdefault(key.strip(), value)
    lower = {k.lower(): v for k, v in cells.items()}
    total = _number(lower.get("vram total memory (b)"))
    name = next((lower[k] for k in ("card series", "product name", "card model", "device name")
                 if k in lower and not lower[k].startswith("0x")), "")  # fmt: skip
    watts = next((_number(v) for k, v in lower.items() if "max" in k and "power" in k), None)
    mhz = max((_number(m) or 0.0 for m in re.findall(r"(\d+)\s?Mhz", text)), default=0.0)
    return _smi("rocm-smi", name, "amd", total, watts=watts, mhz=mhz if "sclk" in text else None)
