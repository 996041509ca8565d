"""Head size: small heads cost loss."""

from typing import Any

from planner.equation import equation, floor, log, maximum, minimum
from planner.law.columns import LawColumns
from planner.law.terms.depth import known
from planner.law.terms.term import Acts, Guard, Term, of_law, outside
from planner.units import Number, Scalar


@equation
def reference_head_dim(n: Scalar) -> Scalar:
    """Head size the law is read at for `n` non-embedding parameters: 64 up to 1B, 128 from 3B.

    The paper says nothing between: the change is put at the geometric middle, sqrt(3) B.

    Args:
        n: parameters outside the embedding, a count.

    """
    return 64.0 * (1 + minimum(floor(n / (3**0.5 * 1e9)), 1.0))


def head_multiplier(law: LawColumns, head_dim: Number, reference: Number) -> Any:
    """Return the loss multiplier of a head size against the reference one (Gadre et al. grid).

    Args:
        law: coefficients; `head_k` per squared e-fold.
        head_dim: elements of a head, a count.
        reference: elements of a head in the law's evidence.

    """
    small = maximum(log(96 / head_dim), 0.0)
    evidence = maximum(log(96 / reference), 0.0)
    return (1 + law.head_k * small**2) / (1 + law.head_k * evidence**2)


HEAD_SIZE = Term(
    "head-size", "heads smaller than 96 cost loss", Acts.FACTOR,
    "1 + k max(0, ln(96 / head_dim))^2, over the same at the reference head",
    lambda law, s: head_multiplier(law, s.head_dim, reference_head_dim(s.n_depth)),
    (
        of_law(
            "head_k", "cost of a small head", "head_k_sd",
            source="Gadre et al. 2024 grid (130 shapes, N <= 0.31B): +3.3 % at 20-28, +0.3 % at 50-70; "
            "above 1B times 1 +- 0.7",
        ),
    ),
    guards=(
        Guard(
            "head-size",
            lambda law, s: outside(s.head_dim, 48.0, 256.0),
            0.01,
            "heads of 48 to 256 are what the head-size sweep and its neighbours speak of",
        ),
    ),
    when=lambda law, s: known(s.head_dim),
)  # fmt: skip
