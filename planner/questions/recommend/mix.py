"""One shape for all the places it will serve: what the mix costs, and what each alone would choose.

What is minimised is the mean price of a generated token: the sum over scenarios of their share of tokens
times what one costs there, prompts paid with it (`usd_per_generated_mtok`; seconds where speed is asked for). Where weights are shares of
money, it is the price of a token that the money buys: one over the sum of shares over prices. The
regret of a shape in a scenario is how much more it costs there than the shape that the scenario alone
would choose; a mix of one scenario is `recommend` for it. Shapes are ranked by closed forms; where
requests arrive, the figures shown of the pick and of each scenario's own choice are simulated.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from planner.columns import Table, take
from planner.errors import Infeasible, SpecError
from planner.inputs.hf_export import to_hf
from planner.inputs.mix import MixSpec, mix_of
from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.serve_written import serve_command
from planner.metrics import SERVING
from planner.questions.asking import asked
from planner.questions.recommend.baseline import baseline
from planner.questions.recommend.budgeted import sized
from planner.questions.recommend.choice import OBJECTIVES, among, choose, lead_of, on_front
from planner.questions.recommend.pareto import join
from planner.questions.recommend.places import (
    Looked,
    Place,
    Setup,
    place_of,
    scenario_question,
    stated,
)
from planner.questions.recommend.recommend import require_sense
from planner.questions.recommend.search import Count, Left, Progress, Spread, search
from planner.questions.recommend.space import Space, arch_of, space_for
from planner.results import Candidate, Mix, MixedShape, Regret
from planner.scenario.evaluate import CANDIDATE, MEANS, RATIOS, SHAPE, Evaluation, see
from planner.scenario.intervals import Draws, candidate, draw_losses, estimates
from planner.scenario.joint import Block
from planner.scenario.scenario import Resolved, Scenario


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
    devices: int | None = None,
    ray: str | None = None,
    journal: str | Path | None = None,
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
        devices: the most that a scenario may take which states no number of its own.
        ray: address of a Ray cluster to search over, ``"auto"`` or ``"host:port"``.
        journal: file that keeps what is searched; asked again with it, the search goes on from there.
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
        name: scenario_question(name, own, params, tokens, settings)
        for name, own in mix.scenarios.items()
    }
    most = {name: mix.devices.get(name, devices) for name in questions}
    given = {name: stated({**settings, **own}) for name, own in mix.scenarios.items()}
    first = next(iter(questions.values()))
    least_tp = min(q.engine.tp if "tp" in given[name] else 1 for name, q in questions.items())
    whole = first.model_copy(update={"engine": first.engine.model_copy(update={"tp": least_tp})})
    space = space_for(whole)
    n = space.n_non_embedding(whole.params)
    places = [
        place_of(name, mix.shares[name], q, given[name], most[name], n)
        for name, q in questions.items()
    ]
    lacking = [p.question.on for p in places if not p.setups[0].usd_per_hour]
    objective = mix.objective or ("speed" if lacking else "cost")
    if objective == "cost":
        if lacking:
            raise SpecError(
                f"no price is listed for {', '.join(lacking)}",
                hint='give one, e.g. usd_per_hour = 2.5 in its scenario, or objective = "speed"',
            )
        places = [replace(p, by_money=True) for p in places]
    purposes = _purposes(places, mix.share == "money")
    spread = Spread.of(ray, journal)
    found = _choose(space, n, places, purposes, progress, spread)
    if found.depth in space.caps:
        # Where only the end of the search says how deep, nothing does: the law's own depth stays.
        found = _choose(space.at_reference_depth(), n, places, purposes, progress, spread)
    return Mix(
        command=command,
        inputs=found.places[0].question,
        objective=objective,
        share=mix.share,
        weights=mix.shares,
        scenarios=mix.scenarios,
        devices=mix.devices,
        choices=found.shapes(),
        drives=found.drives(purposes),
        basis={p.name: p.resolved.basis["speed"] for p in places},
        n_evaluated=found.n_evaluated,
        elapsed_s=time.perf_counter() - started,
        split=split,
    )


def _choose(
    space: Space, n: float, places: Sequence[Place], purposes: Mapping[str, "Purpose"],
    progress: Progress | None, spread: Spread | None,
) -> "Chosen":  # fmt: skip
    """Search the space, on more devices where those are not enough, and choose for every purpose.

    Raises:
        Infeasible: nothing fits a scenario, named, or all of them together.

    """
    left = search(space, Shapes(places, purposes), progress, spread)
    if any(p.after(count) for p, count in zip(places, left.counts, strict=True)):
        settled = [
            _settled(space, p, count, spread) for p, count in zip(places, left.counts, strict=True)
        ]
        places, left.counts = [p for p, _ in settled], [count for _, count in settled]
        if all(np.isfinite(count.fewest) for count in left.counts):
            left = search(space, Shapes(places, purposes), progress, spread)
    for p, count in zip(places, left.counts, strict=True):
        if not count.tally.n_feasible:
            raise p.infeasible(count)
    kept = _shapes(left)
    chosen = None if kept is None else _weighed(space, n, places, purposes, kept, left.n)
    if chosen is None:
        alone = zip(places, left.counts, strict=True)
        raise Infeasible(
            "no shape meets the limits of all scenarios together",
            hint="loosen one, or give one more devices; shapes that meet each alone: "
            + ", ".join(f"{p.name} {c.tally.n_feasible:,}" for p, c in alone),
        )
    return chosen


def _settled(
    space: Space, place: Place, count: Count, spread: Spread | None
) -> tuple[Place, Count]:
    """Return a place on the fewest devices that are enough for it, and what was met on as many."""
    while (other := place.after(count)) is not None:
        place = other
        if np.isfinite(count.fewest):
            break
        (count,) = search(space, Shapes([place], {}), None, spread).counts
    return place, count


def _purposes(places: Sequence[Place], of_money: bool) -> dict[str, Purpose]:
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


@dataclass(frozen=True, slots=True)
class Shapes:
    """What places look for: the front of loss and price for every purpose."""

    places: Sequence[Place]
    purposes: Mapping[str, Purpose]

    @property
    def under(self) -> Sequence[Resolved]:
        """Every setup of every place."""
        return [setup.resolved for p in self.places for setup in p.setups]

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives, and what limits look at."""
        limits = (x.column for p in self.places for x in p.limits)
        return tuple(dict.fromkeys([*OBJECTIVES, "ready", *limits]))

    @property
    def fronts(self) -> tuple[str, ...]:
        """One a purpose."""
        return tuple(self.purposes)

    def counts(self) -> list[Count]:
        """Return counts of nothing, one a place."""
        return [p.count() for p in self.places]

    def look(self, block: Block, counts: list[Count]) -> Iterator[tuple[str, Table]]:
        """Yield the rows that every place of a purpose serves as asked."""
        looks = _look(self.places, [block.shapes | t for t in block.tables], counts)
        legal, prices, losses = (
            np.stack([getattr(x, k) for x in looks]) for k in ("legal", "price", "loss")
        )
        for key, purpose in self.purposes.items():
            ok = np.flatnonzero(legal[list(purpose.places)].all(axis=0))
            seen = {name: block.shapes[name][ok] for name in SHAPE}
            seen["ready"] = block.tables[0]["ready"][ok]
            seen["loss"] = purpose.mean(losses)[ok]
            seen["output_tokens_per_s"] = 1 / purpose.price(prices)[ok]
            yield key, seen


def _shapes(left: Left) -> Table | None:
    """Return the shapes on any front, each once; None where the mix has none."""
    if "mix" not in left.fronts:
        return None
    every = join([{name: t[name] for name in SHAPE} for t in left.fronts.values()])
    rows = np.unique(np.stack([every[name] for name in SHAPE], axis=1), axis=0)
    return dict(zip(SHAPE, rows.T, strict=True))


def _look(
    places: Sequence[Place], tables: Sequence[Table], counts: Sequence[Count]
) -> list[Looked]:
    """Return the same rows in every place; `tables` are of every setup of every place."""
    found, of = [], iter(tables)
    for place, count in zip(places, counts, strict=True):
        found.append(place.look(list(islice(of, len(place.setups))), count))
    return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """Finalists (row 0 the baseline) in every place, and the row chosen for every purpose."""

    places: tuple[Place, ...]  # on the devices they take
    tables: list[Table]
    draws: list[Draws]
    legal: Any  # (places, rows), as those below
    within_margin: Any
    prices: Any
    at: Any  # number of the setup
    mixed: Any  # the price of the mix, by row
    rows: dict[str, int]
    n_evaluated: int

    @property
    def depth(self) -> int:
        """Layers of the pick."""
        return int(self.tables[0]["n_layers"][self.rows["mix"]])

    def shapes(self) -> tuple[MixedShape, ...]:
        """Return the pick, what each place alone would choose, and the baseline."""
        alone = {p.name: self.rows[f"alone {i}"] for i, p in enumerate(self.places)}
        named = {"the mix": self.rows["mix"], **alone, "baseline": 0}
        return tuple(self._shape(name, row) for name, row in named.items())

    def _shape(self, name: str, row: int) -> MixedShape:
        model = llama_candidate(*(self.tables[0][key][row] for key in SHAPE), name=name)
        places = {p.name: i for i, p in enumerate(self.places)}
        best = [self.prices[i, self.rows[f"alone {i}"]] for i in places.values()]
        ranked = {n: self._ranked(name, model, row, i) for n, i in places.items()}
        seen = {n: self._simulated(ranked[n], row, i) for n, i in places.items()}
        return MixedShape(
            name=name,
            model=model,
            scenarios={n: seen[n] or ranked[n] for n in places},
            layouts={n: self._setup(row, i).layout for n, i in places.items()},
            closed={
                n: {k: rough.metrics[k] for k in MEANS}
                for n, rough in ranked.items()
                if seen[n] is not None
            },
            regret={n: float(self.prices[i, row] / best[i] - 1) for n, i in places.items()},
            meets={n: bool(self.legal[i][row]) for n, i in places.items()},
            prices={n: float(self.prices[i, row]) for n, i in places.items()},
            price=float(self.mixed[row]),
            p_within_margin=float(self.within_margin[:, row].min()),
        )

    def _setup(self, row: int, i: int) -> Setup:
        return self.places[i].setups[int(self.at[i, row])]

    def _ranked(self, name: str, model: ModelSpec, row: int, i: int) -> Candidate:
        """Return a shape's figures in one place by closed forms, as it was ranked."""
        setup = self._setup(row, i)
        found = candidate(name, model, self.draws[i], row, setup.resolved)
        if row != self.rows["mix"]:
            return found
        serve = serve_command(model, setup.question, folder="./mix") or None
        return found.model_copy(update={"config": to_hf(model), "serve": serve})

    def _simulated(self, ranked: Candidate, row: int, i: int) -> Candidate | None:
        """Return what the simulation says, where requests arrive and it matters."""
        if row not in (self.rows["mix"], self.rows[f"alone {i}"]):
            return None
        setup = self._setup(row, i)
        one = Evaluation(setup.resolved, take(self.draws[i].arch, row))
        if (seen := see(one, Scenario.of(ranked.model, setup.question))) is None:
            return None
        said = estimates(one.table(CANDIDATE), 0, setup.resolved.deployment, SERVING, seen)
        return ranked.model_copy(update={"metrics": ranked.metrics | said})

    def drives(self, purposes: Mapping[str, Purpose]) -> tuple[Regret, ...]:
        """Return places by how much more the others cost for the sake of each."""
        found = []
        for i, p in enumerate(self.places):
            if (others := purposes.get(f"without {i}")) is not None:
                price = others.price(self.prices)
                rise = float(price[self.rows["mix"]] / price[self.rows[f"without {i}"]] - 1)
                found.append(Regret(scenario=p.name, regret=rise))
        return tuple(sorted(found, key=lambda r: (-r.regret, r.scenario)))


def _weighed(
    space: Space, n: float, places: Sequence[Place], purposes: Mapping[str, Purpose], kept: Table,
    evaluated: int,
) -> Chosen | None:  # fmt: skip
    """Draw the finalists' losses in every place, and choose for every purpose by the same rule."""
    own = {name: np.atleast_1d(getattr(baseline(space, n), name)) for name in SHAPE}
    arch = arch_of(join([own, kept]))
    names = [*SHAPE, *RATIOS, *CANDIDATE]
    each = [[Evaluation(s.resolved, arch).table(names) for s in p.setups] for p in places]
    looks = _look(places, list(chain(*each)), [p.count() for p in places])
    tables, drawn, p_margin = [], [], []
    for p, under, look in zip(places, each, looks, strict=True):
        q, law = p.question, p.resolved.trained
        table = {name: _of_each([t[name] for t in under], look.at) for name in names}
        require_sense(table, q)
        assert law
        draws = draw_losses(table, arch, law)
        within = draws.p_at_most(q.max_loss, q.margin)
        if q.max_loss is None:  # the baseline is its own target
            within[0] = 1.0
        tables.append(table)
        drawn.append(draws)
        p_margin.append(within)
    legal, prices, losses, at = (
        np.stack([getattr(x, k) for x in looks]) for k in ("legal", "price", "loss", "at")
    )
    within = np.stack(p_margin)
    rows: dict[str, int] = {}
    ways = 1.0
    for key, purpose in purposes.items():  # the mix first
        here = list(purpose.places)
        ok = np.asarray(legal[here].all(axis=0))
        table = {
            "loss": purpose.mean(losses),
            "output_tokens_per_s": 1 / purpose.price(prices),
            "ready": tables[0]["ready"],
        }
        q = places[here[0]].question
        sure = within[here].min(axis=0)
        if key == "mix":
            tp_ready, *_, picks = among(table, q, bool(ok[0]), sure, ok)
            ways = 1.0 if q.any_shape or q.tp_ready else float(tp_ready or 1)
        else:  # what could be chosen for all could be for some
            finalists = np.append(on_front(table, ok & (table["ready"] >= ways)), rows["mix"])
            picks = choose(table, finalists, bool(ok[0]), sure, q.confidence)
        lead = lead_of(picks)
        if lead is None:
            return None
        rows[key] = lead
    mixed = purposes["mix"].price(prices)
    return Chosen(tuple(places), tables, drawn, legal, within, prices, at, mixed, rows, evaluated)


def _of_each(columns: Sequence[Any], at: Any) -> Any:
    """Return of each row the column of its setup."""
    return np.stack(columns)[at, np.arange(len(at))] if len(columns) > 1 else columns[0]
