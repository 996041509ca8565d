"""Repeated data: tokens seen again are worth less than fresh ones (Muennighoff et al. 2023)."""

from typing import Any

import numpy as np

from planner.equation import exp, log, minimum
from planner.law.columns import LawColumns, Shapes
from planner.law.terms.term import Acts, Coefficient, Guard, Switch, Term, of_law, outside
from planner.units import Number

SOURCE = "Muennighoff et al. 2023 (arXiv 2305.16264), C4; corpora differ"
R_STAR = of_law(
    "repeat_r", "repeats after which a token has lost most of its worth", "repeat_r_ln_sd",
    source=SOURCE, ln=True,
)  # fmt: skip
EXCESS = Coefficient(
    "excess_r", "excess parameters after which more have lost most of their worth", 5.31, 0.5,
    SOURCE, ln=True,
)  # fmt: skip
MOST_PASSES = 40.0


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


def effective_params(n: Number, wanted: Number, r_star: Number = EXCESS.mean) -> Any:
    """Return what parameters are worth that exceed those the unique tokens want (eq. 6).

    Args:
        n: parameters, a count.
        wanted: of the compute-optimal model of the unique tokens, a count.
        r_star: R_N*, excess over `wanted`.

    """
    base = minimum(wanted, n)
    return base + base * r_star * (1 - exp(-(n / base - 1) / r_star))


def _wanted(law: LawColumns, s: Shapes) -> Any:
    """Return the compute-optimal parameters of the unique tokens (Hoffmann et al. 2022, eq. 4)."""
    unique = minimum(law.asked("unique_tokens"), s.n_tokens)
    return (law.alpha * law.A / (law.beta * law.B)) ** (1 / law.alpha) * unique ** (
        law.beta / law.alpha
    )


def _passes(law: LawColumns, s: Shapes) -> Any:
    unique = law.asked("unique_tokens")
    return outside(s.n_tokens / unique, 1e-9, MOST_PASSES) if unique else 0.0


SWITCH = Switch("unique_tokens", "fresh tokens there are", "token", 1.0, float("inf"))
REPEATED_DATA = Term(
    "repeated-data", "repeated tokens are worth less than fresh ones", Acts.LN_TOKENS,
    "D_eff = U + U R* (1 - e^(-(D / U - 1) / R*))",
    lambda law, s: log(
        effective_tokens(s.n_tokens, law.asked("unique_tokens"), R_STAR.of(law)) / s.n_tokens
    ),
    (R_STAR,),
    guards=(
        Guard(
            "repeated-data", _passes, 0.05,
            "no more than 40 passes over the same tokens were of use in the evidence",
        ),
    ),
    switch=SWITCH,
)  # fmt: skip
EXCESS_PARAMS = Term(
    "excess-params", "parameters beyond what unique tokens want are worth less", Acts.LN_PARAMS,
    "N_eff = U_N + U_N R_N* (1 - e^(-(N / U_N - 1) / R_N*))",
    lambda law, s: log(effective_params(s.n, _wanted(law, s), EXCESS.of(law)) / s.n),
    (EXCESS,),
    switch=SWITCH,
    when=lambda law, s: np.any(np.asarray(s.n_tokens) > law.asked("unique_tokens")),
)  # fmt: skip
