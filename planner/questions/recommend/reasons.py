"""Why a pick wins, in plain words, and what to train to verify it."""

from typing import Any

import numpy as np

from planner.columns import Arch, take
from planner.cost.step import PARTS
from planner.law.accuracy import RESOLVED_ACCURACY
from planner.results import Candidate
from planner.scenario.evaluate import Evaluation, operators
from planner.units import show


def phase_seconds(e: Evaluation) -> dict[tuple[str, str], float]:
    """Return the seconds of the whole batch, or of a request, by phase and operator."""
    return {
        (phase, name): op["seconds"] * p["steps"]
        for phase, p in operators(e).items()
        for name, op in p["operators"].items()
    }


def seconds_by_operator(e: Evaluation) -> dict[str, float]:
    """Return those seconds operator by operator."""
    total: dict[str, float] = {}
    for (_, name), seconds in phase_seconds(e).items():
        total[name] = total.get(name, 0.0) + seconds
    return total


def why(pick: Candidate, baseline: Candidate, mine: Any, theirs: Any, over: str) -> str:
    """Say which operators made `pick` faster than the baseline, by how much, and at what loss.

    `over` is what the seconds are of: the batch, or a request.
    """
    versus = pick.loss_vs_baseline or {}
    total = sum(theirs.values())
    change = {n: mine.get(n, 0.0) - theirs.get(n, 0.0) for n in {*mine, *theirs}}
    faster = sorted((n for n in change if change[n] < -0.005 * total), key=lambda n: change[n])
    slower = sorted((n for n in change if change[n] > 0.005 * total), key=lambda n: -change[n])
    parts = []
    ratio = pick.gain.value if pick.gain else 1.0
    if abs(ratio - 1) < 0.005:
        parts.append("As fast as the baseline.")
    else:
        word = "faster" if ratio > 1 else "slower"
        took = f"{show(sum(mine.values()), 's')}, not {show(total, 's')}"
        parts.append(f"{abs(ratio - 1):.0%} {word} than the baseline over {over} ({took}):")
        moves = [_move(n, mine, theirs) for n in (faster, slower)[ratio < 1][:2]]
        against = [_move(n, mine, theirs) for n in (slower, faster)[ratio < 1][:1]]
        text = " and ".join(moves) or "small savings everywhere"
        parts.append(text + (f", while {against[0]}." if against else "."))
    kv = pick.kv_bytes_per_token / baseline.kv_bytes_per_token
    if abs(kv - 1) > 0.02:
        parts.append(
            f"Its KV cache takes {show(pick.kv_bytes_per_token, 'byte')} a token, "
            f"{kv:.2f}× the baseline's."
        )
    # What stands beside it subtracts: of losses as they are written.
    difference = round(pick.loss.value, 3) - round(baseline.loss.value, 3)
    if versus.get("tie"):
        parts.append(f"Loss differs by {difference:+.3f} nats: a tie at this evidence.")
    else:
        parts.append(
            f"Loss differs by {difference:+.3f} nats ({versus.get('p_better', 0.5):.0%} sure to be lower)."
        )
    points = 100 * (pick.accuracy.value - baseline.accuracy.value)
    if 0.05 <= abs(points) < 100 * RESOLVED_ACCURACY:
        parts.append(f"Accuracy differs by {points:+.1f} points: a tie, under one point.")
    return " ".join(parts)


def _move(name: str, mine: Any, theirs: Any) -> str:
    """Say how one operator's time changed."""
    before, after = theirs.get(name, 0.0), mine.get(name, 0.0)
    verb = "fell" if after < before else "rose"
    return f"{PARTS[name].words} {verb} from {show(before, 's')} to {show(after, 's')}"


def to_verify(arch: Arch, row: int, align: int) -> tuple[dict[str, Any], ...]:
    """Return the neighbours in GQA to train, in the order of the paper's early-stopping search.

    Start at the evidence's group of 4 (or the largest below it that divides n_heads) and move to
    larger groups; stop at the first whose loss is worse than at the start. d_ff refills N.
    [Bian et al., arXiv 2510.18245, Algorithm 1.]
    """
    one = take(arch, row)
    heads, d_model, head_dim = int(one.n_heads), float(one.d_model), float(one.head_dim)
    groups = [g for g in range(1, heads + 1) if heads % g == 0]
    start = max(g for g in groups if g <= 4)
    layer = d_model * head_dim * (2 * one.n_heads + 2 * one.n_kv_heads) + 3 * d_model * one.d_ff
    own = heads // int(one.n_kv_heads)
    order = [start, *(g for g in groups if start < g <= max(own, 9))]
    result = []
    for group in order:
        attention = d_model * head_dim * (2 * heads + 2 * heads / group)
        d_ff = int(max(1, np.rint((layer - attention) / (3 * d_model * align)))) * align
        result.append({"gqa": group, "n_kv_heads": heads // group, "d_ff": d_ff})
    return tuple(result)
