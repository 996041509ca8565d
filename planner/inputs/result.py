"""A result file as a command wrote it with --json: read back, checked before anything uses it."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from planner.errors import SpecError
from planner.inputs.fields import validate

SCHEMA = 1  # the newest this version reads
KINDS = ("recommend", "predict", "pareto", "what-if", "budget", "validate", "fit")
HINT = "write it again with `--json --out FILE`; result files are not meant to be edited"

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """A part of a result; newer commands of the same schema may add keys."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class EstimatePart(_Part):
    """A number with its interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        slack = 1e-9 * abs(self.value)
        if not self.low - slack <= self.value <= self.high + slack:
            raise ValueError("the value lies outside its own interval")
        return self


class CandidatePart(_Part):
    """One shape with what is predicted of it."""

    name: str = ""
    n_layers: int = Field(gt=0)
    d_model: int = Field(gt=0)
    n_heads: int = Field(gt=0)
    n_kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    d_ff: int = Field(gt=0)
    vocab_size: int = Field(gt=0)
    n_params: Positive
    n_params_non_embedding: Positive
    mlp_attn_ratio: Positive
    gqa: Positive
    d_over_sqrt_n: Positive
    loss: EstimatePart | None = None
    accuracy: EstimatePart | None = None
    output_tokens_per_s: EstimatePart
    ttft_s: EstimatePart
    tpot_s: EstimatePart
    kv_bytes_per_token: Positive
    weight_bytes: Positive
    max_concurrency: float = Field(ge=0)
    memory_bytes: dict[str, float] = Field(default_factory=dict)
    bound: str = ""
    warnings: tuple[str, ...] = ()
    p_loss_at_most_target: Share | None = None
    gain: EstimatePart | None = None
    why: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}")
        if not math.isclose(self.gqa, self.n_heads / self.n_kv_heads, rel_tol=1e-6):
            raise ValueError("gqa is not n_heads / n_kv_heads")
        return self


class _Result(_Part):
    schema_: Literal[1] = Field(alias="schema")
    kind: str
    command: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)
    basis: dict[str, str] | tuple[str, ...] | str = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class RecommendResult(_Result):
    """What `planner recommend --json` prints."""

    target_loss: Positive
    baseline: CandidatePart
    picks: dict[str, CandidatePart | None]
    pareto: tuple[CandidatePart, ...]
    n_evaluated: int = Field(ge=0)


class PredictResult(_Result, CandidatePart):
    """What `planner predict --json` prints."""


class OtherResult(_Result):
    """Any other kind: its own parts are read where they are shown."""


_MODELS: dict[str, type[_Result]] = {"recommend": RecommendResult, "predict": PredictResult}


def read_result(path: Path) -> dict[str, Any]:
    """Read a result file and return it as plain data.

    Raises:
        SpecError: no such file, not JSON (truncated), not ours, of a newer schema, or edited into
            something that cannot be: says which key is wrong.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not a text file", hint="name a file from --json") from None
    except OSError as error:
        hint = "name a file that a command wrote with `--json --out FILE`"
        raise SpecError(f"{path}: {error.strerror}", hint=hint) from None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        whole = text.rstrip().endswith("}")
        what = "not JSON" if whole else "the file ends before its JSON does"
        where = f"line {error.lineno}, column {error.colno}"
        raise SpecError(f"{path}: {what} ({where}: {error.msg})", hint=HINT) from None
    return check_result(data, str(path))


def check_result(data: Any, where: str = "result") -> dict[str, Any]:
    """Return `data` if it is a result this version can show; raises as `read_result` does."""
    if not isinstance(data, dict) or "schema" not in data or "kind" not in data:
        raise SpecError(f"{where}: not a result of planner", hint="name a file from --json")
    schema, kind = data["schema"], data["kind"]
    if isinstance(schema, int) and schema > SCHEMA:
        raise SpecError(
            f"{where}: schema {schema} is newer than this version reads ({SCHEMA})",
            hint="pip install --upgrade llm-planner",
        )
    if kind not in KINDS:
        raise SpecError(f"{where}: kind: {kind!r} is none of {', '.join(KINDS)}", hint=HINT)
    validate(_MODELS.get(kind, OtherResult), data, where, hint=HINT)
    return data
