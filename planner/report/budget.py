"""Budget results for the terminal: plans, what relaxing buys, where the time goes."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from planner.report.text import notes, table
from planner.units import show, significant

WORDS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "end to end"}


def _rate(value: float) -> str:
    return "–" if not value else f"{significant(value)}/s"


def _usd(value: float | None) -> str:
    return "–" if value is None else f"${significant(value)}"


def _ms(value: Any) -> str:
    if value is None:
        return "–"
    sign = "-" if value < 0 else ""
    return sign + show(abs(value), "s") if value else "0"


def plans(b: Any) -> Any:
    """Return a row a configuration, best first."""
    at = b.inputs["slo"]["at"]
    asked = [n for n in WORDS if n in b.inputs["slo"]]
    head = ["configuration", "one carries", "of max", *(f"{WORDS[n]} {at}" for n in asked)]
    t = table([*head, "bound by", "replicas", "GPUs", "$/h", "$/M out"])
    for column in t.columns:
        column.no_wrap = True
    for p in b.plans:
        able = p["rate_per_s"] > 0
        t.add_row(
            p["configuration"],
            _rate(p["rate_per_s"]),
            f"{p['share_of_saturation']:.0%}" if able else "–",
            *(show(p[n].value, "s") if p[n] else "–" for n in asked),
            WORDS.get(p["binds"], p["binds"]),
            str(p["replicas"]) if able else "–",
            str(p["n_devices"]) if able else "–",
            _usd(p["usd_per_hour"]),
            _usd(p.get("usd_per_output_mtok")),
        )
    return t


def _answer(b: Any) -> list[Text]:
    lines = []
    rate = b.inputs["rate_per_s"]
    load = f"{rate:g}/s" if rate else "its own load"
    for title, plan in (("fewest GPUs", b.fewest_gpus), ("cheapest", b.cheapest)):
        if plan is None:
            continue
        copies = f"{plan['replicas']} × " if plan["replicas"] > 1 else ""
        cost = f", {_usd(plan['usd_per_hour'])}/h" if plan["usd_per_hour"] is not None else ""
        said = f"{copies}{plan['configuration']}: {plan['n_devices']} GPUs{cost} for {load}"
        lines.append(Text.assemble((f"{title}: ", "bold"), said))
    return lines


def _relax(b: Any) -> Any:
    t = table(["relaxing", "carries", "gain", "then bound by"])
    for r in b.relax:
        gain = "–" if r["gain"] is None else f"{r['gain']:+.0%}"
        t.add_row(r["relax"], _rate(r["rate_per_s"]), gain, WORDS.get(r["binds"], r["binds"]))
    return t


def _where(b: Any) -> Any:
    t = table(["where the time goes", "TTFT", "share", "", "TPOT", "share", ""])
    for r in b.operators:
        if r["operator"] == "mean":
            t.add_section()
        name = r["operator"].replace("_", " ")
        first = (_ms(r["ttft_s"]), f"{r['ttft_share']:.0%}", r["ttft_bound"])
        after = (_ms(r["tpot_s"]), f"{r['tpot_share']:.0%}", r["tpot_bound"])
        t.add_row(
            name, *(first if r["ttft_s"] else ("",) * 3), *(after if r["tpot_s"] else ("",) * 3)
        )
    return t


def _changes(b: Any) -> Any:
    t = table(["what would win them back", "TTFT", "TPOT", "most load", "parameters"])
    for r in b.changes:
        t.add_row(
            r["change"],
            _back(r["ttft_s_saved"]),
            _back(r["tpot_s_saved"]),
            f"{r['saturation_gain']:+.0%}",
            f"{r['n_params_gain']:+.0%}" if r["n_params_gain"] else "same",
        )
    return t


def _back(saved: float | None) -> str:
    """Write a saving as a change: less time is a minus."""
    if saved is None:
        return "–"
    return "0" if abs(saved) < 1e-6 else ("-" if saved > 0 else "+") + show(abs(saved), "s")


def _head(b: Any) -> str:
    i: Mapping[str, Any] = b.inputs
    limits = ", ".join(f"{WORDS[n]} ≤ {show(v, 's')}" for n, v in i["slo"].items() if n in WORDS)
    s = i["settings"]
    return (
        f"{i['model']['name']} within {limits} at {i['slo']['at']}; "
        f"{s['input_tokens']} tokens in, {s['output_tokens']} out, Poisson arrivals"
        if s["burstiness"] == 1
        else f"{i['model']['name']} within {limits} at {i['slo']['at']}; "
        f"{s['input_tokens']} tokens in, {s['output_tokens']} out, burstiness {s['burstiness']:g}"
    )


def budget(b: Any) -> Group:
    """Render a budget."""
    gap = Text("")
    first = b.plans[0]["configuration"]
    parts: list[Any] = [Text(_head(b), style="bold"), gap, plans(b), gap, *_answer(b), gap]
    parts += [Text(f"of the first plan, {first}, at the load it carries:", style="dim"), gap]
    parts += [_relax(b), gap, _where(b), gap, _changes(b), gap]
    parts.append(Text(f"simulated and searched in {show(b.elapsed_s, 's')}", style="dim"))
    return Group(*parts, *notes(b))
