"""What the loss law is made of and looks at, as columns: floats, arrays of draws, or symbols.

A law is one set of numbers, or a thousand posterior draws of them, each an array of shape
(n_draws, 1); candidates are arrays of shape (n,). The same equations serve both and broadcast to
(n_draws, n).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.units import Scalar


class NDefinition(StrEnum):
    """Which parameters a law or a data set counts as N; the two must never be mixed.

    The same Gemstones runs give alpha = 0.20 with non-embedding and 0.29 with total N.
    """

    NON_EMBEDDING = "non-embedding"
    TOTAL = "total"
    ACTIVE = "active-non-embedding"

    def require(self, other: "NDefinition", *, where: str) -> None:
        """Refuse to combine a law in one definition with numbers in another.

        Args:
            other: the other way of counting.
            where: names it in an error.

        Raises:
            SpecError: `other` is a different definition.

        """
        if self is not other:
            raise SpecError(
                f"{where}: N is {other}, but the law counts {self} parameters",
                hint=f"give {self} parameters, or choose a law fitted on {other} ones",
            )


@dataclass(frozen=True, slots=True)
class LawColumns:
    """Coefficients, spread and evidence of one loss law. Loss is in nats per token.

    `reference_loss = E + A / N^alpha + B / D^beta` is the loss of the best shape; the conditional
    part multiplies (or adds to) it and is 1 (or 0) at `x_opt`, `r_opt`. A law without a
    conditional part has `k_x = k_r = 0`.
    """

    E: Scalar
    A: Scalar
    alpha: Scalar
    B: Scalar
    beta: Scalar
    x_opt: Scalar = 0.0739  # best d_model / sqrt(N)
    k_x: Scalar = 0.0  # relative loss per phi(x / x_opt); nats where additive
    r_opt: Scalar = 1.2157  # best MLP / attention parameter ratio
    k_r: Scalar = 0.0
    additive: Scalar = 0.0  # 1 where the conditional part adds nats, 0 where it multiplies

    # Of the other terms, each described in its file of planner/law/terms.
    depth_q: Scalar = 0.075  # per squared e-fold of d_model / n_layers
    depth_aspect: Scalar = 60.0  # at 1B
    depth_drift: Scalar = 0.12  # power of N, of the best d_model / n_layers
    x_drift: Scalar = -0.06  # power of N, of x_opt beyond the sizes fitted
    head_k: Scalar = 0.015  # per squared e-fold of a head under 96
    gqa_slope: Scalar = 0.0  # nats per doubling of the group size away from `gqa`
    repeat_r: Scalar = 15.39  # passes over repeated data

    # Where the conditional part was fitted, and how far its evidence goes.
    n_fitted_low: Scalar = 9.7e8
    n_fitted_high: Scalar = 9.7e8
    n_low: Scalar = 8e7
    n_high: Scalar = 3e9
    tokens_per_param_low: Scalar = 30.0
    tokens_per_param_high: Scalar = 100.0
    r_low: Scalar = 0.5
    r_high: Scalar = 5.0
    x_low: Scalar = 0.04
    x_high: Scalar = 0.14
    gqa: Scalar = 4.0  # group size of the evidence
    gqa_high: Scalar = 9.0

    # One-sigma spreads of what the coefficients are not sure of.
    noise_sd: Scalar = 0.006  # nats, per model: run-to-run noise and misfit of the law
    gqa_sd: Scalar = 0.003  # nats per doubling of the group size
    ln_level_sd: Scalar = 0.01  # at the pivot
    ln_slope_n_sd: Scalar = 0.15
    ln_slope_d_sd: Scalar = 0.3
    ln_alpha_sd: Scalar = 0.2
    ln_beta_sd: Scalar = 0.2
    misfit_sd: Scalar = 0.02  # of ln L, smooth in ln N and ln D
    k_x_ln_sd: Scalar = 0.9  # drift of the conditional part over a factor 3 in N
    x_opt_ln_sd: Scalar = 0.06
    k_r_ln_sd: Scalar = 0.3
    r_opt_ln_sd: Scalar = 0.12
    depth_q_ln_sd: Scalar = 0.4
    depth_aspect_ln_sd: Scalar = 0.45
    depth_drift_sd: Scalar = 0.12
    x_drift_sd: Scalar = 0.06
    head_k_sd: Scalar = 0.0105
    repeat_r_ln_sd: Scalar = 0.4

    pivot: tuple[float, float] = (1e9, 1e11)  # N and tokens amid the evidence
    points: tuple[tuple[float, float], ...] = ()  # N and tokens of runs where the misfit is known
    misfit: tuple[Any, ...] = ()  # its values there, of ln L
    # Of a fit: covariance over planner.law.posterior.COORDINATES and the misfit at the points, in
    # place of independent priors.
    covariance: tuple[tuple[float, ...], ...] = ()
    n_definition: NDefinition = NDefinition.NON_EMBEDDING
    name: str = "the law"
    data: str = ""  # corpora it was fitted on, in words
    switches: tuple[tuple[str, float], ...] = ()  # terms turned on; see planner.law.law.switched
    drawn: Mapping[str, Any] | None = None  # of draws: coefficients that only a term's file knows

    def asked(self, switch: str) -> float:
        """Return the number a term was turned on with; 0 where it is off.

        Args:
            switch: name of a switch.

        """
        return dict(self.switches).get(switch, 0.0)

    def has(self, *coefficients: str) -> bool:
        """Whether any of these is other than zero; a symbol is."""
        return any(bool(np.any(getattr(self, name) != 0)) for name in coefficients)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the law needs to know of each candidate; every field a number or a column.

    `n` counts as the law's `n_definition` says; `n_tokens` are training tokens; `x` is
    d_model / sqrt(n_params_non_embedding); `r` is MLP over attention parameters; `gqa` is
    n_heads / n_kv_heads.
    """

    n: Scalar
    n_tokens: Scalar
    x: Scalar = np.nan
    r: Scalar = np.nan
    gqa: Scalar = 4.0
    n_layers: Scalar = np.nan
    head_dim: Scalar = np.nan
    n_params_non_embedding: Scalar | None = None  # where `n` counts otherwise
    n_experts: Scalar = 1.0
    n_active_experts: Scalar = 1.0
    arch: Any = None  # an Arch: the whole shape, where it is known

    @property
    def n_depth(self) -> Any:
        """Parameters that depth and head size go with: those outside the embedding."""
        return self.n if self.n_params_non_embedding is None else self.n_params_non_embedding
