"""Experts: a routed model's parameters count for more than those that a token visits."""

from typing import Any

import numpy as np

from planner.equation import equation, log
from planner.law.terms.term import Acts, Coefficient, Guard, Term
from planner.units import Number, Scalar

# Clark et al. 2022 saturate the count of experts between E_START and E_MAX; refitted here on their
# public curves (deepmind/scaling_laws_for_routing @42da0c3, Apache-2.0).
E_START, E_MAX = 2.3, 500.0
POWER = Coefficient(
    "expert_power",
    "power of the saturated expert count in effective parameters",
    0.47,
    0.05,
    "Clark et al. 2022 curves, refit; Ludziejewski et al. 2025 imply 0.39-0.46",
)


def effective_experts(n_experts: Number) -> Any:
    """Return Clark et al.'s saturated expert count: E_START at one expert, E_MAX at infinitely many.

    Args:
        n_experts: experts in all per active one.

    """
    offset = 1 / (1 / E_START - 1 / E_MAX)
    return 1 / (1 / (n_experts - 1 + offset) + 1 / E_MAX)


@equation
def expert_gain(n_experts: Scalar) -> Scalar:
    """Saturated expert count over that of a dense model; `n_experts` in all, per active one.

    Args:
        n_experts: experts in all per active one.

    """
    return effective_experts(n_experts) / E_START


def ln_expert_factor(n_experts: Number, power: Number = POWER.mean) -> Any:
    """Return ln(N_eff / N_active) of routed models.

    One active expert's parameters count as N. Extrapolates better than Clark's bilinear law:
    0.6-1.1 % against 2.0-2.1 % relative error from below to above 450M parameters.

    Args:
        n_experts: experts in all over those a token visits, a count.
        power: of the saturated count, a pure number.

    """
    return power * log(expert_gain(n_experts))


EXPERTS = Term(
    "experts", "experts count as effective parameters", Acts.LN_PARAMS,
    "N_eff = N (E^(n) / E^(1))^k",
    lambda law, s: ln_expert_factor(s.n_experts / s.n_active_experts, POWER.of(law)),
    (POWER,),
    guards=(
        Guard(
            "experts",
            lambda law, s: log(s.n_experts / s.n_active_experts),
            0.0,
            "the law was fitted on dense models only; experts count as effective parameters, "
            "a prior from routed models (Clark et al. 2022)",
        ),
    ),
    when=lambda law, s: np.any(s.n_experts != s.n_active_experts),
)  # fmt: skip
