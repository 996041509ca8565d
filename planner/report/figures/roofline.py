"""The roofline with every operator on it, prefill and decode."""

from typing import Any

import numpy as np

from planner.picks import title
from planner.report.figures.style import GREY, TEAL, Look, axis, layout, operator, rounded, trace
from planner.report.parts import Column, Figure, Grid, esc, grid
from planner.scenario.evaluate import Evaluation, operators
from planner.units import show, significant

MARK = {"prefill": "circle", "decode": "diamond"}


def roofline(e: Evaluation, name: str) -> tuple[Figure, Grid]:
    """Place each operator of one shape by the FLOP it does a byte and the FLOP/s it reaches."""
    system = e.system
    peak, bandwidth = float(system.device.flops_per_s), float(system.device.hbm_bytes_per_s)
    parts = operators(e)
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
    kernels = system.kernels
    knee = ridge * float(kernels.gemm_compute_eff) / float(kernels.gemm_hbm_eff)
    roof_x = np.sort(np.array([low, ridge, knee, high]))
    reach = np.minimum(roof_x * bandwidth * kernels.gemm_hbm_eff, peak * kernels.gemm_compute_eff)
    data: list[dict[str, Any]] = [
        _roof("nameplate", roof_x, np.minimum(roof_x * bandwidth, peak), GREY, "solid"),
        _roof("with the profile's efficiencies", roof_x, reach, TEAL, "dot"),
    ]
    names = list(dict.fromkeys(op for rows in placed.values() for op, *_ in rows))
    data += [_operator(name_, operator(name_), placed, parts) for name_ in names]
    every = [
        {"name": f"{phase}: {op}"} | v
        for phase, p in parts.items()
        for op, v in p["operators"].items()
    ]
    return Figure(
        name="roofline",
        alt=f"Roofline of the {title(name)} shape: ridge at {ridge:.0f} FLOP/byte; "
        f"{len(placed.get('prefill', []))} operators of prefill and "
        f"{len(placed.get('decode', []))} of decode.",
        data=data,
        layout=layout(
            axis("FLOP per byte moved", type="log", dtick=1, range=_span(low, high)),
            axis("FLOP/s reached", type="log", dtick=1, exponentformat="SI"),
        ),
        caption=f"The {title(name)} shape. Circles: prefill; diamonds: decode; the larger, the more of "
        f"its step's time. The ridge is at {ridge:.0f} FLOP/byte. What lies under the dotted roof "
        "waits for launches or fills the device badly.",
        height=500,
    ), grid(every, COLUMNS, "Every operator of one step", fold=True)


def _operator(name: str, look: Look, placed: Any, parts: Any) -> dict[str, Any]:
    """Return one operator's points: a circle for prefill, a diamond for decode."""
    rows = [(ph, i, f, v) for ph, found in placed.items() for op, i, f, v in found if op == name]
    words = esc(name.replace("_", " "))
    marker = {
        "symbol": [MARK[phase] + look.mark for phase, *_ in rows],
        "color": look.colour,
        "size": [8 + 24 * (v["seconds"] / parts[ph]["step_s"]) ** 0.5 for ph, _, _, v in rows],
        "opacity": 0.85,
        "line": {"width": 2 if look.mark else 1, "color": look.colour if look.mark else "#ffffff"},
    }
    hover = [
        f"<b>{words}</b>, {phase}<br>{significant(i)} FLOP/byte<br>{show(f, 'flop/s')}<br>"
        f"{show(v['seconds'], 's')} a step ({v['share']:.0%})<br>bound by {esc(v['bound'])}"
        for phase, i, f, v in rows
    ]
    x, y = rounded([i for _, i, _, _ in rows]), rounded([f for _, _, f, _ in rows])
    return trace("scatter", hover, mode="markers", name=words, x=x, y=y, marker=marker)


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


COLUMNS = (
    Column("operator", lambda o: o["name"]),
    Column("time", lambda o: show(o["seconds"], "s")),
    Column("share", lambda o: f"{o['share']:.1%}"),
    Column("FLOP", lambda o: show(o["flops"], "flop") if o["flops"] else "–"),
    Column("bytes", lambda o: show(o["bytes"], "byte") if o["bytes"] else "–"),
    Column("FLOP/byte", lambda o: significant(o["flops"] / o["bytes"]) if o["bytes"] else "–"),
    Column("bound by", lambda o: o["bound"]),
)
