"""Which sections a result's page has: every kind is put together from the same parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from planner.errors import SpecError
from planner.metrics import METRICS
from planner.picks import title
from planner.report import rows
from planner.report.asked import evaluations, models, resolved
from planner.report.edits import edits_page
from planner.report.explore import explore
from planner.report.figures.breakdown import memory_breakdown, time_breakdown
from planner.report.figures.contours import contours
from planner.report.figures.curves import metric_axis
from planner.report.figures.operating import operating
from planner.report.figures.pareto import pareto
from planner.report.figures.roofline import roofline
from planner.report.figures.sensitivity import sensitivity
from planner.report.figures.style import layout
from planner.report.kinds import budget_sections, fit_sections, validate_sections, what_if_sections
from planner.report.mix import mix_page
from planner.report.parts import Column, Figure, Grid, Page, Section, grid
from planner.report.shell import BUILD, serving
from planner.results import (
    HINT,
    Budget,
    Candidate,
    Dropped,
    Edits,
    Fit,
    Mix,
    Prediction,
    Recommendation,
    Result,
    Validation,
    WhatIf,
)
from planner.scenario.evaluate import Evaluation
from planner.scenario.scenario import Resolved
from planner.units import show, significant

MAPS = (
    "At a fixed size and depth two numbers are left: the width d_model, and r, how the rest is "
    "split between MLP and attention. Loss has a minimum in both; speed has none."
)
TOP = 5  # rows of the front beside the picks, where there is no figure of it


def build(
    result: Result,
    usd_per_device_hour: float | None = None,
    *,
    figures: bool = True,
    top: int | None = None,
    details: bool = True,
) -> Page:
    """Return the page of any result.

    Args:
        result: what a question returned.
        usd_per_device_hour: price of one device, for the cost curve; default: the result's own.
        figures: whether figures are drawn, and tables made that only they need.
        top: rows of a front or of settings; default: all beside figures, few without.
        details: all there is; else a recommendation is one screen.

    Raises:
        SpecError: the result is not one this version can show, or its inputs name something unknown.

    """
    if isinstance(result, Recommendation):
        page = (
            _recommend(result, usd_per_device_hour, figures, top)
            if details or result.kind != "recommend"
            else brief(result)
        )
    elif isinstance(result, Edits):
        page = edits_page(result)
    elif isinstance(result, Mix):
        page = mix_page(result, figures)
    elif isinstance(result, Prediction):
        page = _predict(result, usd_per_device_hour, figures)
    elif isinstance(result, WhatIf):
        page = what_if_sections(result, figures, top)
    elif isinstance(result, Budget):
        page = budget_sections(result, figures)
    elif isinstance(result, Validation):
        page = validate_sections(result, figures)
    elif isinstance(result, Fit):
        try:
            page = fit_sections(result)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SpecError(f"this fit lacks or misstates {error}", hint=HINT) from None
    else:
        raise SpecError(f"no page shows a {result.kind}", hint="see `planner report --help`")
    said = [s for s in page.sections if s.name != "serve" or s.code]
    last = [] if page.whole else closing(result)
    return replace(page, sections=[*said, *last], headline=result.headline())


EXPLORED = (
    "Move a slider: the answer and the front are of that setting. Figures are the closed form's, means; "
    "shapes are those on the fronts of this question and of one request in flight, at each size, trained "
    "on the same tokens. For the whole space and the intervals, ask `planner recommend` again."
)


def exploring(result: Result, page: Page) -> Page:
    """Return a page with sliders over a grid of settings behind its answer.

    Raises:
        SpecError: the result is no recommendation.

    """
    grid = explore(result).to_dict()
    figure = Figure(
        "explore",
        "Loss against output tokens per second of the shapes in the setting that the sliders say.",
        [],
        layout(
            metric_axis(METRICS["output_tokens_per_s"], rangemode="normal"),
            metric_axis(METRICS["loss"]),
        ),
    )
    section = Section("explore", "Explore", (EXPLORED,), figures=[figure], sliders=grid)
    return replace(page, sections=[page.sections[0], section, *page.sections[1:]])


def _looked_up(result: Result, usd: float | None) -> Resolved:
    r = resolved(result)
    if usd is None:
        return r
    return replace(r, deployment=replace(r.deployment, usd_per_device_hour=usd))


def _recommend(r: Recommendation, usd: float | None, figures: bool, top: int | None) -> Page:
    chosen = r.lead
    only_front = r.kind == "pareto" and not figures
    table = rows.candidates(r.shapes)
    answer = Section("answer", "The recommendation", items=_reasons(r), grids=[table])
    few = rows.spaced(r.pareto, top or (len(r.pareto) if figures or only_front else TOP))
    caption = "The whole front" if len(few) == len(r.pareto) else ""
    front = Section(
        "front", "Loss against speed", (_front_text(r),), grids=[rows.front(few, caption)]
    )
    sections = [front] if only_front else [answer, front, *_limits(r)]
    if figures:
        conditions = _looked_up(r, usd)
        shown = evaluations(models(r), conditions)
        moved, grid, said = sensitivity(r, conditions, chosen)
        maps = Section(
            "maps", "Why: width and MLP/attention ratio", (MAPS,), figures=contours(r, conditions)
        )
        front = replace(front, figures=[pareto(r, r.shapes, conditions)])
        two = {n: shown[n] for n in dict.fromkeys(["baseline", chosen])}
        decision = Section(
            "sensitivity", "What would change the decision", (said,), figures=[moved], grids=[grid]
        )
        sections = [answer, front, *_limits(r), maps, *_serving(shown, two, chosen), decision]
    if not only_front:
        lead = r.picks.get(chosen) or r.baseline
        sections += [serving(f"Serve {title(chosen)}", {"": lead.serve}, BUILD)]
        if figures and lead.config:
            config = json.dumps(lead.config, indent=2)
            sections += [Section("config", f"{title(chosen)}: config.json", code=config)]
    return Page(
        title=f"Which shape to train: {show(r.inputs.params)} {r.inputs.params_kind} parameters, "
        f"{show(r.inputs.tokens)} tokens",
        subtitle=rows.asked(r.inputs),
        facts=rows.facts(r.picks.get(chosen) or r.baseline),
        sections=sections,
    )


def _predict(p: Prediction, usd: float | None, figures: bool) -> Page:
    c = p.candidate
    name = c.name or "model"

    used = ", ".join(
        f"{k.replace('_', ' ')} {show(v, 'gibibyte')}" for k, v in c.memory_bytes.items()
    )
    in_use = [f"In use under this load: {used}."] if used else []
    sections = [
        Section("answer", "The prediction", grids=[rows.candidates({name: c}, _trained(p))]),
        Section(
            "step", "Where a step goes", grids=[rows.operators(c.breakdown)] if c.breakdown else []
        ),
        Section("use", "Memory of one device", in_use, grids=[rows.memory(c, p.inputs.engine)]),
    ]
    if figures:
        shown = evaluations({name: c.model}, _looked_up(p, usd))
        sections = [sections[0], *_serving(shown, shown, name)]
    sections.append(serving("Serve it", {"": c.serve}))
    return Page(f"{name} on {p.inputs.on}", rows.asked(p.inputs), sections, rows.facts(c))


def _trained(p: Prediction) -> dict[str, str]:
    """Return what quality is of, beside its number: nobody may have said on how many tokens."""
    tokens = show(p.inputs.tokens)
    return {
        "loss": f"loss [nats], after {tokens} tokens",
        "accuracy": "accuracy, on the law's data",
    }


def _serving(
    shown: dict[str, Evaluation], curves: dict[str, Evaluation], chosen: str
) -> list[Section]:
    lines, points = operating(curves)
    roof, operators = roofline(shown[chosen], chosen)
    time, seconds = time_breakdown(shown)
    memory, bytes_ = memory_breakdown(shown)
    r = shown[chosen].resolved
    w = r.load.workload
    lengths = f"{float(w.input_tokens):.0f} tokens in and {float(w.output_tokens):.0f} out"
    text = [f"Every request has {lengths}: {r.kind.words}."]
    if r.deployment.usd_per_device_hour != r.deployment.usd_per_device_hour:
        text.append("No price is listed for this device: --usd-per-hour adds cost.")
    return [
        Section("operating", "Operating curves", text, figures=lines, grids=[points]),
        Section("roofline", "Roofline", figures=[roof], grids=[operators]),
        Section("time", "Where the time goes", figures=[time], grids=[seconds]),
        Section("memory", "Where the memory goes", figures=[memory], grids=[bytes_]),
    ]


def brief(r: Recommendation) -> Page:
    """Return a recommendation as one screen: the answer, the picks, why, and what would change it."""
    lead = r.picks.get(r.lead) or r.baseline
    same = rows.merged(r.shapes)
    bound = [f"if: {b.constraint}; {b.relaxing}." for b in r.binding[:MOST_BINDING]]
    verify = [line.partition(": ")[2] for line in _verify(lead)]
    items = [f"why: {lead.why}"] * bool(lead.why) + bound
    items += [f"to make sure: {line}" for line in verify]
    spread = [str(w).partition("; ")[0] for w in r.warnings if w.code == "law-spread"]
    others = [w for w in r.warnings if w.code != "law-spread"]
    short = spread + [_first(str(w)) for w in others[:MOST_CAUTIONS]]
    rest = len(r.warnings) - len(short)
    more = f"{rest} more warning{'s' * (rest != 1)} and " * bool(rest)
    sections = [
        Section("answer", "The picks", grids=[rows.picks(same, r.lead), rows.pick_shapes(same, r.lead)],
                items=items),
        *(x for x in _limits(r) if x.name.startswith("why-not")),
        Section("warnings", "Warnings", items=short),
        Section("basis", "What this rests on", items=[_basis(r)]),
        Section("more", "", items=[f"{more}the front: --details, --plot; planner report"]),
    ]  # fmt: skip
    size = f"{show(r.inputs.params)} {r.inputs.params_kind}, {show(r.inputs.tokens)} tokens"
    counted = f"{r.n_evaluated:,} shapes, {len(r.pareto)} on the front"
    base = (
        f"baseline: {r.baseline_of}; {counted}; brackets: 80 %; room for: requests at once"
        if r.baseline_of
        else counted
    )
    shown = [s for s in sections if s.items or s.text or s.grids]
    return Page(f"{size}; {rows.asked(r.inputs)}", base, shown, whole=True)


MOST_BINDING, MOST_CAUTIONS = 2, 2  # on one screen


def _first(text: str) -> str:
    """Return the first clause of a warning."""
    return text.partition("; ")[0].partition(": ")[0]


def _basis(r: Recommendation) -> str:
    speed = r.basis.get("speed", "").partition(":")[0]  # with whose overheads, where borrowed
    return f"speed: {speed}; loss: {r.basis.get('loss', '').partition(':')[0]}"


def _verify(c: Candidate) -> list[str]:
    """Return what to train before committing to a shape."""
    if not c.verify:
        return []
    steps = [f"GQA {v['gqa']:g} ({v['n_kv_heads']} KV heads, d_ff {v['d_ff']})" for v in c.verify]
    stop = "; stop at the first that is worse." if len(steps) > 1 else "."
    return [f"to verify {title(c.name)}: train {' → '.join(steps)}{stop}"]


def _reasons(r: Recommendation) -> list[str]:
    """Return why each pick won, what binds, and what to train before committing, a line each."""
    picks = {name: p for name, p in r.picks.items() if p}
    lines = [f"{title(name)}: {p.why}" for name, p in picks.items()]
    lines += [f"binding: {b.constraint}; {b.relaxing}." for b in r.binding]
    return [*lines, *(line for p in picks.values() for line in _verify(p))]


def _limits(r: Recommendation) -> list[Section]:
    """Return what each limit refused, and why shapes asked about were not chosen."""
    sections = []
    if any(d.n for d in r.dropped):
        sections.append(Section("limits", "What the limits refused", grids=[_dropped(r.dropped)]))
    for i, w in enumerate(r.why_not):
        name = f"why-not-{i + 1}"
        grid = rows.refusals(w.limits)
        sections.append(Section(name, f"Why not {w.shape}", (f"{w.verdict}.",), grids=[grid]))
    return sections


def _dropped(limits: Sequence[Dropped]) -> Grid:
    def write(d: Dropped, v: float | None) -> str:
        return rows.NONE if v is None else show(v, "s") if d.unit == "s" else significant(v, 4)

    columns = [
        Column("limit", lambda d: d.limit),
        Column("bound", lambda d: write(d, d.bound)),
        Column("shapes refused", lambda d: f"{d.n:,}"),
        Column("nearest, others met", lambda d: write(d, d.nearest)),
    ]
    return grid(limits, columns)


def closing(result: Result) -> list[Section]:
    """Return what every page ends with: warnings, basis, how to get it again."""
    warned = list(map(str, result.warnings))
    basis = [f"{k}: {v}" for k, v in result.basis.items()]
    sections = [
        Section("serve-command", "From the serve command", items=serve_lines(result)),
        Section("warnings", "Warnings", items=warned),
        Section("basis", "What this rests on", items=basis),
        Section("command", "Get this again", code=result.command),
    ]
    return [s for s in sections if s.items or s.code]


def serve_lines(result: Result) -> list[str]:
    """Return what became of each part of a serve command, a line a fate."""
    c = result.serve_command
    if c is None:
        return []

    def sets(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
        return [
            f"{flag} ({', '.join(f'{n} {rows.plain(v)}' for n, v in of.items())})"
            for flag, of in found.items()
        ]

    why: dict[str, list[str]] = {}
    for flag, reason in c.not_used.items():
        why.setdefault(reason, []).append(flag)
    lines = {
        "used": sets(c.used),
        "overruled by flags beside it": sets(c.overruled),
        "not used by planner": [f"{', '.join(flags)} ({reason})" for reason, flags in why.items()],
        "ignored, costing nothing": c.ignored,
        "unknown": [f"{f} (did you mean {n}?)" if n else f for f, n in c.unknown.items()],
    }
    return [f"{fate}: {', '.join(parts)}" for fate, parts in lines.items() if parts]


def _front_text(r: Recommendation) -> str:
    return (
        f"{r.n_evaluated:,} legal shapes were evaluated in {show(r.elapsed_s, 's')}, "
        f"{r.n_feasible:,} within every limit; on the front, {len(r.pareto)}: not beaten in both loss "
        "and speed by any other. Lower loss and more tokens/s are better."
    )
