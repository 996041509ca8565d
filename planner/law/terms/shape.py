"""The conditional law: what shape does to the loss at a given N and D.

Bian et al. 2025 (arXiv 2510.18245) write each side as c0 + c1 ln z + c2 / z. Six coefficients
describe only four curves' worth of information: the Jacobian of the product has rank 5, and with
the reference loss free only four shape numbers are identified. Stored here is the identifiable
form, z_opt = c2 / c1 and k = c1 / (value at the optimum), the very same family of curves:
c0 + c1 ln z + c2 / z = s (1 + k phi(z / z_opt)).
"""

import math
from dataclasses import dataclass
from typing import Any

from planner.equation import equation, log
from planner.law.columns import LawColumns
from planner.law.terms.depth import best_width, width_at_reference_depth
from planner.law.terms.term import Acts, Coefficient, Guard, Term, of_law, outside
from planner.units import Number, Scalar


def phi(u: Number) -> Any:
    """Return ln u + 1/u - 1: zero with zero slope and unit curvature at u = 1, positive elsewhere.

    Args:
        u: a positive ratio.

    """
    return log(u) + 1 / u - 1


@equation
def width_penalty(law: LawColumns, n: Scalar, x: Scalar) -> Scalar:
    """Relative loss (nats where the law is additive) of a width off its optimum; x = d / sqrt(N).

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.
        x: d_model / sqrt(N).

    """
    return law.k_x * phi(x / best_width(law, n))


@equation
def ratio_penalty(law: LawColumns, r: Scalar) -> Scalar:
    """Relative loss (nats where the law is additive) of an MLP / attention ratio off its optimum.

    Args:
        law: coefficients of a law, or draws of them.
        r: MLP over attention parameters.

    """
    return law.k_r * phi(r / law.r_opt)


@equation
def shape_multiplier(law: LawColumns, n: Scalar, x: Scalar, r: Scalar) -> Scalar:
    """Multiplier of the reference loss; 1 at the optimum. Bian et al. 2025, multiplicative form.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.
        x: d_model / sqrt(N).
        r: MLP over attention parameters.

    """
    return (1 + width_penalty(law, n, x)) * (1 + ratio_penalty(law, r))


@equation
def shape_offset(law: LawColumns, n: Scalar, x: Scalar, r: Scalar) -> Scalar:
    """Nats added to the reference loss; 0 at the optimum. Bian et al. 2025, additive form.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.
        x: d_model / √N.
        r: MLP over attention parameters.

    """
    return width_penalty(law, n, x) + ratio_penalty(law, r)


@dataclass(frozen=True, slots=True)
class PaperCoefficients:
    """The six coefficients as the paper prints them: (a0 + a1 ln x + a2/x)(b0 + b1 ln r + b2/r)."""

    a0: float
    a1: float
    a2: float
    b0: float
    b1: float
    b2: float


@dataclass(frozen=True, slots=True)
class Pinned:
    """The identifiable form of the multiplicative law, with the gauge that recovers the paper's six.

    `scale` is the product at the optimum, absorbed by the reference loss. `gauge` is the value of
    the width factor at its optimum: the split of `scale` between the two factors, which no data
    determine. With both, export after import is exact.
    """

    x_opt: float
    k_x: float
    r_opt: float
    k_r: float
    scale: float = 1.0
    gauge: float = 1.0

    @classmethod
    def from_paper(cls, c: PaperCoefficients) -> "Pinned":
        """Return the identifiable form of `c`, its scale and its gauge.

        Args:
            c: coefficients as the paper prints them.

        """
        x_opt, r_opt = c.a2 / c.a1, c.b2 / c.b1
        at_x = c.a0 + c.a1 * math.log(x_opt) + c.a1
        at_r = c.b0 + c.b1 * math.log(r_opt) + c.b1
        return cls(x_opt, c.a1 / at_x, r_opt, c.b1 / at_r, at_x * at_r, at_x)

    def to_paper(self) -> PaperCoefficients:
        """Return the six coefficients in this gauge; the inverse of `from_paper`."""
        at_x, at_r = self.gauge, self.scale / self.gauge
        a1, b1 = self.k_x * at_x, self.k_r * at_r
        return PaperCoefficients(
            a0=at_x - a1 * math.log(self.x_opt) - a1,
            a1=a1,
            a2=a1 * self.x_opt,
            b0=at_r - b1 * math.log(self.r_opt) - b1,
            b1=b1,
            b2=b1 * self.r_opt,
        )


def _coefficient(name: str, words: str, sampling_sd: float) -> Coefficient:
    source = "Bian et al. 2025: sampling error at the fitted size; their coefficients drift with it"
    return of_law(name, words, f"{name}_ln_sd", source=source, ln=True, sd=sampling_sd)


# Relative sampling error at the fitted size, from the paper's own design with 0.005 nats of noise;
# away from that size they drift by the law's own `_ln_sd`.
COEFFICIENTS = (
    _coefficient("k_x", "cost of a wrong width", 0.05),
    _coefficient("x_opt", "best width", 0.008),
    _coefficient("k_r", "cost of a wrong ratio", 0.04),
    _coefficient("r_opt", "best MLP/attention ratio", 0.02),
)
GUARDS = (
    Guard(
        "mlp-attn-ratio",
        lambda law, s: outside(s.r, law.r_low, law.r_high),
        0.03,
        "the MLP/attention ratio was fitted in [{law.r_low:g}, {law.r_high:g}] only; "
        "outside it the paper's ranking breaks",
    ),
    Guard(
        "width",
        lambda law, s: outside(s.x, law.x_low, law.x_high),
        0.03,
        "d_model / sqrt(N) was fitted in [{law.x_low:g}, {law.x_high:g}] only",
    ),
    Guard(
        "no-shape",
        lambda law, s: 0.0 if law.has("k_x", "k_r") else 1.0,
        0.0,
        "{law.name} says nothing about shape: only N and D act",
    ),
)
SHAPE = Term(
    "shape", "width and MLP/attention ratio off their optimum multiply the loss", Acts.FACTOR,
    "(1 + k_x phi(x / x_opt)) (1 + k_r phi(r / r_opt)), phi(u) = ln u + 1 / u - 1",
    lambda law, s: shape_multiplier(law, s.n_depth, width_at_reference_depth(law, s), s.r),
    COEFFICIENTS, GUARDS,
    when=lambda law, s: law.has("k_x", "k_r") and not law.has("additive"),
)  # fmt: skip
SHAPE_ADDED = Term(
    "shape-added", "width and MLP/attention ratio off their optimum add to the loss", Acts.NATS,
    "k_x phi(x / x_opt) + k_r phi(r / r_opt)",
    lambda law, s: shape_offset(law, s.n_depth, width_at_reference_depth(law, s), s.r),
    when=lambda law, s: law.has("additive"),
)  # fmt: skip
