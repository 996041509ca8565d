"""The record of a loss term: how it acts, what is known of its coefficients, where evidence ends.

A term is one file beside this one and one line of the list in `planner.law.terms`. The loss, its
draws, the warnings, the report's sensitivities and `planner explain` iterate that list.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any
from zlib import crc32

import numpy as np

from planner.law.columns import LawColumns, Shapes
from planner.units import Number, show


class Acts(StrEnum):
    """What the number a term returns does to the loss."""

    REFERENCE = "the loss that the others act on, nats per token"
    LN_PARAMS = "ln of a factor on the parameters: N counts as N e^effect"
    LN_TOKENS = "ln of a factor on the training tokens: D counts as D e^effect"
    FACTOR = "a factor on the loss"
    NATS = "nats per token added to the loss"


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A number of a term, with its prior: normal in the value, or in its logarithm where `ln`.

    A coefficient that laws know themselves is a field of `LawColumns`, as is its spread: see
    `of_law`. Any other has its one home here, and is drawn with `sd` wherever its term acts.
    """

    name: str
    words: str
    mean: float
    sd: float
    source: str
    ln: bool = False
    sd_field: str = ""  # of LawColumns, where each law states its own spread

    @property
    def coordinate(self) -> str:
        """What the prior is normal in."""
        return f"ln_{self.name}" if self.ln else self.name

    def of(self, law: LawColumns) -> Any:
        """Return the law's own value, or a draw of it; without either the prior's mean.

        Args:
            law: coefficients of a law, or draws of them.

        """
        if self.sd_field:
            return getattr(law, self.name)
        return (law.drawn or {}).get(self.name, self.mean)

    def draws(self, n_draws: int, seed: int) -> Any:
        """Return draws of the prior, (n_draws, 1): the same whichever other terms there are.

        Args:
            n_draws: how many draws.
            seed: of the draws.

        """
        z = np.random.default_rng([seed, crc32(self.name.encode())]).standard_normal((n_draws, 1))
        return self.mean * np.exp(self.sd * z) if self.ln else self.mean + self.sd * z


def of_law(
    name: str, words: str, sd_field: str, *, source: str, ln: bool = False, sd: float | None = None
) -> Coefficient:
    """Return a coefficient that is a field of `LawColumns`, its prior the default there.

    Args:
        name: a name.
        words: what people call it.
        sd_field: field of its standard deviation.
        source: citation.
        ln: whether it is drawn as a logarithm.
        sd: standard deviation, in its own unit.

    """
    default: dict[str, Any] = {f.name: f.default for f in fields(LawColumns)}
    mean = default[name] if isinstance(default[name], float) else float("nan")
    return Coefficient(
        name, words, mean, default[sd_field] if sd is None else sd, source, ln, sd_field
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """Evidence of a term that a candidate may leave: its interval widens, and a warning says so."""

    code: str  # stable: the warning's
    distance: Callable[[LawColumns, Shapes], Any]  # 0 inside, e-folds outside
    sd_per_efold: float  # nats of each candidate's own per e-fold outside; what all share is drawn
    words: str  # the warning's, with {law.r_low:g} or, in people's units, {shown.n_low}

    def say(self, law: LawColumns) -> str:
        """Return the warning in words, with the law's own numbers.

        Args:
            law: coefficients of a law, or draws of them.

        """
        return self.words.format(law=law, shown=_Shown(law))


class _Shown:
    def __init__(self, law: LawColumns) -> None:
        self._law = law

    def __getattr__(self, name: str) -> str:
        return show(getattr(self._law, name))


@dataclass(frozen=True, slots=True)
class Switch:
    """How a caller turns a term on: a number under this name, 0 or nothing to leave it off."""

    name: str
    words: str
    unit: str = ""
    low: float = 1.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss.

    `effect` is the number that `acts` says what to do with: of shape (n,), or (n_draws, n) where
    the law holds draws. It is asked only where the term's switch is on and `when` holds.
    """

    name: str
    words: str
    acts: Acts
    equation: str  # as a paper writes it
    effect: Callable[[LawColumns, Shapes], Any]
    coefficients: tuple[Coefficient, ...] = ()
    guards: tuple[Guard, ...] = ()
    switch: Switch | None = None  # None: on by default, and always
    when: Callable[[LawColumns, Shapes], Any] = lambda law, s: True

    def on(self, law: LawColumns, s: Shapes) -> bool:
        """Whether the term acts on these candidates.

        Args:
            law: coefficients of a law, or draws of them.
            s: shapes: n, x and r by candidate.

        """
        asked = self.switch is None or law.asked(self.switch.name)
        return bool(asked and self.when(law, s))


def outside(value: Number, low: Number, high: Number) -> Any:
    """Return how many e-folds `value` lies outside [low, high]; 0 inside, and where it is unknown.

    Two percent of slack: bounds are round numbers, and a search allows N a percent.

    Args:
        value: a positive quantity, of any unit.
        low: least of the evidence, in the same unit.
        high: most of it.

    """
    value = np.asarray(value, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ln = np.log(value)
        gap = np.maximum(np.maximum(np.log(low) - ln, ln - np.log(high)) - 0.02, 0.0)
    return np.nan_to_num(gap, nan=0.0, posinf=10.0)
