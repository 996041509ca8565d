"""The choice among finalists: which are on the front, how far heads must divide, and which is which pick."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from planner.columns import Table
from planner.inputs.question import Question
from planner.picks import SURE
from planner.questions.recommend.pareto import front
from planner.scenario.legal import TP_DEGREES

OBJECTIVES = ("loss", "output_tokens_per_s", "gqa")
# What readiness for tensor parallelism may cost the best shape, where nobody asked for it.
READY_NATS, READY_SPEED = 0.002, 0.02


def among(
    table: Table, q: Question, base_legal: bool, p_margin: Any, legal: Any = True,
) -> tuple[int | None, Mapping[int, int | None], Any, dict[str, int | None]]:  # fmt: skip
    """Choose among the rows of a table (row 0 the baseline), of those that are `legal`.

    Returns how many ways heads of the picks divide, the pick to train by that, the front, the picks.
    """
    ready = np.where(legal, table["ready"], 0.0)

    def at(least: int) -> tuple[Any, dict[str, int | None]]:
        finalists = on_front(table, ready >= least)
        return finalists, choose(table, finalists, base_legal, p_margin, q.confidence)

    best_at = {1: at(1)}
    tp_ready = q.tp_ready
    if not (q.tp_ready or q.any_shape):
        tp_ready = most_ready(table, best_at, at)
    finalists, chosen = best_at[1 if q.any_shape or q.tp_ready else tp_ready or 1]
    leads = {ways: lead_of(picks) for ways, (_, picks) in best_at.items()}
    return tp_ready, leads, finalists, chosen


At = tuple[Any, dict[str, int | None]]


def most_ready(table: Table, best_at: dict[int, At], at: Callable[[int], At]) -> int:
    """Return the most ways heads may divide for next to nothing; `best_at` gets what was looked at."""
    free = lead_of(best_at[1][1])
    for ways in TP_DEGREES[:-1]:
        best_at[ways] = at(ways)
        left, picks = best_at[ways]
        lead = lead_of(picks)
        if lead is None or free is None or not len(left):  # the baseline alone is no choice
            continue
        dearer = table["loss"][lead] - table["loss"][free] >= READY_NATS
        slower = table["output_tokens_per_s"][lead] / table["output_tokens_per_s"][free]
        if not dearer and slower > 1 - READY_SPEED:
            return ways
    return 1


def lead_of(chosen: Mapping[str, int | None]) -> int | None:
    """Return the row of the pick to train: the recommended, else the first there is."""
    return next((row for row in chosen.values() if row is not None), None)


def on_front(table: Table, among: Any) -> Any:
    """Return the rows that no other `among` them beats in loss and speed; the baseline, row 0, apart."""
    found = 1 + np.flatnonzero(among[1:])
    return found[front(table["loss"][found], table["output_tokens_per_s"][found])]


def choose(
    table: Table, finalists: Any, base_legal: bool, p_margin: Any, confidence: float
) -> dict[str, int | None]:
    """Return the row of each pick, the one to train first; None where no row qualifies.

    All are on the front, or the baseline: it competes where it is legal, so that no pick is worse
    than it for nothing. Ties in speed go to the lower loss: the order of rows changes nothing.
    Whatever may be recommended may be the fastest: that one is never slower. With a margin of zero it is
    the paper's own rule.
    """
    loss, speed = table["loss"], table["output_tokens_per_s"]
    rows = np.array([*[0] * base_legal, *finalists], dtype=int)

    def best(by: Any, among: Any) -> int | None:
        good = rows[among[rows]]
        return int(good[np.lexsort((loss[good], by[good]))[0]]) if len(good) else None

    every = np.ones(len(loss), bool)
    likely = p_margin >= confidence - 1e-9
    picks = {
        "recommended": best(-speed, p_margin >= max(SURE, confidence) - 1e-9),
        "lowest_loss": best(loss, every),
        "fastest": best(-speed, likely),
    }
    if "lifetime_usd" in table:
        # At one N the cheapest shape is on the front: serving cost falls with throughput.
        picks["cheapest"] = best(table["lifetime_usd"], likely)
    return picks
