"""The parts of a loss law's file: reference, anchors, conditional, depth, evidence."""

from typing import Literal, Self

from pydantic import Field, model_validator

from planner.inputs.fields import Spec

Range = tuple[float, float]


class ReferenceSpec(Spec):
    """E + A / N^alpha + B / D^beta."""

    E: float = Field(ge=0)
    A: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=2)
    B: float = Field(gt=0)
    beta: float = Field(gt=0, lt=2)
    alpha_sd: float = Field(default=0.05, ge=0)
    beta_sd: float = Field(default=0.08, ge=0)
    data_term_ln_sd: float = Field(default=0.25, ge=0)
    basis: str


class AnchorSpec(Spec):
    """A trained model the reference law passes through."""

    n: float = Field(gt=0)
    n_tokens: float = Field(gt=0)
    loss: float = Field(gt=0)
    sd: float = Field(gt=0)


class PaperSpec(Spec):
    """Six coefficients as published, kept so that the conversion can be checked."""

    a0: float
    a1: float = Field(gt=0)
    a2: float = Field(gt=0)
    b0: float
    b1: float = Field(gt=0)
    b2: float = Field(gt=0)


class ConditionalSpec(Spec):
    """What shape does at a given N and D; see planner/law/terms/shape.py.

    `scale` is the published product at its optimum. The reference below and the anchors are what
    that product multiplies; `columns` absorbs it, so that the reference there is the best loss.
    """

    form: Literal["multiplicative", "additive"] = "multiplicative"
    x_opt: float = Field(gt=0)
    k_x: float = Field(ge=0)
    r_opt: float = Field(gt=0)
    k_r: float = Field(ge=0)
    scale: float = Field(default=1.0, gt=0)
    fitted_n: Range
    k_x_ln_sd: float = Field(default=0.6, ge=0)
    x_opt_ln_sd: float = Field(default=0.06, ge=0)
    k_r_ln_sd: float = Field(default=0.3, ge=0)
    r_opt_ln_sd: float = Field(default=0.12, ge=0)
    published: PaperSpec | None = None
    basis: str


class DepthSpec(Spec):
    """What depth does, where a fit saw it: N_eff = N exp(-q ln^2(R / aspect)), R = d_model / n_layers.

    Without this table the prior of planner/law/corrections.py holds.
    """

    q: float = Field(gt=0)
    aspect: float = Field(gt=0)
    basis: str


class EvidenceSpec(Spec):
    """What the law was fitted on; outside it intervals widen and a warning says so."""

    n: Range
    tokens_per_param: Range
    n_tokens: Range | None = None
    r: Range = (0.5, 5.0)
    x: Range = (0.04, 0.14)
    gqa: float = 4.0
    gqa_high: float = 9.0
    data: str
    tokenizer: str = "not stated"
    schedule: str = "not stated"
    n_runs: int | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("n", "tokens_per_param", "r", "x"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} must be [low, high] with 0 < low < high")
        return self
