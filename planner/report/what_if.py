"""What-if results for the terminal: a row a setting, with a bar that draws the operating curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from planner.report.text import notes, table
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


def columns(points: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return the columns to show: those that have anything to say."""
    most = max(
        (p["output_tokens_per_s"].value for p in points if p["output_tokens_per_s"]), default=0
    )

    def lost(p: Mapping[str, Any]) -> bool:
        return bool(p["bound"] == "does not fit")

    def time_of(name: str) -> Any:
        return lambda p: "–" if lost(p) else _time(p.get(name))

    def speed(p: Mapping[str, Any]) -> str:
        return "–" if p["output_tokens_per_s"] is None else show(p["output_tokens_per_s"].value)

    shown: list[tuple[str, Any]] = [
        ("TTFT", time_of("ttft_s")),
        ("TPOT", time_of("tpot_s")),
        ("tok/s", speed),
        ("", lambda p: bar(p["output_tokens_per_s"] and p["output_tokens_per_s"].value, most)),
        ("per GPU", lambda p: _plain(p["output_tokens_per_s_per_device"])),
    ]
    if any("ttft_s_p99" in p for p in points):
        shown[2:2] = [("TTFT p99", time_of("ttft_s_p99")), ("TPOT p99", time_of("tpot_s_p99"))]
    if any(p["usd_per_output_mtok"] is not None for p in points):
        shown.append(("$/M in", lambda p: _plain(p["usd_per_input_mtok"])))
        shown.append(("$/M out", lambda p: _plain(p["usd_per_output_mtok"])))
    shown.append(("J/tok", lambda p: _plain(p["joules_per_token"])))
    shown.append(("run", lambda p: _plain(p["in_flight"])))
    if any("n_params" in p for p in points):
        shown.append(("N", lambda p: show(p["n_params"])))
    shown.append(("bound by", lambda p: p["bound"]))
    return shown


def what_if(w: Any, top: int = ROWS) -> Group:
    """Render a what-if; of more than `top` rows, evenly spaced ones."""
    s = w.inputs["settings"]
    load = f"rate {s['rate']:g}/s" if s["rate"] else f"{s['concurrency']} in flight"
    fixed = (
        f"{w.inputs['model']['name']} on {s['on']}, {s['engine']}, {s['dtype']}; {load}, "
        f"{s['input_tokens']} tokens in, {s['output_tokens']} out; but:"
    )
    points: list[Mapping[str, Any]] = evenly(w.points, top)
    shown = columns(points)
    t = table([*w.vary, *(name for name, _ in shown)])
    for column in t.columns:
        column.no_wrap = True
    last = None
    for p in points:
        outer = tuple(p[n] for n in w.vary[:-1])
        if last is not None and outer != last:
            t.add_section()
        last = outer
        t.add_row(*(_setting(p[n]) for n in w.vary), *(cell(p) for _, cell in shown))
    parts: list[Any] = [Text(fixed, style="bold"), Text(""), t, Text("")]
    if len(points) < len(w.points):
        parts.append(
            Text(f"{len(w.points):,} points, {len(points)} shown; --csv has all", style="dim")
        )
    parts.append(Text(f"{len(w.points):,} points in {show(w.elapsed_s, 's')}", style="dim"))
    return Group(*parts, *notes(w))
