"""How a model is trained: on how many tokens, and which law says what loss follows."""

from pydantic import Field

from planner.inputs.fields import Spec

MIN_TOKENS, MAX_TOKENS = 1e6, 1e16  # what any public law could speak of


class TrainingSpec(Spec):
    """Training tokens, and the loss law with its switches."""

    tokens: float = Field(default=1e11, ge=MIN_TOKENS, le=MAX_TOKENS)  # the paper's own budget
    law: str | None = None  # None: the one fitted nearest the model's size
    depth_term: bool = False  # let depth act on the loss (a prior; off reproduces the paper)
