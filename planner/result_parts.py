"""Tables inside results: rows by name, as the questions write them and the reports read them.

They stay plain dictionaries; a result file in which one holds anything else is refused.
"""

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from planner.inputs.model import ModelSpec

Positive = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
Setting = bool | int | float | str | None
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


def _is_a_model(plain: dict[str, Any]) -> dict[str, Any]:
    ModelSpec.model_validate(plain)
    return plain


PlainModel = Annotated[dict[str, Any], AfterValidator(_is_a_model)]


class GridAsked(TypedDict):
    """What a grid of settings was asked."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    model: PlainModel
    settings: dict[str, Setting | list[Setting]]
    vary: dict[str, list[Setting | list[Setting]]]


class LoadAsked(TypedDict):
    """What a search for loads was asked."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    model: PlainModel
    slo: "Limits"
    on: list[str]
    dtypes: list[str]
    tps: list[int]
    rate_per_s: Positive | None
    settings: dict[str, Setting | list[Setting]]


class Limits(TypedDict, total=False):
    """The latencies that may not be exceeded, and the statistic they hold at."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    ttft_s: Positive
    tpot_s: Positive
    itl_s: Positive
    e2e_s: Positive
    at: str


class Relaxed(TypedDict):
    """What a looser limit would buy."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    relax: str
    rate_per_s: Positive
    gain: float | None
    binds: str


class Attributed(TypedDict):
    """An operator's part of the latencies."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    operator: str
    ttft_s: Positive
    tpot_s: Positive
    ttft_bound: str
    tpot_bound: str
    ttft_share: Share
    tpot_share: Share


class Changed(TypedDict):
    """What another shape or format would do."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    change: str
    ttft_s_saved: float | None
    tpot_s_saved: float | None
    saturation_gain: float | None
    n_params: int
    n_params_gain: float
    loss_more: NotRequired[
        float | None
    ]  # nats, trained on as many tokens; None: the law says nothing


class InStep(TypedDict):
    """An operator's part of a step."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc]

    seconds: Positive
    share: Share
    bound: str


class Phase(TypedDict):
    """A step by operator, and how many of it there are."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc]

    steps: Positive
    step_s: Positive
    operators: dict[str, InStep]


class Verify(TypedDict):
    """A shape to train for a check."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc]

    gqa: int | float
    n_kv_heads: int
    d_ff: int
