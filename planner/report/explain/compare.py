"""One shape against another, in words: which operators differ and why, and what the loss says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from planner.columns import Arch, as_rows
from planner.cost import params
from planner.cost.step import PARTS
from planner.law.compare import compare, loss_draws
from planner.law.law import shapes
from planner.questions.recommend.reasons import phase_seconds
from planner.scenario.evaluate import Evaluation
from planner.units import show, significant


@dataclass(frozen=True, slots=True)
class OperatorChange:
    """What one operator costs in both shapes, over the whole batch, and why it differs."""

    name: str
    phase: str
    a_s: float
    b_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Versus:
    """A against B: sentences, and the operators behind them, largest difference first."""

    a: str
    b: str
    sentences: tuple[str, ...]
    operators: tuple[OperatorChange, ...]


def compare_shapes(a: str, b: str, at: Mapping[str, Evaluation]) -> Versus:
    """Say why shape `a` of those looked at is faster or slower, better or worse, than `b`."""
    changes = _changes(at[a], at[b])
    speed = _speed(a, b, at[a], at[b], changes)
    return Versus(a, b, (*speed, *_loss(a, b, at[a], at[b])), changes)


def _changes(a: Evaluation, b: Evaluation) -> tuple[OperatorChange, ...]:
    mine, theirs = phase_seconds(a), phase_seconds(b)
    found = []
    for phase, name in dict.fromkeys([*mine, *theirs]):
        a_s, b_s = (seconds.get((phase, name), 0.0) for seconds in (mine, theirs))
        found.append(OperatorChange(name, phase, a_s, b_s, _cause(name, a.arch, b.arch)))
    return tuple(sorted(found, key=lambda c: -abs(c.a_s - c.b_s)))


def _cause(name: str, a: Arch, b: Arch) -> str:
    what = PARTS[name].cause
    mine, theirs = (float(PARTS[name].cause_of(arch)) for arch in (a, b))
    if not mine or not theirs:
        return "only one of them has it"
    if abs(mine / theirs - 1) < 0.005:
        return f"the same {what}; the steps differ in number or in size"
    return f"{significant(mine / theirs)} × the {what}, {show(mine)} against {show(theirs)}"


def _speed(
    a: str, b: str, mine: Evaluation, theirs: Evaluation, changes: tuple[OperatorChange, ...]
) -> list[str]:
    def both(name: str) -> tuple[float, float]:
        return float(mine[name]), float(theirs[name])

    speed, first, each = both("output_tokens_per_s"), both("ttft_s"), both("tpot_s")
    ratio = speed[0] / speed[1]
    word = "faster" if ratio >= 1 else "slower"
    head = (
        f"{a} is {abs(ratio - 1):.1%} {word} than {b}: {show(speed[0])} against {show(speed[1])} "
        f"output tokens/s (TPOT {show(each[0], 's')} against {show(each[1], 's')}, TTFT "
        f"{show(first[0], 's')} against {show(first[1], 's')})."
    )
    if abs(ratio - 1) < 0.002:
        head = f"{a} and {b} are equally fast: {show(speed[0])} output tokens/s."
    total = sum(c.b_s for c in changes)
    sentences = [head]
    for change in [c for c in changes if abs(c.a_s - c.b_s) > 0.01 * total][:4]:
        verb = "saves" if change.a_s < change.b_s else "costs"
        sentences.append(
            f"{PARTS[change.name].words.capitalize()} in {change.phase} {verb} "
            f"{show(abs(change.a_s - change.b_s), 's')} of {b}'s {show(total, 's')}: {change.why}."
        )
    kv, fits = both("kv_bytes_per_token"), both("max_concurrency")
    if abs(kv[0] / kv[1] - 1) > 0.005:
        sentences.append(
            f"A token of context takes {show(kv[0], 'byte')} in {a} and {show(kv[1], 'byte')} in "
            f"{b}; {fits[0]:.0f} requests fit against {fits[1]:.0f}."
        )
    return sentences


def _loss(a: str, b: str, mine: Evaluation, theirs: Evaluation) -> list[str]:
    """Take the difference in loss apart: size, width, MLP/attention ratio."""
    t = mine.resolved.trained
    assert t
    archs = (mine.arch, theirs.arch)
    losses = [float(e["loss"]) for e in (mine, theirs)]
    if not all(map(math.isfinite, losses)):
        return ["The law says nothing of the loss of one of them."]
    rows = [shapes(t.columns, as_rows(arch), t.tokens) for arch in archs]
    verdict = compare(*(loss_draws(t.columns, row)[:, 0] for row in rows))
    word = "lower" if losses[0] < losses[1] else "higher"
    head = f"{a}'s predicted loss is {abs(losses[0] - losses[1]):.3f} nats {word} ({losses[0]:.3f} against {losses[1]:.3f})"
    sure = max(verdict.p_better, 1 - verdict.p_better)
    head += ": a tie at this evidence." if verdict.tie else f", with a probability of {sure:.2f}."
    parts = []
    for name, what, best, read in (
        ("width", "x = d_model/√N", t.columns.x_opt, params.d_over_sqrt_n),
        ("MLP/attention ratio", "r", t.columns.r_opt, params.mlp_attn_ratio),
    ):
        own, other = (float(read(arch)) for arch in archs)
        if abs(own / other - 1) > 0.01:
            nearer = abs(math.log(own / best)) < abs(math.log(other / best))
            parts.append(
                f"its {name} is {'nearer to' if nearer else 'further from'} the best "
                f"({what} {own:.3g} against {other:.3g}, best {float(best):.3g})"
            )
    sentences = [head]
    if parts:
        reason = " and ".join(parts)
        sentences.append(reason[0].upper() + reason[1:] + ".")
    return sentences
