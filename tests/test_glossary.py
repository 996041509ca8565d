"""Every name the equations use is in the glossary, with the unit it declares."""

import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass
from typing import get_args, get_origin, get_type_hints

import pytest

import planner.columns
import planner.cost
import planner.law
import planner.law.accuracy
import planner.law.columns
import planner.serving
from planner.equation import EQUATIONS
from planner.glossary import Term, find_term, symbol, terms
from planner.units import Unit

for package in (planner.cost, planner.serving, planner.law):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

NOT_QUANTITIES = {
    "pivot",
    "points",
    "misfit",
    "covariance",
    "n_definition",
    "name",
    "data",
    "switches",
    "drawn",
    "arch",
}  # evidence of a law, which no equation reads


def unit_of(annotation):
    return next((a.symbol for a in get_args(annotation) if isinstance(a, Unit)), None)


def columns():
    for module in (planner.columns, planner.law.columns, planner.law.accuracy):
        for cls in vars(module).values():
            if inspect.isclass(cls) and is_dataclass(cls) and cls.__module__ == module.__name__:
                hints = get_type_hints(cls, include_extras=True)
                for field in fields(cls):
                    if not is_dataclass(hints[field.name]) and field.name not in NOT_QUANTITIES:
                        yield cls.__name__.lower(), field.name, unit_of(hints[field.name]) or ""


@pytest.mark.parametrize(("owner", "name", "unit"), sorted(set(columns())))
def test_every_column_is_a_term_of_its_unit(owner, name, unit):
    term = terms().get(f"{owner}.{name}") or terms().get(name)
    assert term, f"add {name} to planner/glossary.py"
    assert term.unit == unit


@pytest.mark.parametrize("name", sorted(EQUATIONS))
def test_every_equation_is_a_term_of_its_unit(name):
    assert name in terms(), f"add {name} to planner/glossary.py"
    hints = get_type_hints(inspect.unwrap(EQUATIONS[name]), include_extras=True)
    assert get_origin(hints["return"]) is not None, "an equation declares its unit"
    assert terms()[name].unit == unit_of(hints["return"])


def test_a_step_is_named_by_its_phase():
    assert find_term("step_s[decode]") == Term(
        "step_s[decode]", r"t_{step}^{\mathrm{decode}}", "s", "one engine step (decode)"
    )
    assert find_term("overheads.step_s").symbol == "t_e"
    assert symbol("nobody_knows") == r"\mathrm{nobody\_knows}"


def test_every_line_is_a_whole_term():
    """A short or doubled line would drop a name without a word."""
    from planner.glossary import _TERMS

    lines = [line for line in _TERMS.splitlines() if line and not line.startswith("# ")]
    assert len(lines) == len(terms())
    assert all(t.symbol and t.meaning for t in terms().values())
