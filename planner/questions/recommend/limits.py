"""The limits a shape must meet, which one binds when none can, and why a shape was not chosen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planner.columns import Table
from planner.errors import Infeasible, SpecError
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec, llama_candidate
from planner.inputs.question import Question
from planner.metrics import LATENCIES
from planner.picks import SURE, title
from planner.questions.recommend.space import Space
from planner.results import Binding, Candidate, Dropped, Limited
from planner.scenario.legal import whole_heads
from planner.units import show, whole

NEAR = 0.05  # a pick within 5 % of a bound leans on it: about one step of the grid


@dataclass(frozen=True, slots=True)
class Limit:
    """`column` must be at most `at_most` (or, with a minus sign, at least)."""

    flag: str
    column: str
    at_most: float
    unit: str
    sign: float = 1.0  # -1 where more is better

    def value(self, table: Table) -> Any:
        """Return what must not exceed the limit."""
        return self.sign * table[self.column]

    def say(self, value: float) -> str:
        """Write a value of this limit for people."""
        return f"{abs(value):.3f}" if self.column == "loss" else show(abs(value), self.unit)


def limits_of(q: Question) -> list[Limit]:
    """Return the limits a question sets; that one request fits in memory is always one."""
    limits = [Limit("memory", "max_concurrency", -1.0, "", sign=-1.0)]
    if q.max_loss:
        limits.append(Limit("--max-loss", "loss", q.max_loss, "nats"))
    asked = [(x, getattr(q, x.name, None)) for x in LATENCIES.values()]
    return limits + [Limit(x.flag, x.name, limit, "s") for x, limit in asked if limit]


@dataclass(slots=True)
class Tally:
    """How many rows each limit dropped, and how near the best row came to each, the others met."""

    limits: list[Limit]
    n_evaluated: int = 0
    n_feasible: int = 0
    nearest: dict[str, float] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, table: Table) -> Any:
        """Return the mask of rows that meet every limit, and remember the near misses."""
        met = [limit.value(table) <= limit.at_most for limit in self.limits]
        ok = np.logical_and.reduce(met)
        self.n_evaluated += len(ok)
        self.n_feasible += int(ok.sum())
        for i, limit in enumerate(self.limits):
            self.dropped[limit.flag] += int(np.size(ok) - np.sum(met[i]))
            others = np.logical_and.reduce([*met[:i], *met[i + 1 :], np.ones(len(ok), bool)])
            if others.any():
                self._near(limit.flag, float(limit.value(table)[others].min()))
        return ok

    def reset(self) -> None:
        """Count from nothing."""
        self.n_evaluated = self.n_feasible = 0
        self.nearest.clear()
        self.dropped.clear()

    def merge(self, other: "Tally") -> None:
        """Add what another tally of the same limits counted."""
        self.n_evaluated += other.n_evaluated
        self.n_feasible += other.n_feasible
        for flag, best in other.nearest.items():
            self._near(flag, best)
        self.dropped.update(other.dropped)

    def _near(self, flag: str, best: float) -> None:
        self.nearest[flag] = min(self.nearest.get(flag, np.inf), best)

    def record(self) -> tuple[Dropped, ...]:
        """Return what each limit refused, for the result."""
        return tuple(
            Dropped(
                limit=x.flag,
                bound=x.sign * x.at_most,
                n=self.dropped[x.flag],
                nearest=x.sign * self.nearest[x.flag] if x.flag in self.nearest else None,
                unit=x.unit,
            )
            for x in self.limits
            if self.dropped[x.flag]
        )

    def infeasible(self, q: Question) -> Infeasible:
        """Name the limit whose loosening alone, by the least, would let a shape through."""
        if not self.n_evaluated:
            return Infeasible(
                f"no legal shape of {show(q.params)} parameters within {q.tolerance:.3g} on a grid "
                f"of {q.align}",
                hint="raise --tolerance or lower --align",
            )
        by_flag = {limit.flag: limit for limit in self.limits}
        alone = {f: v for f, v in self.nearest.items() if v > by_flag[f].at_most}
        if not alone:
            flags = ", ".join(limit.flag for limit in self.limits)
            return Infeasible(f"no shape meets {flags} together", hint="loosen two of them")
        flag = min(alone, key=lambda f: abs(alone[f] / by_flag[f].at_most))
        limit = by_flag[flag]
        if flag == "memory":
            return Infeasible(
                f"no shape of {show(q.params)} parameters fits one request of "
                f"{q.workload.input_tokens} + {q.workload.output_tokens} tokens on {q.on}",
                hint="choose a device with more memory, a smaller --dtype or a higher --tp",
            )
        nearest = limit.say(alone[flag])
        return Infeasible(
            f"no shape meets {flag} {limit.say(limit.at_most)} in the workload asked for (a "
            f"{q.workload.kind}); it is what binds",
            hint=f"the nearest feasible value is {flag} {nearest.replace(' ', '')}",
        )


def binding(q: Question, table: Table, row: int, finalists: Any, p_margin: Any) -> list[Binding]:
    """Return what binds the row of the pick to train; `table` holds the fronts it was chosen from."""
    pick = {name: float(table[name][row]) for name in table if name != "bound"}
    found: list[Binding | None] = [_sureness(q, table, row, finalists, p_margin)]
    found += [
        _at_bound(f"{name} in [{low:g}, {high:g}], the law's evidence", pick[column], low, high)
        for name, column, (low, high) in (
            ("r", "mlp_attn_ratio", q.mlp_attn_ratio),
            ("d_model/√N", "d_over_sqrt_n", q.d_over_sqrt_n),
        )
    ]
    if pick["gqa"] >= max(q.gqa):
        text = "larger groups would be faster, at an unknown cost in loss; see --gqa"
        most = max(q.gqa)
        found.append(_bind(f"GQA up to {most}", most, pick["gqa"], text))
    for x in LATENCIES.values():
        limit = getattr(q, x.name, None)
        if limit and pick[x.name] > (1 - NEAR) * limit:
            text = f"the pick takes {show(pick[x.name], 's')} of the {show(limit, 's')} allowed"
            found.append(_bind(x.flag, limit, pick[x.name], text))
    return [b for b in found if b]


def cut(table: Table, ways: int | None, leads: Mapping[int, int | None]) -> list[Binding]:
    """Return what it costs that heads divide so many ways, or would cost to divide more."""
    rows = {w: row for w, row in leads.items() if row is not None}
    if ways not in rows or not len(rows) > 1:
        return []
    mine = rows[ways]
    other = 1 if ways > 1 else min(w for w in rows if w > 1)
    speed, loss = table["output_tokens_per_s"], table["loss"]
    faster = speed[rows[other]] / speed[mine] - 1
    change = f"{faster:+.1%} tokens/s, {loss[rows[other]] - loss[mine]:+.3f} nats"
    flag = "--any-shape" if ways > 1 else f"--tp-ready {other}"
    text = f"{flag} would give {change}" if abs(faster) >= 5e-4 else f"{flag} would serve no faster"
    heads = f"{table['n_heads'][mine]:.0f} heads on {table['n_kv_heads'][mine]:.0f} KV heads"
    return [_bind(f"heads cut {ways} way{'s' * (ways > 1)}: {heads}", ways, ways, text)]


def depth_caps(space: Space, table: Table, chosen: Mapping[str, int | None]) -> list[Binding]:
    """Return the ends of the depths searched at which picks lie, each with what it means."""
    if len(space.layers) < 2:
        return []
    found = []
    for cap in (space.layers[0], space.layers[-1]):
        near = {
            *([] if space.caps else [cap]),
            *(k for k in space.caps if (k < space.layers[2]) == (cap == space.layers[0])),
        }
        names = [k for k, i in chosen.items() if i is not None and table["n_layers"][i] in near]
        if names:
            at = ", ".join(map(title, names))
            text = "the law would go on beyond the depths in --layers; their end chose, not the law"
            if space.caps:
                text = (
                    "the law would go on beyond what evidence reaches: picks are taken at the "
                    "reference depth instead; --layers asks for others"
                )
            found.append(_bind(f"depths searched, for {at}", cap, cap, text))
    return found


def _bind(constraint: str, limit: float, value: float, relaxing: str) -> Binding:
    return Binding(constraint=constraint, limit=limit, value=value, relaxing=relaxing)


def _sureness(q: Question, table: Table, row: int, finalists: Any, p_margin: Any) -> Binding | None:
    """Price how sure the pick must be: the fastest shape of the least confidence asked for."""
    speed = table["output_tokens_per_s"]
    likely = finalists[p_margin[finalists] >= q.confidence]
    fastest = likely[np.argmax(speed[likely])] if len(likely) else row
    buys = float(speed[fastest] / speed[row]) - 1
    if buys < 0.005:
        return None
    text = f"one {p_margin[fastest]:.0%} sure would serve {buys:+.0%} tokens/s"
    name = f"at least {SURE:.0%} sure to lose at most {q.margin:g} nats"
    return _bind(name, SURE, float(p_margin[row]), text)


def _at_bound(name: str, value: float, low: float, high: float) -> Binding | None:
    for bound in (low, high):
        if abs(np.log(value / bound)) < NEAR:
            text = "the search stops there; widen it only with training runs of your own"
            return _bind(name, bound, value, text)
    return None


SHAPE_HINT = "write e.g. d_model=3840,n_heads=16,n_kv_heads=2,d_ff=7680, or a model's name"
_ASKED = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff")


def shape_asked(text: str, like: ModelSpec) -> ModelSpec:
    """Read a shape: ``d_model=3840,n_heads=16,…`` with the rest as `like` has it, or a model.

    Raises:
        SpecError: no such field, or no legal shape.
        UnknownName: no such model.

    """
    if "=" not in text:
        return load_model(text)
    values = {name: getattr(like, name) for name in (*_ASKED, "vocab_size")}
    for part in text.split(","):
        name, _, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if name not in _ASKED:
            raise SpecError(f"--why-not: {name!r} is no part of a shape", hint=SHAPE_HINT)
        values[name] = whole(value.strip(), f"--why-not: {name}")
    try:
        return llama_candidate(**values, name=text)
    except ValueError as error:
        message = str(error).partition("Value error, ")[2].partition(" [")[0] or "no legal shape"
        raise SpecError(f"--why-not: {text}: {message}", hint=SHAPE_HINT) from None


def checks(
    space: Space, m: ModelSpec, found: Candidate, limits: Sequence[Limit], lead: Candidate | None
) -> tuple[Limited, ...]:
    """Return every limit with what a shape reaches of it: those of the search space first."""
    q = space.question
    n = m.n_params if q.params_kind == "total" else m.n_params_non_embedding
    off, tp = abs(n / q.params - 1), q.engine.tp
    (r_low, r_high), (x_low, x_high) = q.mlp_attn_ratio, q.d_over_sqrt_n

    def check(limit: str, value: float | None, bound: float, met: bool) -> Limited:
        return Limited(limit=limit, value=value, bound=bound, met=met)

    def inside(limit: str, value: float, low: float, high: float) -> Limited:
        met = low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
        return check(limit, value, low if value < low else high, met)

    def among(limit: str, value: float, known: Sequence[float]) -> Limited:
        nearest = min(known, key=lambda k: abs(k - value))
        return check(limit, value, nearest, value in known)

    cut = bool(whole_heads(m.n_heads, m.n_kv_heads, tp))
    rows = [
        check("--tolerance of --params", off, q.tolerance, off <= q.tolerance),
        among("--layers", m.n_layers, space.layers),
        among("--head-dim", m.head_dim, space.head_dims),
        among("--gqa", m.gqa, q.gqa),
        among("--align of d_model", m.d_model, [round(m.d_model / q.align) * q.align]),
        among("--align of d_ff", m.d_ff, [round(m.d_ff / q.align) * q.align]),
        check("--tp cuts whole heads", m.n_heads, tp, cut),
        inside("--mlp-attn-ratio", m.mlp_attn_ratio, r_low, r_high),
        inside("--d-over-sqrt-n", m.d_over_sqrt_n, x_low, x_high),
    ]
    for limit in limits:
        value = found.get(limit.column)
        value = getattr(value, "value", value)
        met = value is not None and limit.sign * value <= limit.at_most
        rows.append(check(limit.flag, value, limit.sign * limit.at_most, met))
    sure = found.p_within_margin
    rows.append(check(f"P of at most --margin {q.margin:g} lost", sure, SURE, (sure or 0) >= SURE))
    if lead is not None:
        speed, best = found.output_tokens_per_s, lead.output_tokens_per_s.value
        reached = speed.value if speed is not None else None
        met = reached is not None and reached >= best * (1 - 1e-9)
        rows.append(check("output tokens/s of the recommended pick", reached, best, met))
    return tuple(rows)
