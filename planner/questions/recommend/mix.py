"""One shape for all the places it will serve: what the mix costs, and what each alone would choose.

What is minimised is the mean price of a token: the sum over scenarios of their share of tokens times
what a token costs there (or seconds a token, where speed is asked for). Where weights are shares of
money, it is the price of a token that the money buys: one over the sum of shares over prices. The
regret of a shape in a scenario is how much more it costs there than the shape that the scenario alone
would choose; a mix of one scenario is `recommend` for it. Shapes are ranked by closed forms; where
requests arrive, the figures shown of the pick and of each scenario's own choice are simulated.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.columns import Table, take
from planner.cost.money import HOUR_S, MTOK
from planner.errors import Infeasible, PlannerError, SpecError, UnknownName
from planner.inputs.mix import MixSpec, mix_of
from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.question import Question
from planner.metrics import SERVING
from planner.questions.asking import asked
from planner.questions.recommend.baseline import baseline
from planner.questions.recommend.budgeted import sized
from planner.questions.recommend.choice import OBJECTIVES, among, choose, lead_of, on_front
from planner.questions.recommend.limits import Tally, limits_of
from planner.questions.recommend.pareto import Front, join
from planner.questions.recommend.recommend import Progress, require_sense, resolve_question
from planner.questions.recommend.space import Space, arch_of, space_for
from planner.results import Candidate, Mix, MixedShape, Regret
from planner.scenario.evaluate import CANDIDATE, RATIOS, SHAPE, Evaluation, see
from planner.scenario.intervals import Draws, candidate, draw_losses, estimates
from planner.scenario.joint import Block, evaluate_joint
from planner.scenario.legal import too_long, whole_heads
from planner.scenario.options import ASKED, OPTIONS, option, question
from planner.scenario.scenario import Resolved, Scenario

PLACES = ("deployment", "engine", "workload")  # groups of options that scenarios may differ in
LIMITS = ("ttft", "tpot", "e2e", "max_loss")


@dataclass(frozen=True, slots=True)
class Place:
    """One scenario, resolved; what a token costs there is `per_speed` over tokens a second."""

    name: str
    weight: float
    question: Question
    resolved: Resolved
    per_speed: float
    tally: Tally

    def legal(self, table: Table) -> Any:
        """Return the rows whose heads its devices share evenly and that meet its limits."""
        tp = self.question.engine.tp
        met = self.tally.keep(table)
        return met if tp == 1 else met & whole_heads(table["n_heads"], table["n_kv_heads"], tp)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a choice is made for: all places together, one alone, all but one."""

    places: tuple[int, ...]
    weights: Any  # of each of them, of which the sum is one
    of_money: bool

    def price(self, prices: Any) -> Any:
        """Return what a token costs of prices by place, (places, rows)."""
        w, own = self.weights[:, None], prices[list(self.places)]
        return 1 / np.sum(w / own, axis=0) if self.of_money else np.sum(w * own, axis=0)

    def mean(self, values: Any) -> Any:
        """Return the weighted mean of values by place, (places, rows)."""
        return np.sum(self.weights[:, None] * values[list(self.places)], axis=0)


@asked(
    'recommend_mix("3B", "100B", {"chat": {"on": "h100-sxm"}, "batch": {"on": "a100-sxm-80gb"}})'
)
def recommend_mix(
    params: str | float | None,
    tokens: str | float | None,
    scenarios: MixSpec | Mapping[str, Mapping[str, Any]],
    *,
    train_flops: str | float | None = None,
    serve_tokens: str | float | None = None,
    command: str = "",
    progress: Progress | None = None,
    **settings: Any,
) -> Mix:
    """Choose the shape that serves several scenarios best together, and say what that costs each.

    Args:
        params: the size, ``"3B"`` or a number; None where a budget chooses it.
        tokens: training tokens, ``"100B"`` or a number; None where a budget chooses them.
        scenarios: by name, options of the place (device, engine, workload, limits) and a weight; or
            what `planner.inputs.mix.read_mix` read of a file.
        train_flops: of the whole training, ``"1e22"``, in place of size and tokens.
        serve_tokens: to be served after such a training, which moves its choice.
        command: the command line that reproduces the answer, recorded in it.
        progress: called with the number of rows evaluated so far: shapes times scenarios.
        settings: options that all scenarios share, but for those that state their own.

    Returns:
        A frozen result: `.pick.model`, `.pick.regret["chat"]`, `.drives`, `.rows()`.

    Raises:
        Infeasible: a scenario that nothing fits, named; or nothing meets all limits together.
        SpecError: a value is malformed; says which.
        UnknownName: no such option, hardware, law or profile.

    Example:
        >>> places = {"chat": {"on": "h100-sxm"}, "batch": {"on": "a100-sxm-80gb"}}
        >>> m = recommend_mix("1B", "100B", places)
        >>> sum(m.weights.values()), min(m.pick.regret.values()) >= 0
        (1.0, True)

    """
    started = time.perf_counter()
    mix = scenarios if isinstance(scenarios, MixSpec) else mix_of(scenarios)
    params, tokens, split = sized(params, tokens, train_flops, serve_tokens, settings.get("law"))
    questions = {
        name: _question(name, own, params, tokens, settings) for name, own in mix.scenarios.items()
    }
    first = next(iter(questions.values()))
    least_tp = min(q.engine.tp for q in questions.values())
    whole = first.model_copy(update={"engine": first.engine.model_copy(update={"tp": least_tp})})
    space = space_for(whole)
    n = space.n_non_embedding(whole.params)
    resolved = {name: _resolve(name, q, n) for name, q in questions.items()}
    objective = mix.objective or ("cost" if all(map(_price, resolved.values())) else "speed")
    if objective == "cost" and (lacking := [n for n, r in resolved.items() if not _price(r)]):
        raise SpecError(
            f"no price is listed for {', '.join(questions[n].on for n in lacking)}",
            hint='give one, e.g. usd_per_hour = 2.5 in its scenario, or objective = "speed"',
        )
    places = tuple(
        Place(
            name,
            mix.shares[name],
            questions[name],
            r,
            _price(r) / HOUR_S * MTOK if objective == "cost" else 1.0,
            Tally(limits_of(questions[name])),
        )
        for name, r in resolved.items()
    )
    purposes = _purposes(places, mix.share == "money")
    found = _choose(space, n, places, purposes, progress)
    if isinstance(found, Chosen) and found.depth in space.caps:
        # Where only the end of the search says how deep, nothing does: the law's own depth stays.
        found = _choose(space.at_reference_depth(), n, places, purposes, progress)
    if not isinstance(found, Chosen):
        raise found
    return Mix(
        command=command,
        inputs=places[0].question,
        objective=objective,
        share=mix.share,
        weights=mix.shares,
        scenarios=mix.scenarios,
        choices=found.shapes(places),
        drives=found.drives(places, purposes),
        basis={p.name: p.resolved.basis["speed"] for p in places},
        n_evaluated=found.n_evaluated,
        elapsed_s=time.perf_counter() - started,
        split=split,
    )


def _choose(
    space: Space, n: float, places: tuple[Place, ...], purposes: Mapping[str, Purpose],
    progress: Progress | None,
) -> "Chosen | Infeasible":  # fmt: skip
    """Search the space and choose for every purpose; or say what nothing fits."""
    for p in places:
        p.tally.reset()
    kept, evaluated = _search(space, places, purposes, progress)
    for p in places:
        if not p.tally.n_feasible:
            error = p.tally.infeasible(p.question)
            return Infeasible(f"scenario {p.name}: {error}", hint=error.hint)
    together = Infeasible(
        "no shape meets the limits of all scenarios together",
        hint="loosen one; shapes that meet each alone: "
        + ", ".join(f"{p.name} {p.tally.n_feasible:,}" for p in places),
    )
    if kept is None:
        return together
    chosen = _weighed(space, n, places, purposes, kept, evaluated)
    return together if chosen is None else chosen


def _question(name: str, own: Mapping[str, Any], params: Any, tokens: Any, shared: Any) -> Question:
    """Return what one scenario asks."""
    for key in own:
        plain = key.replace("-", "_")
        if plain not in LIMITS and (plain in ASKED or option(plain).group not in PLACES):
            known = [*LIMITS, *(o.name for o in OPTIONS.values() if o.group in PLACES)]
            raise UnknownName.among(f"option of scenario {name}", key, known)
    mine = {key.replace("-", "_"): value for key, value in own.items()}
    try:
        q = question(params, tokens, **{**shared, **mine})
    except PlannerError as error:
        raise type(error)(f"scenario {name}: {error}", hint=error.hint) from None
    if refused := too_long(q):
        raise refused.error()
    return q


def _resolve(name: str, q: Question, n: float) -> Resolved:
    try:
        return resolve_question(q, n)
    except PlannerError as error:
        raise type(error)(f"scenario {name}: {error}", hint=error.hint) from None


def _price(r: Resolved) -> float:
    """Return dollars an hour of all devices; 0 where no price is known."""
    p, load = r.deployment.engine, r.load
    n = float(p.tp * p.pp * (load.replicas + load.prefill_replicas))
    return float(np.nan_to_num(r.deployment.usd_per_device_hour * n))


def _purposes(places: tuple[Place, ...], of_money: bool) -> dict[str, Purpose]:
    """Return the choices to make: together, each place alone, all but each."""

    def of(chosen: list[int]) -> Purpose:
        weights = np.array([places[i].weight for i in chosen])
        total = weights.sum()
        even = np.full(len(chosen), 1 / len(chosen))
        return Purpose(tuple(chosen), weights / total if total > 0 else even, of_money)

    every = list(range(len(places)))
    found = {"mix": of(every)} | {f"alone {i}": of([i]) for i in every}
    if len(every) > 1:
        found |= {f"without {i}": of([k for k in every if k != i]) for i in every}
    return found


def _columns(places: tuple[Place, ...], tables: list[Table]) -> tuple[Any, Any]:
    """Return prices of a token and losses, each (places, rows)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        prices = np.stack(
            [p.per_speed / t["output_tokens_per_s"] for p, t in zip(places, tables, strict=True)]
        )
    return prices, np.stack([np.asarray(t["loss"]) for t in tables])


def _search(
    space: Space,
    places: tuple[Place, ...],
    purposes: Mapping[str, Purpose],
    progress: Progress | None,
) -> tuple[Table | None, int]:
    """Return the shapes on the front of any of the purposes, and how many rows were evaluated."""
    names = dict.fromkeys(
        [*OBJECTIVES, "ready", *(x.column for p in places for x in p.tally.limits)]
    )
    running = {key: Front() for key in purposes}

    def best_of(blocks: Iterator[Block]) -> tuple[list[Tally], dict[str, Table | None], int]:
        own = [
            Place(p.name, p.weight, p.question, p.resolved, p.per_speed, Tally(p.tally.limits))
            for p in places
        ]
        best = {key: Front(beside=front) for key, front in running.items()}
        n = 0
        for block in blocks:
            tables = [block.shapes | t for t in block.tables]
            legal = np.stack([p.legal(t) for p, t in zip(own, tables, strict=True)])
            prices, losses = _columns(places, tables)
            for key, purpose in purposes.items():
                ok = np.flatnonzero(legal[list(purpose.places)].all(axis=0))
                seen = {name: block.shapes[name][ok] for name in SHAPE}
                seen["ready"] = tables[0]["ready"][ok]
                seen["loss"] = purpose.mean(losses)[ok]
                seen["output_tokens_per_s"] = 1 / purpose.price(prices)[ok]
                best[key].add(seen)
            n += len(block) * len(places)
        return [p.tally for p in own], {k: f.all_levels() for k, f in best.items()}, n

    evaluated = 0
    resolved = [p.resolved for p in places]
    for tallies, fronts, n in evaluate_joint(space.chunks(), resolved, tuple(names), best_of):
        for p, tally in zip(places, tallies, strict=True):
            p.tally.merge(tally)
        for key, table in fronts.items():
            if table is not None:
                running[key].add(table)
        evaluated += n
        if progress:
            progress(evaluated)
    if running["mix"].all_levels() is None:
        return None, evaluated
    found = [t for f in running.values() if (t := f.all_levels()) is not None]
    rows = np.unique(np.stack([join(found)[name] for name in SHAPE], axis=1), axis=0)
    return dict(zip(SHAPE, rows.T, strict=True)), evaluated


@dataclass(frozen=True, slots=True)
class Chosen:
    """Finalists (row 0 the baseline) in every place, and the row chosen for every purpose."""

    tables: list[Table]
    draws: list[Draws]
    legal: Any  # (places, rows), as those below
    within_margin: Any
    prices: Any
    mixed: Any  # the price of the mix, by row
    rows: dict[str, int]
    n_evaluated: int

    @property
    def depth(self) -> int:
        """Layers of the pick."""
        return int(self.tables[0]["n_layers"][self.rows["mix"]])

    def shapes(self, places: tuple[Place, ...]) -> tuple[MixedShape, ...]:
        """Return the pick, what each place alone would choose, and the baseline."""
        alone = {p.name: self.rows[f"alone {i}"] for i, p in enumerate(places)}
        named = {"the mix": self.rows["mix"], **alone, "baseline": 0}
        return tuple(self._shape(name, row, places) for name, row in named.items())

    def _shape(self, name: str, row: int, places: tuple[Place, ...]) -> MixedShape:
        model = llama_candidate(*(self.tables[0][key][row] for key in SHAPE), name=name)
        best = [self.prices[i, self.rows[f"alone {i}"]] for i in range(len(places))]
        return MixedShape(
            name=name,
            model=model,
            scenarios={p.name: self._figures(name, model, row, i, p) for i, p in enumerate(places)},
            regret={p.name: float(self.prices[i, row] / best[i] - 1) for i, p in enumerate(places)},
            meets={p.name: bool(self.legal[i][row]) for i, p in enumerate(places)},
            prices={p.name: float(self.prices[i, row]) for i, p in enumerate(places)},
            price=float(self.mixed[row]),
            p_within_margin=float(self.within_margin[:, row].min()),
        )

    def _figures(self, name: str, model: ModelSpec, row: int, i: int, p: Place) -> Candidate:
        """Return a shape's figures in one place: simulated, where requests arrive and it matters."""
        found = candidate(name, model, self.draws[i], row, p.resolved)
        if row not in (self.rows["mix"], self.rows[f"alone {i}"]):
            return found
        one = Evaluation(p.resolved, take(self.draws[i].arch, row))
        if (seen := see(one, Scenario.of(model, p.question))) is None:
            return found
        said = estimates(one.table(CANDIDATE), 0, p.resolved.deployment, SERVING, seen)
        return found.model_copy(update={"metrics": found.metrics | said})

    def drives(
        self, places: tuple[Place, ...], purposes: Mapping[str, Purpose]
    ) -> tuple[Regret, ...]:
        """Return places by how much more the others cost for the sake of each."""
        found = []
        for i, p in enumerate(places):
            if (others := purposes.get(f"without {i}")) is not None:
                price = others.price(self.prices)
                rise = float(price[self.rows["mix"]] / price[self.rows[f"without {i}"]] - 1)
                found.append(Regret(scenario=p.name, regret=rise))
        return tuple(sorted(found, key=lambda r: (-r.regret, r.scenario)))


def _weighed(
    space: Space, n: float, places: tuple[Place, ...], purposes: Mapping[str, Purpose], kept: Table,
    evaluated: int,
) -> Chosen | None:  # fmt: skip
    """Draw the finalists' losses in every place, and choose for every purpose by the same rule."""
    own = {name: np.atleast_1d(getattr(baseline(space, n), name)) for name in SHAPE}
    arch = arch_of(join([own, kept]))
    tables, drawn, legal, p_target, p_margin, target = [], [], [], [], [], []
    for p in places:
        q, law = p.question, p.resolved.trained
        table = Evaluation(p.resolved, arch).table([*SHAPE, *RATIOS, *CANDIDATE])
        require_sense(table, q)
        assert law
        draws = draw_losses(table, arch, law)
        of, within = draws.p_at_most(q.max_loss), draws.p_at_most(q.max_loss, q.margin)
        if q.max_loss is None:  # the baseline is its own target
            of[0] = within[0] = 1.0
        p.tally.reset()
        tables.append(table)
        drawn.append(draws)
        legal.append(p.legal(table))
        p_target.append(of)
        p_margin.append(within)
        target.append(q.max_loss or float(table["loss"][0]))
    prices, losses = _columns(places, tables)
    all_legal, of, within = np.stack(legal), np.stack(p_target), np.stack(p_margin)
    rows: dict[str, int] = {}
    ways = 1.0
    for key, purpose in purposes.items():  # the mix first
        at = list(purpose.places)
        ok = np.asarray(all_legal[at].all(axis=0))
        table = {
            "loss": purpose.mean(losses),
            "output_tokens_per_s": 1 / purpose.price(prices),
            "ready": tables[0]["ready"],
        }
        q = places[at[0]].question
        goal = float(purpose.mean(np.array(target)[:, None])[0])
        sure = of[at].min(axis=0), within[at].min(axis=0), goal
        if key == "mix":
            tp_ready, *_, picks = among(table, q, bool(ok[0]), *sure, ok)
            ways = 1.0 if q.any_shape or q.tp_ready else float(tp_ready or 1)
        else:  # what could be chosen for all could be for some
            finalists = np.append(on_front(table, ok & (table["ready"] >= ways)), rows["mix"])
            picks = choose(table, finalists, bool(ok[0]), *sure, q.confidence)
        lead = lead_of(picks)
        if lead is None:
            return None
        rows[key] = lead
    mixed = purposes["mix"].price(prices)
    return Chosen(tables, drawn, all_legal, within, prices, mixed, rows, evaluated)
