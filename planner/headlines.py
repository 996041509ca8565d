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


def split(s: Any) -> tuple[str, ...]:
    """Return in one line what size a training budget is best spent on, and how flat that is."""
    if s is None:
        return ()
    served = f" and {show(s.serve_tokens)} served tokens" if s.serve_tokens else ""
    beside = ""
    if s.serve_tokens:
        beside = (
            f"; unserved it would be {show(s.unserved_params)}, {s.loss - s.unserved_loss:.3f} nats "
            "lower"
        )
    said = (
        f"{s.train_flops:.3g} FLOP{served}: {show(s.n_params)} parameters on {show(s.n_tokens)} "
        f"tokens; from {show(s.low_params)} to {show(s.high_params)} the same loss takes at most 1 % "
        f"more in all{beside}."
    )
    return (said,)


WELL = 0.02  # one shape serves all well where no scenario loses more by it
MOVES = 0.005  # and a scenario drives the choice where the others' cost rises by more


def mix(m: Any) -> tuple[str, ...]:
    """Return what to train for all scenarios, what each loses by it, and which one drives it."""
    worst = max(m.pick.regret, key=m.pick.regret.get)
    regret = m.pick.regret[worst]
    well = f"one shape serves all well: no scenario costs more than {max(regret, 0):.1%} above its own best"
    if regret > WELL:
        well = (
            f"no shape serves all well: {worst} costs {regret:.1%} above what it alone would choose"
        )
    shares = f" (weights are shares of {m.share})" if len(m.weights) > 1 else ""
    driver = m.drives[0] if m.drives else None
    drives = "no scenario drives the choice"
    if driver is not None and driver.regret > MOVES:
        drives = f"{driver.scenario} drives the choice: without it the others would cost {_less(driver.regret)} less"
    return (
        f"Train {shape(m.pick.scenarios[worst])}.",
        f"{objective(m).capitalize()} {price(m, m.pick.price)}{shares}; {well}.",
        *([f"{drives[0].upper()}{drives[1:]}."] if m.drives else []),
    )


def _less(rise: float) -> str:
    return f"{rise / (1 + rise):.1%}"


def objective(m: Any) -> str:
    """Return in words what a mix is chosen by."""
    what = (
        "a million generated tokens of the mix cost"
        if m.objective == "cost"
        else "a token takes, in the mix,"
    )
    return (
        what if len(m.weights) > 1 else what.replace(" of the mix", "").replace(", in the mix,", "")
    )


def price(m: Any, value: float) -> str:
    """Write what is minimised."""
    return show(value, "usd") if m.objective == "cost" else show(value, "s")


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
