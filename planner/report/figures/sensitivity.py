"""How the decision moves with each assumption: the gain, and whether another shape would win."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.report.figures.style import BLUE, ORANGE, axis, layout, rounded
from planner.report.parts import Figure, Grid, esc, label
from planner.report.scene import Scene, arch_of
from planner.search.evaluate import Conditions
from planner.serving.offline import output_tokens_per_s
from planner.law.predict import predict_loss

Vary = Callable[[Conditions, float], Conditions | None]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is varied, from a low to a high setting, in words and as new conditions."""

    name: str
    low: str
    high: str
    vary: Vary  # of -1 (low) or +1 (high)


def _profile(part: str, field: str, factor: float, cap: float = float("inf")) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions:
        values = dict(getattr(c.served.profile, part))
        if field not in values:
            defaults = c.served.profile.columns()[0 if part == "kernels" else 1]
            values[field] = getattr(defaults, field)
        values[field] = min(values[field] * factor**sign, cap)
        profile = c.served.profile.model_copy(update={part: values})
        return replace(c, served=replace(c.served, profile=profile))

    return vary


def _law(field: str, sd_field: str) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions | None:
        part = c.law.conditional
        if part is None:
            return None
        value = getattr(part, field) * float(np.exp(sign * 1.28 * getattr(part, sd_field)))
        law = c.law.model_copy(update={"conditional": part.model_copy(update={field: value})})
        return replace(c, law=law)

    return vary


def _workload(field: str, factor: float) -> Vary:
    def vary(c: Conditions, sign: float) -> Conditions:
        value = max(1.0, getattr(c.workload, field) * factor**sign)
        return replace(c, workload=replace(c.workload, **{field: value}))

    return vary


# Efficiencies by 20 %, overheads by a factor 2: about how far published profiles lie apart.
ASSUMPTIONS = (
    Assumption("matrix products: compute efficiency", "÷ 1.2", "× 1.2", _profile("kernels", "gemm_compute_eff", 1.2, 1.0)),
    Assumption("matrix products: bandwidth efficiency", "÷ 1.2", "× 1.2", _profile("kernels", "gemm_hbm_eff", 1.2, 1.0)),
    Assumption("attention: bandwidth efficiency", "÷ 1.2", "× 1.2", _profile("kernels", "attention_hbm_eff", 1.2, 1.0)),
    Assumption("attention: compute efficiency", "÷ 1.2", "× 1.2", _profile("kernels", "attention_compute_eff", 1.2, 1.0)),
    Assumption("kernel launch time", "÷ 2", "× 2", _profile("kernels", "launch_s", 2.0)),
    Assumption("engine overhead a step", "÷ 2", "× 2", _profile("overheads", "step_s", 2.0)),
    Assumption("engine overhead a sequence", "÷ 2", "× 2", _profile("overheads", "sequence_s", 2.0)),
    Assumption("best width, x*", "10 %", "90 %", _law("x_opt", "x_opt_ln_sd")),
    Assumption("cost of a wrong width, k_x", "10 %", "90 %", _law("k_x", "k_x_ln_sd")),
    Assumption("best MLP/attention ratio, r*", "10 %", "90 %", _law("r_opt", "r_opt_ln_sd")),
    Assumption("cost of a wrong ratio, k_r", "10 %", "90 %", _law("k_r", "k_r_ln_sd")),
    Assumption("requests together", "÷ 2", "× 2", _workload("batch", 2.0)),
    Assumption("prompt length", "÷ 2", "× 2", _workload("input_tokens", 2.0)),
    Assumption("output length", "÷ 2", "× 2", _workload("output_tokens", 2.0)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Effect:
    """What one assumption does: the pick's gain at its low and high end, and who wins there."""

    assumption: Assumption
    gain: tuple[float, float]
    winner: tuple[str, str]


def effects(result: Mapping[str, Any], scene: Scene, pick: str) -> tuple[float, list[Effect]]:
    """Return the pick's gain over the baseline, and every assumption's effect, largest first.

    The finalists (baseline, picks, front) are judged again under each assumption; the winner is the
    fastest whose loss is not above the baseline's, or the target's where `--max-loss` set one.
    """
    finalists = list(scene.shapes.items())
    seen = {_key(shape) for _, shape in finalists}
    finalists += [
        (c.get("name", ""), c) for c in result.get("pareto", ()) if _key(c) not in seen
    ]
    names = [name for name, _ in finalists]
    arch = arch_of([shape for _, shape in finalists])
    base, mine = names.index("baseline"), names.index(pick)
    asked = result["inputs"].get("max_loss")

    def judge(c: Conditions) -> tuple[float, str]:
        speed = np.ravel(output_tokens_per_s(c.served.system(arch), c.workload))
        loss = np.ravel(
            predict_loss(c.law.columns(), c.law.shapes(arch, c.tokens, depth=c.depth_term))
        )
        good = loss <= (asked or loss[base]) + 1e-12
        winner = int(np.argmax(np.where(good, speed, -np.inf)))
        return float(speed[mine] / speed[base]), names[winner]

    found = []
    for assumption in ASSUMPTIONS:
        ends = [assumption.vary(scene.conditions, sign) for sign in (-1.0, 1.0)]
        if ends[0] is None or ends[1] is None:
            continue
        (low, first), (high, second) = judge(ends[0]), judge(ends[1])
        found.append(Effect(assumption, (low, high), (first, second)))
    now, _ = judge(scene.conditions)
    return now, sorted(found, key=lambda e: -max(abs(g - now) for g in e.gain))


def _key(shape: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(shape[k] for k in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff"))


def sensitivity(result: Mapping[str, Any], scene: Scene, pick: str) -> tuple[Figure, Grid, str]:
    """Draw a tornado of the pick's gain, and say which assumptions would change the pick."""
    now, found = effects(result, scene, pick)
    y = [esc(e.assumption.name) for e in found]
    base = (now - 1) * 100
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": word,
            "y": y,
            "base": base,
            "x": rounded([(e.gain[i] - now) * 100 for e in found]),
            "marker": {"color": colour},
            "hovertext": [
                f"<b>{esc(e.assumption.name)}</b> {(e.assumption.low, e.assumption.high)[i]}<br>"
                f"gain {e.gain[i] - 1:+.1%}<br>fastest here: {esc(label(e.winner[i]))}"
                for e in found
            ],
            "hoverinfo": "text",
        }
        for i, (word, colour) in enumerate((("low end", BLUE), ("high end", ORANGE)))
    ]
    moved = [e for e in found if any(w != pick for w in e.winner)]
    said = (
        f"The {label(pick)} pick stays the fastest at or below the target loss under every "
        "assumption below, taken one at a time."
        if not moved
        else f"Another shape would be the fastest at or below the target loss under "
        f"{len(moved)} of {len(found)} assumptions, taken one at a time: "
        + ", ".join(e.assumption.name for e in moved)
        + ". Its gain over the baseline is drawn all the same."
    )
    figure = Figure(
        name="sensitivity",
        alt=f"Gain of the {label(pick)} pick over the baseline, {base:.0f} % now, under each "
        f"assumption's low and high end; the largest effect is {found[0].assumption.name}.",
        data=data,
        layout=layout(
            axis("tokens/s over the baseline, %"),
            axis("", autorange="reversed"),
            barmode="overlay",
        ),
        caption="Each assumption alone, the others as they are. Law parameters move between the "
        "10 % and 90 % points of their prior.",
        height=150 + 30 * len(found),
    )
    rows = [
        [
            e.assumption.name,
            f"{e.assumption.low} … {e.assumption.high}",
            f"{e.gain[0] - 1:+.1%}",
            f"{e.gain[1] - 1:+.1%}",
            "same" if all(w == pick for w in e.winner) else " / ".join(map(label, e.winner)),
        ]
        for e in found
    ]
    header = ["assumption", "varied", "gain, low end", "gain, high end", "fastest"]
    return figure, Grid(header, rows, caption="Every assumption", fold=True), said
