"""What a question returns: typed records that go to JSON and come back equal, with their specs.

A record of metrics holds them by the names of `planner.metrics`; in JSON they stand beside its other
keys. `read_result` checks a file before anything uses it; the JSON Schema is made of these classes.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from planner import headlines
from planner.errors import MissingExtra, SpecError, UnknownName
from planner.inputs.conditions import Conditions
from planner.inputs.files import read_json
from planner.inputs.model import ModelSpec
from planner.inputs.question import Question
from planner.inputs.serve_command import ServeCommand
from planner.interval import Z
from planner.metrics import METRICS, SIMULATED, impossible
from planner.result_parts import (
    Attributed,
    Changed,
    GridAsked,
    LoadAsked,
    Phase,
    Positive,
    Relaxed,
    Setting,
    Share,
    Verify,
)

SCHEMA: Final = 2
OLDER = "0.1"  # the version that wrote schema 1
HINT = "write it again with `--json --out FILE`; result files are not meant to be edited"
SHAPE_KEYS = (
    *("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size"),
    *("n_params", "n_params_non_embedding", "mlp_attn_ratio", "gqa", "d_over_sqrt_n"),
)


class Record(BaseModel):
    """A frozen part of a result, without NaN or infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.model_dump(mode="json", by_alias=True)


class Estimate(Record):
    """A predicted number with its 80 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def lognormal(cls, value: float, ln_sd: float) -> "Estimate":
        """Spread `value` by a relative error whose logarithm has standard deviation `ln_sd`."""
        factor = math.exp(Z * ln_sd)
        return cls(value=value, low=value / factor, high=value * factor)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        slack = 1e-9 * abs(self.value)
        if not self.low - slack <= self.value <= self.high + slack:
            raise ValueError("the value lies outside its own interval")
        return self


Value = Estimate | int | float | None


class Warned(Record):
    """A warning: `code` is stable, `message` is for people."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


class Limited(Record):
    """One limit, and what a candidate reaches of it."""

    limit: str
    met: bool
    value: float | None = None
    bound: float | None = None
    message: str = ""


class Measures(Record):
    """A record that holds metrics by name.

    In JSON what is `lifted` stands beside the other keys; keys that nothing claims belong to `rest`.
    """

    lifted: ClassVar[tuple[str, ...]] = ("metrics",)
    rest: ClassVar[str] = ""

    metrics: dict[str, Value]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if found := next(impossible(self.metrics), ""):
            raise ValueError(found)
        return self

    def __getattr__(self, name: str) -> Any:
        """Read what is lifted by its own name: ``pick.d_model``, ``pick.loss.value``."""
        for part in self.lifted:
            if name in (held := self.__dict__.get(part) or {}):
                return held[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __getitem__(self, name: str) -> Any:
        """Read any of its keys by name, as in the JSON."""
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Read any of its keys; `default` where there is none."""
        return getattr(self, name, default)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """Return the schema of the file's own form: what is lifted stands beside the other keys."""
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        own = schema["properties"]
        lifted = {part: own.pop(part)["additionalProperties"] for part in cls.lifted}
        own |= dict.fromkeys(SHAPE_KEYS, lifted["shape"]) if "shape" in lifted else {}
        for m in (METRICS | SIMULATED).values():
            unit = f" [{m.unit}]" if m.unit else ""
            own[m.name] = lifted["metrics"] | {"description": f"{m.words}{unit}"}
        schema["required"] = [n for n in schema.get("required", ()) if n not in cls.lifted]
        return schema | ({"additionalProperties": True} if cls.rest else {})

    @model_serializer(mode="wrap")
    def _lift(self, write: Any) -> dict[str, Any]:
        plain: dict[str, Any] = write(self)
        parts = [plain.pop(part) for part in self.lifted]
        kept = {k: v for k, v in plain.items() if v is not None}
        head = {"name": kept.pop("name")} if "name" in kept else {}
        return head | {k: v for part in parts for k, v in part.items()} | kept

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "metrics" in data:
            return data
        kept: dict[str, Any] = {part: {} for part in cls.lifted}
        for key, value in data.items():
            home = "metrics" if key in METRICS or key in SIMULATED else cls.rest
            home = "shape" if key in SHAPE_KEYS and "shape" in cls.lifted else home
            if key in cls.model_fields or home not in kept:
                kept[key] = value
            else:
                kept[home][key] = value
        return kept

    def row(self) -> dict[str, Any]:
        """Return one flat CSV row: what is lifted, estimates as three cells, and what binds."""
        cells = {k: v for part in self.lifted for k, v in getattr(self, part).items()}
        head = {"name": self.name} if "name" in type(self).model_fields else {}
        return head | flat(cells) | {"bound": self.get("bound", "")}


def shape_of(model: ModelSpec) -> dict[str, int | float]:
    """Return a model's shape and what follows from it, whole numbers as such."""
    shape = {key: getattr(model, key) for key in SHAPE_KEYS}
    return shape | ({"gqa": int(model.gqa)} if float(model.gqa).is_integer() else {})


class Candidate(Measures):
    """One shape with everything predicted of it."""

    lifted: ClassVar[tuple[str, ...]] = ("shape", "metrics")

    name: str
    # Of SHAPE_KEYS; follows from the model.
    shape: dict[str, int | float] = Field(default_factory=dict)
    model: ModelSpec
    bound: str  # what most of the time is bound by: compute, hbm, link, overhead, capacity
    memory_bytes: dict[str, Positive] = Field(default_factory=dict)  # by part, one device
    warnings: tuple[Warned, ...] = ()
    p_loss_at_most_target: float | None = Field(default=None, ge=0, le=1)
    p_within_margin: float | None = Field(default=None, ge=0, le=1)  # of the same target
    gain: Estimate | None = None  # output tokens/s over the baseline's, 1.0 = equal
    loss_vs_baseline: dict[str, float | bool] | None = None
    why: str = ""
    verify: tuple[Verify, ...] | None = None
    breakdown: dict[str, Phase] | None = None
    serve: str | None = None  # the command that serves it so; None: the engine has no server
    config: dict[str, Any] | None = None  # of a pick: its config.json

    @model_validator(mode="after")
    def _is_its_models(self) -> Self:
        own = shape_of(self.model)
        for key, value in self.shape.items():
            if not math.isclose(value, own[key], rel_tol=1e-9):
                raise ValueError(f"{key} is {value:g}, and {own[key]:g} in its model")
        object.__setattr__(self, "shape", own)
        return self

    @field_serializer("model")
    def _short(self, model: ModelSpec) -> dict[str, Any]:
        return model.model_dump(mode="json", exclude_defaults=True)


class Result(Record):
    """What every result says of itself."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal[2] = Field(default=SCHEMA, alias="schema")
    kind: str
    command: str = ""
    basis: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    serve_command: ServeCommand | None = None  # what was asked by --from

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; of a serve command only where there was one."""
        plain = super().to_dict()
        if self.serve_command is None:
            del plain["serve_command"]
        return plain

    def headline(self) -> tuple[str, ...]:
        """Return what it concludes, in at most three lines."""
        return ()

    @property
    def shapes(self) -> dict[str, Candidate]:
        """The shapes it is about, by name; none where it is about something else."""
        return {}

    def rows(self) -> list[dict[str, Any]]:
        """Return flat CSV rows."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Return `rows` as a pandas DataFrame.

        Raises:
            MissingExtra: pandas is not installed.

        """
        try:
            import pandas
        except ImportError:
            hint = "pip install pandas, or take .rows(): the same, as a list of dicts"
            raise MissingExtra("this needs pandas, which is not installed", hint=hint) from None
        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the terminal's text."""
        import planner

        shown: Any = planner.render(self, "notebook")  # by name: a result knows no report
        return str(shown.html)


class Asked(Conditions):
    """A scenario as a result records it."""

    model: ModelSpec


class Prediction(Result):
    """The answer of `predict`: one model in one scenario."""

    kind: Literal["predict"] = "predict"
    inputs: Asked
    candidate: Candidate

    def headline(self) -> tuple[str, ...]:
        """Return how fast it is, and how many requests fit."""
        return headlines.prediction(self)

    @property
    def shapes(self) -> dict[str, Candidate]:
        """The one predicted."""
        return {self.candidate.name or "model": self.candidate}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """Return the schema of the file's own form: the candidate's keys stand beside the others."""
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        own = schema["properties"]
        candidate = handler.resolve_ref_schema(own.pop("candidate"))
        schema["required"] = [n for n in schema["required"] if n != "candidate"]
        return schema | {"properties": own | cls._lifted(candidate["properties"])}

    @staticmethod
    def _lifted(candidate: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in candidate.items() if k not in ("warnings", "model")}

    @model_serializer(mode="wrap")
    def _lift(self, write: Any) -> dict[str, Any]:
        plain: dict[str, Any] = write(self)
        return plain | self._lifted(plain.pop("candidate"))

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "candidate" in data:
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields or k == "schema"}
        inputs = own.get("inputs")
        model = inputs.get("model") if isinstance(inputs, Mapping) else None
        rest = {k: v for k, v in data.items() if k not in own}
        return own | {"candidate": rest | {"model": model, "warnings": own.get("warnings", ())}}

    def rows(self) -> list[dict[str, Any]]:
        """Return one CSV row."""
        return [self.candidate.row()]


class Binding(Record):
    """One constraint the pick to train leans on."""

    constraint: str
    limit: float
    value: float
    relaxing: str  # what loosening it would do, in words


class Dropped(Record):
    """How many shapes a limit refused, and how near the best of them came, the others met."""

    limit: str
    bound: float
    n: int = Field(ge=0)
    nearest: float | None
    unit: str = ""


class WhyNot(Record):
    """Why a shape asked about was not chosen: every limit with its value and bound."""

    shape: str
    model: ModelSpec | None
    limits: tuple[Limited, ...]
    verdict: str


class Split(Record):
    """The size and tokens that a training budget is best spent on, served tokens in the balance."""

    train_flops: float
    serve_tokens: float
    n_params: float  # as the law counts them
    n_tokens: float
    loss: float  # of the best shape
    total_flops: float  # training and serving
    low_params: float  # sizes that reach this loss for at most 1 % more FLOPs in all
    high_params: float
    unserved_params: float  # best where nothing is served, and its loss
    unserved_loss: float


class Recommendation(Result):
    """The answer of `recommend` and `pareto`."""

    kind: Literal["recommend", "pareto"] = "recommend"
    inputs: Question
    target_loss: float = Field(gt=0)
    baseline: Candidate
    baseline_of: str = ""  # the models whose ratios the baseline has
    tp_ready: int | None = None  # ways that heads and KV heads of the picks divide
    picks: dict[str, Candidate | None]
    pareto: tuple[Candidate, ...]  # lowest loss first
    binding: tuple[Binding, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    why_not: tuple[WhyNot, ...] = ()
    n_evaluated: int = Field(ge=0)
    n_feasible: int = Field(ge=0)
    elapsed_s: Positive = 0.0
    split: Split | None = None  # of a training budget, where that chose the size

    def headline(self) -> tuple[str, ...]:
        """Return what to train, what it gains, and how sure that is."""
        return (*headlines.split(self.split), *headlines.recommendation(self))

    @property
    def lead(self) -> str:
        """The pick to train: the recommended one; where none is sure enough, the first there is."""
        return next((name for name, pick in self.picks.items() if pick), "baseline")

    @property
    def shapes(self) -> dict[str, Candidate]:
        """The baseline, then the picks there are."""
        return {"baseline": self.baseline} | {n: p for n, p in self.picks.items() if p}

    def rows(self) -> list[dict[str, Any]]:
        """Return the front as CSV rows."""
        return [c.row() for c in self.pareto]


class Edit(Record):
    """A change of a model's fields, and what becomes of it."""

    changes: dict[str, tuple[int | None, int | None]]  # by field: what it was, what it is
    candidate: Candidate  # its gain and losses are over the model as it was
    gain_an_edit: float  # of tokens/s, a field that changes
    nats_an_edit: float | None = None  # of loss, below zero is better; None: the law says nothing
    # Of what it is listed for: to lose no more than the margin, or to lose less; None likewise.
    certainty: float | None = Field(default=None, ge=0, le=1)
    sure: bool = False  # enough to be advised


class Edits(Result):
    """The answer of `recommend --like`: the smallest edits of a model that there is."""

    kind: Literal["edits"] = "edits"
    inputs: Question
    target_loss: float = Field(gt=0)
    like: Candidate  # the model as it is
    faster: tuple[Edit, ...]  # those that are sure first, then most by the edit
    lower_loss: tuple[Edit, ...]  # at no loss of speed
    unsaid: tuple[Edit, ...] = ()  # of which the loss law says nothing: the vocabulary, a window
    n_evaluated: int = Field(ge=0)
    elapsed_s: Positive = 0.0

    def headline(self) -> tuple[str, ...]:
        """Return the edit that gains most, what it gains, and how sure that is."""
        return headlines.edits(self)

    @property
    def shapes(self) -> dict[str, Candidate]:
        """The model, then what its edits make of it."""
        every = (*self.faster, *self.lower_loss, *self.unsaid)
        return {"like": self.like} | {e.candidate.name: e.candidate for e in every}

    def rows(self) -> list[dict[str, Any]]:
        """Return a CSV row an edit."""
        kinds = {"faster": self.faster, "lower loss": self.lower_loss, "unsaid": self.unsaid}
        return same_columns(
            {"for": kind, "edit": headlines.changes(e), "fields": len(e.changes)}
            | {"gain_an_edit": e.gain_an_edit, "nats_an_edit": e.nats_an_edit}
            | {"certainty": e.certainty, "sure": e.sure}
            | e.candidate.row()
            for kind, found in kinds.items()
            for e in found
        )


class Layout(Record):
    """How a model is laid out on devices: split tp ways, in pp stages, and copied."""

    tp: int = Field(ge=1)
    pp: int = Field(ge=1)
    replicas: int = Field(ge=1)
    n_devices: int = Field(ge=1)

    def __str__(self) -> str:
        """Write it as people do: 2 × tp 4."""
        split = " ".join(f"{name} {n}" for name, n in (("tp", self.tp), ("pp", self.pp)) if n > 1)
        copies = f"{self.replicas} ×" if self.replicas > 1 else ""
        return " ".join(filter(None, (copies, split or "1 GPU")))


class MixedShape(Record):
    """A shape in every scenario of a mix."""

    name: str  # "the mix", a scenario that alone would choose it, or "baseline"
    model: ModelSpec
    scenarios: dict[str, Candidate]  # the shape's figures in each
    layouts: dict[str, Layout] = {}  # the devices it takes in each
    closed: dict[str, dict[str, Value]] = {}  # where figures are simulated: what it was ranked by
    regret: dict[str, float]  # how much more it costs in each than what that one alone would choose
    meets: dict[str, bool]  # whether it meets each one's limits
    prices: dict[str, float]  # in each, by closed forms: usd_per_generated_mtok, or seconds a token
    price: float  # of the mix: what is minimised
    p_within_margin: float = Field(ge=0, le=1)  # of the target loss, in the scenario least sure


class Regret(Record):
    """How much more the others would cost for one scenario's sake."""

    scenario: str
    regret: float


class Mix(Result):
    """The answer of `recommend` for several scenarios: one shape for all."""

    kind: Literal["mix"] = "mix"
    inputs: Question  # of the first scenario: what all share
    objective: Literal["cost", "speed"]
    share: Literal["tokens", "money"]
    weights: dict[str, float]  # of which the sum is one
    scenarios: dict[str, dict[str, Any]]  # options by scenario
    devices: dict[str, int] = {}  # the most a scenario may take, where it says so
    choices: tuple[MixedShape, ...]  # the pick first, what each alone would choose, the baseline
    drives: tuple[Regret, ...] = ()  # scenarios by what the choice gives up elsewhere for them
    n_evaluated: int = Field(ge=0)  # shapes times scenarios
    elapsed_s: float = 0.0
    split: Split | None = None  # of a training budget, where that chose the size

    @property
    def pick(self) -> MixedShape:
        """The shape for all."""
        return self.choices[0]

    @property
    def shapes(self) -> dict[str, Candidate]:
        """The shape for all, as the first scenario sees it."""
        return {"mix": next(iter(self.pick.scenarios.values()))}

    def headline(self) -> tuple[str, ...]:
        """Return what to train, what it costs each scenario, and which one drives the choice."""
        return (*headlines.split(self.split), *headlines.mix(self))

    def rows(self) -> list[dict[str, Any]]:
        """Return a CSV row a shape and scenario."""
        return same_columns(
            {"shape": m.name, "scenario": name, "weight": self.weights[name]}
            | {"price": m.prices[name], "regret": m.regret[name], "meets": m.meets[name]}
            | c.row()
            for m in self.choices
            for name, c in m.scenarios.items()
        )


class Point(Measures):
    """One setting of a what-if."""

    lifted: ClassVar[tuple[str, ...]] = ("settings", "metrics")
    rest: ClassVar[str] = "settings"

    settings: dict[str, Setting | list[Setting]]  # what the rows differ in, by option
    bound: str
    refused: Limited | None = None  # why this setting may not be asked
    n_params: int | None = None  # where the rows are different models


class WhatIf(Result):
    """The answer of `what_if`: a row a setting."""

    kind: Literal["what-if"] = "what-if"
    inputs: GridAsked
    vary: tuple[str, ...]  # what the rows differ in
    shown: tuple[str, ...] = ()  # metrics that a table shows; none named: the usual ones
    points: tuple[Point, ...]
    timelines: tuple[dict[str, list[float]], ...] = ()  # of each point, where few were simulated
    elapsed_s: Positive = 0.0

    def headline(self) -> tuple[str, ...]:
        """Return which setting serves most, which answers soonest, and where requests wait."""
        return headlines.what_if(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat CSV row a point."""
        return same_columns(p.row() for p in self.points)


class Plan(Measures):
    """What one configuration carries within the limits, and how many of it the load takes.

    Latencies are at the statistic the limits hold at, at the load one replica carries.
    """

    configuration: str
    on: str
    dtype: str
    tp: int = Field(ge=1)
    replicas: int = Field(ge=0)
    rate_per_s: float = Field(ge=0)  # one replica carries; 0: not even idle within the limits
    rate_per_s_per_device: float = Field(ge=0)
    share_of_saturation: Share
    binds: str
    refused: Limited | None = None
    serve: str | None = None  # the command that starts one replica; None: the engine has no server


class Budget(Result):
    """The answer of `budget`."""

    kind: Literal["budget"] = "budget"
    inputs: LoadAsked
    plans: tuple[Plan, ...]  # a configuration each, best first
    fewest_gpus: Plan | None
    cheapest: Plan | None
    relax: tuple[Relaxed, ...]  # what a looser limit would buy the first plan
    operators: tuple[Attributed, ...]  # where its milliseconds go
    changes: tuple[Changed, ...]  # what would win them back
    elapsed_s: Positive = 0.0

    def headline(self) -> tuple[str, ...]:
        """Return what to buy: the fewest devices, the cheapest, and what binds each."""
        return headlines.budget(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat CSV row a plan."""
        own = ("configuration", "replicas", "rate_per_s", "rate_per_s_per_device", "binds")
        return same_columns({n: getattr(p, n) for n in own} | p.row() for p in self.plans)


class Score(Record):
    """How rows of one kind were predicted; errors as shares of what was measured."""

    n: int = Field(ge=0)
    refused: int = Field(ge=0)  # rows of the kind that no prediction was made for
    mean_ape: Positive | None
    median_ape: Positive | None
    p90_ape: Positive | None = None  # 90 % of rows err less
    # Median of predicted / measured, less 1.
    bias: float | None = Field(ge=-1)
    spearman: float | None = Field(ge=-1 - 1e-6, le=1 + 1e-6)  # None where there is nothing to rank
    coverage: Share | None  # of 80 % intervals; None where there are none
    # Mean, of 80 % intervals of the logarithm; less is better.
    interval_score: Positive | None = None
    flat_score: Positive | None = None  # the same with the one width that suits these rows best


class Verdict(Record):
    """Whether an engine's start was foretold."""

    row: int  # the file's line
    model: str
    where: str
    outcome: str  # as the file tells it
    short_bytes: (
        float  # that a device lacks for the longest request, as predicted; below 0: to spare
    )
    right: bool


class Line(Record):
    """One measured number, and what was predicted of it or why nothing was."""

    row: int  # the file's line
    metric: str  # the column's name; values in its unit
    measured: Positive | None = None
    predicted: Positive | None = None
    low: Positive | None = None
    high: Positive | None = None
    refused: str | None = None

    @model_serializer(mode="wrap")
    def _filled(self, write: Any) -> dict[str, Any]:
        return {k: v for k, v in write(self).items() if v is not None}


class Worst(Record):
    """One of the rows that were predicted worst."""

    gpu: str
    engine: str
    model: str
    metric: str
    setting: str
    measured: float
    predicted: float
    error: float  # predicted over measured, less 1


class Started(Record):
    """What an engine's start-up log says, by column, and the part that is predicted worst."""

    said: dict[str, str]
    ranks: int  # that spoke; what differs is of the one with the least cache
    differs_most: str | None  # the metric of `rows` that misses by most memory


class Validation(Result):
    """The answer of `validate`: scores of a whole file, taken apart in several ways."""

    kind: Literal["validate"] = "validate"
    source: str
    overall: Score
    groups: dict[str, dict[str, Score]]  # by what, then by which
    flagged: dict[str, Score]  # rows flagged in the file, by flag: never in the scores above
    worst: tuple[Worst, ...]
    overflow: dict[str, int] | None  # rows where the cache overflowed: said and found
    verdicts: tuple[Verdict, ...] = ()  # rows that say whether an engine came up
    profiles: tuple[str, ...]  # what the predictions rest on
    cross_validated: bool = False
    started: Started | None = None  # where the measurements are a log's
    lines: tuple[Line, ...] = Field(default=(), alias="rows")

    def headline(self) -> tuple[str, ...]:
        """Return how far predictions are off."""
        return headlines.validation(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return every measured number as a CSV row."""
        return same_columns(line.to_dict() for line in self.lines)


class Fit(Result):
    """What `calibrate fit` says: held-out errors and constants, in the words of the fit."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["fit"] = "fit"

    @field_validator("basis", mode="before")
    @classmethod
    def _named(cls, basis: Any) -> Any:
        words = [basis] if isinstance(basis, str) else basis
        return {"fit": "; ".join(words)} if isinstance(words, list | tuple) else words

    @field_validator("warnings", mode="before")
    @classmethod
    def _coded(cls, warnings: Any) -> Any:
        return [{"code": "fit", "message": w} if isinstance(w, str) else w for w in warnings]

    @property
    def found(self) -> dict[str, Any]:
        """Everything the fit says."""
        return self.model_extra or {}

    def rows(self) -> list[dict[str, Any]]:
        """Return every number that stands alone, a group and a name a row."""
        groups = {"": self.found} | {k: v for k, v in self.found.items() if isinstance(v, dict)}
        return [
            {"group": group, "name": name, "value": value}
            for group, of in groups.items()
            for name, value in of.items()
            if isinstance(value, int | float)
        ]


KINDS: dict[str, type[Result]] = {
    "recommend": Recommendation,
    "pareto": Recommendation,
    "mix": Mix,
    "edits": Edits,
    "predict": Prediction,
    "what-if": WhatIf,
    "budget": Budget,
    "validate": Validation,
    "fit": Fit,
}


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of result files of one kind.

    Raises:
        UnknownName: there is no such kind.

    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise UnknownName.among("kind of result", kind, KINDS)
    return KINDS[kind].model_json_schema()


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        SpecError: no such file, not JSON (truncated), not ours, of another schema, or edited into
            something that cannot be: says which key is wrong.

    """
    data = read_json(path, hint="name a file that a command wrote with `--json --out FILE`")
    return check_result(data, str(path))


def check_result(data: Any, where: str = "result") -> Result:
    """Return the record of a result's JSON form; raises as `read_result` does."""
    if not isinstance(data, Mapping) or "schema" not in data or "kind" not in data:
        raise SpecError(f"{where}: not a result of planner", hint="name a file from --json")
    schema, kind = data["schema"], data["kind"]
    if isinstance(schema, int) and schema > SCHEMA:
        raise SpecError(
            f"{where}: schema {schema} is newer than this version reads ({SCHEMA})",
            hint="in your clone of planner's repository: git pull && pip install .",
        )
    if isinstance(schema, int) and schema < SCHEMA:
        again = data.get("command") or "the command that wrote it, with --json --out FILE"
        raise SpecError(
            f"{where}: schema {schema} of planner {OLDER}", hint=f"run again: `{again}`"
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpecError(f"{where}: kind: {kind!r} is none of {', '.join(KINDS)}", hint=HINT)
    try:
        return KINDS[kind].model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {_said(error)}", hint=HINT) from None


# Where a record keeps what its file has lifted, and the members of unions: no keys of a file.
_NO_KEYS = re.compile(r"metrics|shape|settings|candidate|int|float|.*\bEstimate\b.*")


def _said(error: ValidationError) -> str:
    """Return the first thing wrong: the key as the file has it, and what about it."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ").partition(", unable")[0]
    if first["type"] == "extra_forbidden":
        message = "no such key"
    elif first["type"] == "model_type" and "Estimate" in message:
        message = "neither a number nor value, low and high"
    key = ".".join(str(part) for part in first["loc"] if not _NO_KEYS.fullmatch(str(part)))
    return f"{key}: {message}" if key else message


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as CSV cells, an estimate as three."""
    row: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Estimate):
            row |= {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
        else:
            row[key] = value
    return row


def same_columns(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with the columns of all of them."""
    rows = list(rows)
    keys = list(dict.fromkeys(k for row in rows for k in row))
    return [{k: row.get(k) for k in keys} for row in rows]
