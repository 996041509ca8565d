"""Loss laws as text: the list, one law, predictions side by side, scores."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.law import LawSpec
from planner.law.accuracy import NINE_TASK_NAMES
from planner.law.ask import NO_VERDICT_ABOVE, Optimum, Served, ShapeCost, best_shape_warnings
from planner.law.columns import LawColumns, NDefinition, Shapes
from planner.law.compare import Comparison, Quality, quality
from planner.law.evidence import LawWarning, warnings
from planner.law.terms.shape import PaperCoefficients, Pinned
from planner.report.parts import Grid, aligned
from planner.report.text import Fitted
from planner.units import show


def laws_table(laws: Mapping[str, LawSpec]) -> Fitted:
    """Return one line a law: what it was fitted on and what it says about shape."""
    head = ["law", "N counts", "range of N", "basis", "x_opt", "r_opt", "data"]
    rows = []
    for name, law in laws.items():
        low, high = law.evidence.n
        c = law.conditional
        shape = [f"{c.x_opt:.4f}", f"{c.r_opt:.3f}"] if c else ["–", "–"]
        where = f"{show(low)} to {show(high)}"
        rows.append([name, law.n_definition, where, law.basis, *shape, law.evidence.data])
    return Fitted(Grid(head, rows, keep=[9, 8, 9, 7, 6, 6, 5], left=4))


def law_text(law: LawSpec) -> str:
    """Return everything needed to judge a law."""
    r, e, c = law.reference, law.evidence, law.conditional
    rows = [
        ["L(N, D)", f"{r.E:g} + {r.A:g} / N^{r.alpha:g} + {r.B:g} / D^{r.beta:g}"],
        ["N counts", f"{law.n_definition} parameters"],
        ["basis", f"{law.basis}: {r.basis}"],
        ["evidence", f"{e.data}; N {_range(e.n)}; {_range(e.tokens_per_param)} tokens a parameter"],
    ]
    if c:
        numbers = f"x_opt {c.x_opt:.4f}, k_x {c.k_x:.4f}, r_opt {c.r_opt:.4f}, k_r {c.k_r:.5f}"
        rows.append(["shape", f"{c.form}: {numbers}, fitted at N {_range(c.fitted_n)}"])
        rows.append(["", c.basis])
    else:
        rows.append(["shape", "says nothing about shape"])
    rows += [
        ["noise", f"{law.noise_sd:g} nats a model; GQA 0 +- {law.gqa_sd:g} nats per doubling"],
        ["source", law.source],
        ["licence", law.licence],
        ["checked", str(law.checked)],
    ]
    if law.notes:
        rows.append(["notes", law.notes])
    return f"{law.name}: {law.summary}\n" + aligned([[f"  {a}", b] for a, b in rows], left=2)


def _range(span: tuple[float, float]) -> str:
    low, high = show(span[0]), show(span[1])
    return low if low == high else f"{low} to {high}"


def paper_form(law: LawSpec) -> PaperCoefficients:
    """Return the paper's six coefficients of a law, in its own gauge (scale 1 unless published).

    Raises:
        SpecError: the law says nothing about shape, or is additive.

    """
    c = law.conditional
    if c is None or c.form != "multiplicative":
        raise SpecError(
            f"{law.name} has no multiplicative shape law", hint="export a TOML with --format toml"
        )
    if c.published:
        return PaperCoefficients(**c.published.model_dump())
    return Pinned(c.x_opt, c.k_x, c.r_opt, c.k_r, c.scale).to_paper()


def side_by_side(laws: Iterable[LawSpec], at: Sequence[tuple[float, float]]) -> str:
    """Return the best loss each law predicts at each (N, D), with its 80 % interval.

    Laws that count N otherwise are shown in their own column headed by what they count; equal N
    then means different models, which the heading says.
    """
    laws = list(laws)
    rows = [["N", "tokens", *(f"{w.name} ({_short(w.n_definition)} N)" for w in laws)]]
    for n, tokens in at:
        cells = []
        for law in laws:
            c = law.columns()
            s = Shapes(n=np.array([n]), n_tokens=tokens, x=c.x_opt, r=c.r_opt, gqa=c.gqa)
            q = quality(c, s)
            cells.append(f"{q.value[0]:.3f} [{q.low[0]:.3f}, {q.high[0]:.3f}]")
        rows.append([show(n), show(tokens), *cells])
    return aligned(rows, left=0)


def _short(definition: NDefinition) -> str:
    return {"non-embedding": "non-emb.", "total": "total"}.get(definition, "active")


def scores_text(rows: Iterable[Any], unit: str = "nats") -> str:
    """Return the lines of a check: error, rank within size, regret, coverage of 80 % intervals."""
    out = [["", "runs", f"mean |error| ({unit})", "bias", "Spearman", "regret", "covered"]]
    for r in rows:
        figures = {
            ".3f": r.mae,
            "+.3f": r.bias,
            ".2f": r.spearman,
            ".4f": r.regret,
            ".0%": r.coverage,
        }
        cells = [format(v, f) if np.isfinite(v) else "–" for f, v in figures.items()]
        out.append([r.what, str(r.n), *cells])
    return aligned(out)


def warning_lines(found: Iterable[LawWarning]) -> list[str]:
    """Return a line for each warning, each code once."""
    return [f"warning: {message}" for message in {w.code: w.message for w in found}.values()]


def shape_text(law: LawColumns, why: str, model: str, s: Shapes, cost: ShapeCost) -> str:
    """Return what a shape gives away, in nats, tokens and parameters."""
    more = "no amount of"
    if np.isfinite(cost.tokens_factor):
        more = f"{max(cost.tokens_factor - 1, 0.0):.0%} more"
    lines = [
        why,
        f"{model}: d_model/sqrt(N) {float(s.x):.4f}, MLP/attention {float(s.r):.2f}",
        f"{cost.nats:+.4f} [{cost.low:+.4f}, {cost.high:+.4f}] nats against the best shape there",
        f"made good by {more} training tokens (and FLOPs) at the same N",
        f"or: the best shape reaches this loss with {cost.params_factor:.0%} of the parameters",
    ]
    if float(np.squeeze(s.n)) > max(NO_VERDICT_ABOVE, 1.02 * law.n_high):
        words = (
            f"no verdict: no sweep of shapes above {show(NO_VERDICT_ABOVE)} parameters is public; "
        )
        lines[3:] = [words + "runs of your own would say more (planner law fit)"]
    return "\n".join(lines + warning_lines(warnings(law, s)))


def better_text(
    law: LawColumns, why: str, models: tuple[str, str], pair: tuple[Shapes, Shapes], c: Comparison
) -> str:
    """Return how sure the first of two models ends at the lower loss."""
    verdict = "a tie at this evidence" if c.tie else ("better" if c.p_better > 0.5 else "worse")
    lines = [
        why,
        f"{models[0]} less {models[1]}: {c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}] nats",
        f"P({models[0]} is lower) = {c.p_better:.2f}: {verdict}",
    ]
    return "\n".join(lines + warning_lines(w for s in pair for w in warnings(law, s)))


def optimum_text(law: LawSpec, why: str, best: Optimum) -> str:
    """Return the size and tokens that make the most of a training budget."""
    n, tokens = float(best.n.value), float(best.n_tokens.value)
    lines = [
        why,
        f"N ({law.n_definition})  {show(n)}  [{show(best.n.low)}, {show(best.n.high)}]",
        f"tokens  {show(tokens)}  [{show(best.n_tokens.low)}, {show(best.n_tokens.high)}]",
        f"tokens per parameter  {tokens / n:.0f}",
        f"loss  {best.loss.value:.3f}  [{best.loss.low:.3f}, {best.loss.high:.3f}] nats",
        "the optimum is flat: half or twice this N costs "
        + f"{best.half_nats:.3f}, {best.twice_nats:.3f} nats",
    ]
    return "\n".join(lines + _beyond(law, n, tokens))


def served_text(law: LawSpec, why: str, s: Served) -> str:
    """Return the size and tokens that reach a loss at least total FLOPs."""
    lines = [
        why,
        f"N ({law.n_definition})  {show(s.n)}, tokens  {show(s.n_tokens)} "
        + f"({s.n_tokens / s.n:.0f} per parameter)",
        f"training-optimal instead: N {show(s.training_n)}, tokens {show(s.training_tokens)}",
        f"total {s.flops:.3g} FLOP, {s.saved:.0%} less than the training-optimal model's",
    ]
    return "\n".join(lines + _beyond(law, s.n, s.n_tokens))


def _beyond(law: LawSpec, n: float, tokens: float) -> list[str]:
    derived = law.basis == "derived"
    return warning_lines(best_shape_warnings(law.columns(), n, tokens, derived=derived))


def accuracy_text(
    tasks: Mapping[str, Quality], gap: tuple[Quality, str] | None, against: float | None
) -> str:
    """Return what a loss means in accuracy, and against another loss."""
    lines = [
        f"{task:14} {100 * q.value:5.1f} % [{100 * q.low:.1f}, {100 * q.high:.1f}]"
        for task, q in tasks.items()
    ]
    lines.append(f"the nine: {', '.join(NINE_TASK_NAMES)}")
    if gap is not None:
        q, unresolved = gap
        lines.append(
            f"against a loss of {against:g}: {100 * q.value:+.1f} points "
            f"[{100 * q.low:+.1f}, {100 * q.high:+.1f}]" + (f": {unresolved}" if unresolved else "")
        )
    return "\n".join(lines)
