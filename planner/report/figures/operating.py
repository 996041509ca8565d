"""Operating curves: throughput, TPOT and cost against how many requests run together."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from planner.report.figures.style import MARKS, axis, colour, layout, rounded
from planner.report.parts import Figure, Grid, esc, label
from planner.report.scene import Scene, repeat, with_batch
from planner.scenario.shapes import evaluate
from planner.units import show, significant

POINTS = 25


def curve(scene: Scene, name: str) -> dict[str, Any]:
    """Return concurrency, tokens/s and TPOT of one shape, up to what fits and the batch asked for."""
    batch = float(scene.conditions.workload.batch)
    fits = float(scene.shapes[name]["max_concurrency"])
    last = max(min(fits, 4 * batch), batch, 8.0)
    steps = np.unique(np.rint(np.geomspace(1.0, last, POINTS)))
    arch = repeat(scene.arch(name), len(steps))
    table = evaluate(arch, with_batch(scene.conditions, steps))
    return {
        "concurrency": steps,
        "output_tokens_per_s": table["output_tokens_per_s"],
        "tpot_s": table["tpot_s"],
        "fits": fits,
    }


def operating(
    scene: Scene, usd_per_device_hour: float | None = None, names: list[str] | None = None
) -> tuple[list[Figure], Grid]:
    """Draw throughput and TPOT against concurrency, and cost where a price is known."""
    shown = names or list(scene.shapes)
    curves = {name: curve(scene, name) for name in shown}
    devices = scene.conditions.served.engine.n_devices
    panels: list[tuple[str, str, Callable[[Mapping[str, Any]], Any], str]] = [
        ("throughput", "output tokens/s", lambda c: c["output_tokens_per_s"], "%{y:.0f} tokens/s"),
        ("tpot", "TPOT, ms", lambda c: c["tpot_s"] * 1e3, "%{y:.2f} ms"),
    ]
    if usd_per_device_hour:
        usd_per_s = usd_per_device_hour * devices / 3600

        def cost(c: Mapping[str, Any]) -> Any:
            return usd_per_s / c["output_tokens_per_s"] * 1e6

        panels.append(("cost", "USD per million output tokens", cost, "%{y:.3f} USD/Mtok"))
    figures = []
    for what, title, read, template in panels:
        data = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": esc(label(name)),
                "x": rounded(c["concurrency"]),
                "y": rounded(read(c)),
                "line": {"color": colour(name, i), "width": 2},
                "marker": {"size": 5, "symbol": MARKS.get(name, "circle")},
                "hovertemplate": f"{esc(label(name))}<br>%{{x:.0f}} requests<br>{template}"
                "<extra></extra>",
            }
            for i, (name, c) in enumerate(curves.items())
        ]
        figures.append(
            Figure(
                name=f"operating-{what}",
                alt=f"{title} against concurrency for {', '.join(map(label, shown))}.",
                data=data,
                layout=layout(
                    axis("requests together (log scale)", type="log", dtick=0.30103),
                    axis(title, rangemode="tozero")
                    if what != "cost"
                    else axis(f"{title} (log scale)", type="log", dtick="D2"),
                ),
                caption=_price(usd_per_device_hour, devices) if what == "cost" else "",
                height=400,
            )
        )
    return figures, _grid(curves, usd_per_device_hour, devices)


def _price(usd_per_device_hour: float | None, devices: int) -> str:
    machines = "one device" if devices == 1 else f"{devices} devices"
    return (
        f"{machines.capitalize()} at {usd_per_device_hour:g} USD an hour each, busy all the time."
    )


def _grid(curves: Mapping[str, Any], price: float | None, devices: int) -> Grid:
    rows = []
    for name, c in curves.items():
        for i in sorted({0, len(c["concurrency"]) // 2, len(c["concurrency"]) - 1}):
            speed = float(c["output_tokens_per_s"][i])
            row = [
                label(name),
                f"{c['concurrency'][i]:.0f}",
                significant(speed),
                show(c["tpot_s"][i], "s"),
            ]
            if price:
                row.append(significant(price * devices / 3600 / speed * 1e6))
            rows.append(row)
    header = ["shape", "requests", "tokens/s", "TPOT"] + ["USD/Mtok"] * bool(price)
    return Grid(header, rows, caption="Points of the curves", fold=True)
