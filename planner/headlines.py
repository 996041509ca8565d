"""What each result concludes, in at most three lines: said first by every medium."""

from collections.abc import Mapping
from typing import Any

from planner.metrics import LATENCIES
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


FIELDS = {
    "n_heads": "heads", "n_kv_heads": "KV heads", "d_ff_expert": "d_ff of an expert",
    "vocab_size": "vocabulary",
}  # fmt: skip


def changes(e: Any) -> str:
    """Write what an edit changes: ``8 → 4 KV heads, d_ff 8192 → 8448``."""
    said = []
    for name, (was, now) in e.changes.items():
        words = FIELDS.get(name, name)
        if name in ("n_heads", "n_kv_heads"):
            said.append(f"{was} → {now} {words}")
        else:
            said.append(f"{words} {was} → {now}" if was is not None else f"{words} {now}")
    return ", ".join(said)


def edits(r: Any) -> tuple[str, ...]:
    """Return the edit that gains most, what it gains, and how sure that is."""
    name, margin = r.like.name, r.inputs.margin
    first = next((e for e in r.faster if e.sure), None)
    if first is None:
        told = f"No edit of {name} that serves faster is {SURE:.0%} sure to lose at most {margin:g} nats."
        if not r.faster:
            return (told,)
        surest = max(r.faster, key=lambda e: e.certainty or 0.0)
        return (
            told,
            f"The surest, {surest.certainty:.0%}: {changes(surest)}; {_faster(surest)}.",
        )
    by = round(first.candidate.loss.value, 3) - round(r.like.loss.value, 3)
    return (
        f"Edit {name}: {changes(first)}.",
        f"{_faster(first)}; loss {by:+.3f} nats, {first.certainty:.0%} sure to lose at most {margin:g}.",
    )


def _faster(e: Any) -> str:
    g = e.candidate.gain
    return f"{g.value:.2f}× its tokens/s ({g.low:.2f}× to {g.high:.2f}×)"


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
        "a million generated tokens of the mix, prompts included, cost"
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


def _within(value: Any, unit: str = "") -> str:
    """Write a value with its interval, where it has one."""
    low, high = getattr(value, "low", None), getattr(value, "high", None)
    if low is None or high is None:
        return show(value, unit)
    return f"{show(value.value, unit)} ({show(low, unit)} to {show(high, unit)})"


def prediction(p: Any) -> tuple[str, ...]:
    """Return how fast a model is, and how many requests fit."""
    m, c = p.candidate.metrics, p.candidate
    speed, first, after = (m.get(n) for n in ("output_tokens_per_s", "ttft_s", "tpot_s"))
    if speed is None or first is None or after is None:
        return (f"{c.name or 'The model'}: what binds is {c.bound}.",)
    return (
        f"{c.name or 'The model'} serves {_within(speed)} output tokens/s on {p.inputs.on}.",
        f"First token after {_within(first, 's')}, then one every {_within(after, 's')}.",
        f"{m.get('max_concurrency') or 0:,.0f} such requests fit at once; {_bound(c.bound)}.",
    )


def _bound(name: str) -> str:
    words = {"hbm": "memory bandwidth binds", "capacity": "requests wait for memory"}
    words |= {"saturated": "more arrives than can be served", "link": "the link binds"}
    return words.get(name, f"{name} binds")


def what_if(w: Any) -> tuple[str, ...]:
    """Return which setting serves most, which answers soonest, and where requests begin to wait."""
    told = [p for p in w.points if not p.refused and _number(p, "output_tokens_per_s")]
    if not told:
        return ("No setting that was asked for can be served.",)
    most = max(told, key=lambda p: _number(p, "output_tokens_per_s"))
    speed = show(_number(most, "output_tokens_per_s"))
    lines = [f"Most output tokens/s: {speed} at {_settings(most, w)}; {_bound(most.bound)}."]
    if len(told) > 1:
        soon = min(told, key=lambda p: _number(p, "tpot_s") or float("inf"))
        times = f"{show(_number(soon, 'ttft_s'), 's')} to the first token"
        times += f", {show(_number(soon, 'tpot_s'), 's')} a token"
        lines.append(f"Soonest: {times}, at {_settings(soon, w)}.")
    waits = [p for p in told if p.bound in ("capacity", "saturated")]
    if waits and len(waits) < len(told):
        first = waits[0]
        wait = show(_number(first, "ttft_s"), "s")
        lines.append(f"Requests wait from {_settings(first, w)} on: {wait} to the first token.")
    return tuple(lines)


def _number(p: Any, name: str) -> float:
    value = p.metrics.get(name)
    return float(getattr(value, "value", value) or 0.0)


def _settings(p: Any, w: Any) -> str:
    said = [
        f"{n.replace('_', ' ') + ' ' if n != 'on' else ''}{_plain(p.settings.get(n))}"
        for n in w.vary
    ]
    return ", ".join(said) or "the setting asked for"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def budget(b: Any) -> tuple[str, ...]:
    """Return what to buy: the fewest devices, the cheapest, and what binds each."""
    load = f"{show(b.inputs['rate_per_s'])} requests/s" if b.inputs["rate_per_s"] else ""
    if b.fewest_gpus is None:
        best = b.plans[0]
        return (
            f"Nothing carries {load or 'a request'} within the limits; {_binds(best)} binds first.",
        )
    lines = [f"Fewest GPUs{f' for {load}' if load else ''}: {_plan(b.fewest_gpus)}."]
    if b.cheapest and b.cheapest.configuration != b.fewest_gpus.configuration:
        lines.append(f"Cheapest: {_plan(b.cheapest)}.")
    elif b.cheapest:
        lines.append("It is the cheapest, too.")
    return tuple(lines)


def _plan(p: Any) -> str:
    copies = f"{p.replicas} × " if p.replicas > 1 else ""
    usd = p.metrics.get("usd_per_hour")
    bill = f", ${show(_number(p, 'usd_per_hour'))}/h" if usd is not None else ""
    gpus = _number(p, "n_devices")
    each = f"; one carries {show(p.rate_per_s)}/s" if p.rate_per_s else ""
    devices = f"{gpus:,.0f} GPU{'s' * (gpus != 1)}"
    return f"{copies}{p.configuration}, {devices}{bill}{each}; {_binds(p)} binds"


def _binds(p: Any) -> str:
    return LATENCIES[p.binds].title if p.binds in LATENCIES else str(p.binds)


def validation(v: Any) -> tuple[str, ...]:
    """Return how far predictions are off."""
    s = v.overall
    if s.mean_ape is None:
        return (f"{v.source}: {s.n:,} rows, none scored.",)
    inside = f"; {s.coverage:.0%} lie inside 80 % intervals" if s.coverage is not None else ""
    rows = f"{s.n:,} row{'s' * (s.n != 1)}"
    return (f"Mean error {100 * s.mean_ape:.1f} % on {rows}{inside}.",)


def _loss(c: Any, r: Any) -> str:
    by = round(c.loss.value, 3) - round(r.target_loss, 3)
    return (
        f"loss {c.loss.value:.3f}, {by:+.3f} nats, {c.p_within_margin:.0%} sure to lose at most "
        f"{r.inputs.margin:g}"
    )
