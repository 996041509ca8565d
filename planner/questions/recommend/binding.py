"""Which constraints hold the fastest pick back, and what relaxing each would buy."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.columns import Table
from planner.inputs.question import Question
from planner.law.compare import TIE_NATS
from planner.units import show

NEAR = 0.05  # a pick within 5 % of a bound leans on it: about one step of the grid


@dataclass(frozen=True, slots=True)
class Binding:
    """One constraint the pick leans on."""

    constraint: str
    limit: float
    value: float
    relaxing: str  # what loosening it would do, in words

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {k: getattr(self, k) for k in ("constraint", "limit", "value", "relaxing")}


def binding(q: Question, table: Table, row: int, target: float, default: bool) -> list[Binding]:
    """Return what binds the row of the fastest pick; `table` holds the fronts it was chosen from."""
    pick = {name: float(column[row]) for name, column in table.items()}
    found: list[Binding | None] = [_loss_target(table, pick, target, default)]
    found += [
        _at_bound(f"{name} in [{low:g}, {high:g}], the law's evidence", pick[column], low, high)
        for name, column, (low, high) in (
            ("r", "mlp_attn_ratio", q.mlp_attn_ratio),
            ("d_model/√N", "d_over_sqrt_n", q.d_over_sqrt_n),
        )
    ]
    if pick["gqa"] >= max(q.gqa):
        text = "larger groups would be faster, at an unknown cost in loss; see --gqa"
        found.append(Binding(f"GQA up to {max(q.gqa)}", max(q.gqa), pick["gqa"], text))
    for flag, column, limit in (("--ttft", "ttft_s", q.ttft_s), ("--tpot", "tpot_s", q.tpot_s)):
        if limit and pick[column] > (1 - NEAR) * limit:
            text = f"the pick takes {show(pick[column], 's')} of the {show(limit, 's')} allowed"
            found.append(Binding(flag, limit, pick[column], text))
    return [b for b in found if b]


def _loss_target(table: Table, pick: Any, target: float, default: bool) -> Binding | None:
    """Price the loss target: the fastest shape a hundredth of a nat above it."""
    speed = table["output_tokens_per_s"]
    faster = speed[table["loss"] <= target + TIE_NATS]
    buys = float(np.max(faster)) / pick["output_tokens_per_s"] - 1
    if buys < 0.005:
        return None
    whose = "the baseline's loss" if default else "--max-loss"
    text = f"{TIE_NATS} nats more, which is within a tie, would buy {buys:+.0%} tokens/s"
    return Binding(f"loss ≤ {target:.3f} ({whose})", target, pick["loss"], text)


def _at_bound(name: str, value: float, low: float, high: float) -> Binding | None:
    for bound in (low, high):
        if abs(np.log(value / bound)) < NEAR:
            text = "the search stops there; widen it only with training runs of your own"
            return Binding(name, bound, value, text)
    return None
