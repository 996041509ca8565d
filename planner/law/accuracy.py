"""The accuracy link: loss to mean zero-shot accuracy over the paper's nine tasks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.equation import equation, exp
from planner.units import Number, Scalar

RESOLVED_ACCURACY = 0.005  # differences under half a point are never presented as real


@dataclass(frozen=True, slots=True)
class AccuracyLink:
    """accuracy = 1 - error_at_chance / (1 + exp(-slope (loss - midpoint))).

    The default is fitted on the seven models of Bian et al. 2025, Table 1, with the ceiling of
    the error at chance level, 0.75. The slope, 2.0 per nat, is nearly universal: 2.1-2.3 on
    Gemstones, 2.1 on Gadre et al. 2024, 2.5 on the OLMo ladder.
    """

    slope: Scalar = 2.004
    midpoint: Scalar = 2.6146
    error_at_chance: Scalar = 0.75
    slope_sd: float = 0.112
    midpoint_sd: float = 0.0065
    residual_sd: float = 0.0048
    other_data_sd: float = 0.0175  # added when corpus or tokenizer differ from the link's


NINE_TASKS = AccuracyLink()


@equation
def accuracy(link: AccuracyLink, loss: Scalar) -> Scalar:
    """Mean accuracy, a share of 1, at a loss in nats per token."""
    return 1 - link.error_at_chance / (1 + exp(-link.slope * (loss - link.midpoint)))


def accuracy_draws(
    link: AccuracyLink, loss_draws: Number, *, seed: int = 0, other_data: bool = False
) -> Any:
    """Return draws of accuracy for draws of loss, shape (n_draws, n).

    Uncertainty of the link is common to all candidates of a draw and cancels in differences;
    the residual is each model's own.
    """
    rng = np.random.default_rng(seed)
    draws, n = np.shape(loss_draws)
    one = (draws, 1)
    drawn = AccuracyLink(
        slope=np.maximum(rng.normal(link.slope, link.slope_sd, one), 0.1),
        midpoint=rng.normal(link.midpoint, link.midpoint_sd, one),
        error_at_chance=link.error_at_chance,
    )
    common = rng.normal(0.0, link.other_data_sd, one) if other_data else 0.0
    own = rng.normal(0.0, link.residual_sd, (draws, n))
    return np.clip(accuracy(drawn, loss_draws) + common + own, 0.0, 1.0)
