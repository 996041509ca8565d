"""Repeated data: tokens seen again are worth less than fresh ones (Muennighoff et al. 2023)."""

from typing import Any

from planner.equation import exp, log, minimum
from planner.law.terms.term import Acts, Switch, Term, of_law
from planner.units import Number

R_STAR = of_law(
    "repeat_r", "repeats after which a token has lost most of its worth", "repeat_r_sd",
    source="Muennighoff et al. 2023 (arXiv 2305.16264), C4",
)  # fmt: skip


def effective_tokens(n_tokens: Number, unique_tokens: Number, r_star: Number = R_STAR.mean) -> Any:
    """Return what repeated tokens are worth as fresh ones (Muennighoff et al. 2023, eq. 5).

    U + U R* (1 - exp(-R / R*)) with R repeats beyond the first pass: four passes are nearly as
    good as fresh data, forty nearly worthless.

    Args:
        n_tokens: training tokens, a count.
        unique_tokens: fresh ones among them, a count.
        r_star: R*, passes.

    """
    unique = minimum(unique_tokens, n_tokens)
    repeats = n_tokens / unique - 1
    return unique + unique * r_star * (1 - exp(-repeats / r_star))


REPEATED_DATA = Term(
    "repeated-data", "repeated tokens are worth less than fresh ones", Acts.LN_TOKENS,
    "D_eff = U + U R* (1 - e^(-(D / U - 1) / R*))",
    lambda law, s: log(
        effective_tokens(s.n_tokens, law.asked("unique_tokens"), R_STAR.of(law)) / s.n_tokens
    ),
    (R_STAR,),
    switch=Switch("unique_tokens", "fresh tokens there are", "token", 1.0, float("inf")),
)  # fmt: skip
