"""One palette keyed by meaning: no two series look alike, for any eye."""

import itertools

import numpy as np
import pytest

from planner.cost.step import PARTS
from planner.metrics import METRICS
from planner.report.figures.curves import Line, curves
from planner.report.figures.style import GROUPS, MEANING, MEMORY, SERIES, operator

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour, sight):
    x = (
        np.array(TO_XYZ)
        @ np.clip(np.array(SIGHT[sight]) @ linear(colour), 0, 1)
        / [0.9505, 1, 1.089]
    )
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(
    "palette", [GROUPS.values(), [c for c in MEMORY.values() if c[0] == "#"], SERIES]
)
def test_colours_of_a_figure_are_told_apart(palette, sight):
    for a, b in itertools.combinations(palette, 2):
        assert np.linalg.norm(lab(a, sight) - lab(b, sight)) > 20, (a, b)


@pytest.mark.parametrize(
    "colour", [*GROUPS.values(), *SERIES, *(c for c in MEMORY.values() if c[0] == "#")]
)
def test_a_colour_stands_out_on_either_page(colour):
    luminance = float(linear(colour) @ TO_XYZ[1])
    assert 1.05 / (luminance + 0.05) >= 3 and (luminance + 0.05) / (0.008 + 0.05) >= 3


def test_every_operator_has_a_meaning_and_a_look_of_its_own():
    assert {n for names in MEANING.values() for n in names} == set(PARTS)
    for phase in ("prefill", "decode"):
        looks = [(x.colour, x.pattern) for x in (operator(n, phase) for n in PARTS)]
        assert len(set(looks)) == len(looks)
    assert operator("mlp_up", "prefill") != operator("mlp_up", "decode")


def test_no_two_lines_look_alike():
    lines = {f"device {i}": Line([1, 2], [1.0, 2.0]) for i in range(8)}
    drawn = curves(METRICS["tpot_s"], "what-if", "concurrency", lines).data
    looks = {(t["line"]["color"], t["line"].get("dash"), t["marker"]["symbol"]) for t in drawn}
    assert len(looks) == len({c for c, *_ in looks}) == 8
