"""What `planner ui` shows, without the page around it: a question in, figures and facts out."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.question import Question
from planner.questions.recommend.recommend import recommend
from planner.report import rows
from planner.report.asked import evaluations, resolved
from planner.report.figures.breakdown import memory_breakdown, time_breakdown
from planner.report.figures.operating import operating
from planner.report.figures.pareto import pareto
from planner.report.figures.roofline import roofline
from planner.report.parts import Figure, Grid
from planner.results import Candidate, Recommendation
from planner.scenario.intervals import candidates
from planner.scenario.scenario import Resolved


@dataclass(frozen=True, slots=True)
class View:
    """One answer as the page shows it; the shapes are the result's, and the user's own."""

    result: Recommendation
    resolved: Resolved
    shapes: Mapping[str, Candidate]
    front: Figure
    table: Grid
    why: str


def answer(question: Question, own: Mapping[str, float] | None = None) -> View:
    """Answer a question; `own` is a shape of the user's (d_model, r, gqa) drawn beside the picks.

    Raises:
        Infeasible: no shape meets the limits.

    """
    result = recommend(question)
    r = resolved(result)
    shapes = result.shapes
    if own:
        yours = nearest(result.baseline.model, question.align, **own)
        shapes = shapes | candidates({"yours": yours}, r)
    best = result.picks.get(result.lead)
    front = pareto(result, shapes, r)
    return View(result, r, shapes, front, rows.candidates(shapes), best.why if best else "")


def details(view: View, name: str) -> list[Figure]:
    """Return operating curves, roofline, time and memory: drawn when asked for."""
    shown = evaluations({n: c.model for n, c in view.shapes.items()}, view.resolved)
    curves, _ = operating(shown)
    roof, _ = roofline(shown[name], name)
    return [*curves, roof, time_breakdown(shown)[0], memory_breakdown(shown)[0]]


def nearest(base: ModelSpec, align: int, d_model: float, r: float, gqa: float) -> ModelSpec:
    """Return the legal shape nearest to a width, an MLP/attention ratio and a group size.

    N and depth are the baseline's; heads are whole, and d_ff a multiple of `align` that refills N.
    """
    width = max(align, round(d_model / align) * align)
    layer = base.n_params_non_embedding / base.n_layers
    per_group = width * base.head_dim * (2 * gqa + 2)
    groups = max(1, round(layer / (1 + r) / per_group))
    d_ff = max(align, round((layer - groups * per_group) / (3 * width) / align) * align)
    heads = groups * gqa, groups, base.head_dim
    return llama_candidate(base.n_layers, width, *heads, d_ff, base.vocab_size, name="yours")
