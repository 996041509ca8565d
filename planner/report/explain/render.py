"""Derivations as text for a terminal, as LaTeX and as JSON."""

import math
import re
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from planner.glossary import symbol
from planner.metrics import METRICS
from planner.report.explain.closed import ClosedForm
from planner.report.explain.compare import Versus
from planner.report.explain.derive import Derivation, Line
from planner.units import show

LONG = 80  # steps without values that are read one quantity at a time
SHOWN = 0.01  # steps that move the result by less are left out unless asked for


def formula(expression: Any, phase: str = "") -> str:
    """Write an expression in one line, whole numbers as such, without the mark of `phase`."""
    import sympy

    text = _bare(sympy.sstr(expression, order="none"), phase)
    text = re.sub(r"(?<![\w.])1\.0+\*", "", text)
    return re.sub(r"(\d)\.0+(?!\d)", r"\1", text)


def latex(expression: Any, phase: str = "") -> str:
    """Write an expression in LaTeX with the glossary's symbols."""
    import sympy

    names = {s: symbol(_bare(str(s), phase)) for s in expression.free_symbols}
    text = sympy.latex(expression, symbol_names=names, order="none")
    text = re.sub(r"(?<![\w.])1\.0+ (?=[\\a-zA-Z(])", "", text)
    return re.sub(r"(\d)\.0+(?!\d)", r"\1", text)


def _bare(name: str, phase: str) -> str:
    return name.replace(phase, "") if phase else name


def value(line: Line) -> str:
    """Write a value with its unit."""
    if line.value is None:
        return ""
    if not math.isfinite(line.value):
        return "∞"
    small = line.unit == "" and 0 < abs(line.value) < 0.01
    return f"{line.value:.3g}" if small else show(line.value, line.unit, 4)


def share(line: Line) -> str:
    """Write a share in percent; what does not move the result has none."""
    return "" if line.share is None else f"{line.share:.1%}" if abs(line.share) >= 5e-4 else "0"


def moves(line: Line) -> bool:
    """Return whether a step is worth a line: it moves the result, or nothing is known of it."""
    return line.share is None or abs(line.share) >= SHOWN


def as_text(
    d: Derivation, *, everything: bool = False, inputs: int = 12, told: float | None = None
) -> Group:
    """Return one line a step: name, formula, value, share; then the inputs that move it most.

    Args:
        d: a derivation.
        everything: also what does not move the result.
        inputs: how many of them.
        told: what the simulation says of the quantity, in its unit; None: nothing.

    """
    shown = [s for s in d.steps if everything or moves(s)]
    numeric = any(s.value is not None for s in d.steps)
    first = None
    if not numeric and not everything and len(d.steps) > LONG:
        first = {d.steps[0].name, *map(str, d.steps[0].formula.free_symbols)}
        shown = [s for s in d.steps if s.name in first]
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=numeric)
    table.add_column("step", overflow="fold", min_width=18)
    formulas = [Broken("= " + formula(step.formula, d.phase)) for step in shown]
    least = max((x.least for x in formulas), default=1)
    table.add_column("formula", overflow="fold", ratio=1, min_width=least)
    if numeric:
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("share", justify="right", no_wrap=True)
    for step, written in zip(shown, formulas, strict=True):
        cells: list[Any] = [Text(_bare(step.name, d.phase)), written]
        table.add_row(*cells, *([value(step), share(step)] if numeric else []))
    top = d.steps[0]
    parts: list[Any] = [table]
    if numeric and top.value is not None:
        head = f"{top.name} is {value(top)}: {_words(top.name)}".removesuffix(": ") + "."
        parts = [Text(head, "bold"), Text(""), table]
    if hidden := len(d.steps) - len(shown):
        left = "behind these: explain one of them, or ask for" if first else "of less than 1 %:"
        parts.append(Text(f"{hidden} steps {left} --all", "dim"))
    if told and d.steps[0].value is not None:
        off = f"{100 * (d.steps[0].value / told - 1):+.1f} %"
        parts.append(Text(f"simulated: {show(told, d.steps[0].unit, 4)}; the closed form is {off}"))
    leaves = [i for i in d.inputs if everything or moves(i)]
    if numeric and leaves:
        parts += [Text(""), _inputs(leaves if everything else leaves[:inputs])]
        parts += [Text(""), Text("share: how many percent the result moves for one percent", "dim")]
    return Group(*parts)


class Broken:
    """A formula broken after operators alone: no name and no number is cut."""

    def __init__(self, text: str) -> None:
        """Hold it until the width is known."""
        self.parts = re.findall(r"[^\s*/+(),-]*[\s*/+(),-]*", text)

    @property
    def least(self) -> int:
        """The columns it needs."""
        return max(len(p.rstrip()) for p in self.parts)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Say how wide it is at least, and at most."""
        return Measurement(self.least, sum(map(len, self.parts)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Fill line after line."""
        line = ""
        for part in self.parts:
            if line and len(line) + len(part.rstrip()) > options.max_width:
                yield Text(line.rstrip(), no_wrap=True, overflow="ignore")
                line = ""
            line += part
        yield Text(line.rstrip(), no_wrap=True, overflow="ignore")


def _words(name: str) -> str:
    return METRICS[name].words if name in METRICS else ""


def _inputs(lines: list[Line]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("input", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold", ratio=1)
    for line in lines:
        table.add_row(Text(line.name), value(line), share(line), Text(line.meaning))
    return table


def as_latex(d: Derivation) -> str:
    """Return an align environment, one step a line."""
    rows = [rf"{symbol(_bare(s.name, d.phase))} &= {latex(s.formula, d.phase)}" for s in d.steps]
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def as_json(d: Derivation) -> dict[str, Any]:
    """Return steps and inputs as plain data."""

    def record(line: Line) -> dict[str, Any]:
        kept = {"name": line.name, "unit": line.unit, "meaning": line.meaning}
        if line.formula is not None:
            kept["formula"] = formula(line.formula)
        numbers = {"value": line.value, "share": line.share}
        return kept | {k: v for k, v in numbers.items() if v is not None}

    return {
        "quantity": d.quantity,
        "steps": [record(s) for s in d.steps],
        "inputs": [record(i) for i in d.inputs],
    }


def closed_text(c: ClosedForm) -> Group:
    """Return what is solved, the solution, its value, and what it means."""
    lines = [f"{c.name}: {c.meaning}", "", f"  solve  {_equation(c.asked)}"]
    lines.append(f"  gives  {c.name} = {formula(c.solution)}")
    if c.values:
        lines += [f"  with   {k} = {show(v, digits=4)}" for k, v in sorted(c.values.items())]
    if c.value is not None:
        shown = f"{c.value:.4g}" if c.value < 1e6 else show(c.value, c.unit)
        lines.append(f"  so     {c.name} = {shown}")
    return Group(*map(Text, [*lines, *([f"  ({c.note})"] if c.note else [])]))


def closed_latex(c: ClosedForm) -> str:
    """Return what is solved and its solution as two aligned lines."""
    rows = [latex(c.asked), rf"\Rightarrow\quad {symbol(c.name)} &= {latex(c.solution)}"]
    return "\\begin{align*}\n& " + " \\\\\n".join(rows) + "\n\\end{align*}"


def _equation(asked: Any) -> str:
    if hasattr(asked, "lhs"):
        return f"{formula(asked.lhs)} = {formula(asked.rhs)}"
    return formula(asked)


def versus_text(v: Versus) -> Group:
    """Return the sentences, then the operators that differ."""
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("operator", v.a, v.b, "difference"):
        table.add_column(Text(name), justify="left" if name == "operator" else "right")
    for c in v.operators:
        if abs(c.a_s - c.b_s) > 0.002 * sum(o.b_s for o in v.operators):
            sign = "−" if c.a_s < c.b_s else "+"
            cells = (show(c.a_s, "s"), show(c.b_s, "s"), sign + show(abs(c.a_s - c.b_s), "s"))
            table.add_row(f"{c.phase}: {c.name.replace('_', ' ')}", *cells)
    return Group(
        *map(Text, v.sentences),
        Text(""),
        Text("seconds of the whole batch, or of a request", "dim"),
        table,
    )
