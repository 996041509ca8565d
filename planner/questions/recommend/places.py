"""The places a shape is chosen for: scenarios, resolved, with the ways their devices may be arranged.

A scenario that states how a model is split or copied is served so. One that states nothing takes the
fewest devices on which some shape is served as asked: one, where one is enough. With `devices`, the
most it may take, all arrangements of at most as many are weighed, shape by shape: for the least money,
or for speed where that is what is chosen by. Shapes to choose from have no experts: ep stays 1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np

from planner.columns import Table
from planner.cost.money import HOUR_S, MTOK
from planner.errors import Infeasible, PlannerError, UnknownName
from planner.inputs.question import Question
from planner.questions.recommend.limits import Limit, Tally, limits_of
from planner.questions.recommend.recommend import resolve_question
from planner.questions.recommend.search import Count
from planner.results import Layout
from planner.scenario.legal import TP_DEGREES, too_long, whole_heads
from planner.scenario.options import ALIASES, ASKED, OPTIONS, option, question
from planner.scenario.scenario import Resolved

PLACED = ("deployment", "engine", "workload")  # groups of options that scenarios may differ in
LIMITS = ("ttft", "tpot", "e2e", "max_loss")
ARRANGED = ("tp", "pp", "replicas")
TPS, STAGES = tuple(reversed(TP_DEGREES)), (1, 2, 4, 8)
UNASKED = 8  # devices, the most that are tried where nobody says how many: a node's


@dataclass(frozen=True, slots=True)
class Setup:
    """One arrangement of a place's devices."""

    question: Question
    resolved: Resolved

    @property
    def layout(self) -> Layout:
        """How many ways a model is split and copied."""
        q = self.question
        devices = q.engine.n_devices * (q.replicas + q.prefill_replicas)
        return Layout(tp=q.engine.tp, pp=q.engine.pp, replicas=q.replicas, n_devices=devices)

    @property
    def usd_per_hour(self) -> float:
        """Price of all its devices; 0 where none is known."""
        price = np.nan_to_num(self.resolved.deployment.usd_per_device_hour)
        return float(price * self.layout.n_devices)

    def price(self, table: Table, by_money: bool) -> Any:
        """Return what a token costs of each row: dollars a million, or seconds of one."""
        over = self.usd_per_hour / HOUR_S * MTOK if by_money else 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return over / np.asarray(table["output_tokens_per_s"])

    def shared_evenly(self, table: Table) -> Any:
        """Return the rows of which every device gets whole heads, and every stage a layer."""
        tp, pp = self.question.engine.tp, self.question.engine.pp
        fit = table["n_layers"] >= pp
        return fit if tp == 1 else fit & whole_heads(table["n_heads"], table["n_kv_heads"], tp)


Lazily = Callable[[], tuple[Setup, ...]]


@dataclass(frozen=True, slots=True)
class Looked:
    """Rows in one place, each under the setup that is best for it."""

    legal: Any
    price: Any  # of a token
    loss: Any
    at: Any  # number of the setup


@dataclass(frozen=True, slots=True)
class Place:
    """One scenario and the setups weighed in it, fewest devices first."""

    name: str
    weight: float
    setups: tuple[Setup, ...]
    by_money: bool = False
    larger: tuple[Lazily, ...] = ()  # on more devices, in turn, where those are not enough
    chosen: Literal["", "fewest", "best"] = ""  # how the setup is, where nobody states it

    @property
    def question(self) -> Question:
        """What is asked, as the first setup answers it."""
        return self.setups[0].question

    @property
    def resolved(self) -> Resolved:
        """What shapes are judged under, but for the arrangement."""
        return self.setups[0].resolved

    @property
    def limits(self) -> list[Limit]:
        """What a shape must meet."""
        rate = float(np.ravel(self.resolved.load.rate_per_s)[0])
        served = Limit("--rate", "saturation_per_s", -rate * (1 + 1e-9), "1/s", sign=-1.0)
        return limits_of(self.question) + [served] * bool(self.chosen and np.isfinite(rate))

    def count(self) -> Count:
        """Return a count of nothing."""
        return Count(Tally(self.limits))

    def look(self, tables: Sequence[Table], count: Count) -> Looked:
        """Return rows as they are best arranged: of the setups that serve each, the one at least cost.

        Args:
            tables: of each setup, in their order.
            count: gets what was met.

        """
        tally, before = count.tally, count.tally.n_feasible
        even = np.stack([x.shared_evenly(t) for x, t in zip(self.setups, tables, strict=True)])
        legal = np.stack([tally.keep(table) for table in tables]) & even
        for setup, met in zip(self.setups, legal, strict=True):
            if met.any():
                count.fewest = min(count.fewest, setup.layout.n_devices)
        some = legal.any(axis=0)
        tally.n_feasible = before + int(some.sum())
        price = np.stack(
            [x.price(t, self.by_money) for x, t in zip(self.setups, tables, strict=True)]
        )
        if len(price) == 1:
            at = np.zeros(len(some), np.intp)
        else:
            may = np.where(some, legal, even) & np.isfinite(price)
            at = np.argmin(np.where(may, price, np.inf), axis=0)
        return Looked(some, price[at, np.arange(len(at))], np.asarray(tables[0]["loss"]), at)

    def after(self, count: Count) -> "Place | None":
        """Return the place on the devices it takes, now that is known; None where it stands on them.

        Too few are followed by more, and several counts by the least that was enough.
        """
        if not np.isfinite(count.fewest):
            return self._larger()
        least = tuple(s for s in self.setups if s.layout.n_devices == count.fewest)
        if self.chosen != "fewest" or len(least) == len(self.setups):
            return None
        return replace(self, setups=least, larger=())

    def infeasible(self, count: Count) -> Infeasible:
        """Name the place, and what binds in it."""
        error = count.tally.infeasible(self.question)
        most = self.setups[-1].layout.n_devices
        if not self.chosen:
            return Infeasible(f"scenario {self.name}: {error}", hint=error.hint)
        on = f"on {'up to ' * (most > 1)}{most} device{'s' * (most > 1)}"
        return Infeasible(
            f"scenario {self.name}: {error} ({on})",
            hint=f"{error.hint}; or give it more than {most}: devices = {2 * most}",
        )

    def _larger(self) -> "Place | None":
        for i, setups in enumerate(self.larger):
            try:
                return replace(self, setups=setups(), larger=self.larger[i + 1 :])
            except Infeasible:  # the matrices alone are too large
                continue
        return None


def scenario_question(
    name: str, own: Mapping[str, Any], params: Any, tokens: Any, shared: Mapping[str, Any]
) -> Question:
    """Return what one scenario asks.

    Raises:
        PlannerError: as `planner.scenario.options.question` does, with the scenario's name.

    """
    for key in own:
        plain = key.replace("-", "_")
        if plain not in LIMITS and (plain in ASKED or option(plain).group not in PLACED):
            known = [*LIMITS, *(o.name for o in OPTIONS.values() if o.group in PLACED), "devices"]
            raise UnknownName.among(f"option of scenario {name}", key, known)
    mine = {key.replace("-", "_"): value for key, value in own.items()}
    try:
        q = question(params, tokens, **{**shared, **mine})
    except PlannerError as error:
        raise type(error)(f"scenario {name}: {error}", hint=error.hint) from None
    if refused := too_long(q):
        raise refused.error()
    return q


def place_of(
    name: str, weight: float, q: Question, given: frozenset[str], devices: int | None, n: float
) -> Place:
    """Return a scenario's place.

    Args:
        name: of the scenario.
        weight: its share.
        q: what it asks.
        given: options that are stated of it.
        devices: the most it may take; None: as few as are enough, unless what is given says how many.
        n: about how many parameters the law counts of its shapes.

    Raises:
        Infeasible: the matrices alone exceed the memory, however they are split.
        SpecError: as `resolve_question`.

    """

    def within(least: int, most: int) -> tuple[Setup, ...]:
        return _resolved(name, arranged(q, given, least, most), n)

    if devices is None and given & {*ARRANGED, "prefill_replicas"}:
        return Place(name, weight, _resolved(name, [q], n))
    if devices is not None:
        return Place(name, weight, within(1, devices), chosen="best")
    stages = [partial(within, k + 1, 2 * k) for k in _doubling(UNASKED)]
    for i, stage in enumerate([partial(within, 1, 1), *stages]):
        try:
            return Place(name, weight, stage(), larger=tuple(stages[i:]), chosen="fewest")
        except Infeasible:
            if i == len(stages):
                raise
    raise AssertionError("a stage returns or raises")


def _doubling(most: int) -> Iterator[int]:
    k = 1
    while k < most:
        yield k
        k *= 2


def whole_numbers(most: int) -> list[int]:
    """Return numbers of copies to try: each up to 8, then four to an octave."""
    fine = [
        *range(1, 9),
        *(int(k * f) for k in _doubling(most) if k >= 8 for f in (1.25, 1.5, 1.75, 2)),
    ]
    return [k for k in fine if k <= most]


def arranged(q: Question, given: frozenset[str], least: int, most: int) -> Iterator[Question]:
    """Yield a question on every arrangement of `least` to `most` devices, the fewest first."""
    e, w = q.engine, q.workload
    requests = w.concurrency or w.burst or (w.batch if w.kind == "batch" else most)
    copies = [k for k in whole_numbers(most) if k <= requests]
    fixed = given | ({"replicas"} if "prefill_replicas" in given else set())
    tps, stages = ((e.tp,) if "tp" in given else TPS), ((e.pp,) if "pp" in given else STAGES)
    found = [
        (tp * pp * (r + q.prefill_replicas), pp, r, tp)
        for tp, pp, r in product(tps, stages, [q.replicas] if "replicas" in fixed else copies)
    ]
    for n, pp, replicas, tp in sorted(found):
        if least <= n <= most:
            engine = e.model_copy(update={"tp": tp, "pp": pp})
            yield q.model_copy(update={"engine": engine, "replicas": replicas})


def _resolved(name: str, questions: Iterable[Question], n: float) -> tuple[Setup, ...]:
    """Look everything up; arrangements that the matrices alone do not fit are left out."""
    found = []
    short = Infeasible(
        f"scenario {name}: what is stated of tp, pp and replicas takes more than its devices",
        hint="raise devices, or leave one of them out",
    )
    for q in questions:
        try:
            found.append(Setup(q, resolve_question(q, n)))
        except Infeasible as error:
            short = Infeasible(f"scenario {name}: {error}", hint=error.hint)
        except PlannerError as error:
            raise type(error)(f"scenario {name}: {error}", hint=error.hint) from None
    if not found:
        raise short
    return tuple(found)


def stated(own: Mapping[str, Any]) -> frozenset[str]:
    """Return the options that are given, by their own names."""
    plain = (key.replace("-", "_") for key in own)
    return frozenset(ALIASES.get(name, name) for name in plain)
