"""A device and a node as their datasheets state them."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from planner.columns import Device
from planner.data import catalogue, find
from planner.errors import SpecError
from planner.inputs.fields import (
    BytesField,
    BytesPerSField,
    FlopsPerSField,
    HertzField,
    Spec,
    WattsField,
    load_toml,
)

# What a weight or cache format computes in: weight-only formats expand to bf16 in the kernel.
COMPUTES_IN = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "int8": "int8", "int4": "bf16"}
COMPUTES_IN["w8a16"] = "bf16"
# Weight-only formats carry a 16-bit scale for every 64 to 128 weights.
BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.53125, "fp32": 4.0}
BYTES["w8a16"] = 1.03125
README = "see hardware/README.md for the keys and units"
RIDGE = (5, 1000)  # FLOP a byte: a CPU core's 5-30, H20's 37, the densest accelerators' 400
Dtype = Literal["bf16", "fp16", "fp8", "int8", "w8a16", "int4"]


class NoSuchFormat(SpecError):  # noqa: N818 - says what is the matter
    """A device that does not compute in a number format."""


class DeviceSpec(Spec):
    """Nameplate numbers, each with the document it came from."""

    name: str
    vendor: str
    architecture: str
    form_factor: str
    hbm_bytes: BytesField
    hbm_bytes_per_s: BytesPerSField
    l2_bytes: BytesField
    n_sms: int = Field(gt=0)
    boost_clock_hz: HertzField
    link_bytes_per_s: BytesPerSField
    link_kind: str
    tdp_w: WattsField
    source: str
    checked: date
    notes: str = ""
    dense_flops_per_s: dict[str, FlopsPerSField]

    def flops_per_s(self, dtype: str) -> float:
        """Return the dense rate at `dtype`; an absent dtype is unsupported, never extrapolated.

        Raises:
            NoSuchFormat: the device does not compute in `dtype`.

        """
        rates = self.dense_flops_per_s
        if COMPUTES_IN.get(dtype, dtype) not in rates:
            raise NoSuchFormat(
                f"{self.name} has no {dtype} rate",
                hint=f"it computes in {', '.join(d for d in BYTES if COMPUTES_IN.get(d, d) in rates)}",
            )
        return rates[COMPUTES_IN.get(dtype, dtype)]

    def columns(self, dtype: str = "bf16", node: "NodeSpec | None" = None) -> Device:
        """Return the columns equations look at, for weights in `dtype`."""
        half = "bf16" if "bf16" in self.dense_flops_per_s else "fp16"
        return Device(
            flops_per_s=self.flops_per_s(dtype),
            attention_flops_per_s=self.flops_per_s(half),
            hbm_bytes_per_s=self.hbm_bytes_per_s,
            hbm_bytes=self.hbm_bytes,
            n_sms=float(self.n_sms),
            link_bytes_per_s=node.link_bytes_per_s if node else self.link_bytes_per_s,
            node_link_bytes_per_s=node.per_device_bytes_per_s if node else 25e9,
        )


class NodeSpec(Spec):
    """A box of devices and its network."""

    name: str
    device: str
    n_devices: int = Field(gt=0)
    link_bytes_per_s: BytesPerSField
    link_kind: str
    node_link_bytes_per_s: BytesPerSField
    node_link_kind: str
    tdp_w: WattsField
    source: str
    checked: date
    notes: str = ""

    @property
    def per_device_bytes_per_s(self) -> float:
        """A device's share of the node's network."""
        return self.node_link_bytes_per_s / self.n_devices


def device_names() -> list[str]:
    """Return the ids of every device on the search path."""
    return [n for n, path in catalogue("hardware").items() if path.parent.name != "nodes"]


def node_names() -> list[str]:
    """Return the ids of every node on the search path."""
    return [n for n, path in catalogue("hardware").items() if path.parent.name == "nodes"]


def load_device(name: str) -> DeviceSpec:
    """Load `name`, an id or a path, from the first folder on the search path that has it.

    Raises:
        UnknownName: no such device; the nearest is suggested.
        SpecError: the file is malformed.

    """
    path = find("hardware", "hardware", name, see="see `planner hardware list`")
    if path.parent.name == "nodes":
        node = load_toml(NodeSpec, path, hint=README)
        raise SpecError(
            f"{name} is a node of {node.n_devices} × {node.device}, not a device",
            hint=f"write --on {node.device} --tp {node.n_devices}",
        )
    return load_toml(DeviceSpec, path, hint=README)


def load_node(name: str) -> NodeSpec:
    """Load a node by id or path; raises as `load_device` does."""
    path = find("hardware", "node", name, see="see `planner hardware list`")
    return load_toml(NodeSpec, path, hint=README)


def load_hardware(name: str) -> DeviceSpec | NodeSpec:
    """Load a device or a node; raises as `load_device` does."""
    return load_node(name) if name in node_names() else load_device(name)


def check_hardware(path: Path) -> DeviceSpec | NodeSpec:
    """Read a file as `load_hardware` would, and ask whether its numbers are plausible.

    Raises:
        SpecError: malformed, or outside physics: the arithmetic a byte, the source.

    """
    is_node = path.parent.name == "nodes" or "n_devices" in _keys(path)
    spec: DeviceSpec | NodeSpec = (
        load_toml(NodeSpec, path, hint=README)
        if is_node
        else load_toml(DeviceSpec, path, hint=README)
    )
    if not spec.source.startswith("https://"):
        raise SpecError(f"{path}: source: {spec.source!r} is no address", hint="cite the datasheet")
    if isinstance(spec, DeviceSpec):
        half = spec.dense_flops_per_s.get("bf16", spec.dense_flops_per_s.get("fp16"))
        if half is None:
            raise SpecError(f"{path}: dense_flops_per_s: no bf16 and no fp16", hint=README)
        ridge = half / spec.hbm_bytes_per_s
        if not RIDGE[0] < ridge < RIDGE[1]:
            raise SpecError(
                f"{path}: {ridge:.3g} FLOP a byte of bandwidth is outside {RIDGE[0]} to {RIDGE[1]}",
                hint="check the units, and that the rate is the dense one",
            )
    return spec


def _keys(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # load_toml says what is wrong
