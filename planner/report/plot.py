"""Pictures for a terminal: the front and the operating curve, readable without colour."""

from collections.abc import Mapping, Sequence
from typing import Any

from planner.errors import MissingExtra
from planner.report.figures.operating import curve
from planner.report.parts import label
from planner.report.scene import Scene, scene_of
from planner.units import show

Series = tuple[str, str, Sequence[float], Sequence[float]]  # name, mark, x, y
# Letters tell shapes apart where there is no colour; the legend says whose they are.
MARKS = {"baseline": "B", "loss_optimal": "L", "fastest": "F", "balanced": "M"}
SIZE = (100, 24)
TICKS = 4


def terminal_plots(
    result: Mapping[str, Any], *, width: int = SIZE[0], height: int = SIZE[1], colour: bool = False
) -> str:
    """Return the pictures a result has: the front of a recommendation, the operating curves of both.

    Raises:
        MissingExtra: plotext is not installed.

    """
    scene = scene_of(result)
    pictures = []
    if result["kind"] == "recommend":
        pictures.append(_front(result, scene, width, height, colour))
    names = [n for n in ("baseline", "fastest") if n in scene.shapes] or list(scene.shapes)
    pictures += [
        _curves(scene, names, metric, title, scale, (width, height, colour))
        for metric, title, scale in (
            ("output_tokens_per_s", "output tokens/s", 1.0),
            ("tpot_s", "TPOT, ms", 1e3),
        )
    ]
    return "\n\n".join(pictures) + "\n"


def _front(result: Mapping[str, Any], scene: Scene, width: int, height: int, colour: bool) -> str:
    front = result["pareto"]
    series: list[Series] = [
        ("front", "·", _values(front, "output_tokens_per_s"), _values(front, "loss"))
    ]
    for name, shape in scene.shapes.items():
        mark = MARKS.get(name, "o")
        point = [shape]
        series.append(
            (label(name), mark, _values(point, "output_tokens_per_s"), _values(point, "loss"))
        )
    title = "loss [nats] over output tokens/s: lower right is better"
    return draw(title, series, width=width, height=height, colour=colour)


def _values(shapes: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    return [float(s[metric]["value"]) for s in shapes]


def _curves(
    scene: Scene,
    names: Sequence[str],
    metric: str,
    title: str,
    scale: float,
    size: tuple[int, int, bool],
) -> str:
    series: list[Series] = []
    for name in names:
        c = curve(scene, name)
        mark = MARKS.get(name, "o")
        series.append((label(name), mark, list(c["concurrency"]), list(c[metric] * scale)))
    width, height, colour = size
    return draw(
        f"{title} over requests together", series, width=width, height=height, colour=colour
    )


def draw(title: str, series: Sequence[Series], *, width: int, height: int, colour: bool) -> str:
    """Return a scatter of series, each with a mark of its own, as text of `width` columns."""
    try:
        import plotext
    except ImportError:
        raise MissingExtra.of("plotext", extra="plot") from None
    figure = plotext.figure
    figure.clear()
    figure.theme("default" if colour else "colorless")
    figure.plot_size(width, height)
    for name, mark, x, y in series:
        signal = figure.signal(list(x), list(y), marker=mark)
        signal.label(name)
        figure.draw(signal)
    for axis, values in (("x", [v for *_, x, _ in series for v in x]),
                         ("y", [v for *_, y in series for v in y])):  # fmt: skip
        low, high = min(values), max(values)
        if low < high:
            ticks = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
            figure.ruler(axis).ticks(ticks, [show(t, digits=4) for t in ticks])
    text = figure.build().string()
    figure.clear()
    text = text if colour else plotext.uncolorize(text)
    body = "\n".join(line.rstrip() for line in str(text).splitlines())
    return f"{title}\n{body}"
