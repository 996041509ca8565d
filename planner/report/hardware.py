"""The hardware catalogue as tables."""

from typing import Any

from rich.table import Table

from planner.inputs.device import DeviceSpec, device_names, load_device, load_node, node_names
from planner.inputs.fields import units_of
from planner.report.parts import Cell, Grid
from planner.report.text import Fitted, table
from planner.units import show


def devices() -> dict[str, DeviceSpec]:
    """Return every device by its id."""
    return {name: load_device(name) for name in device_names()}


def catalogue_table() -> Fitted:
    """Return one line a device or node."""
    head = ["id", "name", "memory", "bandwidth", "bf16 dense", "link", "TDP", "read on"]
    rows: list[list[Cell | str]] = []
    for name, d in devices().items():
        half = d.dense_flops_per_s.get("bf16") or d.dense_flops_per_s.get("fp16")
        memory = (show(d.hbm_bytes, "byte"), show(d.hbm_bytes_per_s, "byte/s"))
        rate, link = show(half, "flop/s") if half else "–", show(d.link_bytes_per_s, "byte/s")
        tdp = show(d.tdp_w, "watt") if d.tdp_w else "–"
        rows.append([name, d.name, *memory, rate, link, tdp, f"{d.checked}"])
    for name in node_names():
        n = load_node(name)
        words, link = (
            f"{n.name}: {n.n_devices} × {n.device}",
            show(n.node_link_bytes_per_s, "byte/s"),
        )
        rows.append([name, words, "", "", "", link, show(n.tdp_w, "watt"), f"{n.checked}"])
    return Fitted(Grid(head, rows, keep=[9, 5, 9, 9, 8, 7, 6, 4], left=2))


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
