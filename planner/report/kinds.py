"""Pages of what-if, budget, validate and fit, from the same parts as the others."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from planner.inputs.model import ModelSpec
from planner.inputs.training import TrainingSpec
from planner.metrics import LATENCIES, METRICS, Metric
from planner.report import rows
from planner.report.figures.curves import Line, curves, metric_axis, panels
from planner.report.figures.style import BLUE, GREEN, GREY, ORANGE, axis, layout, rounded, trace
from planner.report.parts import Column, Figure, Grid, Page, Section, esc, grid, part_id
from planner.report.shell import serving
from planner.report.started import parts
from planner.results import Budget, Fit, Plan, Point, Score, Validation, WhatIf
from planner.scenario.options import OPTIONS
from planner.scenario.scenario import conditions
from planner.units import show

MOST_ROWS = 64  # of a table on a terminal; --csv has all


def _asked(inputs: Mapping[str, Any], varied: Collection[str]) -> str:
    """Write what all rows share."""
    settings = {
        k: v for k, v in inputs["settings"].items() if k in OPTIONS and OPTIONS[k].group != "model"
    }
    return rows.asked(conditions(**settings), varied)


def _name(inputs: Mapping[str, Any]) -> str:
    return ModelSpec.model_validate(inputs["model"]).name


def what_if_sections(w: WhatIf, figures: bool, top: int | None) -> Page:
    """Return curves over the first option that is a number, a line for each setting of the others."""
    n = len(w.points)
    few = rows.spaced(w.points, top or (n if figures else MOST_ROWS))
    shown = f"{len(few)} shown; --csv has all; " if len(few) < n else ""
    said = f"{n:,} points in {show(w.elapsed_s, 's')}; {shown}varied: {', '.join(w.vary) or 'nothing'}."
    drawn = _curves(w.points, w.vary) if figures and n > 1 else []
    refused = [f"{_setting(p, w.vary)}: {p.refused.message}" for p in w.points if p.refused]
    grid = rows.points(few, w.vary, bars=not figures, only=w.shown)
    notes = [ALIKE] if any(_alike(p) for p in few) and "ttft_s" not in w.shown else []
    parts = [Section("answer", "The curves", (said,), figures=drawn, grids=[grid], items=notes)]
    if refused:
        parts.append(Section("refused", "Settings that may not be asked", items=refused))
    return Page(f"What if: {_name(w.inputs)}", _asked(w.inputs, w.vary), parts)


ALIKE = (
    "Where p99 is the mean, all requests are alike and none waits for another: --input-cv and "
    "--output-cv, or --rate, spread them."
)


def _alike(p: Point) -> bool:
    """Whether every request of a setting sees the same."""
    times = [
        (rows.number(p.metrics.get(n)), rows.number(p.metrics.get(f"{n}_p99")))
        for n in ("ttft_s", "tpot_s")
    ]
    return all(mean and p99 and abs(p99 / mean - 1) < 0.01 for mean, p99 in times)


def _setting(p: Point, names: Iterable[str]) -> str:
    return ", ".join(f"{n} {rows.setting(p, n)}" for n in names)


def _curves(points: Sequence[Point], vary: Sequence[str]) -> list[Figure]:
    steps = [n for n in vary if all(rows.number(p.settings.get(n)) is not None for p in points)]
    over = steps[0] if steps else (vary[0] if vary else "")
    others = [n for n in vary if n != over]
    series: dict[str, list[Point]] = {}
    for p in points:
        series.setdefault(_setting(p, others), []).append(p)
    values = [rows.number(p.settings.get(over)) or 0.0 for p in points]
    wide = bool(steps) and max(values) > 8 * min(values) > 0
    kind = {"type": "log"} if wide else {} if steps else {"type": "category"}

    def line(m: Metric, found: Sequence[Point]) -> Line:
        x = [p.settings.get(over) if steps else esc(rows.setting(p, over)) for p in found]
        y = [rows.number(p.metrics.get(m.name)) for p in found]
        return Line(x, y, [_hover(p, vary) for p in found])

    return [
        curves(
            m, "what-if", over.replace("_", " "), {k: line(m, v) for k, v in series.items()}, **kind
        )
        for m in panels()
        if any(rows.number(p.metrics.get(m.name)) is not None for p in points)
    ]


def _hover(p: Point, vary: Sequence[str]) -> str:
    said = [_setting(p, [n]) for n in vary]
    said += [f"{m.title} {rows.said(p, m)}" for m in panels()]
    return "<br>".join(map(esc, [*said, f"bound by {p.bound}"]))


def budget_sections(b: Budget, figures: bool) -> Page:
    """Return what each configuration carries, what to buy, and where the first plan's time goes."""
    slo: Mapping[str, Any] = b.inputs["slo"]
    asked = [n for n in LATENCIES if n in slo]
    limits = ", ".join(f"{LATENCIES[n].title} ≤ {show(slo[n], 's')}" for n in asked)
    named = {"fewest GPUs": b.fewest_gpus, "cheapest": b.cheapest}
    copies = {n: f"{n}, {p.replicas} of" for n, p in named.items() if p and p.replicas > 1}
    commands = {copies.get(n, n): p.serve for n, p in named.items() if p}
    if b.cheapest == b.fewest_gpus:
        commands.popitem()
    bars = (
        [
            _bars(
                [p for p in b.plans if not _beyond(p, b.fewest_gpus)],
                METRICS["usd_per_output_mtok"],
            )
        ]
        if figures
        else []
    )
    near = [p for p in b.plans if not _beyond(p, b.fewest_gpus)]
    more = len(b.plans) - len(near)
    plans = rows.plans(near, slo["at"], asked)
    left = [f"{more} more take over {BEYOND} × the GPUs of the fewest; --csv has them."] * bool(
        more
    )
    first = b.plans[0].configuration
    text = f"Of the first plan, {first}, at the load it carries."
    sections = [
        Section("answer", "What fits within the limits", 
                figures=[f for f in bars if f.data], grids=[plans], items=left),
        serving("Serve it", commands),
        Section("relax", "Relaxing", (text,), grids=[grid(b.relax, RELAX)]),
        Section("operators", "Where the time goes", grids=[_where(b.operators)]),
        Section("changes", "What would win them back", (LOSSES,) * any("loss_more" in r for r in b.changes), grids=[grid(b.changes, CHANGES)]),
    ]  # fmt: skip
    title = f"What it takes to serve {_name(b.inputs)} within {limits} at {slo['at']}"
    shared = _asked(b.inputs, ("on", "dtype", "tp", "rate"))
    subtitle = f"{shared}; simulated and searched in {show(b.elapsed_s, 's')}"
    return Page(title, subtitle, sections)


BEYOND = 16  # times the devices of the fewest, beyond which a plan is counted and not listed


def _beyond(p: Plan, fewest: Plan | None) -> bool:
    return fewest is not None and rows.of(p, "n_devices") > BEYOND * rows.of(fewest, "n_devices")


LOSSES = (
    "Loss in nats by the default law, trained on "
    f"{show(TrainingSpec.model_fields['tokens'].default)} tokens; what larger groups lose it cannot tell."
)
RELAX = (
    Column("limit", lambda r: r["relax"]),
    Column("carries", lambda r: rows.rate(r["rate_per_s"])),
    Column("gain", lambda r: rows.NONE if r["gain"] is None else f"{r['gain']:+.0%}"),
    Column("then bound by", lambda r: rows.binds(r["binds"])),
)


def _where(found: Sequence[Mapping[str, Any]]) -> Grid:
    """Return a line an operator: its part of TTFT and of TPOT."""

    def part(r: Mapping[str, Any], of: str) -> list[str]:
        seconds = r[f"{of}_s"]
        text = ("-" if seconds < 0 else "") + show(abs(seconds), "s")
        return [text, f"{r[f'{of}_share']:.0%}", r[f"{of}_bound"]] if seconds else [""] * 3

    body = [[r["operator"].replace("_", " "), *part(r, "ttft"), *part(r, "tpot")] for r in found]
    first, after = (LATENCIES[n].title for n in ("ttft_s", "tpot_s"))
    head = ["operator", first, "share", "bound", after, "share", "bound"]
    return Grid(head, body, keep=[9, 9, 8, 7, 9, 8, 7])


def _back(saved: float | None) -> str:
    """Write a saving as a change: less time is a minus."""
    if saved is None:
        return rows.NONE
    return "0" if abs(saved) < 1e-6 else ("-" if saved > 0 else "+") + show(abs(saved), "s")


CHANGES = (
    Column("change", lambda r: r["change"]),
    Column(LATENCIES["ttft_s"].title, lambda r: _back(r["ttft_s_saved"])),
    Column(LATENCIES["tpot_s"].title, lambda r: _back(r["tpot_s_saved"])),
    Column("most load", lambda r: f"{r['saturation_gain']:+.0%}"),
    Column("parameters", lambda r: f"{r['n_params_gain']:+.0%}" if r["n_params_gain"] else "same"),
    Column("loss", lambda r: _loss(r.get("loss_more"))),
)


def _loss(more: float | None) -> str:
    if more is None:
        return rows.NONE
    return f"{more:+.3f}" if abs(more) >= 5e-4 else "same"


def _bars(found: Sequence[Plan], m: Metric) -> Figure:
    shown = [p for p in found if p.metrics.get(m.name) is not None]

    def hover(p: Plan) -> str:
        told = [f"{p.configuration} ", f"carries {rows.rate(p.rate_per_s)}"]
        told += [f"replicas {p.replicas}", f"bound by {rows.binds(p.binds)}"]
        return "<br>".join(map(esc, told))

    names, values = [esc(p.configuration) for p in shown], [rows.of(p, m.name) for p in shown]
    more = {"orientation": "h", "y": names, "x": values, "marker": {"color": BLUE}}
    bars = trace("bar", [hover(p) for p in shown], **more)
    return Figure(
        name=f"budget-{part_id(m.name)}",
        alt=f"{m.words} of {len(shown)} configurations.",
        data=[bars] * bool(shown),
        layout=layout(metric_axis(m, rangemode="tozero"), axis("", autorange="reversed")),
        height=140 + 30 * len(shown),
    )


def validate_sections(v: Validation, figures: bool) -> Page:
    """Return how far off predictions are, group by group, the worst rows by name; a log part by part."""
    how = (
        "each architecture predicted by a fit on the others" if v.cross_validated else "as shipped"
    )
    text = [f"{v.source}: {v.overall.n:,} rows, predictions {how}."]
    if (told := v.overall.interval_score) is not None:
        text.append(
            f"Interval score, mean of ln: {told:.2f}; of the one width that suits these rows best "
            f"{v.overall.flat_score:.2f}."
        )
    if o := v.overflow:
        text.append(
            f"Cache overflow: {o['found']} of {o['measured']} batches found, "
            f"{o['false_alarms']} false alarms."
        )
    if v.verdicts:
        text.append(
            f"Starts of an engine: {sum(s.right for s in v.verdicts)} of {len(v.verdicts)} foretold."
        )
    sections = [Section("answer", "How far off", text, grids=[rows.scores("", {"all": v.overall})])]
    if v.started:
        sections.insert(0, parts(v, v.started))
    for by, found in ({} if v.started else v.groups).items():
        if len(found) > 1 or figures:
            bars = [_error_bars(by, found)] if figures else []
            section = Section(part_id(by), f"By {by}", figures=bars, grids=[rows.scores(by, found)])
            sections.append(section)
    if wrong := [s for s in v.verdicts if not s.right]:
        sections.append(Section("starts", "Starts not foretold", grids=[grid(wrong, STARTS)]))
    if v.flagged:
        title = "Flagged rows, not in the above"
        sections.append(Section("flagged", title, grids=[rows.scores("flag", v.flagged)]))
    if v.worst and not v.started:
        sections.append(Section("worst", "The worst rows", grids=[grid(v.worst, WORST)]))
    if v.profiles:
        sections.append(Section("profiles", "Profiles", items=v.profiles))
    return Page("Predictions against measurements", "", sections)


WORST = (
    Column("worst rows", lambda w: f"{w.model} {w.metric}"),
    Column("where", lambda w: f"{w.gpu} {w.engine}", 8),
    Column("setting", lambda w: w.setting, 7),
    Column("measured", lambda w: f"{w.measured:.4g}"),
    Column("predicted", lambda w: f"{w.predicted:.4g}"),
    Column("error", lambda w: f"{w.error:+.0%}"),
)


STARTS = (
    Column("start", lambda s: s.model),
    Column("where", lambda s: s.where),
    Column("outcome", lambda s: s.outcome),
    Column("predicted", lambda s: f"{show(abs(s.short_bytes), 'byte')} {_side(s.short_bytes)}"),
)


def _side(short_bytes: float) -> str:
    return "short" if short_bytes > 0 else "to spare"


def _error_bars(by: str, found: Mapping[str, Score]) -> Figure:
    shades = {"median_ape": GREEN, "mean_ape": ORANGE}
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": rows.SCORES[key][0],
            "y": [esc(n) for n in found],
            "x": rounded([100 * (getattr(s, key) or 0.0) for s in found.values()]),
            "marker": {"color": shade},
            "hovertemplate": "%{y}<br>%{x:.1f} %<extra>" + rows.SCORES[key][0] + "</extra>",
        }
        for key, shade in shades.items()
    ]
    return Figure(
        name=f"errors-{part_id(by)}",
        alt=f"Mean and median absolute error by {by}, {len(found)} groups.",
        data=data,
        layout=layout(
            axis("absolute error, %", rangemode="tozero"),
            axis("", autorange="reversed", tickfont={"size": 10}),
            barmode="group",
        ),
        height=140 + 36 * len(found),
    )


STAGES = {"before": GREY, "held_out": ORANGE, "fitted": GREEN}


def fit_sections(result: Fit) -> Page:
    """Return a fit, held-out error first, then the constants and what the runs said of each."""
    found = result.found
    stages = [k for k in STAGES if isinstance(found.get(k), Mapping)]
    sections = []
    if stages:
        text = ("Held out: each shape predicted by a fit on the others.",)
        table = [
            {"": f"{name}, {stage.replace('_', ' ')}"} | dict(found[stage][name])
            for stage in stages
            for name in found[stage]
        ]
        sections.append(
            Section("answer", "Error on runs the fit did not see", text,
                    figures=[_stages(found, stages)], grids=[rows.records(table, "Errors")])
        )  # fmt: skip
    if isinstance(constants := found.get("constants"), Mapping):
        columns = {"value": constants, "sd of its logarithm": found.get("ln_sd") or {},
                   "learned from runs": found.get("shrinkage") or {}}  # fmt: skip
        table = [{"constant": k} | {c: of.get(k) for c, of in columns.items()} for k in constants]
        posterior = rows.records(table, "Posterior")
        sections.append(Section("constants", "The constants", grids=[posterior]))
    done = {*stages, "constants", "ln_sd", "shrinkage", "inputs"}
    return Page("What the measurements say", "", [*sections, *_rest(found, done)])


def _rest(found: Mapping[str, Any], without: set[str]) -> list[Section]:
    """Return every other list of records of a fit as a table, and its single values as another."""
    single: dict[str, Any] = {}
    sections = []
    for key, value in found.items():
        title = key.replace("_", " ").capitalize()
        if key in without:
            continue
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            sections.append(Section(part_id(key), title, grids=[rows.records(value, title)]))
        elif isinstance(value, Mapping):
            body = [[k, rows.plain(v)] for k, v in value.items()]
            sections.append(Section(part_id(key), title, grids=[Grid(["", title], body)]))
        else:
            single[key.replace("_", " ")] = rows.plain(value)
    if single:
        values = Grid(["", "value"], [[k, v] for k, v in single.items()])
        sections.insert(0, Section("rest", "The fit", grids=[values]))
    return sections


def _stages(found: Mapping[str, Any], stages: Sequence[str]) -> Figure:
    names = list(dict.fromkeys(k for s in stages for k in found[s]))
    keys = list(next(iter(found[stages[0]].values()), {"error": 0}))
    metric = next((k for k in ("mean_ape", "mape", "mean") if k in keys), keys[0])
    data = [
        {
            "type": "bar",
            "name": stage.replace("_", " "),
            "x": [esc(n) for n in names],
            "y": [rows.number((found[stage].get(n) or {}).get(metric)) for n in names],
            "marker": {"color": STAGES[stage]},
        }
        for stage in stages
    ]
    words = rows.SCORES.get(metric, (metric.replace("_", " "),))[0]
    return Figure(
        name="fit-errors",
        alt=f"Error before the fit, held out and fitted, for {', '.join(names)}.",
        data=data,
        layout=layout(axis(""), axis(esc(words), rangemode="tozero")),
        height=360,
    )
