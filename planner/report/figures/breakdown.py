"""Where the time and the memory go, baseline beside pick."""

from typing import Any

from planner.report.figures.style import OPERATORS, axis, layout, rounded
from planner.report.parts import Figure, Grid, esc, label
from planner.report.scene import Scene
from planner.scenario.intervals import memory_by_part, operators
from planner.units import show

MEMORY = ("weights", "kv_cache", "activations", "engine", "free")


def batch_seconds(scene: Scene, name: str) -> dict[str, float]:
    """Return the whole batch's seconds by phase and operator: ``decode: mlp_up``."""
    parts = operators(scene.system(name), scene.conditions)
    return {
        f"{phase}: {op}": v["seconds"] * p["steps"]
        for phase, p in parts.items()
        for op, v in p["operators"].items()
    }


def _stack(
    rows: dict[str, dict[str, float]], unit: str, scale: float, order: list[str]
) -> list[dict[str, Any]]:
    names = list(rows)
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": esc(part.replace("_", " ")),
            "y": [esc(label(n)) for n in names],
            "x": rounded([rows[n].get(part, 0.0) / scale for n in names]),
            "marker": {
                "color": "rgba(125,133,144,0.25)"
                if part == "free"
                else OPERATORS[i % len(OPERATORS)],
                "pattern": {"shape": "/" if part.startswith("prefill") else ""},
            },
            "hovertext": [
                f"<b>{esc(label(n))}</b><br>{esc(part.replace('_', ' '))}<br>"
                f"{show(rows[n].get(part, 0.0), unit)} "
                f"({rows[n].get(part, 0.0) / (sum(rows[n].values()) or 1.0):.1%})"
                for n in names
            ],
            "hoverinfo": "text",
        }
        for i, part in enumerate(order)
    ]


def time_breakdown(scene: Scene) -> tuple[Figure, Grid]:
    """Draw the seconds of the whole batch by operator; the smallest are put together."""
    rows = {name: batch_seconds(scene, name) for name in scene.shapes}
    most = max(sum(r.values()) for r in rows.values())
    parts = list(dict.fromkeys(p for r in rows.values() for p in r))
    small = {p for p in parts if all(r.get(p, 0.0) < 0.02 * most for r in rows.values())}
    folded = {
        name: {p: v for p, v in r.items() if p not in small}
        | ({"everything else": sum(r.get(p, 0.0) for p in small)} if small else {})
        for name, r in rows.items()
    }
    order = [p for p in parts if p not in small] + ["everything else"] * bool(small)
    figure = Figure(
        name="time",
        alt="Seconds of the whole batch by operator, one bar a shape: "
        + "; ".join(f"{label(n)} {show(sum(r.values()), 's')}" for n, r in rows.items()),
        data=_stack(folded, "s", 1.0, order),
        layout=layout(
            axis("seconds of the whole batch"),
            axis("", autorange="reversed"),
            barmode="stack",
            legend={
                "orientation": "h",
                "x": 0,
                "y": -0.25,
                "yanchor": "top",
                "traceorder": "normal",
            },
        ),
        caption="Hatched: prefill. Operators under 2 % of the longest bar are put together.",
        height=200 + 60 * len(rows),
    )
    names = list(rows)
    header = ["operator", *map(label, names)]
    body = [[p, *(show(rows[n].get(p, 0.0), "s") for n in names)] for p in parts]
    body.append(["total", *(show(sum(rows[n].values()), "s") for n in names)])
    return figure, Grid(header, body, caption="Seconds of the whole batch", fold=True)


def memory_breakdown(scene: Scene) -> tuple[Figure, Grid]:
    """Draw one device's bytes by part."""
    rows = {n: memory_by_part(scene.system(n), scene.conditions) for n in scene.shapes}
    figure = Figure(
        name="memory",
        alt="Memory of one device by part: "
        + "; ".join(
            f"{label(n)} weights {show(r['weights'], 'byte')}, KV cache "
            f"{show(r['kv_cache'], 'byte')}, free {show(r['free'], 'byte')}"
            for n, r in rows.items()
        ),
        data=_stack(rows, "byte", 1e9, list(MEMORY)),
        layout=layout(
            axis("GB on one device"),
            axis("", autorange="reversed"),
            barmode="stack",
            legend={
                "orientation": "h",
                "x": 0,
                "y": -0.25,
                "yanchor": "top",
                "traceorder": "normal",
            },
        ),
        height=180 + 60 * len(rows),
    )
    names = list(rows)
    body = [[p.replace("_", " "), *(show(rows[n][p], "byte") for n in names)] for p in MEMORY]
    return figure, Grid(
        ["part", *map(label, names)], body, caption="Bytes on one device", fold=True
    )
