"""A loss law as a file: coefficients, spread, evidence, source and licence."""

from datetime import date
from typing import Any, Literal

import numpy as np
from pydantic import Field

from planner.columns import Arch
from planner.cost.params import gqa, mlp_attn_ratio, n_active_params, n_active_params_non_embedding
from planner.data import catalogue, find
from planner.inputs.fields import Spec, load_toml
from planner.inputs.law_parts import (
    AnchorSpec,
    ConditionalSpec,
    DepthSpec,
    EvidenceSpec,
    ReferenceSpec,
)
from planner.law.accuracy import AccuracyLink
from planner.law.columns import LawColumns, NDefinition, Shapes
from planner.law.corrections import (
    REPEAT_DATA,
    effective_tokens,
    ln_expert_factor,
    ln_training_bits_factor,
    quantisation_nats,
)
from planner.law.evidence import LawWarning, domain_warnings, reference_depth, reference_head_dim
from planner.law.predict import Quality, predict_loss, quality
from planner.units import show


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
    repeated_data: dict[Literal["r_d", "r_n"], float] = Field(default_factory=dict)
    error_link: dict[Literal["epsilon", "k", "gamma"], float] = Field(default_factory=dict)
    notes: str = ""

    @property
    def has_conditional(self) -> bool:
        """Whether the law says anything about shape."""
        return self.conditional is not None

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
        return LawColumns(
            **r.model_dump(exclude={"basis", "E", "A", "B"}),
            E=r.E * scale,
            A=r.A * scale,
            B=r.B * scale,
            **shape,
            n_low=e.n[0],
            n_high=e.n[1],
            tokens_per_param_low=e.tokens_per_param[0],
            tokens_per_param_high=e.tokens_per_param[1],
            r_low=e.r[0],
            r_high=e.r[1],
            x_low=e.x[0],
            x_high=e.x[1],
            gqa=e.gqa,
            gqa_high=e.gqa_high,
            noise_sd=self.noise_sd,
            gqa_sd=self.gqa_sd,
            size_slope_sd=self.size_slope_sd,
            anchors=self._anchors(scale),
            covariance=tuple(map(tuple, self.covariance)),
            n_definition=self.n_definition,
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
        at = [(n, (r.E + r.A * n**-r.alpha + r.B * tokens**-r.beta) * scale) for n in (n1, n2)]
        return tuple((n, tokens, loss, 0.01 * loss) for n, loss in at)

    def n_of(self, arch: Arch) -> Any:
        """Return the parameters of `arch` as this law counts them, those a token touches."""
        count = {
            NDefinition.NON_EMBEDDING: n_active_params_non_embedding,
            NDefinition.ACTIVE: n_active_params_non_embedding,
            NDefinition.TOTAL: n_active_params,
        }
        return count[self.n_definition](arch)

    def shapes(
        self,
        arch: Arch,
        n_tokens: Any,
        *,
        depth: bool = False,
        head: bool = False,
        training_bits: float = 16.0,
        quantised_bits: float | None = None,
        unique_tokens: Any = None,
    ) -> Shapes:
        """Return what the law needs to know of `arch`, with the corrections switched on.

        Several experts always count, as effective parameters: the law was fitted on dense models.

        Args:
            arch: columns, one row a candidate.
            n_tokens: training tokens.
            depth: let depth act on the loss (a prior from other sweeps; off reproduces the paper).
            head: let head size act on the loss.
            training_bits: of weights in training; fewer are worth fewer parameters.
            quantised_bits: of weights after training, which adds nats.
            unique_tokens: fresh tokens there are; the rest of `n_tokens` repeats them.

        """
        n_active = n_active_params_non_embedding(arch)
        n = self.n_of(arch)
        factor: Any = 0.0
        if np.any(np.asarray(arch.n_experts) > 1):
            factor = ln_expert_factor(np.asarray(arch.n_experts) / arch.n_active_experts)
        if training_bits < 16:
            factor = factor + ln_training_bits_factor(training_bits)
        nats = quantisation_nats(n, n_tokens, quantised_bits) if quantised_bits else 0.0
        if unique_tokens is not None:
            r_star = self.repeated_data.get("r_d", REPEAT_DATA)
            n_tokens = effective_tokens(n_tokens, unique_tokens, r_star)
        return Shapes(
            n=n,
            n_tokens=n_tokens,
            x=arch.d_model / n_active**0.5,
            r=mlp_attn_ratio(arch),
            gqa=gqa(arch),
            n_layers=arch.n_layers,
            head_dim=arch.head_dim,
            reference_layers=reference_depth(n_active),
            reference_head_dim=reference_head_dim(n_active),
            depth_on=float(depth),
            head_on=float(head),
            ln_n_factor=factor,
            delta_nats=nats,
        )

    def loss(self, arch: Arch, n_tokens: Any) -> Any:
        """Return the expected loss of each row of `arch` after `n_tokens`, nats per token."""
        return predict_loss(self.columns(), self.shapes(arch, n_tokens))

    def quality(self, arch: Arch, n_tokens: Any, *, n_draws: int = 1000, seed: int = 0) -> Quality:
        """Return the loss of each row of `arch` with its 80 % interval."""
        return quality(self.columns(), self.shapes(arch, n_tokens), n_draws, seed=seed)

    def warnings(
        self, arch: Arch, n_tokens: Any, *, data: str | None = None, depth: bool = False
    ) -> list[LawWarning]:
        """Return the ways in which `arch`, `n_tokens` or `data` leave the law's evidence.

        With `depth` on, any depth but the reference one is said to rest on the depth term.
        """
        found = domain_warnings(self.columns(), self.shapes(arch, n_tokens, depth=depth))
        if np.any(np.asarray(arch.n_experts) > 1):
            found.append(
                LawWarning(
                    "experts",
                    "the law was fitted on dense models only; experts count as effective parameters, "
                    "a prior from routed models (Clark et al. 2022)",
                )
            )
        if data is not None and data.lower() not in self.evidence.data.lower():
            found.append(
                LawWarning(
                    "other-data",
                    f"the law was fitted on {self.evidence.data}: on {data} the level may differ by "
                    "15 %; compare in bits per byte",
                )
            )
        if not self.has_conditional:
            found.append(
                LawWarning("no-shape", f"{self.name} says nothing about shape: only N and D act")
            )
        return found

    @property
    def accuracy_link(self) -> AccuracyLink:
        """The link from loss to the nine-task accuracy."""
        return AccuracyLink()


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
