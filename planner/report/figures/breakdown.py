"""Where the time and the memory go, baseline beside pick."""

from collections.abc import Mapping, Sequence
from typing import Any

from planner.picks import title
from planner.questions.recommend.reasons import phase_seconds
from planner.report.figures.style import MEMORY, Look, axis, layout, operator, rounded, trace
from planner.report.parts import Figure, Grid, esc
from planner.scenario.evaluate import Evaluation, memory_by_part
from planner.units import show

SMALL = 0.02  # of the longest bar: what is less is put together
REST = "everything else"
Parts = dict[str, dict[str, float]]  # by shape, by part


def time_breakdown(shown: Mapping[str, Evaluation]) -> tuple[Figure, Grid]:
    """Draw seconds by operator; the smallest are put together."""
    found = {
        name: {f"{phase}: {operator}": s for (phase, operator), s in phase_seconds(e).items()}
        for name, e in shown.items()
    }
    kind = next(iter(shown.values())).resolved.kind
    of = "the whole batch" if kind.per == "batch" else "a request"
    most = max(sum(r.values()) for r in found.values())
    parts = list(dict.fromkeys(p for r in found.values() for p in r))
    small = [p for p in parts if all(r.get(p, 0.0) < SMALL * most for r in found.values())]
    folded = {
        name: {p: v for p, v in r.items() if p not in small}
        | ({REST: sum(r.get(p, 0.0) for p in small)} if small else {})
        for name, r in found.items()
    }
    order = [p for p in parts if p not in small] + [REST] * bool(small)
    caption = "Colours are groups: attention, MLP, projections, overhead, rest; patterns tell operators and phases apart. Operators under 2 % of the longest bar are put together."
    figure = _stacked("time", f"seconds of {of}", folded, order, "s", 1.0, caption)
    totals = {name: r | {"total": sum(r.values())} for name, r in found.items()}
    return figure, _grid("operator", f"Seconds of {of}", totals, [*parts, "total"], "s")


def memory_breakdown(shown: Mapping[str, Evaluation]) -> tuple[Figure, Grid]:
    """Draw one device's bytes by part."""
    found = {name: memory_by_part(e) for name, e in shown.items()}
    parts = list(next(iter(found.values())))
    figure = _stacked("memory", "GB on one device", found, parts, "byte", 1e9)
    return figure, _grid("part", "Bytes on one device", found, parts, "byte")


def _stacked(
    name: str,
    what: str,
    found: Parts,
    parts: Sequence[str],
    unit: str,
    scale: float,
    caption: str = "",
) -> Figure:
    """Draw a bar a shape, its parts stacked."""

    def bars(part: str) -> dict[str, Any]:
        values = [r.get(part, 0.0) for r in found.values()]
        words = esc(part.replace("_", " "))
        totals = [sum(r.values()) or 1.0 for r in found.values()]
        hover = [
            f"<b>{esc(title(n))}</b><br>{words}<br>{show(v, unit)} ({v / total:.1%})"
            for n, v, total in zip(found, values, totals, strict=True)
        ]
        phase, _, operator_name = part.rpartition(": ")
        look = Look(MEMORY[part]) if part in MEMORY else operator(operator_name, phase)
        pattern: dict[str, Any] = {"shape": look.pattern}
        if look.pattern:  # over the colour, which stays what it means
            pattern |= {"fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.55, "size": 9}
        names, lengths = [esc(title(n)) for n in found], rounded([v / scale for v in values])
        more = {"y": names, "x": lengths, "marker": {"color": look.colour, "pattern": pattern}}
        return trace("bar", hover, orientation="h", name=words, **more)

    def largest(r: Mapping[str, float]) -> str:
        first = sorted(r, key=lambda p: -r[p])[:3]
        return ", ".join(f"{p.replace('_', ' ')} {show(r[p], unit)}" for p in first)

    said = "; ".join(
        f"{title(n)} {show(sum(r.values()), unit)} ({largest(r)})" for n, r in found.items()
    )
    legend = {"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top", "traceorder": "normal"}
    return Figure(
        name=name,
        alt=f"{what[0].upper()}{what[1:]} by part, one bar a shape: {said}",
        data=[bars(part) for part in parts],
        layout=layout(axis(what), axis("", autorange="reversed"), barmode="stack", legend=legend),
        caption=caption,
        height=200 + 60 * len(found),
    )


def _grid(head: str, caption: str, found: Parts, parts: Sequence[str], unit: str) -> Grid:
    body = [
        [p.replace("_", " "), *(show(r.get(p, 0.0), unit) for r in found.values())] for p in parts
    ]
    return Grid([head, *map(title, found)], body, caption=caption, fold=True)
