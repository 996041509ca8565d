"""Loss against tokens/s: the front, the picks, the baseline and models one knows."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from planner.inputs.loading import load_model, model_names
from planner.inputs.model import ModelSpec
from planner.metrics import METRICS
from planner.picks import PICKS, title
from planner.report import rows
from planner.report.figures.curves import metric_axis
from planner.report.figures.style import BLUE, GREY, layout, marker, trace
from planner.report.parts import Figure, esc
from planner.results import Candidate, Estimate, Recommendation
from planner.scenario.intervals import candidates
from planner.scenario.scenario import Resolved

X, Y = "output_tokens_per_s", "loss"
NEAR = 0.35  # known models whose N is within this share of the baseline's stand beside it


def known_models(base: Candidate, r: Resolved) -> dict[str, Candidate]:
    """Return presets near in size with what the law and the cost model say of their shape.

    Their loss is that of the shape trained on the question's tokens, not of the released weights.
    """
    n = base.model.n_params_non_embedding
    near = {k: m for k, m in _llamas().items() if abs(m.n_params_non_embedding / n - 1) <= NEAR}
    return candidates(near, r)


@functools.cache
def _llamas() -> dict[str, ModelSpec]:
    """Return the dense presets the law speaks of; read once, as a page of sliders asks often."""
    specs = {name: load_model(name) for name in model_names()}
    return {n: s for n, s in specs.items() if s.family == "llama" and s.n_experts == 1}


def _bars(value: Any) -> dict[str, Any]:
    if not isinstance(value, Estimate):
        return {"visible": False}
    ends = {"array": [value.high - value.value], "arrayminus": [value.value - value.low]}
    return {"type": "data", "symmetric": False, **ends, "thickness": 1, "width": 4}


def _marks(
    name: str, shapes: Mapping[str, Candidate] | Sequence[Candidate], **more: Any
) -> dict[str, Any]:
    named = list(shapes.items()) if isinstance(shapes, Mapping) else [(c.name, c) for c in shapes]
    x, y = ([rows.of(c, metric) for _, c in named] for metric in (X, Y))
    hover = [rows.hover(c, n) for n, c in named]
    return trace("scatter", hover, name=esc(title(name)), x=x, y=y) | more


APART = (0.16, 0.045)  # of the picture's width and height, that a label needs


def _clear(known: Mapping[str, Candidate], shapes: Mapping[str, Candidate]) -> list[str]:
    """Return labels of known models; one that would lie over another, or over a pick's, is left to hover."""
    every = [*known.values(), *shapes.values()]
    spans = [
        (max(v) - min(v)) or 1.0 for v in ([rows.of(c, metric) for c in every] for metric in (X, Y))
    ]
    taken = [tuple(rows.of(c, metric) for metric in (X, Y)) for c in shapes.values()]
    said = []
    for name, c in known.items():
        at = tuple(rows.of(c, metric) for metric in (X, Y))
        free = all(
            any(
                abs(a - b) > far * span
                for a, b, far, span in zip(at, other, APART, spans, strict=True)
            )
            for other in taken
        )
        said.append(esc(name) if free else "")
        if free:
            taken.append(at)
    return said


def pareto(result: Recommendation, shapes: Mapping[str, Candidate], r: Resolved) -> Figure:
    """Draw the front with `shapes` on it; lower right is better."""
    known = known_models(result.baseline, r)
    line = {"color": BLUE, "width": 2, "shape": "hv"}
    traces = [
        _marks(
            "Pareto front", result.pareto, mode="lines+markers", line=line,
            marker={"size": 6, "color": BLUE},
        )
    ]  # fmt: skip
    labelled = {"mode": "markers+text", "cliponaxis": False}
    if known:
        traces.append(
            _marks(
                "known models",
                known,
                text=_clear(known, shapes),
                textposition="bottom right",
                textfont={"size": 10},
                marker={"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": GREY}},
                **labelled,
            )
        )
    for name, shape in shapes.items():
        mark = marker(name, line=1)
        traces.append(
            _marks(
                name,
                {name: shape},
                text=[esc(title(name))],
                textposition=PICKS[name].label if name in PICKS else "bottom center",
                marker=mark,
                error_x=_bars(shape.metrics.get(X)) | {"color": mark["color"]},
                error_y=_bars(shape.metrics.get(Y)) | {"color": mark["color"]},
                **labelled,
            )
        )
    target = result.target_loss
    at = {"xref": "paper", "y0": target, "y1": target, "x0": 0, "x1": 1}
    words = {"text": f"target loss {target:.3f}", "showarrow": False, "font": {"size": 11}}
    place = {"xref": "paper", "x": 0.01, "xanchor": "left", "y": target, "yanchor": "bottom"}
    speed, loss = metric_axis(METRICS[X], rangemode="normal"), metric_axis(METRICS[Y])
    speed["title"]["text"] += " (more is better)"
    loss["title"]["text"] += " (less is better)"
    return Figure(
        name="pareto",
        alt=(
            f"Loss against output tokens per second: a front of {len(result.pareto)} shapes, with "
            f"{', '.join(map(title, shapes))} and {len(known)} known models."
        ),
        data=traces,
        layout=layout(
            speed,
            loss,
            shapes=[at | {"type": "line", "line": {"dash": "dot", "width": 1, "color": GREY}}],
            annotations=[place | words],
        ),
        caption="Bars are 80 % intervals. Most of each is shared by all shapes and cancels when "
        "two are compared. Known models stand where their shape would, trained on these tokens.",
        height=520,
    )
