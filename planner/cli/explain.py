"""`planner explain`: where a number comes from, or why one shape beats another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import flags as o

if TYPE_CHECKING:
    from planner.scenario.evaluate import Evaluation

Quantity = Annotated[
    str | None, typer.Argument(help="e.g. tpot_s, loss, step_s[prefill], ridge_point; see --list.")
]
Other = Annotated[str | None, typer.Argument(help="With --compare: the second shape.")]
At = Annotated[
    Path | None, typer.Option("--at", metavar="RESULT.json", help="Fill in this result's values.")
]
Latex = Annotated[bool, typer.Option("--latex", help="Print LaTeX.")]
All = Annotated[bool, typer.Option("--all", help="Also steps that do not move the result.")]
List = Annotated[bool, typer.Option("--list", help="List every quantity.")]
Of = Annotated[
    str | None, typer.Option("--of", help="Which shape of the result; default: the pick to train.")
]
VERSUS = "Say why shape A is faster or better than B: --compare A B."
Compare = Annotated[bool, typer.Option("--compare", help=VERSUS)]


def explain(
    quantity: Quantity = None,
    other: Other = None,
    at: At = None,
    of: Of = None,
    latex: Latex = False,
    everything: All = False,
    list_: List = False,
    compare: Compare = False,
    on: o.On = None,
    json_: o.Json = False,
    out: o.Out = None,
) -> None:
    """Show the derivation of a number, one named step a line, with values and shares.

    A and B of --compare are picks of --at (baseline, recommended, …), model presets or paths.

    Example: planner explain --compare surefire-1b llama-3.2-1b
    """
    from planner.cli.output import as_json, as_text, write

    if list_:
        return write(_listing(), out)
    if quantity is None or (compare and other is None):
        raise typer.BadParameter("name a quantity, or two shapes after --compare")
    if compare:
        shown, plain = versus(quantity, str(other), at, on)
        return write(as_json(plain) if json_ else as_text(shown), out, plain=json_)
    told, shape = _shape(at, of)
    text, plain, tex = explained(quantity, shape, everything, told.get(quantity))
    shown = as_json(plain) if json_ else tex if latex else as_text(text)
    write(shown, out, plain=json_ or latex)


def explained(
    quantity: str, at: "Evaluation | None", everything: bool, told: float | None
) -> tuple[Any, dict[str, Any], str]:
    """Return a derivation for the terminal, as JSON and as LaTeX."""
    from planner.report.explain import render
    from planner.report.explain.closed import CLOSED, closed_form
    from planner.report.explain.derive import derive

    if quantity in CLOSED:
        c = closed_form(quantity, at)
        plain = {"quantity": c.name, "formula": render.formula(c.solution), "value": c.value}
        return render.closed_text(c), plain, render.closed_latex(c)
    d = derive(quantity, at)
    plain = render.as_json(d) | ({} if told is None else {"simulated": told})
    return render.as_text(d, everything=everything, told=told), plain, render.as_latex(d)


def _shape(at: Path | None, of: str | None) -> "tuple[dict[str, float], Evaluation | None]":
    """Return the shape asked for of a result, else the pick to train, else its first.

    And before it what was simulated of it, by metric: nothing of a batch.
    """
    from planner.errors import UnknownName
    from planner.report.asked import evaluations, models, resolved
    from planner.results import Estimate, Recommendation, read_result
    from planner.scenario.evaluate import MEANS

    if at is None:
        return {}, None
    result = read_result(at)
    shown = evaluations(models(result), resolved(result))
    if of is not None and of not in shown:
        raise UnknownName.among("shape", of, shown)
    lead = result.lead if isinstance(result, Recommendation) else next(iter(shown))
    name = of or lead
    metrics = result.shapes[name].metrics
    simulated = "ttft_s_p99" in metrics
    told = {n: v.value for n in MEANS if isinstance(v := metrics.get(n), Estimate)}
    return told if simulated else {}, shown[name]


def versus(a: str, b: str, at: Path | None, on: str | None) -> tuple[Any, dict[str, Any]]:
    """Return why one shape is faster or better than another, for the terminal and as JSON."""
    from dataclasses import asdict

    from planner.inputs.loading import load_model
    from planner.report.asked import evaluations, models, resolved
    from planner.report.explain.compare import compare_shapes
    from planner.report.explain.render import versus_text
    from planner.results import read_result
    from planner.scenario.scenario import Resolved, conditions

    result = read_result(at) if at else None
    known = models(result) if result else {}
    both = {name: known.get(name) or load_model(name) for name in (a, b)}
    size = both[a].n_params_non_embedding
    r = resolved(result) if result else Resolved.of(conditions(on=on), size)
    found = compare_shapes(a, b, evaluations(both, r))
    return versus_text(found), asdict(found)


def _listing() -> str:
    from planner.glossary import terms
    from planner.metrics import METRICS
    from planner.report.explain.closed import CLOSED
    from planner.report.explain.derive import quantities

    words = {m.name: m.words for m in METRICS.values()}
    words |= {term.name: term.meaning for term in terms().values()}
    lines = [f"{name:30} {words.get(name, '')}" for name in quantities()]
    closed = [f"{name:30} {meaning}" for name, (meaning, *_) in CLOSED.items()]
    return "\n".join([*lines, "", "closed forms", *closed])
