"""Which sections a result's page has: every kind is put together from the same parts."""

from collections.abc import Callable, Mapping
from typing import Any

from planner.errors import SpecError
from planner.inputs.price import load_prices
from planner.inputs.result import HINT, check_result
from planner.report.figures.breakdown import memory_breakdown, time_breakdown
from planner.report.figures.contours import contours
from planner.report.figures.operating import operating
from planner.report.figures.pareto import front_grid, pareto
from planner.report.figures.roofline import roofline
from planner.report.figures.sensitivity import sensitivity
from planner.report.kinds import (
    budget_sections,
    fit_sections,
    validate_sections,
    what_if_sections,
)
from planner.report.parts import Grid, Page, Section, between, label, shape_text
from planner.report.scene import Scene, scene_of
from planner.units import show

MAPS = (
    "At a fixed size and depth two numbers are left: the width d_model, and r, how the rest is "
    "split between MLP and attention. Loss has a minimum in both; speed has none."
)
# Rows of the comparison table: title, and how to read it from a candidate.
_ROWS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("layers", lambda c: str(c["n_layers"])),
    ("d_model", lambda c: str(c["d_model"])),
    ("d_ff", lambda c: str(c["d_ff"])),
    ("heads / KV heads", lambda c: f"{c['n_heads']} / {c['n_kv_heads']} of {c['head_dim']}"),
    ("N non-embedding", lambda c: show(c["n_params_non_embedding"])),
    ("N all", lambda c: show(c["n_params"])),
    ("r, MLP over attention", lambda c: f"{c['mlp_attn_ratio']:.2f}"),
    ("x, d_model/√N", lambda c: f"{c['d_over_sqrt_n']:.3f}"),
    ("GQA", lambda c: f"{c['gqa']:g}"),
    ("loss, nats", lambda c: between(c["loss"], digits=4) if c.get("loss") else "–"),
    ("P(loss ≤ target)", lambda c: _share(c.get("p_loss_at_most_target"))),
    ("accuracy, nine tasks", lambda c: _accuracy(c.get("accuracy"))),
    ("output tokens/s", lambda c: between(c["output_tokens_per_s"])),
    ("over the baseline", lambda c: _gain(c.get("gain"))),
    ("TTFT, one prompt", lambda c: between(c["ttft_s"], "s")),
    ("TPOT, full batch", lambda c: between(c["tpot_s"], "s")),
    ("KV cache a token", lambda c: show(c["kv_bytes_per_token"], "byte")),
    ("weights", lambda c: show(c["weight_bytes"], "byte")),
    ("requests that fit", lambda c: f"{c['max_concurrency']:g}"),
    ("bound by", lambda c: c.get("bound", "–")),
)


def build(result: Mapping[str, Any], usd_per_device_hour: float | None = None) -> Page:
    """Return the page of any result.

    Args:
        result: the JSON form of a result.
        usd_per_device_hour: price of one device, for the cost curve; default: our price list's.

    Raises:
        SpecError: the result is not one this version can show, or its inputs name something unknown.

    """
    result = check_result(result)
    kind = result["kind"]
    if usd_per_device_hour is None and kind in ("recommend", "pareto", "predict"):
        usd_per_device_hour = load_prices().usd_per_hour.get(str(result["inputs"].get("on")))
    if kind in ("recommend", "pareto"):
        return _recommend(result, usd_per_device_hour)
    if kind == "predict":
        return _predict(result, usd_per_device_hour)
    show_kind = {
        "what-if": what_if_sections,
        "budget": budget_sections,
        "validate": validate_sections,
        "fit": fit_sections,
    }[kind]
    try:
        title, sections = show_kind(result)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SpecError(f"this {kind} result lacks or misstates {error}", hint=HINT) from None
    return Page(title, _asked(result), [*sections, *closing(result)])


def _recommend(result: dict[str, Any], price: float | None) -> Page:
    scene = scene_of(result)
    picks = {n: p for n, p in result["picks"].items() if p}
    chosen = "fastest" if "fastest" in picks else next(iter(picks), "baseline")
    shapes = {label(n): s for n, s in scene.shapes.items()}
    front = [
        Section(
            "front",
            "Loss against speed",
            (_front_text(result),),
            figures=[pareto(result, scene)],
            grids=[front_grid(result)],
        )
    ]
    maps = Section(
        "maps",
        "Why: width and MLP/attention ratio",
        (MAPS,),
        figures=contours(result, scene),
    )
    moved, grid, said = sensitivity(result, scene, chosen)
    return Page(
        title=f"Which shape to train: {show(result['inputs']['params'])} parameters, "
        f"{show(result['inputs']['tokens'])} tokens",
        subtitle=_asked(result),
        facts=_facts(picks.get(chosen) or result["baseline"], chosen),
        sections=[
            Section(
                "answer",
                "The recommendation",
                recommendation_text(result, picks),
                grids=[comparison(shapes)],
            ),
            *front,
            maps,
            *_serving(scene, list(dict.fromkeys(["baseline", chosen])), chosen, price),
            Section(
                "sensitivity",
                "What would change the decision",
                (said,),
                figures=[moved],
                grids=[grid],
            ),
            *closing(result),
        ],
    )


def _predict(result: dict[str, Any], price: float | None) -> Page:
    scene = scene_of(result)
    name = next(iter(scene.shapes))
    text = (
        f"{name} runs at {between(result['output_tokens_per_s'])} output tokens/s, with a first "
        f"token after {between(result['ttft_s'], 's')} and one every "
        f"{between(result['tpot_s'], 's')} after it. "
        f"{result['max_concurrency']:g} such requests fit at once; what binds is "
        f"{result['bound']}."
    )
    return Page(
        title=f"{name} on {result['inputs'].get('on', '?')}",
        subtitle=_asked(result),
        facts=_facts(result, name),
        sections=[
            Section("answer", "The prediction", (text,), grids=[comparison({name: result})]),
            *_serving(scene, [name], name, price),
            *closing(result),
        ],
    )


def _serving(scene: Scene, names: list[str], chosen: str, price: float | None) -> list[Section]:
    curves, points = operating(scene, price, names)
    roof, operators = roofline(scene, chosen)
    time, seconds = time_breakdown(scene)
    memory, bytes_ = memory_breakdown(scene)
    w = scene.conditions.workload
    lengths = f"{w.input_tokens:.0f} tokens in and {w.output_tokens:.0f} out"
    return [
        Section(
            "operating",
            "Operating curves",
            (
                f"Every request has {lengths}; all are there at the start, prefill included.",
                *(
                    []
                    if price
                    else ["No price is listed for this device: --usd-per-hour adds cost."]
                ),
            ),
            figures=curves,
            grids=[points],
        ),
        Section("roofline", "Roofline", figures=[roof], grids=[operators]),
        Section("time", "Where the time goes", figures=[time], grids=[seconds]),
        Section("memory", "Where the memory goes", figures=[memory], grids=[bytes_]),
    ]


def comparison(shapes: Mapping[str, Mapping[str, Any]]) -> Grid:
    """Return shapes as columns, one property a row; properties nobody has are left out."""
    rows = [[title, *(read(c) for c in shapes.values())] for title, read in _ROWS]
    rows = [row for row in rows if any(cell != "–" for cell in row[1:])]
    return Grid(["", *shapes], rows, caption="Brackets hold 80 % intervals")


def recommendation_text(result: Mapping[str, Any], picks: Mapping[str, Any]) -> tuple[str, ...]:
    """Say in one paragraph what to train and why, then what else there is to choose."""
    best = picks.get("fastest")
    if best is None:
        return (
            "No shape is sure enough to reach the target loss and also faster than the baseline. "
            f"The lowest loss, {result['picks']['loss_optimal']['loss']['value']:.3f} against a "
            f"target of {result['target_loss']:.3f}, needs {shape_text(result['picks']['loss_optimal'])}."
            if result["picks"].get("loss_optimal")
            else "No shape meets the target loss.",
        )
    steps = " → ".join(f"GQA {v['gqa']:g} (d_ff {v['d_ff']})" for v in best.get("verify", ()))
    text = (
        f"Train {shape_text(best)}. {best.get('why', '')} It is predicted to serve "
        f"{between(best['output_tokens_per_s'])} output tokens/s at a loss of "
        f"{between(best['loss'], digits=4)}; the probability that its loss is at or below the "
        f"target of {result['target_loss']:.3f} is {best['p_loss_at_most_target']:.2f}."
    )
    verify = f"Before committing, train {steps}, and stop at the first that is worse."
    return (text, verify) if steps else (text,)


def closing(result: Mapping[str, Any]) -> list[Section]:
    """Return what every page ends with: warnings, basis, how to get it again."""
    basis = result.get("basis") or {}
    if not isinstance(basis, Mapping):
        basis = {"speed": basis if isinstance(basis, str) else "; ".join(basis)}
    sections = []
    if result.get("warnings"):
        sections.append(Section("warnings", "Warnings", items=list(result["warnings"])))
    if basis:
        sections.append(
            Section("basis", "What this rests on", items=[f"{k}: {v}" for k, v in basis.items()])
        )
    if result.get("command"):
        sections.append(Section("command", "Get this again", code=f"{result['command']}"))
    return sections


def _asked(result: Mapping[str, Any]) -> str:
    i = result.get("inputs", {})
    w, e = i.get("workload"), i.get("engine")
    if not (isinstance(w, Mapping) and isinstance(e, Mapping)):
        return ""
    parallel = f", tp {e['tp']}" if e.get("tp", 1) > 1 else ""
    return (
        f"{i.get('on')}, {e.get('name')}, {e.get('dtype')}{parallel}; {w.get('batch')} requests of "
        f"{w.get('input_tokens')} tokens in and {w.get('output_tokens')} out"
    )


def _facts(c: Mapping[str, Any], name: str) -> dict[str, str]:
    facts = {"pick": label(name)} if c.get("gain") else {}
    facts["output tokens/s"] = show(c["output_tokens_per_s"]["value"])
    if c.get("gain"):
        facts["over the baseline"] = f"{c['gain']['value'] - 1:+.0%}"
    if c.get("loss"):
        facts["loss, nats"] = f"{c['loss']['value']:.3f}"
    facts |= {"TTFT": show(c["ttft_s"]["value"], "s"), "TPOT": show(c["tpot_s"]["value"], "s")}
    return facts


def _front_text(result: Mapping[str, Any]) -> str:
    return (
        f"{result['n_evaluated']:,} legal shapes were evaluated; {len(result['pareto'])} are not "
        "beaten in both loss and speed by any other. Lower and further right is better."
    )


def _share(p: float | None) -> str:
    return "–" if p is None else f"{p:.2f}"


def _accuracy(e: Mapping[str, float] | None) -> str:
    return f"{100 * e['value']:.1f} % [{100 * e['low']:.1f}, {100 * e['high']:.1f}]" if e else "–"


def _gain(e: Mapping[str, float] | None) -> str:
    if e is None:
        return "–"
    value, low, high = (100 * (e[k] - 1) for k in ("value", "low", "high"))
    return f"{value:+.0f} % [{low:+.0f}, {high:+.0f}]"
