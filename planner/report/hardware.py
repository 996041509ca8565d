"""The hardware catalogue as tables."""

from typing import Any

from rich.table import Table

from planner.inputs.device import DeviceSpec, device_names, load_device, load_node, node_names
from planner.inputs.fields import units_of
from planner.report.text import table
from planner.units import show


def devices() -> dict[str, DeviceSpec]:
    """Return every device by its id."""
    return {name: load_device(name) for name in device_names()}


def catalogue_table() -> Table:
    """Return one line a device or node."""
    t = table(["id", "name", "memory", "bandwidth", "bf16 dense", "link", "TDP", "read on"])
    for name, d in devices().items():
        half = d.dense_flops_per_s.get("bf16") or d.dense_flops_per_s.get("fp16")
        memory = (show(d.hbm_bytes, "byte"), show(d.hbm_bytes_per_s, "byte/s"))
        rate, link = show(half, "flop/s") if half else "–", show(d.link_bytes_per_s, "byte/s")
        t.add_row(
            name,
            d.name,
            *memory,
            rate,
            link,
            show(d.tdp_w, "watt") if d.tdp_w else "–",
            f"{d.checked}",
        )
    for name in node_names():
        n = load_node(name)
        words, link = (
            f"{n.name}: {n.n_devices} × {n.device}",
            show(n.node_link_bytes_per_s, "byte/s"),
        )
        t.add_row(name, words, "", "", "", link, show(n.tdp_w, "watt"), f"{n.checked}")
    return t


def spec_table(spec: Any) -> Table:
    """Return every key of a hardware file with its value in people's units."""
    t = table(["key", "value"])
    t.columns[1].justify = "left"
    units = units_of(type(spec))
    for key, value in spec:
        if isinstance(value, dict):
            for dtype, rate in value.items():
                t.add_row(f"{key}.{dtype}", show(rate, "flop/s", 4))
        elif value is None:
            t.add_row(key, "–")
        else:
            listed = ", ".join(value) if key == "aliases" else str(value)
            text = show(value, units[key], 4) if key in units else listed
            t.add_row(key, text.replace("/s", "Hz") if key.endswith("_hz") else text)
    for key, words in getattr(spec, "unstated", {}).items():
        t.add_row(f"{key} is not stated", words)
    return t
