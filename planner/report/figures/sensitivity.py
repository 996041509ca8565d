"""How the decision moves with each assumption: the gain, and whether another shape would win."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from planner.equation import remembering
from planner.glossary import find_term
from planner.interval import Z
from planner.picks import SURE, title
from planner.report.figures.style import BLUE, ORANGE, axis, layout, rounded, trace
from planner.report.parts import Column, Figure, Grid, esc, grid
from planner.results import Recommendation
from planner.scenario.evaluate import Evaluation
from planner.scenario.intervals import draw_losses
from planner.scenario.scenario import Resolved, arch_of

DRAWN = 12  # bars one can still compare
PARTS = ("kernels", "overheads")  # of a profile
SD = "_ln_sd"  # ends the name of a law's field that is the spread of another
Vary = Callable[[Resolved, float], Resolved]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is varied, from a low to a high setting, in words and as new conditions."""

    name: str  # the constant or input
    meaning: str
    low: str
    high: str
    vary: Vary  # of -1 (low) or +1 (high)


def _profile(part: str, field: str, value: float, factor: float, cap: float) -> Vary:
    def vary(r: Resolved, sign: float) -> Resolved:
        d = r.deployment
        values = getattr(d.profile, part) | {field: min(value * factor**sign, cap)}
        profile = d.profile.model_copy(update={part: values})
        return replace(r, deployment=replace(d, profile=profile))

    return vary


def _law(field: str, ln_sd: float) -> Vary:
    def vary(r: Resolved, sign: float) -> Resolved:
        assert r.trained and r.trained.law.conditional
        t, part = r.trained, r.trained.law.conditional
        value = getattr(part, field) * float(np.exp(sign * Z * ln_sd))
        law = t.law.model_copy(update={"conditional": part.model_copy(update={field: value})})
        return replace(r, trained=replace(t, law=law))

    return vary


def _load(field: str) -> Vary:
    def vary(r: Resolved, sign: float) -> Resolved:
        if hasattr(r.load, field):
            return replace(r, load=replace(r.load, **{field: getattr(r.load, field) * 2.0**sign}))
        w = r.load.workload
        more = {field: max(1.0, getattr(w, field) * 2.0**sign)}
        return replace(r, load=replace(r.load, workload=replace(w, **more)))

    return vary


def _meaning(name: str, owner: str = "") -> str:
    term = find_term(f"{owner}.{name}") if owner else find_term(name)
    return term.meaning if term else ""


def assumptions(r: Resolved) -> list[Assumption]:
    """Return what a prediction assumes: every constant of the profile, the law's shape, the work.

    Efficiencies move by 20 % and times by a factor 2: about how far published profiles lie apart.
    """
    found = []
    columns: tuple[Any, ...] = r.deployment.profile.columns()
    for part, constants in zip(PARTS, columns, strict=True):
        for f in fields(constants):
            value = float(getattr(constants, f.name))
            if value == 0.0 or value == 1.0:  # a switch, or something this engine does not have
                continue
            share = f.name.endswith(("_eff", "_share", "_clock"))
            factor, cap = (1.2, 1.0 if value <= 1 else np.inf) if share else (2.0, np.inf)
            vary = _profile(part, f.name, value, factor, cap)
            words = _meaning(f.name, part)
            found.append(Assumption(f.name, words, f"÷ {factor:g}", f"× {factor:g}", vary))
    conditional = r.trained and r.trained.law.conditional
    spreads = [f for f in type(conditional).model_fields if f.endswith(SD)] if conditional else []
    for spread in spreads:
        name = spread.removesuffix(SD)
        vary = _law(name, float(getattr(conditional, spread)))
        found.append(Assumption(name, _meaning(name), "10 %", "90 %", vary))
    asked = "rate_per_s" if r.kind.by_the_clock else "batch"
    for name in (asked, "input_tokens", "output_tokens"):
        found.append(Assumption(name, _meaning(name), "÷ 2", "× 2", _load(name)))
    return found


@dataclass(frozen=True, slots=True)
class End:
    """The decision at one end of an assumption."""

    gain: float  # the pick's tokens/s over the baseline's
    winner: str  # fastest that is sure enough to be within the margin of the target
    lead: float  # the winner's tokens/s over the pick's, less one
    sure: float  # P that the pick is within the margin


@dataclass(frozen=True, slots=True)
class Effect:
    """What one assumption does at its low and its high end."""

    assumption: Assumption
    ends: tuple[End, End]

    def size(self, now: float) -> float:
        """Return how far the gain moves at most."""
        return max(abs(e.gain - now) for e in self.ends)

    def moves(self, pick: str) -> bool:
        """Return whether another shape wins by more than half a percent, or the pick misses."""
        return any(e.winner != pick and (e.lead > 0.005 or e.sure < SURE) for e in self.ends)


def effects(result: Recommendation, r: Resolved, pick: str) -> tuple[float, list[Effect]]:
    """Return the pick's gain over the baseline, and every assumption's effect, largest first.

    The finalists (baseline, picks, front) are judged again under each assumption; the winner is the
    fastest that is sure enough to lose no more than the margin, as `recommend` chooses.
    """
    finalists = list(result.shapes.items())
    seen = [c.shape for _, c in finalists]
    finalists += [(c.name, c) for c in result.pareto if c.shape not in seen]
    names = [name for name, _ in finalists]
    arch = arch_of([c.model for _, c in finalists])
    base, mine = names.index("baseline"), names.index(pick)

    def judge(r: Resolved) -> End:
        e = Evaluation(r, arch)
        with remembering():
            speed, loss = (
                np.broadcast_to(e[n], len(names)) for n in ("output_tokens_per_s", "loss")
            )
        assert r.trained
        q, table = result.inputs, {"loss": loss, "accuracy": loss}
        sure = draw_losses(table, arch, r.trained).p_at_most(q.max_loss, q.margin)
        sure[base] = 1.0 if q.max_loss is None else sure[base]
        winner = int(np.argmax(np.where(sure >= SURE - 1e-9, speed, -np.inf)))
        return End(
            gain=float(speed[mine] / speed[base]),
            winner=names[winner],
            lead=float(speed[winner] / speed[mine] - 1),
            sure=float(sure[mine]),
        )

    found = [Effect(a, (judge(a.vary(r, -1.0)), judge(a.vary(r, 1.0)))) for a in assumptions(r)]
    now = judge(r).gain
    return now, sorted(found, key=lambda e: -e.size(now))


def _said(end: End, pick: str) -> str:
    """Say what one end does to the decision."""
    if end.winner == pick or (end.lead <= 0.005 and end.sure >= SURE):
        return "same pick"
    if end.sure < SURE:
        return f"the pick is only {end.sure:.0%} sure; {title(end.winner)} is chosen"
    return f"{title(end.winner)} is {end.lead:.1%} faster"


def sensitivity(result: Recommendation, r: Resolved, pick: str) -> tuple[Figure, Grid, str]:
    """Draw a tornado of the pick's gain, and say which assumptions would change the pick."""
    now, found = effects(result, r, pick)
    drawn = [e for e in found if e.size(now) >= 0.002][:DRAWN]
    base = (now - 1) * 100
    data = [
        trace(
            "bar",
            [
                f"<b>{esc(e.assumption.name)}</b> {(e.assumption.low, e.assumption.high)[i]}<br>"
                f"{esc(e.assumption.meaning)}<br>gain {e.ends[i].gain - 1:+.1%}<br>{esc(_said(e.ends[i], pick))}"
                for e in drawn
            ],
            orientation="h",
            name=word,
            y=[esc(e.assumption.name) for e in drawn],
            base=base,
            x=rounded([(e.ends[i].gain - now) * 100 for e in drawn]),
            marker={"color": colour},
        )
        for i, (word, colour) in enumerate((("low end", BLUE), ("high end", ORANGE)))
    ]
    moved = [e for e in found if e.moves(pick)]

    def decisions(e: Effect, between: str) -> str:
        return between.join(dict.fromkeys(_said(end, pick) for end in e.ends))

    told = [f"{e.assumption.meaning}, {e.assumption.name} ({decisions(e, ', ')})" for e in moved]
    change = f"{len(moved)} would change the pick: {'; '.join(told)}"
    outcome = change if moved else "none changes the pick"
    said = f"Of {len(found)} assumptions, varied one at a time, {outcome}."
    largest = drawn[0].assumption.name if drawn else "none"
    figure = Figure(
        name="sensitivity",
        alt=f"Gain of the {title(pick)} pick over the baseline, {base:.0f} % now, under each "
        f"assumption's low and high end; the largest effect is of {largest}.",
        data=data,
        layout=layout(
            axis("tokens/s over the baseline, %"),
            axis("", autorange="reversed", tickfont={"size": 11}),
            barmode="overlay",
        ),
        caption=f"Each assumption alone, the others as they are; the {len(drawn)} with the largest "
        "effect on the gain. Law parameters move between the 10 % and 90 % points of their prior.",
        height=150 + 30 * max(len(drawn), 1),
    )
    columns = [
        Column("assumption", lambda e: f"{e.assumption.name}: {e.assumption.meaning}"),
        Column("varied", lambda e: f"{e.assumption.low} … {e.assumption.high}"),
        Column("gain, low end", lambda e: f"{e.ends[0].gain - 1:+.1%}"),
        Column("gain, high end", lambda e: f"{e.ends[1].gain - 1:+.1%}"),
        Column("decision", lambda e: decisions(e, " / ")),
    ]
    return figure, grid(found, columns, "Every assumption", fold=True), said
