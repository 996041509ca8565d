"""Which shape to train: the most accurate, the fastest no worse than a target, and a balance.

[Bian et al., arXiv 2510.18245, Algorithm 1: maximise throughput subject to predicted loss at most
the target's, then search GQA locally.]
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from planner.columns import Table, take
from planner.errors import SpecError
from planner.inputs.law import default_law, load_law
from planner.inputs.question import Question
from planner.law.terms.depth import reference_depth
from planner.questions.recommend.baseline import baseline
from planner.questions.recommend.binding import binding
from planner.questions.recommend.limits import Tally, limits_of, require_weights_fit
from planner.questions.recommend.pareto import Front, front, join, rows
from planner.questions.recommend.reasons import seconds_by_operator, to_verify, why
from planner.questions.recommend.space import Space, space_for
from planner.results import Candidate, Recommendation
from planner.scenario.intervals import Judged, against, all_bounds, candidate, judge
from planner.scenario.lifetime import terms_of
from planner.scenario.shapes import ACCURACY_BASIS, Conditions, arch_of, evaluate, evaluate_all
from planner.scenario.system import serve

BALANCED_CONFIDENCE = 0.8
Progress = Callable[[int], None]


def recommend(
    question: Question, *, command: str = "", progress: Progress | None = None
) -> Recommendation:
    """Search every legal shape the question spans and choose.

    Args:
        question: budget, serving conditions, limits.
        command: the command line that reproduces the answer, recorded in it.
        progress: called with the number of shapes evaluated so far.

    Raises:
        Infeasible: no shape meets the limits; the one that binds is named.
        UnknownName: no such hardware, law or profile.
        SpecError: the device does not compute in the dtype asked for.

    """
    started = time.perf_counter()
    space = space_for(question)
    n = space.n_non_embedding(question.params)
    conditions, law_basis = conditions_for(question, n)
    tally = Tally(limits_of(question))
    kept = search(space, conditions, tally, progress)
    if kept is None:
        raise tally.infeasible(question)

    depth = int(reference_depth(n))
    depth = min(space.layers, key=lambda layers: abs(layers - depth))
    base_arch = baseline(space, depth, space.head_dims[0])
    base_table = {k: np.asarray(v) for k, v in evaluate(base_arch, conditions).items()}
    require_sense(base_table, question)
    table = join([base_table, kept])
    judged = judge(table, arch_of(table), conditions)
    bounds = all_bounds(judged, conditions)
    base = candidate("baseline", judged, 0, conditions, bounds)
    target = question.max_loss or float(table["loss"][0])
    p_target = judged.p_at_most(question.max_loss)
    p_target[0] = 1.0 if question.max_loss is None else p_target[0]  # it is its own target
    legal = np.ones(len(judged), bool)
    legal[0] = all((lim.value(base_table) <= lim.at_most).all() for lim in tally.limits)
    chosen = choose(table, legal, p_target, target, question.confidence)

    their_time = seconds_by_operator(judged, 0, conditions)

    def full(name: str, row: int) -> Candidate:
        pick = candidate(name, judged, row, conditions, bounds)
        pick = against(pick, base, judged.compare(row, 0), p_target[row], conditions)
        mine = seconds_by_operator(judged, row, conditions)
        return replace(
            pick,
            why=why(pick, base, mine, their_time),
            verify=to_verify(judged.arch, row, question.align),
        )

    picks = {n: None if r is None else full(n, r) for n, r in chosen.items()}
    # The front leaves out the baseline, which need not be on it: row 0.
    on_front = 1 + front(table["loss"][1:], table["output_tokens_per_s"][1:])
    names = {row: name for name, row in chosen.items() if row is not None}
    pareto = tuple(
        against(
            candidate(names.get(r, f"front-{i + 1}"), judged, r, conditions, bounds),
            base,
            judged.compare(r, 0),
            p_target[r],
            conditions,
        )
        for i, r in enumerate(on_front)
    )
    fastest = chosen["fastest"]
    held = (
        []
        if fastest is None
        else binding(question, table, fastest, target, question.max_loss is None)
    )
    return Recommendation(
        inputs=question.model_dump(mode="json"),
        command=command,
        basis={
            "speed": conditions.served.basis,
            "loss": law_basis,
            **({"money": conditions.terms.basis} if conditions.terms else {}),
            "accuracy": ACCURACY_BASIS,
        },
        warnings=tuple(warnings(judged, conditions, chosen, picks)),
        target_loss=target,
        baseline=replace(base, p_loss_at_most_target=float(p_target[0])),
        picks=picks,
        pareto=pareto,
        binding=tuple(b.to_dict() for b in held),
        n_evaluated=tally.n_evaluated,
        n_feasible=tally.n_feasible,
        elapsed_s=time.perf_counter() - started,
    )


def conditions_for(question: Question, n: float) -> tuple[Conditions, str]:
    """Return under what shapes of about `n` parameters are judged, and the law's basis in words.

    Raises:
        SpecError: the law says nothing about shape.
        Infeasible: the matrices alone exceed the memory.

    """
    law, basis = (
        (load_law(question.law), f"law {question.law}, as asked")
        if question.law
        else default_law(n)
    )
    if law.conditional is None:
        raise SpecError(
            f"law {law.name} says nothing about shape, which is all a search at one N chooses",
            hint="choose one that does, e.g. --law bian-1b; see `planner law list`",
        )
    served = serve(question.on, question.engine, profile=question.profile)
    require_weights_fit(question, served)
    conditions = Conditions(
        served,
        question.workload.columns(),
        law,
        question.tokens,
        question.search_depth,
        terms_of(question),
    )
    return conditions, basis


def search(
    space: Space, c: Conditions, tally: Tally, progress: Progress | None = None
) -> Table | None:
    """Evaluate the whole space and return the front of every GQA level, feasible rows only."""
    running = Front()

    def weigh(table: Table) -> tuple[Tally, Table | None]:
        own, best = Tally(tally.limits), Front()
        best.add(rows(table, own.keep(table)))
        return own, best.all_levels()

    for own, best in evaluate_all(space.chunks(), c, weigh):
        tally.merge(own)
        if best is not None:
            running.add(best)
        if progress:
            progress(tally.n_evaluated)
    return running.all_levels()


def require_sense(base: Table, q: Question) -> None:
    """Refuse a question so far outside the law that it predicts worse than guessing.

    Raises:
        SpecError: the predicted loss is above ln(vocab_size), that of a uniform guess.

    """
    loss, guess = float(base["loss"][0]), float(np.log(q.vocab_size))
    if not loss < guess:
        raise SpecError(
            f"the law predicts {loss:.1f} nats, worse than guessing among {q.vocab_size} "
            f"({guess:.1f})",
            hint="give more --tokens: public laws hold from some tokens a parameter on",
        )


def choose(
    table: Table, legal: Any, p_target: Any, target: float, confidence: float
) -> dict[str, int | None]:
    """Return the row of each pick; None where no row qualifies.

    Row 0, the baseline, competes where it is legal: no pick is ever worse than it for nothing.
    Ties in speed go to the lower loss, so the answer does not depend on the order of rows.
    """
    loss, speed = table["loss"], table["output_tokens_per_s"]
    candidates = np.flatnonzero(legal)

    def allowed(sure: float) -> Any:
        # The paper's own rule on the mean, and the least confidence asked for.
        return legal & (loss <= target + 1e-12) & (p_target >= sure - 1e-9)

    def fastest(sure: float) -> int | None:
        good = np.flatnonzero(allowed(sure))
        return int(good[np.lexsort((loss[good], -speed[good]))[0]]) if len(good) else None

    # GQA's mean effect on loss is taken as zero, so a lower loss at another group is only a finer
    # grid: the loss-optimal pick keeps the baseline's group, or the nearest there is.
    group = np.abs(np.log(table["gqa"] / table["gqa"][0]))[candidates]
    same = candidates[group <= group.min() + 1e-9]
    best = same[np.lexsort((-speed[same], loss[same]))[0]]
    picks = {
        "loss_optimal": int(best),
        "fastest": fastest(confidence),
        "balanced": fastest(max(confidence, BALANCED_CONFIDENCE)),
    }
    if "lifetime_usd" in table:
        # At one N the cheapest shape is on the fronts: serving cost falls with throughput.
        good = np.flatnonzero(allowed(confidence))
        usd = table["lifetime_usd"][good]
        picks["cheapest"] = int(good[np.argmin(usd)]) if len(good) else None
    return picks


def warnings(judged: Judged, c: Conditions, chosen: dict[str, int | None], picks: Any) -> list[str]:
    """Return what a reader must know before acting, each once."""
    found = []
    if c.served.profile.architecture == "any":
        found.append(
            f"speeds use class-default constants, not calibrated on {c.served.device.name}: "
            "trust ratios more than absolute numbers"
        )
    picked = [r for r in chosen.values() if r is not None]
    said = {r: [w.message for w in c.law_warnings(take(judged.arch, [r]))] for r in (*picked, 0)}
    found += [message for r in picked for message in said[r]]
    found += [f"baseline: {message}" for message in said[0] if message not in found]
    for name, pick in picks.items():
        if pick is None:
            found.append(
                f"no {name} pick: no feasible shape is sure enough to have a loss at or below "
                "the target; lower --confidence or raise --max-loss"
            )
    return list(dict.fromkeys(found))
