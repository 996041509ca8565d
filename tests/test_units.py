"""Text with units at the edges: every prefix agrees with pint, and nothing bare slips through."""

import math

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import SpecError
from planner.units import BASES, count, parse, show, significant, whole

UREG = pint.UnitRegistry()
UREG.define("FLOP = [flop] = _ = flop")
UREG.define("USD = [currency] = _ = usd")
PINT = {"B": "byte", "FLOP": "FLOP", "s": "second", "Hz": "hertz", "W": "watt", "USD": "USD"}


@pytest.mark.parametrize(
    ("base", "prefix"), [(b, p) for b, (_, scales) in BASES.items() for p in scales]
)
def test_every_prefix_agrees_with_pint(base, prefix):
    ours = parse(f"1.5 {prefix}{base}", BASES[base][0])
    theirs = UREG.Quantity(1.5, prefix + PINT[base]).to(PINT[base]).magnitude
    assert ours == pytest.approx(theirs, rel=1e-15)


@pytest.mark.parametrize("text", ["3.35", "3.35 TB", "3.35 Tb/s", "fast", "", "nan B/s", None, 3.0])
def test_a_bandwidth_needs_its_unit(text):
    with pytest.raises(SpecError, match="not a quantity"):
        parse(text, "byte/s")


def test_a_bare_rate_is_per_second():
    assert parse("12/s", "1/s") == 12


@pytest.mark.parametrize(
    ("text", "value"), [("3e9", 3e9), ("3B", 3e9), ("100k", 1e5), ("1.5T", 1.5e12), (7, 7.0)]
)
def test_counts_are_written_as_people_do(text, value):
    assert count(text) == value


@pytest.mark.parametrize("text", ["-3e9", "0", "nan", "inf", "3 GB", "1e", "", None, -math.inf])
def test_a_count_is_positive_and_finite(text):
    with pytest.raises(SpecError, match="not a positive count"):
        count(text)


def test_a_whole_count_names_its_flag():
    with pytest.raises(SpecError, match=r"--batch: '1\.5' is not a whole number"):
        whole("1.5", "--batch")


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_what_is_shown_is_within_half_of_the_last_digit(value):
    shown = show(value, "byte/s", digits=4) if value >= 1 else show(value, "s", digits=4)
    unit = "byte/s" if value >= 1 else "s"
    assert parse(shown, unit) == pytest.approx(value, rel=6e-4)


def test_significant_digits_have_no_exponent():
    assert [significant(x) for x in (1234.5, 0.01234, 0.0)] == ["1230", "0.0123", "0"]
