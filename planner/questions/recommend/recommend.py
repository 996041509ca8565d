"""Which shape to train: of every legal one, the fastest that is sure to lose no more than a tie.

Beside it stand the paper's own pick and the ends of the front. [Bian et al., arXiv 2510.18245,
Algorithm 1: maximise throughput subject to predicted loss at most the target's, then search GQA
locally.]
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from planner.columns import Arch, Table, shared, stack, take
from planner.cost.money import train_usd
from planner.errors import SpecError
from planner.inputs.hf_export import to_hf
from planner.inputs.law import SETS, load_law
from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.question import Question
from planner.inputs.serve_written import serve_command
from planner.metrics import SERVING
from planner.picks import SURE, title
from planner.questions.asking import asked, several
from planner.questions.recommend.baseline import baseline, baseline_words
from planner.questions.recommend.budgeted import sized
from planner.questions.recommend.choice import OBJECTIVES, among, choose, lead_of
from planner.questions.recommend.limits import (
    Limit,
    Tally,
    binding,
    checks,
    cut,
    depth_caps,
    limits_of,
    shape_asked,
)
from planner.questions.recommend.pareto import join, rows
from planner.questions.recommend.reasons import seconds_by_operator, to_verify, why
from planner.questions.recommend.search import Count, Progress, Spread
from planner.questions.recommend.search import search as search_space
from planner.questions.recommend.space import Space, arch_of, space_for
from planner.results import Candidate, Estimate, Recommendation, Warned, WhyNot
from planner.scenario.evaluate import CANDIDATE, MEANS, RATIOS, SHAPE, Evaluation, arrives
from planner.scenario.intervals import Draws, candidate, draw_losses, estimates, law_warnings
from planner.scenario.joint import Block
from planner.scenario.legal import require_weights_fit, too_long
from planner.scenario.options import question
from planner.scenario.scenario import Resolved, Scenario, Terms, rows_of
from planner.scenario.simulated import Job, Seen, simulate_all
from planner.warnings import serving_warnings


@asked('recommend("3B", "100B", on="h100-sxm")')
def recommend(
    params: Question | str | float | None = None,
    tokens: str | float | None = None,
    *,
    train_flops: str | float | None = None,
    serve_tokens: str | float | None = None,
    ray: str | None = None,
    journal: str | Path | None = None,
    command: str = "",
    progress: Progress | None = None,
    why_not: str | Sequence[str] = (),
    **settings: Any,
) -> Recommendation:
    """Choose the shape to train, of every legal one that a question spans.

    Args:
        params: the size, ``"3B"`` or a number; or a whole question.
        tokens: training tokens, ``"100B"`` or a number.
        train_flops: of the whole training, ``"1e22"``, in place of size and tokens, which it chooses.
        serve_tokens: to be served after such a training, which moves its choice.
        ray: address of a Ray cluster to search over, ``"auto"`` or ``"host:port"``.
        journal: file that keeps what is searched; asked again with it, the search goes on from there.
        command: the command line that reproduces the answer, recorded in it.
        progress: called with the number of shapes evaluated so far.
        why_not: shapes to explain: which limit each breaks, its value and the bound.
        settings: any option by name: ``on="h100-sxm"``, ``tp=2``, ``tpot="20ms"``.

    Returns:
        A frozen result: `.picks["recommended"].d_model`, `.baseline.loss.low`, `.pareto`, `.to_dict()`.

    Raises:
        Infeasible: no shape meets the limits; the one that binds is named.
        SpecError: a value is malformed or out of range; says which.
        UnknownName: no such option, hardware, law or profile.
        WrongType: an argument of another type.

    Example:
        >>> answer = recommend("1B", "100B", on="h100-sxm")
        >>> pick = answer.picks["recommended"]
        >>> pick.n_layers, pick.gain.value > 1, pick.config["num_hidden_layers"]
        (16, True, 16)

    Source: Bian et al., arXiv 2510.18245, Algorithm 1.

    """
    started = time.perf_counter()
    if isinstance(params, Question):
        q, split = params, None
    else:
        params, tokens, split = sized(
            params, tokens, train_flops, serve_tokens, settings.get("law")
        )
        q = question(params, tokens, **settings)
    if refused := too_long(q):
        raise refused.error()
    space = space_for(q)
    n = space.n_non_embedding(q.params)
    resolved = resolve_question(q, n)
    tally = Tally(limits_of(q))
    spread = Spread.of(ray, journal)
    kept = search(space, resolved, tally, progress, spread)
    if kept is None:
        raise tally.infeasible(q)
    found = weigh(space, resolved, kept, n)
    capped = depth_caps(space, found.table, found.chosen)
    if space.caps and capped:
        # Where only the end of the search says how deep, nothing does: the law's own depth stays.
        space, tally = space.at_reference_depth(), Tally(tally.limits)
        kept = search(space, resolved, tally, progress, spread)
        if kept is None:
            raise tally.infeasible(q)
        found = weigh(space, resolved, kept, n)
    names = {row: name for name, row in found.chosen.items() if row is not None}
    picks = {
        name: row if row is None else buildable(found.pick(name, row), q)
        for name, row in found.chosen.items()
    }
    lead = lead_of(found.chosen)
    return Recommendation(
        inputs=q,
        command=command,
        basis=resolved.basis,
        warnings=(*warnings(found, picks), *_of_serving(q, {"baseline": found.base, **picks})),
        target_loss=found.target,
        baseline_of=baseline_words(q, n),
        tp_ready=found.tp_ready,
        baseline=buildable(found.base, q),
        picks=picks,
        pareto=tuple(
            found.against_baseline(names.get(row, f"front-{i + 1}"), row)
            for i, row in enumerate(found.finalists)
        ),
        binding=(
            *capped,
            *cut(found.table, found.tp_ready, found.leads),
            *(
                ()
                if lead is None
                else binding(q, found.table, lead, found.finalists, found.p_margin)
            ),
        ),
        dropped=tally.record(),
        why_not=tuple(
            explain(found, tally, picks["recommended"], text)
            for text in several(why_not, "why_not")
        ),
        n_evaluated=tally.n_evaluated,
        n_feasible=tally.n_feasible,
        elapsed_s=time.perf_counter() - started,
        split=split,
    )


def buildable(c: Candidate, q: Question) -> Candidate:
    """Return a candidate with its config.json and the command that serves it."""
    serve = serve_command(c.model, q, folder=f"./{c.name}") or None
    return c.model_copy(update={"config": to_hf(c.model), "serve": serve})


def resolve_question(q: Question, n: float) -> Resolved:
    """Look up what shapes of about `n` parameters are judged under.

    Raises:
        SpecError: the law says nothing about shape; no price where one is needed.
        Infeasible: the matrices alone exceed the memory.

    """
    terms = None if q.serve_requests is None else Terms(q.serve_requests, q.train_mfu)
    resolved = Resolved.of(q, n, terms)
    assert resolved.trained
    law = resolved.trained.law
    if law.conditional is None:
        raise SpecError(
            f"law {law.name} says nothing about shape, which is all a search at one N chooses",
            hint="choose one that does, e.g. --law bian-1b; see `planner law list`",
        )
    require_weights_fit(q, q.params, q.params_kind, q.tolerance)
    return resolved


@dataclass(frozen=True, slots=True)
class Shapes:
    """What one question looks for: the front of loss and speed, feasible rows only.

    Only what is chosen by is computed: the two objectives, and what a limit looks at.
    """

    resolved: Resolved
    limits: Sequence[Limit]

    @property
    def under(self) -> Sequence[Resolved]:
        """The conditions."""
        return (self.resolved,)

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives, and what limits look at."""
        asked = dict.fromkeys([*OBJECTIVES, "ready", *(limit.column for limit in self.limits)])
        return (*asked, *["lifetime_usd"] * bool(self.resolved.terms))

    @property
    def fronts(self) -> tuple[str, ...]:
        """The only one."""
        return ("front",)

    def counts(self) -> list[Count]:
        """Return a count of nothing."""
        return [Count(Tally(list(self.limits)))]

    def look(self, block: Block, counts: list[Count]) -> Iterator[tuple[str, Table]]:
        """Yield the rows that meet every limit."""
        table = block.shapes | block.tables[0]
        yield "front", rows(table, counts[0].tally.keep(table))


def search(
    space: Space, r: Resolved, tally: Tally, progress: Progress | None = None,
    spread: Spread | None = None,
) -> Table | None:  # fmt: skip
    """Evaluate the whole space and return the front of every level, feasible rows only."""
    left = search_space(space, Shapes(r, tally.limits), progress, spread)
    tally.merge(left.counts[0].tally)
    return left.fronts.get("front")


@dataclass(frozen=True)
class Weighed:
    """The finalists (row 0 the baseline) with everything known of them, and the choice."""

    question: Question
    space: Space
    resolved: Resolved
    table: Table
    draws: Draws
    p_target: Any
    p_margin: Any  # of at most the target and what may be lost against it
    target: float
    tp_ready: int | None  # ways that the heads of picks divide; None: only what is asked
    leads: Mapping[
        int, int | None
    ]  # the pick to train by how many ways heads divide, where looked at
    finalists: Any  # rows on the front, of shapes that divide so
    chosen: dict[str, int | None]
    seen: Mapping[int, Seen]  # what was simulated of rows: the picks' and those next to them
    shown: Table  # with those figures

    @cached_property
    def base(self) -> Candidate:
        """The baseline."""
        return self.simulated(self.candidate("baseline", 0, **self.sure(0)), 0)

    def sure(self, row: int) -> dict[str, float]:
        """Return how sure one row is of the target loss, and to be within the margin of it."""
        return {
            "p_loss_at_most_target": float(self.p_target[row]),
            "p_within_margin": float(self.p_margin[row]),
        }

    def evaluation(self, row: int) -> Evaluation:
        """Look at one row."""
        return Evaluation(self.resolved, take(self.draws.arch, row))

    def model(self, name: str, row: int) -> ModelSpec:
        """Return one row as a model."""
        return _model(name, self.table, row)

    def candidate(self, name: str, row: int, **more: Any) -> Candidate:
        """Return one row as a candidate."""
        return candidate(name, self.model(name, row), self.draws, row, self.resolved, more)

    def against_baseline(self, name: str, row: int) -> Candidate:
        """Return one row as a candidate, with how it stands against the baseline and the target."""
        c, speed = self.draws.compare(row, 0), self.table["output_tokens_per_s"]
        same = all(self.table[key][row] == self.table[key][0] for key in SHAPE)
        if row in self.seen and 0 in self.seen:  # of what stands beside it
            speed = self.shown["output_tokens_per_s"]
        ratio = float(speed[row] / speed[0])
        return self.candidate(
            name,
            row,
            # Errors that both share cancel in the ratio: it has a spread of its own.
            gain=Estimate.lognormal(ratio, 0.0 if same else self.resolved.deployment.sd("gain")),
            loss_vs_baseline=asdict(c) | {"tie": bool(c.tie)},
            **self.sure(row),
        )

    def pick(self, name: str, row: int) -> Candidate:
        """Return a pick: with the reason it won, and what to train to verify it."""
        plain = self.against_baseline(name, row)
        mine, theirs = (seconds_by_operator(self.evaluation(i)) for i in (row, 0))
        over = "the batch" if self.resolved.kind.per == "batch" else "a request"
        reason = why(plain, self.base, mine, theirs, over)
        verify = to_verify(self.draws.arch, row, self.question.align)
        made = plain.model_copy(update={"why": reason, "verify": verify})
        return self.simulated(made, row)

    def simulated(self, found: Candidate, row: int) -> Candidate:
        """Return a candidate with what the simulation says, where requests arrive.

        The search ranks by the closed form, whose figures those of the front are.
        """
        if (seen := self.seen.get(row)) is None:
            return found
        one = self.evaluation(row)
        one.see([seen])
        said = estimates(one.table(CANDIDATE), 0, self.resolved.deployment, SERVING, seen)
        return found.model_copy(update={"metrics": found.metrics | said})


def weigh(space: Space, r: Resolved, kept: Table, n: float) -> Weighed:
    """Put the baseline before the finalists, draw their losses, and choose."""
    q = space.question
    assert r.trained
    base = baseline(space, n)
    own = {name: np.atleast_1d(getattr(base, name)) for name in SHAPE}
    arch = arch_of(join([own, {name: kept[name] for name in SHAPE}]))
    names = [*SHAPE, *RATIOS, *CANDIDATE] + ["lifetime_usd"] * bool(r.terms)
    table = Evaluation(r, arch).table(names)
    require_sense(table, q)
    draws = draw_losses(table, arch, r.trained)
    target = q.max_loss or float(table["loss"][0])
    p_target, p_margin = draws.p_at_most(q.max_loss), draws.p_at_most(q.max_loss, q.margin)
    if q.max_loss is None:  # it is its own target
        p_target[0] = p_margin[0] = 1.0
    base_legal = all((x.value(table)[0] <= x.at_most) for x in limits_of(q))
    sure = p_target, p_margin, target
    tp_ready, leads, finalists, chosen = among(table, q, base_legal, p_margin)
    seen: dict[int, Seen] = {}
    told = table
    if arrives(Scenario.of(_model("baseline", table, 0), q)):
        every = contenders(table, q, p_margin, finalists, chosen)
        told, seen = shown(table, r, arch, q, every)
        chosen = by_what_is_shown(told, q, p_margin, every, base_legal=base_legal, before=chosen)
    return Weighed(q, space, r, table, draws, *sure, tp_ready, leads, finalists, chosen, seen, told)


FEW = 3  # of the next fastest that are simulated, too, before one is chosen


def contenders(
    table: Table, q: Question, p_margin: Any, finalists: Any, chosen: Mapping[str, int | None]
) -> list[int]:
    """Return the baseline, the picks by the closed form, and the few that a simulation may prefer."""
    by_speed = finalists[np.argsort(-table["output_tokens_per_s"][finalists])]
    near = [by_speed[p_margin[by_speed] >= least][:FEW] for least in (q.confidence, SURE)]
    picks = [row for row in chosen.values() if row is not None]
    return list(dict.fromkeys(map(int, (0, *picks, *np.concatenate(near)))))


def shown(
    table: Table, r: Resolved, arch: Arch, q: Question, every: Sequence[int]
) -> tuple[Table, dict[int, Seen]]:
    """Simulate rows, and return the table with what is then printed of them."""
    jobs = [
        Job(Scenario.of(_model("shape", table, row), q), rows_of(r.deployment.system(one), 0))
        for row in every
        if (one := take(arch, row))
    ]
    seen = dict(zip(every, simulate_all(jobs), strict=True))
    found = table | {name: np.array(table[name], dtype=float) for name in MEANS}
    out_tokens = float(np.ravel(r.load.workload.output_tokens)[0])
    for row, said in seen.items():
        told = dict(said.values)
        told["output_tokens_per_s"] = told.get("requests_per_s", np.nan) * out_tokens
        for name in MEANS:
            found[name][row] = told.get(name, np.nan)
    if r.terms:
        rate = table["output_tokens_per_s"] / found["output_tokens_per_s"]
        trained = train_usd(Evaluation(r, arch).life)
        found["lifetime_usd"] = trained + (table["lifetime_usd"] - trained) * rate
    return found, seen


def by_what_is_shown(
    told: Table, q: Question, p_margin: Any, every: Sequence[int], *, base_legal: bool,
    before: Mapping[str, int | None],
) -> dict[str, int | None]:  # fmt: skip
    """Choose again, by the figures that are printed, among the rows that were simulated."""
    met = np.logical_and.reduce([x.value(told) <= x.at_most for x in limits_of(q)])
    left = np.array([row for row in every[1:] if met[row]] or every[1:], dtype=int)
    again = choose(told, left, base_legal and bool(met[0]), p_margin, q.confidence)
    return {name: before[name] if row is None else row for name, row in again.items()}


def _model(name: str, table: Table, row: int) -> ModelSpec:
    return llama_candidate(*(table[key][row] for key in SHAPE), name=name)


def require_sense(table: Table, q: Question) -> None:
    """Refuse a question so far outside the law that it predicts worse than guessing.

    Raises:
        SpecError: the predicted loss is above ln(vocab_size), that of a uniform guess.

    """
    loss, guess = float(table["loss"][0]), float(np.log(q.vocab_size))
    if not loss < guess:
        raise SpecError(
            f"the law predicts {loss:.1f} nats, worse than guessing among {q.vocab_size} "
            f"({guess:.1f})",
            hint="give more --tokens: public laws hold from some tokens a parameter on",
        )


def explain(w: Weighed, tally: Tally, lead: Candidate | None, text: str) -> WhyNot:
    """Say of a shape why it was not chosen: every limit, its value and the bound.

    Raises:
        SpecError: `text` is no shape.
        UnknownName: no such model.

    """
    m = shape_asked(text, w.model("baseline", 0))
    pair = w.model("baseline", 0).arch(), m.arch()
    arch = shared(stack(pair))
    assert w.resolved.trained
    table = Evaluation(w.resolved, arch).table((*RATIOS, *CANDIDATE))
    draws = draw_losses(table, arch, w.resolved.trained)
    q = w.question
    sure = {
        "p_loss_at_most_target": float(draws.p_at_most(q.max_loss)[1]),
        "p_within_margin": float(draws.p_at_most(q.max_loss, q.margin)[1]),
    }
    known = {name: p for name, p in sure.items() if np.isfinite(p)}
    found = candidate(text, m, draws, 1, w.resolved, known)
    limits = checks(w.space, m, found, tally.limits, lead)
    broken = [x.limit for x in limits if not x.met]
    verdict = f"it breaks {', '.join(broken)}" if broken else "it meets every limit"
    return WhyNot(shape=text, model=m, limits=limits, verdict=verdict)


def law_spread(w: Weighed) -> Warned:
    """Return how sure each published set alone would be of the pick to train."""
    row, r, q = w.chosen["recommended"], w.resolved, w.question
    assert r.trained and row is not None
    pair = rows(w.table, [0, row])
    arch = take(w.draws.arch, [0, row])
    alone = {name: draw_losses(pair, arch, replace(r.trained, law=load_law(name))) for name in SETS}
    each = ", ".join(
        f"{d.p_at_most(q.max_loss, q.margin)[1]:.0%} under {name}" for name, d in alone.items()
    )
    words = (
        f"the recommended pick is {w.p_margin[row]:.0%} sure to lose at most {q.margin:g} nats averaged "
        f"over published sets of shape coefficients: {each}; --law takes one"
    )
    return Warned(code="law-spread", message=words)


def _of_serving(q: Question, shapes: Mapping[str, Candidate | None]) -> tuple[Warned, ...]:
    """Return what is to be known of how the shapes that are named are served."""
    named = [c for c in shapes.values() if c is not None]
    hourly = [c.metrics["usd_per_hour"] for c in named]
    table = {
        "bound": np.array([c.bound for c in named]),
        "usd_per_hour": np.array([x if isinstance(x, int | float) else np.nan for x in hourly]),
    }
    return serving_warnings([Scenario.of(c.model, q) for c in named], table, range(len(named)))


def warnings(found: Weighed, picks: dict[str, Candidate | None]) -> tuple[Warned, ...]:
    """Return what a reader must know before acting, each once."""
    r, said = found.resolved, []
    assert r.trained
    if r.deployment.profile.architecture == "any":
        words = (
            f"speeds use class-default constants, not calibrated on {r.deployment.device.name}: "
            "trust ratios more than absolute numbers"
        )
        said.append(Warned(code="class-default", message=words))
    own = [w for pick in picks.values() if pick for w in pick.warnings]
    theirs = [w for w in law_warnings(r.trained, take(found.draws.arch, [0])) if w not in own]
    said += [*own, *(Warned(code=w.code, message=f"baseline: {w.message}") for w in theirs)]
    if found.question.law is None and found.chosen["recommended"]:  # not the baseline itself
        said.append(law_spread(found))
    for name, pick in picks.items():
        if pick is None:
            what, how = "to have a loss at or below the target", "lower --confidence"
            if name == "recommended":
                what = f"({SURE:.0%}) to lose at most {found.question.margin:g} nats against the target"
                how = "raise --margin"
            words = (
                f"no {title(name)} pick: no feasible shape is sure enough {what}; {how} or "
                "raise --max-loss"
            )
            said.append(Warned(code="no-pick", message=words))
    return tuple(dict.fromkeys(said))
