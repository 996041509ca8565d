"""The roofline with every operator on it, prefill and decode."""

from typing import Any

import numpy as np

from planner.report.figures.style import BLUE, GREY, ORANGE, TEAL, axis, layout, rounded
from planner.report.parts import Figure, Grid, esc, label
from planner.report.scene import Scene
from planner.search.candidates import operators
from planner.units import show, significant

MARK = {"prefill": "circle", "decode": "diamond"}
COLOUR = {"prefill": BLUE, "decode": ORANGE}


def roofline(scene: Scene, name: str) -> tuple[Figure, Grid]:
    """Place each operator of one shape by the FLOP it does a byte and the FLOP/s it reaches."""
    system = scene.system(name)
    peak, bandwidth = float(system.device.flops_per_s), float(system.device.hbm_bytes_per_s)
    parts = operators(system, scene.conditions)
    placed = {
        phase: [
            (op, v["flops"] / v["bytes"], v["flops"] / v["seconds"], v)
            for op, v in p["operators"].items()
            if v["flops"] > 0 and v["bytes"] > 0
        ]
        for phase, p in parts.items()
    }
    points = [i for rows in placed.values() for _, i, _, _ in rows] or [1.0]
    ridge = peak / bandwidth
    low, high = min(*points, ridge / 30) / 2, max(*points, ridge * 4) * 2
    roof_x = np.array([low, ridge, high])
    kernels = system.kernels
    reach = np.minimum(
        roof_x * bandwidth * kernels.gemm_hbm_eff, peak * kernels.gemm_compute_eff
    )
    data: list[dict[str, Any]] = [
        _roof("nameplate", roof_x, np.minimum(roof_x * bandwidth, peak), GREY, "solid"),
        _roof("with the profile's efficiencies", roof_x, reach, TEAL, "dot"),
    ]
    for phase, rows in placed.items():
        total = parts[phase]["step_s"]
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": phase,
                "x": rounded([i for _, i, _, _ in rows]),
                "y": rounded([f for _, _, f, _ in rows]),
                "text": [esc(op.replace("_", " ")) for op, *_ in rows],
                "textposition": "bottom right" if phase == "prefill" else "top left",
                "textfont": {"size": 10},
                "marker": {
                    "symbol": MARK[phase],
                    "color": COLOUR[phase],
                    "size": [8 + 24 * (v["seconds"] / total) ** 0.5 for *_, v in rows],
                    "opacity": 0.85,
                },
                "hovertext": [
                    f"<b>{esc(op)}</b>, {phase}<br>{significant(i)} FLOP/byte<br>"
                    f"{show(f, 'flop/s')}<br>{show(v['seconds'], 's')} a step "
                    f"({v['share']:.0%})<br>bound by {esc(v['bound'])}"
                    for op, i, f, v in rows
                ],
                "hoverinfo": "text",
            }
        )
    grid = _grid(parts)
    return Figure(
        name="roofline",
        alt=f"Roofline of the {label(name)} shape: ridge at {ridge:.0f} FLOP/byte; "
        f"{len(placed.get('prefill', []))} operators of prefill and "
        f"{len(placed.get('decode', []))} of decode.",
        data=data,
        layout=layout(
            axis("FLOP per byte moved", type="log", range=_span(low, high)),
            axis("FLOP/s reached", type="log", exponentformat="SI"),
        ),
        caption=f"The {label(name)} shape. Area is the share of its step's time; the ridge is at "
        f"{ridge:.0f} FLOP/byte. What lies under the dotted roof waits for launches or is small.",
        height=500,
    ), grid


def _span(low: float, high: float) -> list[float]:
    return [float(np.log10(low)), float(np.log10(high))]


def _roof(name: str, x: Any, y: Any, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": rounded(x),
        "y": rounded(y),
        "line": {"color": colour, "dash": dash, "width": 2},
        "hoverinfo": "skip",
    }


def _grid(parts: Any) -> Grid:
    rows = [
        [
            f"{phase}: {op}",
            show(v["seconds"], "s"),
            f"{v['share']:.1%}",
            show(v["flops"], "flop") if v["flops"] else "–",
            show(v["bytes"], "byte") if v["bytes"] else "–",
            significant(v["flops"] / v["bytes"]) if v["bytes"] else "–",
            v["bound"],
        ]
        for phase, p in parts.items()
        for op, v in p["operators"].items()
    ]
    header = ["operator", "time", "share", "FLOP", "bytes", "FLOP/byte", "bound by"]
    return Grid(header, rows, caption="Every operator of one step", fold=True)
