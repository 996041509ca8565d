"""How the decision moves with each assumption: the gain, and whether another shape would win."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from planner.equation import remembering
from planner.glossary import find_term
from planner.interval import Z
from planner.law.law import loss as law_loss
from planner.law.terms.shape import SHAPE
from planner.report.figures.style import BLUE, ORANGE, axis, layout, rounded
from planner.report.parts import Figure, Grid, esc, label
from planner.report.scene import Scene, arch_of
from planner.scenario.shapes import Conditions
from planner.serving.offline import output_tokens_per_s

DRAWN = 12  # bars one can still compare
Vary = Callable[[Conditions, float], Conditions | None]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is varied, from a low to a high setting, in words and as new conditions."""

    name: str  # the constant or input
    meaning: str
    low: str
    high: str
    vary: Vary  # of -1 (low) or +1 (high)


def _profile(part: str, field: str, factor: float, cap: float) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions:
        constants = c.served.profile.columns()[PARTS.index(part)]
        value = min(float(getattr(constants, field)) * factor**sign, cap)
        values = getattr(c.served.profile, part) | {field: value}
        profile = c.served.profile.model_copy(update={part: values})
        return replace(c, served=replace(c.served, profile=profile))

    return vary


def _law(field: str, sd_field: str) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions | None:
        part = c.law.conditional
        if part is None:
            return None
        value = getattr(part, field) * float(np.exp(sign * Z * getattr(part, sd_field)))
        law = c.law.model_copy(update={"conditional": part.model_copy(update={field: value})})
        return replace(c, law=law)

    return vary


def _workload(field: str, factor: float) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions:
        value = max(1.0, getattr(c.workload, field) * factor**sign)
        return replace(c, workload=replace(c.workload, **{field: value}))

    return vary


def assumptions(c: Conditions) -> list[Assumption]:
    """Return what a prediction assumes: every constant of the profile, the law's shape, the work.

    Efficiencies move by 20 % and times by a factor 2: about how far published profiles lie apart.
    """
    found = []
    kernels, overheads = c.served.profile.columns()
    for part, constants, names in (
        (PARTS[0], kernels, fields(kernels)),
        (PARTS[1], overheads, fields(overheads)),
    ):
        for f in names:
            value = float(getattr(constants, f.name))
            if value == 0.0 or value == 1.0:  # a switch, or something this engine does not have
                continue
            share = f.name.endswith(("_eff", "_share", "_clock"))
            factor, cap = (1.2, 1.0 if value <= 1 else np.inf) if share else (2.0, np.inf)
            term = find_term(f"{part}.{f.name}")
            vary = _profile(part, f.name, factor, cap)
            name = term.meaning if term else ""
            found.append(Assumption(f.name, name, f"÷ {factor:g}", f"× {factor:g}", vary))
    return [*found, *LAW_AND_WORK]


PARTS = ("kernels", "overheads")
LAW_AND_WORK = (
    *(
        Assumption(c.name, c.words, "10 %", "90 %", _law(c.name, c.sd_field))
        for c in SHAPE.coefficients
    ),
    Assumption("batch", "requests together", "÷ 2", "× 2", _workload("batch", 2.0)),
    Assumption("input_tokens", "prompt length", "÷ 2", "× 2", _workload("input_tokens", 2.0)),
    Assumption("output_tokens", "output length", "÷ 2", "× 2", _workload("output_tokens", 2.0)),
)


@dataclass(frozen=True, slots=True)
class End:
    """The decision at one end of an assumption."""

    gain: float  # the pick's tokens/s over the baseline's
    winner: str  # fastest whose loss is not above the target
    lead: float  # the winner's tokens/s over the pick's, less one
    excess: float  # the pick's loss above the target, nats


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
        return any(e.winner != pick and (e.lead > 0.005 or e.excess > 1e-9) for e in self.ends)


def effects(result: Mapping[str, Any], scene: Scene, pick: str) -> tuple[float, list[Effect]]:
    """Return the pick's gain over the baseline, and every assumption's effect, largest first.

    The finalists (baseline, picks, front) are judged again under each assumption; the winner is the
    fastest whose loss is not above the baseline's, or the target's where `--max-loss` set one.
    """
    finalists = list(scene.shapes.items())
    seen = {_key(shape) for _, shape in finalists}
    finalists += [(c.get("name", ""), c) for c in result["pareto"] if _key(c) not in seen]
    names = [name for name, _ in finalists]
    arch = arch_of([shape for _, shape in finalists])
    base, mine = names.index("baseline"), names.index(pick)
    asked = result["inputs"].get("max_loss")

    def judge(c: Conditions) -> End:
        with remembering():
            speed = np.ravel(output_tokens_per_s(c.served.system(arch), c.workload))
        loss = np.ravel(law_loss(c.law_columns, arch, c.tokens))
        target = asked or loss[base]
        winner = int(np.argmax(np.where(loss <= target + 1e-12, speed, -np.inf)))
        return End(
            gain=float(speed[mine] / speed[base]),
            winner=names[winner],
            lead=float(speed[winner] / speed[mine] - 1),
            excess=float(max(loss[mine] - target, 0.0)),
        )

    found = []
    for assumption in assumptions(scene.conditions):
        varied = [assumption.vary(scene.conditions, sign) for sign in (-1.0, 1.0)]
        if varied[0] is not None and varied[1] is not None:
            found.append(Effect(assumption, (judge(varied[0]), judge(varied[1]))))
    now = judge(scene.conditions).gain
    return now, sorted(found, key=lambda e: -e.size(now))


def _key(shape: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(shape[k] for k in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff"))


def _said(end: End, pick: str) -> str:
    """Say what one end does to the decision."""
    if end.winner == pick or (end.lead <= 0.005 and end.excess <= 1e-9):
        return "same pick"
    if end.excess > 1e-9:
        return f"pick misses the target by {end.excess:.3f} nats"
    return f"{label(end.winner)} is {end.lead:.1%} faster"


def sensitivity(result: Mapping[str, Any], scene: Scene, pick: str) -> tuple[Figure, Grid, str]:
    """Draw a tornado of the pick's gain, and say which assumptions would change the pick."""
    now, found = effects(result, scene, pick)
    drawn = [e for e in found if e.size(now) >= 0.002][:DRAWN]
    base = (now - 1) * 100
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": word,
            "y": [esc(e.assumption.name) for e in drawn],
            "base": base,
            "x": rounded([(e.ends[i].gain - now) * 100 for e in drawn]),
            "marker": {"color": colour},
            "hovertext": [
                f"<b>{esc(e.assumption.name)}</b> {(e.assumption.low, e.assumption.high)[i]}<br>"
                f"{esc(e.assumption.meaning)}<br>gain {e.ends[i].gain - 1:+.1%}<br>{esc(_said(e.ends[i], pick))}"
                for e in drawn
            ],
            "hoverinfo": "text",
        }
        for i, (word, colour) in enumerate((("low end", BLUE), ("high end", ORANGE)))
    ]
    moved = [e for e in found if e.moves(pick)]
    said = (
        f"Of {len(found)} assumptions, varied one at a time, none changes the pick."
        if not moved
        else f"Of {len(found)} assumptions, varied one at a time, {len(moved)} would change the "
        "pick: "
        + "; ".join(
            f"{e.assumption.meaning}, {e.assumption.name} ({', '.join(dict.fromkeys(_said(x, pick) for x in e.ends))})"
            for e in moved
        )
        + "."
    )
    largest = drawn[0].assumption.name if drawn else "none"
    figure = Figure(
        name="sensitivity",
        alt=f"Gain of the {label(pick)} pick over the baseline, {base:.0f} % now, under each "
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
    rows = [
        [
            f"{e.assumption.name}: {e.assumption.meaning}",
            f"{e.assumption.low} … {e.assumption.high}",
            f"{e.ends[0].gain - 1:+.1%}",
            f"{e.ends[1].gain - 1:+.1%}",
            " / ".join(dict.fromkeys(_said(x, pick) for x in e.ends)),
        ]
        for e in found
    ]
    header = ["assumption", "varied", "gain, low end", "gain, high end", "decision"]
    return figure, Grid(header, rows, caption="Every assumption", fold=True), said
