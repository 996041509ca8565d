"""What `recommend` is asked, validated."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from planner.inputs.conditions import Conditions
from planner.inputs.fields import COUNT
from planner.inputs.training import MAX_TOKENS, MIN_TOKENS
from planner.interval import TIE_NATS

MOST_SEARCHED = 10_000  # the largest depth, head or group, and how many of them
Range = tuple[float, float]


def _longest(option: str, words: str) -> Any:
    return Field(
        None, gt=0, le=1e6, description=f"Longest {words}", json_schema_extra={"option": option}
    )


class Question(Conditions):
    """A size and conditions, limits, and how far to look.

    The defaults are the serving setup of Bian et al. (arXiv 2510.18245) and stay inside the law's
    evidence: r in [0.5, 5], d_model/√N in [0.04, 0.14], groups of up to 9 query heads.
    `search_depth` without `layers` searches every depth that evidence reaches at the size.
    """

    params: float = Field(
        ge=1e6, le=1e13, description="Parameter budget, e.g. 3e9 or 3B.", json_schema_extra=COUNT
    )
    tokens: float = Field(
        ge=MIN_TOKENS,
        le=MAX_TOKENS,
        description="Training tokens, e.g. 100B or 1e11.",
        json_schema_extra=COUNT,
    )
    params_kind: Literal["non-embedding", "total"] = Field(
        "non-embedding", description="What --params counts: non-embedding or total."
    )
    layers: tuple[int, ...] = Field(
        (), description="Depths to search; auto: those evidence reaches; default: the law's own."
    )
    search_depth: bool = Field(False, description="Search depths, as --layers auto does.")
    head_dims: tuple[int, ...] = Field(
        (),
        description="Head sizes to search; default: 64 up to 1B, 128 above.",
        json_schema_extra={"option": "head_dim"},
    )
    tp_ready: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Ways that heads and KV heads must divide, whatever --tp is; default: 8, 4, 2 or "
        "1, the most that costs the best shape less than 0.002 nats and 2 % of tokens/s.",
    )
    any_shape: bool = Field(
        False, description="Search also shapes that only --tp cuts, as the paper's own picks are."
    )
    baseline: str | None = Field(
        None,
        description="Model whose ratios the baseline has; default: what the field builds at the size.",
    )
    gqa: tuple[int, ...] = Field(tuple(range(1, 10)), description="Query heads per KV head.")
    align: int = Field(128, ge=1, le=8192, description="d_model and d_ff are multiples of this.")
    tolerance: float = Field(
        0.01, gt=0, le=0.2, description="How far N may be from --params, relative."
    )
    vocab_size: int = Field(128256, ge=2, le=10**7, description="Vocabulary.")
    mlp_attn_ratio: Range = Field((0.5, 5.0), description="MLP/attention ratios searched.")
    d_over_sqrt_n: Range = Field((0.04, 0.14), description="d_model/√N searched.")
    max_loss: float | None = Field(
        None, gt=0, le=100, description="Target loss; default: the baseline's."
    )
    ttft_s: float | None = _longest(
        "ttft", "mean time to first token in the workload asked for: 300ms."
    )
    tpot_s: float | None = _longest("tpot", "mean time per output token: 20ms.")
    e2e_s: float | None = _longest("e2e", "mean time to the last token: 30s.")
    serve_requests: float | None = Field(
        None,
        gt=0,
        le=1e18,
        description="Requests served over its life; adds the cheapest pick.",
        json_schema_extra=COUNT,
    )
    train_mfu: float = Field(
        0.4, gt=0, le=1, description="Share of the matrix rate that training reaches."
    )
    confidence: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="How sure the fastest and the cheapest pick are at least, of losing no more than --margin.",
    )
    margin: float = Field(
        TIE_NATS,
        ge=0,
        le=1,
        description="Nats a pick may lose against the target: those of a tie; with 0 the fastest is the paper's.",
    )

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name in ("layers", "head_dims", "gqa"):
            values = getattr(self, name)
            if (
                any(not 1 <= value <= MOST_SEARCHED for value in values)
                or len(values) > MOST_SEARCHED
            ):
                raise ValueError(
                    f"{name} must be positive whole numbers, at most {MOST_SEARCHED:,}"
                )
        if any(h % 2 for h in self.head_dims):
            raise ValueError("head_dims must be even, for rotary pairs")
        for name in ("mlp_attn_ratio", "d_over_sqrt_n"):
            low, high = getattr(self, name)
            if not 1e-6 <= low < high <= 1e6:
                raise ValueError(f"{name} must be low,high with 1e-6 ≤ low < high ≤ 1e6")
        return self
