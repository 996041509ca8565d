"""Pages of what-if, budget, validate and fit, from the same parts as the others."""

from collections.abc import Mapping, Sequence
from typing import Any

from planner.report.figures.style import BLUE, GREEN, GREY, ORANGE, axis, colour, layout
from planner.report.other import cell, generic, number, part_id, table_of
from planner.report.parts import Figure, Grid, Section, esc

Sections = tuple[str, list[Section]]
PANELS = (
    ("output_tokens_per_s", "output tokens/s"),
    ("tpot_s", "TPOT, s"),
    ("ttft_s", "TTFT, s"),
    ("usd_per_output_mtok", "USD per million output tokens"),
)
MOST_SERIES = 8  # more lines than that nobody tells apart


def what_if_sections(result: Mapping[str, Any]) -> Sections:
    """Return curves over the first knob that is a number, a line for each setting of the others."""
    points = list(result["points"])
    name = _model(result)
    knobs = [str(v) for v in result.get("vary", ())]
    text = [f"{len(points)} settings of {', '.join(knobs) or 'nothing'}, everything else as asked."]
    figures = _curves(points, knobs) if len(points) > 1 else []
    sections = [Section("answer", "The curves", text, figures=figures)]
    sections.append(Section("points", "Every setting", grids=[table_of(points, "Settings")]))
    rest = generic(result, ("points", "vary", "elapsed_s"))
    return f"What if: {name}", [*sections, *rest]


def _curves(points: Sequence[Mapping[str, Any]], knobs: Sequence[str]) -> list[Figure]:
    steps = [k for k in knobs if all(number(p.get(k)) is not None for p in points)]
    x = steps[0] if steps else (knobs[0] if knobs else "")
    others = [k for k in knobs if k != x]
    series: dict[str, list[Mapping[str, Any]]] = {}
    for point in points:
        series.setdefault(", ".join(f"{k} {cell(point.get(k))}" for k in others), []).append(point)
    figures = []
    for metric, title in PANELS:
        if any(number(p.get(metric)) is None for p in points):
            continue
        data = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": esc(label or title),
                "x": [p.get(x) if steps else esc(cell(p.get(x))) for p in rows],
                "y": [number(p[metric]) for p in rows],
                "line": {"color": colour("", i), "width": 2},
                "hovertext": [_hover(p, knobs) for p in rows],
                "hoverinfo": "text",
            }
            for i, (label, rows) in enumerate(list(series.items())[:MOST_SERIES])
        ]
        wide = steps and max(p[x] for p in points) > 8 * min(p[x] for p in points) > 0
        kind = {"type": "log"} if wide else {} if steps else {"type": "category"}
        figures.append(
            Figure(
                name=f"what-if-{part_id(metric)}",
                alt=f"{title} over {x}, {len(series)} lines.",
                data=data,
                layout=layout(
                    axis(esc(x.replace("_", " ")) + (" (log scale)" if wide else ""), **kind),
                    axis(title, rangemode="tozero"),
                ),
                height=380,
            )
        )
    return figures


def _hover(point: Mapping[str, Any], knobs: Sequence[str]) -> str:
    shown = [*knobs, *(m for m, _ in PANELS), "bound"]
    return "<br>".join(f"{esc(k)} {esc(cell(point[k]))}" for k in shown if k in point)


def budget_sections(result: Mapping[str, Any]) -> Sections:
    """Return what each configuration carries, and the cheapest and the smallest that do the job."""
    plans = list(result.get("plans", ()))
    text = []
    for key, words in (("fewest_gpus", "Fewest devices"), ("cheapest", "Cheapest")):
        if plan := result.get(key):
            text.append(
                f"{words}: {plan.get('configuration')}, {cell(plan.get('replicas'))} replicas on "
                f"{cell(plan.get('n_devices'))} devices, {cell(plan.get('rate_per_s'))} requests/s, "
                f"{cell(plan.get('usd_per_output_mtok'))} USD per million output tokens; what binds "
                f"is {plan.get('binds')}."
            )
    figures = [_bars(plans, metric, title) for metric, title in _BUDGET if _has(plans, metric)]
    sections = [
        Section("answer", "What fits within the limits", text or ["Nothing does."], figures=figures)
    ]
    if plans:
        sections.append(Section("plans", "Every configuration", grids=[table_of(plans, "Plans")]))
    rest = generic(result, ("plans", "fewest_gpus", "cheapest", "elapsed_s"))
    return f"What it takes to serve {_model(result)}", [*sections, *rest]


_BUDGET = (
    ("rate_per_s_per_device", "requests/s a device"),
    ("usd_per_output_mtok", "USD per million output tokens"),
)


def _has(rows: Sequence[Mapping[str, Any]], metric: str) -> bool:
    return any(number(r.get(metric)) is not None for r in rows)


def _bars(rows: Sequence[Mapping[str, Any]], metric: str, title: str) -> Figure:
    shown = [r for r in rows if number(r.get(metric)) is not None]
    return Figure(
        name=f"budget-{part_id(metric)}",
        alt=f"{title} of {len(shown)} configurations.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": [esc(r.get("configuration", i)) for i, r in enumerate(shown)],
                "x": [number(r[metric]) for r in shown],
                "marker": {"color": BLUE},
                "hovertext": [_hover(r, ["configuration", "replicas", "binds"]) for r in shown],
                "hoverinfo": "text",
            }
        ],
        layout=layout(axis(title, rangemode="tozero"), axis("", autorange="reversed")),
        height=140 + 32 * len(shown),
    )


def validate_sections(result: Mapping[str, Any]) -> Sections:
    """Return the error overall, by group, and the worst rows."""
    overall = result.get("overall") or {}
    text = [
        (
            f"{cell(overall.get('n'))} rows of {result.get('source', '?')}: mean error "
            f"{_percent(overall.get('mean_ape'))}, median {_percent(overall.get('median_ape'))}, bias "
            f"{_percent(overall.get('bias'))}; {_percent(overall.get('coverage'))} of the rows lie "
            "inside their 80 % intervals."
        )
    ]
    if result.get("cross_validated"):
        text.append("Every architecture was predicted by a fit on the others.")
    groups = result.get("groups") or {}
    sections = [Section("answer", "How far off", text)]
    for by, scores in groups.items():
        sections.append(
            Section(
                part_id(by),
                f"By {by}",
                figures=[_error_bars(by, scores)],
                grids=[_scores(by, scores)],
            )
        )
    if worst := result.get("worst"):
        sections.append(Section("worst", "The worst rows", grids=[table_of(worst, "Worst rows")]))
    done = ("overall", "groups", "worst", "source", "cross_validated")
    return "Predictions against measurements", [*sections, *generic(result, done)]


def _percent(value: Any) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "–"


def _error_bars(by: str, scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    names = list(scores)
    return Figure(
        name=f"errors-{part_id(by)}",
        alt=f"Mean and median absolute error by {by}, {len(names)} groups.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "name": word,
                "y": [esc(n) for n in names],
                "x": [100 * float(scores[n].get(key) or 0.0) for n in names],
                "marker": {"color": shade},
                "hovertemplate": "%{y}<br>%{x:.1f} %<extra>" + word + "</extra>",
            }
            for key, word, shade in (
                ("median_ape", "median error", GREEN),
                ("mean_ape", "mean error", ORANGE),
            )
        ],
        layout=layout(
            axis("absolute error, %", rangemode="tozero"),
            axis("", autorange="reversed", tickfont={"size": 10}),
            barmode="group",
        ),
        height=140 + 36 * len(names),
    )


def _scores(by: str, scores: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = [
        [
            name,
            cell(s.get("n")),
            *(_percent(s.get(k)) for k in ("mean_ape", "median_ape", "bias", "coverage")),
            cell(s.get("spearman")),
        ]
        for name, s in scores.items()
    ]
    header = [by, "rows", "mean error", "median", "bias", "inside 80 %", "Spearman"]
    return Grid(header, rows, caption=f"Errors by {by}", fold=True)


def fit_sections(result: Mapping[str, Any]) -> Sections:
    """Return a fit, held-out error first, then the constants and what the runs said of each."""
    stages = [k for k in ("before", "held_out", "fitted") if isinstance(result.get(k), Mapping)]
    sections = []
    if stages:
        sections.append(
            Section(
                "answer",
                "Error on runs the fit did not see",
                ["Held out: each shape predicted by a fit on the others."],
                figures=[_stages(result, stages)],
                grids=[_stage_table(result, stages)],
            )
        )
    constants = result.get("constants")
    if isinstance(constants, Mapping):
        sd, shrink = (result.get(k) or {} for k in ("ln_sd", "shrinkage"))
        rows = [[k, cell(v), cell(sd.get(k)), cell(shrink.get(k))] for k, v in constants.items()]
        header = ["constant", "value", "sd of its logarithm", "learned from runs"]
        sections.append(
            Section("constants", "The constants", grids=[Grid(header, rows, "Posterior")])
        )
    done = (*stages, "constants", "ln_sd", "shrinkage")
    return "What the measurements say", [*sections, *generic(result, done)]


def _stages(result: Mapping[str, Any], stages: Sequence[str]) -> Figure:
    shade = {"before": GREY, "held_out": ORANGE, "fitted": GREEN}
    names = list(dict.fromkeys(k for s in stages for k in result[s]))
    metric = next(iter(next(iter(result[stages[0]].values()), {"error": 0})), "error")
    keys = list(next(iter(result[stages[0]].values()), {}))
    metric = next((k for k in ("mean_ape", "mape", "mean") if k in keys), metric)
    return Figure(
        name="fit-errors",
        alt=f"Error before the fit, held out and fitted, for {', '.join(names)}.",
        data=[
            {
                "type": "bar",
                "name": stage.replace("_", " "),
                "x": [esc(n) for n in names],
                "y": [number((result[stage].get(n) or {}).get(metric)) for n in names],
                "marker": {"color": shade[stage]},
            }
            for stage in stages
        ],
        layout=layout(axis(""), axis(esc(metric.replace("_", " ")), rangemode="tozero")),
        height=360,
    )


def _stage_table(result: Mapping[str, Any], stages: Sequence[str]) -> Grid:
    rows = [
        {"": f"{name}, {stage.replace('_', ' ')}"} | dict(result[stage][name])
        for stage in stages
        for name in result[stage]
    ]
    return table_of(rows, "Errors")


def _model(result: Mapping[str, Any]) -> str:
    model = result.get("inputs", {}).get("model")
    return str(model.get("name", "?")) if isinstance(model, Mapping) else str(model or "?")
