"""How a model is trained: on how many tokens, and which law says what loss follows."""

from pydantic import Field

from planner.inputs.fields import COUNT, Spec

MIN_TOKENS, MAX_TOKENS = 1e6, 1e16  # what any public law could speak of


class TrainingSpec(Spec):
    """Training tokens, and the loss law with its switches."""

    tokens: float = Field(
        1e11,  # the paper's own budget
        ge=MIN_TOKENS,
        le=MAX_TOKENS,
        description="Training tokens, e.g. 100B or 1e11.",
        json_schema_extra=COUNT,
    )
    unique_tokens: float | None = Field(
        None,
        ge=MIN_TOKENS,
        le=MAX_TOKENS,
        description="Fresh tokens among them; the rest are repeats. Default: all are fresh.",
        json_schema_extra=COUNT,
    )
    training_bits: float | None = Field(
        None, ge=4, le=16, description="Bits of the products in training; default: 16."
    )
    law: str | None = Field(None, description="Loss law; default: the published ones, averaged.")
