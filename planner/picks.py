"""The table of picks: every shape that a recommendation names, with its words, mark and colour.

Middle tones: at least 3:1 against both a white and a near-black page (WCAG 1.4.11).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pick:
    """A shape by the name it has in results."""

    name: str
    title: str
    words: str
    letter: str  # in a terminal's plot, where there is no colour
    symbol: str  # on a page, as Plotly names it
    colour: str
    label: str  # where its label stands, clear of the others'


# The pick to train is at least so sure: to lose no more than the margin against the target.
SURE = 0.8

PICKS: dict[str, Pick] = {
    p.name: p
    for p in (
        Pick("baseline", "baseline", "a Llama-style shape of the same size",
             "B", "square", "#7d8590", "top left"),
        Pick("recommended", "recommended", "the fastest that is sure to lose no more than a tie",
             "R", "diamond", "#a356c9", "bottom left"),
        Pick("lowest_loss", "lowest loss", "the lowest loss",
             "L", "triangle-up", "#2e9150", "bottom right"),
        Pick("fastest", "fastest", "the fastest that is as likely as not to lose no more than a tie",
             "F", "star", "#d9630b", "top right"),
        Pick("cheapest", "cheapest", "the lowest cost of training and serving together",
             "C", "hexagon", "#12929e", "middle right"),
    )
}  # fmt: skip


def title(name: str) -> str:
    """Return how a shape of a result is called."""
    return PICKS[name].title if name in PICKS else name
