"""What `recommend` is asked, validated."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from planner.inputs.conditions import Conditions
from planner.inputs.training import MAX_TOKENS, MIN_TOKENS

Range = tuple[float, float]


class Question(Conditions):
    """A size and conditions, limits, and how far to look.

    The defaults are the serving setup of Bian et al. (arXiv 2510.18245) and stay inside the law's
    evidence: r in [0.5, 5], d_model/√N in [0.04, 0.14], groups of up to 9 query heads.
    `depth_term` without `layers` searches depths around the reference.
    """

    params: float = Field(ge=1e6, le=1e13)
    tokens: float = Field(ge=MIN_TOKENS, le=MAX_TOKENS)
    params_kind: Literal["non-embedding", "total"] = "non-embedding"
    layers: tuple[int, ...] = ()  # empty: the reference depth for the size
    head_dims: tuple[int, ...] = ()  # empty: 64 up to 1B, 128 above
    gqa: tuple[int, ...] = tuple(range(1, 10))
    align: int = Field(default=128, ge=1, le=8192)
    tolerance: float = Field(default=0.01, gt=0, le=0.2)
    vocab_size: int = Field(default=128256, ge=2, le=10**7)
    mlp_attn_ratio: Range = (0.5, 5.0)
    d_over_sqrt_n: Range = (0.04, 0.14)
    max_loss: float | None = Field(default=None, gt=0)
    ttft_s: float | None = Field(default=None, gt=0)  # means, in the workload asked for
    tpot_s: float | None = Field(default=None, gt=0)
    e2e_s: float | None = Field(default=None, gt=0)
    serve_requests: float | None = Field(default=None, gt=0)  # over its life; adds a cheapest pick
    train_mfu: float = Field(default=0.4, gt=0, le=1)
    confidence: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name in ("layers", "head_dims", "gqa"):
            if any(value < 1 for value in getattr(self, name)):
                raise ValueError(f"{name} must be positive whole numbers")
        if any(h % 2 for h in self.head_dims):
            raise ValueError("head_dims must be even, for rotary pairs")
        for name in ("mlp_attn_ratio", "d_over_sqrt_n"):
            low, high = getattr(self, name)
            if not (0 < low < high and math.isfinite(high)):
                raise ValueError(f"{name} must be low,high with 0 < low < high")
        return self
