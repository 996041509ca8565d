"""Pictures for a terminal: the front and the operating curve, readable without colour."""

from collections.abc import Sequence

from planner.errors import MissingExtra
from planner.picks import PICKS, title
from planner.report.asked import evaluations, models, resolved
from planner.report.figures.curves import panels
from planner.report.figures.operating import swept
from planner.report.rows import of
from planner.results import Candidate, Recommendation, Result
from planner.units import show

Series = tuple[str, str, Sequence[float], Sequence[float]]  # name, mark, x, y
SIZE = (100, 24)
TICKS = 4
X, Y = "output_tokens_per_s", "loss"


def terminal_plots(
    result: Result, *, width: int = SIZE[0], height: int = SIZE[1], colour: bool = False
) -> str:
    """Return the pictures a result has: the front of a recommendation, the operating curves of both.

    Raises:
        MissingExtra: plotext is not installed.

    """
    drawn: list[tuple[str, list[Series]]] = []
    if isinstance(result, Recommendation):
        front = [_points("front", "·", result.pareto)]
        front += [_points(title(n), mark(n), [c]) for n, c in result.shapes.items()]
        drawn.append(("loss [nats] over output tokens/s: lower right is better", front))
    lead = result.lead if isinstance(result, Recommendation) else ""
    chosen = {n: m for n, m in models(result).items() if n in ("baseline", lead)}
    shown = evaluations(chosen or models(result), resolved(result))
    found = {name: swept(e) for name, e in shown.items()}
    over = next(iter(found.values()))[0]
    for m in [m for m in panels() if m.group == "speed"]:
        unit, scale = (", ms", 1e3) if m.unit == "s" else ("", 1.0)
        series: list[Series] = [
            (title(name), mark(name), list(steps), list(e.table([m.name])[m.name] * scale))
            for name, (_, steps, e) in found.items()
        ]
        drawn.append((f"{m.title}{unit} over {over}", series))
    size = {"width": width, "height": height}
    return "\n\n".join(draw(words, series, **size, colour=colour) for words, series in drawn) + "\n"


def mark(name: str) -> str:
    """Return the letter that tells a shape apart where there is no colour."""
    return PICKS[name].letter if name in PICKS else "o"


def _points(name: str, mark: str, shapes: Sequence[Candidate]) -> Series:
    return name, mark, [of(c, X) for c in shapes], [of(c, Y) for c in shapes]


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
