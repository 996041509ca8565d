"""What-if results for the terminal: a row a setting, with a bar that draws the operating curve."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from planner.report.text import notes, table
from planner.scenario.options import KNOBS
from planner.units import show, significant

ROWS = 64
BAR = 9
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float | None, most: float, width: int = BAR) -> str:
    """Draw a value as a bar of at most `width` characters."""
    if not value or most <= 0:
        return ""
    eighths = round(8 * width * min(value / most, 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def evenly(rows: Sequence[Mapping[str, Any]], n: int) -> list[Mapping[str, Any]]:
    """Return `n` of the rows, the two ends included."""
    if n >= len(rows):
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / max(n - 1, 1))] for i in range(n)]


def _time(value: Any) -> str:
    return "∞" if value is None else show(getattr(value, "value", value), "s")


def _plain(value: Any, unit: str = "") -> str:
    return "–" if value is None else show(value, unit)


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    return significant(value) if isinstance(value, float) else str(value)


def columns(
    points: Sequence[Mapping[str, Any]], vary: Sequence[str]
) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """Return the columns to show: those that have anything to say."""
    most = max(
        (p["output_tokens_per_s"].value for p in points if p["output_tokens_per_s"]), default=0
    )

    def time_of(name: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: "–" if p["bound"] == "does not fit" else _time(p.get(name))

    def speed(p: Mapping[str, Any]) -> float | None:
        return p["output_tokens_per_s"].value if p["output_tokens_per_s"] else None

    def figure(name: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: _plain(p[name])

    shown = {"TTFT": time_of("ttft_s"), "TPOT": time_of("tpot_s")}
    if any("ttft_s_p99" in p for p in points):
        shown |= {"TTFT p99": time_of("ttft_s_p99"), "TPOT p99": time_of("tpot_s_p99")}
    shown |= {"tok/s": lambda p: _plain(speed(p)), "": lambda p: bar(speed(p), most)}
    if any((p["n_devices"] or 1) > 1 for p in points):
        shown["per GPU"] = figure("output_tokens_per_s_per_device")
    if any(p["usd_per_output_mtok"] is not None for p in points):
        shown |= {"$/M in": figure("usd_per_input_mtok"), "$/M out": figure("usd_per_output_mtok")}
    shown |= {"J/tok": figure("joules_per_token"), "run": figure("in_flight")}
    if any(KNOBS[n].turns == "shape" for n in vary):
        shown["N"] = figure("n_params")
    return shown | {"bound by": lambda p: str(p["bound"])}


DISPENSABLE = ("$/M in", "run", "J/tok", "", "per GPU")  # in this order, where the page is narrow


def fitting(
    points: Sequence[Mapping[str, Any]], vary: Sequence[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of as many columns as `width` holds."""
    shown = columns(points, vary)
    texts = {name: [_setting(p[name]) for p in points] for name in vary}
    texts |= {f" {name}": [cell(p) for p in points] for name, cell in shown.items()}

    def wide() -> int:
        return sum(max(map(len, [k.strip(), *v])) + 2 for k, v in texts.items())

    for name in DISPENSABLE:
        if wide() > width:
            texts.pop(f" {name}", None)
    return [k.strip() for k in texts], [list(row) for row in zip(*texts.values(), strict=True)]


def what_if(w: Any, top: int = ROWS) -> Group:
    """Render a what-if; of more than `top` rows, evenly spaced ones."""
    s = w.inputs["settings"]
    load = f"rate {s['rate']:g}/s" if s["rate"] else f"{s['concurrency']} in flight"
    fixed = (
        f"{w.inputs['model']['name']} on {s['on']}, {s['engine']}, {s['dtype']}; {load}, "
        f"{s['input_tokens']} tokens in, {s['output_tokens']} out; but:"
    )
    points: list[Mapping[str, Any]] = evenly(w.points, top)
    width = shutil.get_terminal_size((100, 24)).columns
    head, cells = fitting(points, w.vary, width)
    t = table(head)
    last = None
    for p, row in zip(points, cells, strict=True):
        outer = tuple(p[n] for n in w.vary[:-1])
        if last is not None and outer != last:
            t.add_section()
        last = outer
        t.add_row(*row)
    parts: list[Any] = [Text(fixed, style="bold"), Text(""), t, Text("")]
    if len(points) < len(w.points):
        parts.append(
            Text(f"{len(w.points):,} points, {len(points)} shown; --csv has all", style="dim")
        )
    parts.append(Text(f"{len(w.points):,} points in {show(w.elapsed_s, 's')}", style="dim"))
    return Group(*parts, *notes(w))
