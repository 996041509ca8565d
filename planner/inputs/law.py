"""A loss law as a file: coefficients, spread, evidence, source and licence."""

from datetime import date
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from planner.data import catalogue, find
from planner.inputs.fields import Spec, load_toml
from planner.law.columns import LawColumns, NDefinition
from planner.law.terms.reference import reference_loss
from planner.units import show

Range = tuple[float, float]
RANGES = ("n", "tokens_per_param", "r", "x")


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

    Without this table the prior of planner/law/terms/depth.py holds.
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
        for name in RANGES:
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} must be [low, high] with 0 < low < high")
        return self


class LawSpec(Spec):
    """One loss law with everything needed to judge it. Loss is in nats per token."""

    name: str
    summary: str
    n_definition: NDefinition
    source: str
    licence: str
    checked: date
    basis: Literal["published", "refitted", "derived", "user"]
    reference: ReferenceSpec
    conditional: ConditionalSpec | None = None
    depth: DepthSpec | None = None
    anchors: list[AnchorSpec] = Field(default_factory=list, max_length=2)
    evidence: EvidenceSpec
    covariance: list[list[float]] = Field(default_factory=list)
    size_slope_sd: float = Field(default=0.045, ge=0)
    noise_sd: float = Field(default=0.006, gt=0)
    gqa_sd: float = Field(default=0.003, ge=0)
    repeated_data: dict[Literal["r_d"], float] = Field(default_factory=dict)
    notes: str = ""

    def columns(self) -> LawColumns:
        """Return the numbers equations look at, the conditional part's scale absorbed."""
        c, e, r = self.conditional, self.evidence, self.reference
        scale = c.scale if c else 1.0
        shape: dict[str, Any] = {}
        if c:
            shape = c.model_dump(include={"x_opt", "k_x", "r_opt", "k_r"})
            shape |= {f: v for f, v in c.model_dump().items() if f.endswith("_ln_sd")}
            shape |= {"additive": float(c.form == "additive")}
            shape |= dict(zip(("n_fitted_low", "n_fitted_high"), c.fitted_n, strict=True))
        if self.depth:
            shape |= {"depth_q": self.depth.q, "depth_aspect": self.depth.aspect}
        if "r_d" in self.repeated_data:
            shape |= {"repeat_r": self.repeated_data["r_d"]}
        return LawColumns(
            **r.model_dump(exclude={"basis", "E", "A", "B"}),
            E=r.E * scale,
            A=r.A * scale,
            B=r.B * scale,
            **shape,
            **{
                f"{k}_{end}": getattr(e, k)[i]
                for k in RANGES
                for i, end in enumerate(("low", "high"))
            },
            gqa=e.gqa,
            gqa_high=e.gqa_high,
            noise_sd=self.noise_sd,
            gqa_sd=self.gqa_sd,
            size_slope_sd=self.size_slope_sd,
            anchors=self._anchors(scale),
            covariance=tuple(map(tuple, self.covariance)),
            n_definition=self.n_definition,
            name=self.name,
            data=e.data,
        )

    def _anchors(self, scale: float) -> tuple[tuple[float, float, float, float], ...]:
        """Return the file's anchors, else two made of the law itself at the ends of its evidence."""
        if self.anchors:
            return tuple((a.n, a.n_tokens, a.loss * scale, a.sd) for a in self.anchors)
        r, (low, high) = self.reference, self.evidence.n
        # A law without trained models to pin it is held within 1 % at a third of the way in.
        n1, n2 = low * (high / low) ** 0.33, low * (high / low) ** 0.67
        per_param = float(np.sqrt(np.prod(self.evidence.tokens_per_param)))
        seen = self.evidence.n_tokens
        tokens = float(np.sqrt(np.prod(seen)) if seen else np.sqrt(n1 * n2) * per_param)
        law = LawColumns(E=r.E, A=r.A, alpha=r.alpha, B=r.B, beta=r.beta)
        at = [(n, float(reference_loss(law, n, tokens)) * scale) for n in (n1, n2)]
        return tuple((n, tokens, loss, 0.01 * loss) for n, loss in at)


def load_law(name: str) -> LawSpec:
    """Load `name`, an id or a path, from the first folder on the search path that has it.

    Raises:
        UnknownName: no such law; the nearest is suggested.
        SpecError: the file is malformed.

    """
    path = find("presets/laws", "law", name, see="see `planner law list`")
    return load_toml(LawSpec, path, hint="see `planner law show bian-1b` for a full one")


def law_names() -> list[str]:
    """Return the ids of every law on the search path."""
    return list(catalogue("presets/laws"))


DEFAULTS = ("bian-80m-297m", "bian-1b")


def default_law(n_params_non_embedding: float) -> tuple[LawSpec, str]:
    """Return the published set fitted nearest `n_params_non_embedding`, and a sentence saying so.

    The paper's own advice: fit within about a third of the target; the coefficients shift with size.
    """

    def distance(law: LawSpec) -> float:
        low, high = law.conditional.fitted_n if law.conditional else (1.0, 1.0)
        n = n_params_non_embedding
        return max(float(np.log(low / n)), float(np.log(n / high)), 0.0)

    law = min((load_law(name) for name in DEFAULTS), key=distance)
    low, high = law.conditional.fitted_n if law.conditional else (0.0, 0.0)
    at = show(low) if low == high else f"{show(low)} to {show(high)}"
    target = show(n_params_non_embedding)
    return law, f"law {law.name}: of the published sets, fitted nearest {target} (at {at})"


def law_for(name: str | None, n_params_non_embedding: float) -> tuple[LawSpec, str]:
    """Return the law of that name, or the default at that size, and a line saying which."""
    if name is None:
        return default_law(n_params_non_embedding)
    return load_law(name), f"law {name}"
