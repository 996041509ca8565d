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
    law: str | None = Field(None, description="Loss law; default: the one fitted nearest the size.")
    depth_term: bool = Field(
        False, description="Let depth act on the loss: a prior; without it, the paper's law."
    )
