"""What each result concludes, in at most three lines: said first by every medium."""

from typing import Any

from planner.picks import SURE
from planner.units import show


def shape(c: Any) -> str:
    """Write a candidate's shape in one line."""
    return (
        f"{c.n_layers} layers, d_model {c.d_model}, d_ff {c.d_ff}, {c.n_heads} query heads on "
        f"{c.n_kv_heads} KV heads of {c.head_dim}"
    )


def recommendation(r: Any) -> tuple[str, ...]:
    """Return what to train, what it gains, and how sure that is, in three lines."""
    c, base, margin = r.picks.get("recommended"), r.baseline, r.inputs.margin
    if c is None:
        lowest = r.picks.get("lowest_loss")
        first = f"No shape is {SURE:.0%} sure to lose at most {margin:g} nats against {r.target_loss:.3f}."
        if lowest is None:
            return (first,)
        sure = f", {lowest.p_within_margin:.0%} sure" if lowest.p_within_margin is not None else ""
        return (
            first,
            f"The surest is the lowest loss, {lowest.loss.value:.3f}{sure}: {shape(lowest)}.",
        )
    if c.shape == base.shape:
        return (
            f"Train the baseline: {shape(c)}.",
            f"No faster shape is {SURE:.0%} sure to lose at most {margin:g} nats against it.",
        )
    return f"Train {shape(c)}.", f"{gains(c)}; {_loss(c, r)}."


def gains(c: Any) -> str:
    """Write how much faster than the baseline a candidate is."""
    g = c.gain
    speed = show(c.output_tokens_per_s.value)
    return f"{g.value:.2f}× the baseline's tokens/s ({g.low:.2f}× to {g.high:.2f}×): {speed}"


def _loss(c: Any, r: Any) -> str:
    by = round(c.loss.value, 3) - round(r.target_loss, 3)
    return (
        f"loss {c.loss.value:.3f}, {by:+.3f} nats, {c.p_within_margin:.0%} sure to lose at most "
        f"{r.inputs.margin:g}"
    )
