"""The derivation of a quantity: one named step a line, with its value and its share."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from planner.columns import Workload
from planner.equation import derivation, evaluation, nudged
from planner.errors import SpecError, UnknownName
from planner.glossary import find_term
from planner.report.explain import arguments
from planner.scenario.evaluate import Evaluation
from planner.serving.kinds import KINDS

Values = Mapping[str, float]  # by step or input
NUDGE = 1e-6  # relative; differences of float64 keep nine digits
PHASES = ("prefill", "decode")


@dataclass(frozen=True, slots=True)
class Line:
    """One step or one input.

    `share` is how much of the result moves with it: its elasticity, 0.3 where one percent more of
    this makes the result 0.3 % larger. For terms of a sum it is the share of the total.
    """

    name: str
    formula: Any  # a sympy expression; None for an input
    value: float | None
    share: float | None

    @property
    def unit(self) -> str:
        """Unit of the value, as `planner.units` writes it."""
        term = find_term(self.name)
        return term.unit if term else ""

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        term = find_term(self.name)
        return term.meaning if term else ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A quantity, its steps from the outermost inwards, and the inputs they end in."""

    quantity: str
    steps: tuple[Line, ...]
    inputs: tuple[Line, ...]  # those that move the result most come first, where values are known
    phase: str = ""  # the mark on its labels, where all steps are of one phase and it says nothing


def quantities() -> list[str]:
    """Return every name that `derive` knows."""
    return sorted({*arguments.load_equations(), *KINDS["batch"].equations})


def derive(quantity: str, at: Evaluation | None = None) -> Derivation:
    """Derive `quantity`, e.g. ``tpot_s`` or ``step_s[prefill]``; of a shape, with its values.

    Args:
        quantity: the name of an equation, or of a metric: then the equation of the shape's kind of
            workload (default: a batch). ``[prefill]`` or ``[decode]`` chooses the step of one that
            looks at a step (default: what its name says, else decode).
        at: a shape under conditions whose numbers are filled in.

    Raises:
        UnknownName: there is no such equation.
        SpecError: this kind of workload has no one formula for it.

    """
    import sympy

    asked, _, phase = quantity.partition("[")
    known = arguments.load_equations()
    name = arguments.equation_of(asked) if at is None else _here(asked, at)
    if name not in known:
        raise UnknownName.among(
            "quantity", quantity, quantities(), see="see `planner explain --list`"
        )
    phase = phase.rstrip("]") or ("prefill" if "prefill" in name else "decode")
    if phase not in PHASES:
        raise UnknownName.among("phase", phase, PHASES)
    like = None if at is None else arguments.values_of(name, arguments.numbers(at, phase))
    symbolic, env = arguments.symbols(name, like)
    if at is None and asked in KINDS["batch"].equations:  # its loop ends with its first requests
        symbolic = [
            replace(x, n_requests=x.batch) if isinstance(x, Workload) else x for x in symbolic
        ]
    formulas = {k: sympy.sympify(v) for k, v in derivation(name, *symbolic).items()}
    values: dict[str, float] = {}
    shares: dict[str, float] = {}
    if like is not None:
        values = {k: float(v) for k, v in evaluation(name, *like).items()}
        shares = elasticities(name, tuple(like), values)
        if at is not None and name == "loss":
            values[name] = float(at["loss"])  # with the terms that are switched on
    return _assemble(quantity, formulas, env | values, shares)


def _here(name: str, at: Evaluation) -> str:
    """Return the equation of a quantity in this shape's workload."""
    kind = at.resolved.kind
    if name in KINDS["batch"].equations and (
        name not in kind.equations or at.load.prefill_replicas
    ):
        raise SpecError(
            f"{name} of {kind.words} is no one formula",
            hint=f"ask for {', '.join(kind.equations)}, or step_s",
        )
    return arguments.equation_of(name, kind)


def _assemble(
    quantity: str, formulas: dict[str, Any], values: Values, shares: Values
) -> Derivation:
    order = _outermost_first(formulas, shares)
    steps = tuple(Line(k, formulas[k], values.get(k), shares.get(k)) for k in order)
    leaves = sorted({str(s) for f in formulas.values() for s in f.free_symbols} - set(formulas))
    leaves.sort(key=lambda k: -abs(shares.get(k, 0.0)))
    inputs = tuple(Line(k, None, values.get(k), shares.get(k)) for k in leaves)
    return Derivation(quantity, steps, inputs, _only_phase(formulas))


def _only_phase(labels: Iterable[str]) -> str:
    """Return ``[decode]`` or ``[prefill]`` where every step of a phase is of that one."""
    labels = list(labels)
    marks = {f"[{phase}]" for label in labels for phase in PHASES if f"[{phase}]" in label}
    mark = marks.pop() if len(marks) == 1 else ""
    return mark if len({label.replace(mark, "") for label in labels}) == len(labels) else ""


def _outermost_first(formulas: dict[str, Any], shares: Values) -> list[str]:
    """Return each step followed by what it is made of, the largest share first."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in formulas:
            return
        order.append(name)
        terms = sorted(map(str, formulas[name].free_symbols))
        for term in sorted(terms, key=lambda t: -abs(shares.get(t, 0.0))):
            visit(term)

    visit(next(reversed(formulas)))
    return order


def elasticities(name: str, args: tuple[Any, ...], steps: dict[str, float]) -> dict[str, float]:
    """Return d ln(result) / d ln(step) of every step and every input, by forward differences."""
    top = next(reversed(steps))
    found = {top: 1.0}
    here = float(nudged(name, args, "", 1.0))
    if not here or not math.isfinite(here):
        return found

    def slope(there: Any) -> float:
        return float(there / here - 1) / NUDGE if math.isfinite(there) else 0.0

    for step in steps:
        if step != top:
            found[step] = slope(nudged(name, args, step, 1 + NUDGE))
    for path, label in arguments.leaves(name, list(args)):
        found[label] = slope(nudged(name, arguments.scaled(args, path, 1 + NUDGE), "", 1.0))
    return found
