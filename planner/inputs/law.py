"""A loss law as a file: coefficients, spread, evidence, source and licence."""

import math
from dataclasses import asdict, replace
from datetime import date
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from planner.data import catalogue, find
from planner.inputs.fields import Name, Spec, load_toml
from planner.law.columns import LawColumns, NDefinition
from planner.law.posterior import pinned
from planner.law.terms.reference import reference_loss, size_term

Size = Annotated[float, Field(ge=1, le=1e20)]  # parameters or tokens
Range = tuple[float, float]
RANGES = ("n", "tokens_per_param", "r", "x")


class ReferenceSpec(Spec):
    """E + A / N^alpha + B / D^beta."""

    E: float = Field(ge=0, le=100)
    A: float = Field(gt=0, le=1e12)
    alpha: float = Field(ge=1e-3, lt=2)
    B: float = Field(gt=0, le=1e12)
    beta: float = Field(ge=1e-3, lt=2)
    alpha_sd: float = Field(default=0.05, ge=0, le=10)
    beta_sd: float = Field(default=0.08, ge=0, le=10)
    data_term_ln_sd: float = Field(default=0.25, ge=0, le=10)
    basis: str


class AnchorSpec(Spec):
    """A trained model the reference law passes through."""

    n: float = Field(ge=1, le=1e16)
    n_tokens: float = Field(ge=1, le=1e18)
    loss: float = Field(ge=1e-3, le=100)
    sd: float = Field(ge=1e-6, le=10)


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
    x_opt: float = Field(ge=1e-6, le=1e3)
    k_x: float = Field(ge=0, le=1e3)
    r_opt: float = Field(ge=1e-6, le=1e3)
    k_r: float = Field(ge=0, le=1e3)
    scale: float = Field(default=1.0, ge=1e-3, le=1e3)
    fitted_n: Range
    k_x_ln_sd: float = Field(default=0.6, ge=0, le=10)
    x_opt_ln_sd: float = Field(default=0.06, ge=0, le=10)
    k_r_ln_sd: float = Field(default=0.3, ge=0, le=10)
    r_opt_ln_sd: float = Field(default=0.12, ge=0, le=10)
    published: PaperSpec | None = None
    basis: str


class DepthSpec(Spec):
    """What depth does, where a fit saw it: N_eff = N exp(-q ln^2(R / R_opt)), R = d_model / n_layers.

    Without this table the prior of planner/law/terms/depth.py holds.
    """

    q: float = Field(gt=0, le=10)
    aspect: float = Field(ge=1e-3, le=1e6)  # at 1B
    drift: float = Field(0.0, ge=-2, le=2)  # power of N by which it grows
    basis: str


class EvidenceSpec(Spec):
    """What the law was fitted on; outside it intervals widen and a warning says so."""

    n: Range
    tokens_per_param: Range
    n_tokens: Range | None = None
    r: Range = (0.5, 5.0)
    x: Range = (0.04, 0.14)
    gqa: float = Field(4.0, ge=1, le=1e4)
    gqa_high: float = Field(9.0, ge=1, le=1e4)
    data: str
    tokenizer: str = "not stated"
    schedule: str = "not stated"
    n_runs: int | None = Field(None, ge=0, le=10**9)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in RANGES:
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} must be [low, high] with 0 < low < high")
        return self


class LawSpec(Spec):
    """One loss law with everything needed to judge it. Loss is in nats per token."""

    name: Name
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
    pivot: tuple[Size, Size] | None = None
    covariance: list[list[float]] = Field(default_factory=list)
    misfit_sd: float = Field(default=0.02, ge=0, le=10)
    points: list[tuple[Size, Size, float]] = Field(default_factory=list)
    noise_sd: float = Field(default=0.006, gt=0, le=10)
    gqa_sd: float = Field(default=0.003, ge=0, le=10)
    repeated_data: dict[Literal["r_d"], float] = Field(default_factory=dict)
    notes: str = ""

    @model_validator(mode="after")
    def _computes(self) -> Self:
        try:
            with np.errstate(all="raise", under="ignore"):
                law = self.columns()
        except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"its numbers make no law: {error}") from None
        if any(isinstance(v, float) and math.isnan(v) for v in asdict(law).values()):
            raise ValueError("its numbers make no law")
        return self

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
            shape |= {"depth_drift": self.depth.drift}
        if "r_d" in self.repeated_data:
            shape |= {"repeat_r": self.repeated_data["r_d"]}
        law = LawColumns(
            alpha=r.alpha,
            beta=r.beta,
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
            **self._local(scale),
            misfit_sd=self.misfit_sd,
            covariance=tuple(map(tuple, self.covariance)),
            n_definition=self.n_definition,
            name=self.name,
            data=e.data,
        )
        if not self.anchors or self.covariance:
            return law
        sds = [a.sd / a.loss for a in self.anchors]
        return replace(law, covariance=tuple(map(tuple, pinned(law, sds))))

    def _local(self, scale: float) -> dict[str, Any]:
        """Return the pivot, and the spreads of level, slopes and exponents there."""
        r, (low, high) = self.reference, self.evidence.n
        law = LawColumns(E=r.E * scale, A=r.A * scale, alpha=r.alpha, B=r.B * scale, beta=r.beta)
        if self.anchors:
            n1, n2 = (a.n for a in self.anchors)
            pivot = float(np.sqrt(n1 * n2)), self.anchors[0].n_tokens
        else:
            # Without trained models to pin it, a law is held within 1 % at a third of the way in.
            n1, n2 = low * (high / low) ** 0.33, low * (high / low) ** 0.67
            per_param = float(np.sqrt(np.prod(self.evidence.tokens_per_param)))
            seen = self.evidence.n_tokens
            middle = float(np.sqrt(n1 * n2))
            pivot = middle, float(np.sqrt(np.prod(seen)) if seen else middle * per_param)
        if self.pivot:
            pivot = self.pivot
        level = float(reference_loss(law, *pivot))
        slope_n = r.alpha * float(size_term(law, pivot[0])) / level
        # Where its runs were a law is right; of own runs the file says how far.
        points = self.points or [(*point, 0.0) for point in self._trained(pivot)]
        return {
            "points": tuple((n, tokens) for n, tokens, _ in points),
            "misfit": tuple(value for *_, value in points),
            "pivot": pivot,
            # A fit of its own holds the level and slope; trained models leave them open: `pinned`.
            "ln_level_sd": 0.1 if self.anchors else 0.007,
            "ln_slope_n_sd": 0.25 if self.anchors else 0.014 / float(np.log(n2 / n1)) / slope_n,
            "ln_slope_d_sd": float(np.hypot(r.data_term_ln_sd, r.beta_sd / r.beta)),
            "ln_alpha_sd": r.alpha_sd / r.alpha,
            "ln_beta_sd": r.beta_sd / r.beta,
        }

    def _trained(self, pivot: tuple[float, float]) -> list[tuple[float, float]]:
        """Return sizes and tokens that the law was fitted at: its anchors, or amid and about."""
        if self.anchors:
            return [(a.n, a.n_tokens) for a in self.anchors]
        e = self.evidence
        low, high = e.n_tokens or (e.n[0] * e.tokens_per_param[0], e.n[1] * e.tokens_per_param[1])
        return [pivot, *((n, tokens) for n in e.n for tokens in (low, high))]


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


DEFAULT = "bian-average"
SETS = ("bian-80m-297m", "bian-80m-1b", "bian-1b")  # what it averages


def default_law() -> tuple[LawSpec, str]:
    """Return the average of the paper's published sets, and a sentence saying so."""
    law = load_law(DEFAULT)
    return law, f"law {law.name}: {', '.join(SETS)} averaged, given the paper's seven models"


def law_for(name: str | None) -> tuple[LawSpec, str]:
    """Return the law of that name, or the default, and a line saying which."""
    if name is None:
        return default_law()
    return load_law(name), f"law {name}"
