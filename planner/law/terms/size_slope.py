"""Size beyond the anchors: the doubt about the law's slope in N that its exponents do not cover."""

from planner.equation import log, maximum, minimum
from planner.law.columns import LawColumns
from planner.law.terms.term import Acts, Term, of_law
from planner.units import Number


def size_slope_nats(law: LawColumns, n: Number) -> Number:
    """Return nats added per e-fold of N beyond the two anchors; 0 between them, and in the mean.

    Args:
        law: coefficients; `size_slope` in nats per e-fold.
        n: parameters, counted as the law says.

    """
    ln = log(n)
    small, large = (log(anchor[0]) for anchor in law.anchors)
    return law.size_slope * (minimum(ln - small, 0.0) + maximum(ln - large, 0.0))


# The paper's drop from 1B to 3B is 1.3-1.5 times what any public corpus implies (Gemstones
# rescaled: 2.52 against 2.45 at 8B).
SIZE_SLOPE = Term(
    "size-slope",
    "a slope in ln N beyond the anchors",
    Acts.NATS,
    "s (min(ln N / N_1, 0) + max(ln N / N_2, 0))",
    lambda law, s: size_slope_nats(law, s.n),
    (
        of_law(
            "size_slope", "loss per e-fold of size beyond the anchors", "size_slope_sd",
            source="judgement, from Gemstones rescaled against Bian et al. 2025",
        ),
    ),
    when=lambda law, s: law.has("size_slope"),
)  # fmt: skip
