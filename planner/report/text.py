"""Results for the terminal: one table of the picks beside the baseline, then reasons and warnings."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from planner.results import Candidate, Prediction, Recommendation
from planner.units import show, significant

TITLES = {
    "loss_optimal": "loss-optimal",
    "fastest": "fastest",
    "balanced": "balanced",
    "cheapest": "cheapest",
}
Cell = Callable[[Candidate], str]


def table(head: Sequence[str], title: str = "") -> Table:
    """Return an empty table in the house style: no lines but one under the head."""
    t = Table(box=None, title=title or None, title_justify="left", padding=(0, 1), pad_edge=False)
    for i, name in enumerate(head):
        t.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    return t


def between(low: float, high: float, unit: str = "", digits: int = 3) -> str:
    """Write an interval, its unit once where both ends share it: ``4.10 – 7.21 ms``."""
    first, last = show(low, unit, digits), show(high, unit, digits)
    number, _, name = first.partition(" ")
    return f"{number if name and last.endswith(' ' + name) else first} – {last}"


def with_interval(estimate: Any, unit: str = "", digits: int = 3) -> str:
    """Write an estimate over its interval, a line each."""
    low_high = between(estimate.low, estimate.high, unit, digits)
    return f"{show(estimate.value, unit, digits)}\n{low_high}"


def _percent(e: Any) -> str:
    return f"{100 * e.value:.1f} %\n{100 * e.low:.1f} – {100 * e.high:.1f} %"


def _loss(c: Candidate) -> str:
    e = c.loss
    return f"{e.value:.3f}\n{e.low:.3f} – {e.high:.3f}"


def _gain(c: Candidate) -> str:
    if c.gain is None:
        return "–"
    value, low, high = (100 * (x - 1) for x in (c.gain.value, c.gain.low, c.gain.high))
    return f"{value:+.0f} %\n{low:+.0f} – {high:+.0f} %"


def _p_target(c: Candidate) -> str:
    return "–" if c.p_loss_at_most_target is None else f"{c.p_loss_at_most_target:.2f}"


def _lifetime(c: Candidate) -> str:
    return "–" if c.lifetime_usd is None else with_interval(c.lifetime_usd, "usd")


SHAPE_ROWS: list[tuple[str, Cell]] = [
    ("layers", lambda c: f"{c.n_layers:.0f}"),
    ("d_model", lambda c: f"{c.d_model:.0f}"),
    ("d_ff", lambda c: f"{c.d_ff:.0f}"),
    ("heads / kv heads", lambda c: f"{c.n_heads:.0f} / {c.n_kv_heads:.0f} × {c.head_dim:.0f}"),
    ("N non-embedding", lambda c: show(c.n_params_non_embedding)),
    ("N all", lambda c: show(c.n_params)),
    ("r (MLP/attention)", lambda c: significant(c.mlp_attn_ratio)),
    ("x (d_model/√N)", lambda c: f"{c.d_over_sqrt_n:.3f}"),
    ("GQA", lambda c: significant(c.gqa)),
]
RESULT_ROWS: list[tuple[str, Cell]] = [
    ("loss [nats]", _loss),
    ("P(loss ≤ target)", _p_target),
    ("accuracy, 9 tasks", lambda c: _percent(c.accuracy)),
    ("output tokens/s", lambda c: with_interval(c.output_tokens_per_s)),
    ("over baseline", _gain),
    ("lifetime cost", _lifetime),
    ("TTFT, one prompt", lambda c: with_interval(c.ttft_s, "s")),
    ("TPOT, full batch", lambda c: with_interval(c.tpot_s, "s")),
    ("KV a token", lambda c: show(c.kv_bytes_per_token, "byte")),
    ("weights", lambda c: show(c.weight_bytes, "byte")),
    ("fits at once", lambda c: str(c.max_concurrency)),
    ("bound by", lambda c: c.bound),
]


def side_by_side(candidates: dict[str, Candidate]) -> Table:
    """Return candidates as columns, shape above results."""
    t = table(["", *candidates])
    for name, cell in [*SHAPE_ROWS, *RESULT_ROWS]:
        if name == "loss [nats]":
            t.add_section()
        cells = [cell(c) for c in candidates.values()]
        if set(cells) == {"–"}:
            continue
        t.add_row(name, *(value.partition("\n")[0] for value in cells))
        if any("\n" in value for value in cells):
            t.add_row("", *(value.partition("\n")[2] for value in cells), style="dim")
    return t


def _inputs_line(i: Any) -> str:
    w, e = i["workload"], i["engine"]
    return (
        f"{show(i['params'])} {i['params_kind']} parameters, {show(i['tokens'])} tokens; "
        f"{i['on']}, {e['name']}, {e['dtype']}"
        + (f", tp {e['tp']}" if e["tp"] > 1 else "")
        + f"; {w['batch']} requests of {w['input_tokens']} in, {w['output_tokens']} out"
    )


def notes(result: Any) -> list[Text]:
    """Return basis and warnings, a line each."""
    lines = [Text(f"basis    {kind}: {text}", style="dim") for kind, text in result.basis.items()]
    return [*lines, *(Text(f"warning  {w}", style="yellow") for w in result.warnings)]


def recommendation(r: Recommendation, top: int = 5) -> Group:
    """Render a recommendation with `top` evenly spaced rows of the front."""
    shown = {"baseline": r.baseline}
    shown |= {TITLES[n]: p for n, p in r.picks.items() if p is not None}
    parts: list[Any] = [
        Text(_inputs_line(r.inputs), style="bold"),
        Text(
            f"{r.n_evaluated:,} shapes in {show(r.elapsed_s, 's')}, {r.n_feasible:,} feasible, "
            f"{len(r.pareto)} on the front; target loss {r.target_loss:.3f}; "
            "intervals hold 80 %",
            style="dim",
        ),
        Text(""),
        side_by_side(shown),
        Text(""),
    ]
    for name, pick in r.picks.items():
        if pick is not None:
            parts.append(Text.assemble((f"{TITLES[name]}: ", "bold"), pick.why))
    for b in r.binding:
        parts.append(Text.assemble(("binding: ", "bold"), f"{b['constraint']}; {b['relaxing']}."))
    for name, pick in r.picks.items():
        if pick is not None and pick.verify:
            title = f"to verify {TITLES[name]}: "
            parts.append(Text.assemble((title, "bold"), _training_order(pick)))
    parts += [Text(""), front_table(spaced(r.pareto, top)), Text("")]
    return Group(*parts, *notes(r))


def _training_order(pick: Candidate) -> str:
    """Say which neighbours in GQA to train, in order."""
    steps = [
        f"GQA {v['gqa']:g} ({v['n_kv_heads']} KV heads, d_ff {v['d_ff']})" for v in pick.verify
    ]
    text = f"train {' → '.join(steps)}"
    return text + ("; stop at the first that is worse." if len(steps) > 1 else ".")


def spaced(rows: Sequence[Candidate], n: int) -> list[Candidate]:
    """Return `n` rows of a front, its two ends included."""
    if n >= len(rows):
        return list(rows)
    steps = max(n - 1, 1)
    return [rows[round(i * (len(rows) - 1) / steps)] for i in range(n)]


def front(r: Recommendation, top: int = 1000) -> Group:
    """Render the Pareto front, lowest loss first."""
    head = Text(_inputs_line(r.inputs), style="bold")
    return Group(head, Text(""), front_table(spaced(r.pareto, top)), Text(""), *notes(r))


# Column, whether a narrow terminal has room for it, and how to read it.
FRONT: tuple[tuple[str, bool, Cell], ...] = (
    ("front", True, lambda c: TITLES.get(c.name, c.name)),
    ("layers", False, lambda c: f"{c.n_layers:.0f}"),
    ("d_model", True, lambda c: f"{c.d_model:.0f}"),
    ("d_ff", True, lambda c: f"{c.d_ff:.0f}"),
    ("heads", False, lambda c: f"{c.n_heads:.0f}"),
    ("kv", False, lambda c: f"{c.n_kv_heads:.0f}"),
    ("r", False, lambda c: significant(c.mlp_attn_ratio)),
    ("GQA", True, lambda c: significant(c.gqa)),
    ("loss", True, lambda c: f"{c.loss.value:.3f}"),
    ("tok/s", True, lambda c: show(c.output_tokens_per_s.value)),
    ("gain", True, lambda c: f"{100 * (c.gain.value - 1):+.0f} %" if c.gain else "–"),
    ("P(≤target)", False, lambda c: _p_target(c)),
)
NARROW = 84  # columns; below, the front leaves out what the picks above already say


class front_table:  # noqa: N801 - called as the function it stands for
    """Rows of the front, one line each; a narrow terminal gets fewer columns, never broken numbers."""

    def __init__(self, rows: Sequence[Candidate]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose columns by the width there is."""
        shown = [c for c in FRONT if c[1] or options.max_width >= NARROW]
        t = table([name for name, *_ in shown])
        for column in t.columns[1:]:
            column.no_wrap = True
        for row in self.rows:
            t.add_row(*(read(row) for *_, read in shown))
        yield t


def operators(breakdown: Any) -> Table:
    """Render where a step's time goes, prefill beside decode."""
    names = list(dict.fromkeys(n for phase in breakdown.values() for n in phase["operators"]))
    t = table(["operator", *(h for p in breakdown for h in (p, "share", "bound"))])
    for name in names:
        cells = []
        for phase in breakdown.values():
            op = phase["operators"].get(name)
            cells += (
                [show(op["seconds"], "s"), f"{op['share']:.0%}", op["bound"]] if op else [""] * 3
            )
        t.add_row(name.replace("_", " "), *cells)
    t.add_section()
    t.add_row(
        "one step", *(c for p in breakdown.values() for c in (show(p["step_s"], "s"), "", ""))
    )
    t.add_row("steps", *(c for p in breakdown.values() for c in (significant(p["steps"]), "", "")))
    return t


def prediction(p: Prediction) -> Group:
    """Render one prediction with its breakdown."""
    c = p.candidate
    w, e = p.inputs["workload"], p.inputs["engine"]
    head = (
        f"{c.name} on {p.inputs['on']}, {e['name']}, {e['dtype']}; "
        f"{w['batch']} requests of {w['input_tokens']} in, {w['output_tokens']} out"
    )
    t = table(["", "value", "80 % interval"])
    for name, cell in RESULT_ROWS:
        if name not in ("over baseline", "P(loss ≤ target)", "lifetime cost") and (
            name not in ("loss [nats]", "accuracy, 9 tasks") or "loss" in c.metrics
        ):
            value, _, low_high = cell(c).partition("\n")
            t.add_row(name, value, low_high)
    used = "  ".join(f"{k.replace('_', ' ')} {show(v, 'byte')}" for k, v in c.memory.items())
    parts: list[Any] = [Text(head, style="bold"), Text(""), t, Text("")]
    if c.breakdown:
        parts += [operators(c.breakdown), Text("")]
    return Group(*parts, Text(f"memory   {used}"), *notes(p))
