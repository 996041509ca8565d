"""The page of a mix: regret by shape and scenario, and the pick's figures in each."""

import math
from collections.abc import Mapping

from planner import headlines
from planner.metrics import METRICS
from planner.report import rows
from planner.report.figures.style import axis, layout
from planner.report.parts import Cell, Figure, Grid, Page, Section
from planner.report.shell import BUILD, serving
from planner.results import Candidate, Mix, MixedShape, Value
from planner.units import show

FIGURES = ("output_tokens_per_s", "ttft_s", "tpot_s", "max_concurrency")


def mix_page(m: Mix, figures: bool) -> Page:
    """Return the page of a mix."""
    answer = Section("answer", "The recommendation", grids=[_regrets(m)])
    regret = Section(
        "regret", "Regret, shape by scenario",
        ("How much more a shape costs in a scenario than the one that the scenario alone would choose.",),
        figures=[_drawn(m)],
    )  # fmt: skip
    each = Section("scenarios", "The pick in each scenario", grids=[_each(m)])
    moved = [f"{d.scenario}: the others cost {d.regret:.1%} more for its sake" for d in m.drives]
    drives = Section("drives", "Which scenario drives the choice", items=moved)
    commands = {name: c.serve for name, c in m.pick.scenarios.items()}
    serve = serving("Serve it", commands, BUILD)
    sections = [answer, *([regret] if figures else []), each, *([drives] if moved else []), serve]
    asked = ", ".join(f"{name} {share:.0%}" for name, share in m.weights.items())
    return Page(
        title=f"One shape for {len(m.weights)} scenario{'s' * (len(m.weights) > 1)}: "
        f"{show(m.inputs.params)} parameters, "
        f"{show(m.inputs.tokens)} tokens",
        subtitle=asked,
        sections=sections,
    )


def _title(s: MixedShape) -> str:
    return s.name if s.name in ("the mix", "baseline") else f"best for {s.name}"


def _regrets(m: Mix) -> Grid:
    names = list(m.weights)
    body = []
    for s in m.choices:
        c = s.scenarios[names[0]]
        cells: list[Cell | str] = [
            _title(s),
            f"{c.n_layers}",
            f"{c.d_model}",
            f"{c.n_heads}/{c.n_kv_heads}",
        ]
        cells += [f"{c.d_ff}", f"{c.loss.value:.3f}", headlines.price(m, s.price)]
        cells += [
            f"{s.regret[n]:+.1%}" if s.meets[n] else f"{s.regret[n]:+.1%}, over a limit"
            for n in names
        ]
        body.append(cells)
    head = [
        "shape",
        "layers",
        "d_model",
        "heads",
        "d_ff",
        "loss",
        "mix",
        *(f"regret, {n}" for n in names),
    ]
    return Grid(head, body)


def _each(m: Mix) -> Grid:
    price = "$/M whole" if m.objective == "cost" else "s/token"
    several = any(x.n_devices > 1 for s in m.choices for x in s.layouts.values())
    body: list[list[Cell | str]] = []
    own = {s.name: s for s in m.choices}
    for name in m.weights:
        mine, alone = m.pick, own[name]
        for s in (
            (mine,)
            if alone.model == mine.model.model_copy(update={"name": name})
            else (mine, alone)
        ):
            c = s.scenarios[name]
            on = [str(s.layouts[name])] * several
            body.append([name, _title(s), *on, _price(m, c), *_figures(c.metrics), c.bound])
            if rough := s.closed.get(name):
                cost = headlines.price(m, s.prices[name])
                body.append([name, "  by closed form", *on, cost, *_figures(rough), ""])
    devices = ["devices"] * several
    return Grid(
        ["scenario", "shape", *devices, price, *(METRICS[k].title for k in FIGURES), "bound"], body
    )


def _price(m: Mix, c: Candidate) -> str:
    """Return what a token costs, of the figures beside it."""
    if m.objective == "cost":
        return headlines.price(m, rows.of(c, "usd_per_generated_mtok"))
    return headlines.price(m, 1 / (rows.of(c, "output_tokens_per_s") or math.inf))


def _figures(metrics: Mapping[str, Value]) -> list[Cell | str]:
    return [rows.metric(METRICS[k], metrics[k]) if k in metrics else "" for k in FIGURES]


def _drawn(m: Mix) -> Figure:
    names, shapes = list(m.weights), [_title(s) for s in m.choices]
    values = [[100 * s.regret[n] for n in names] for s in m.choices]
    alt = "; ".join(
        f"{t}: {', '.join(f'{n} {v:.1f} %' for n, v in zip(names, line, strict=True))}"
        for t, line in zip(shapes, values, strict=True)
    )
    data = {
        "type": "heatmap", "x": names, "y": shapes, "z": values, "colorscale": "Blues", "zmin": 0,
        "text": [[f"{v:.1f} %" for v in line] for line in values], "texttemplate": "%{text}",
        "colorbar": {"title": {"text": "regret [%]"}}, "hovertemplate": "%{y} in %{x}: %{z:.2f} %<extra></extra>",
    }  # fmt: skip
    place = layout(axis("scenario"), axis("shape", autorange="reversed"))
    return Figure(
        "regret",
        f"Regret by shape and scenario. {alt}.",
        [data],
        place,
        height=120 + 60 * len(shapes),
    )
