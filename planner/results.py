"""What a search or a prediction returns: frozen records that become JSON, rows or a table."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.interval import Z

SCHEMA = 1

METRICS = ("loss", "accuracy", "output_tokens_per_s", "ttft_s", "tpot_s")
SHAPE_KEYS = (
    "n_layers",
    "d_model",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "d_ff",
    "vocab_size",
    "n_params",
    "n_params_non_embedding",
    "mlp_attn_ratio",
    "gqa",
    "d_over_sqrt_n",
)
WHOLE = {*SHAPE_KEYS} - {"mlp_attn_ratio", "gqa", "d_over_sqrt_n"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A predicted number with its 80 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def lognormal(cls, value: float, ln_sd: float) -> "Estimate":
        """Spread `value` by a relative error whose logarithm has standard deviation `ln_sd`."""
        factor = math.exp(Z * ln_sd)
        return cls(value, value / factor, value * factor)

    def to_dict(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


def flat_rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return records as CSV rows of one shape, an estimate as three columns."""
    flat = []
    for record in records:
        row: dict[str, Any] = {}
        for key, value in record.items():
            if isinstance(value, Estimate):
                row |= {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
            else:
                row[key] = value
        flat.append(row)
    keys = list(dict.fromkeys(k for row in flat for k in row))
    return [{k: row.get(k) for k in keys} for row in flat]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One shape with everything predicted of it."""

    name: str
    shape: Mapping[str, float]  # SHAPE_KEYS
    metrics: Mapping[str, Estimate]  # METRICS
    kv_bytes_per_token: float
    weight_bytes: float
    max_concurrency: int
    bound: str  # what most of the time is bound by: compute, hbm, link, overhead, capacity
    memory: Mapping[str, float] = field(default_factory=dict)  # bytes by part, one device
    p_loss_at_most_target: float | None = None
    lifetime_usd: Estimate | None = None  # training and serving, where a volume is stated
    gain: Estimate | None = None  # output tokens/s over the baseline's, 1.0 = equal
    loss_vs_baseline: Mapping[str, Any] | None = None
    verify: tuple[Mapping[str, Any], ...] = ()
    why: str = ""
    warnings: tuple[str, ...] = ()
    breakdown: Mapping[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        """Read a shape field or a metric by its own name: ``pick.d_model``, ``pick.loss.value``."""
        for part in ("metrics", "shape"):
            values = object.__getattribute__(self, part)
            if name in values:
                return values[name]
        raise AttributeError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; fields that do not apply are left out."""
        shape = {k: int(v) if k in WHOLE else float(v) for k, v in self.shape.items()}
        if float(shape["gqa"]).is_integer():
            shape["gqa"] = int(shape["gqa"])
        result: dict[str, Any] = {"name": self.name, **shape}
        result |= {name: e.to_dict() for name, e in self.metrics.items()}
        result |= {
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "weight_bytes": self.weight_bytes,
            "max_concurrency": self.max_concurrency,
            "memory_bytes": dict(self.memory),
            "bound": self.bound,
            "warnings": list(self.warnings),
        }
        optional = {
            "p_loss_at_most_target": self.p_loss_at_most_target,
            "lifetime_usd": self.lifetime_usd.to_dict() if self.lifetime_usd else None,
            "gain": self.gain.to_dict() if self.gain else None,
            "loss_vs_baseline": self.loss_vs_baseline,
            "why": self.why or None,
            "verify": list(self.verify) or None,
            "breakdown": self.breakdown,
        }
        return result | {k: v for k, v in optional.items() if v is not None}

    def row(self) -> dict[str, Any]:
        """Return one flat CSV row."""
        flat = self.to_dict()
        row = {k: flat[k] for k in ("name", *SHAPE_KEYS)}
        for name, e in self.metrics.items():
            row |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
        keep = ("kv_bytes_per_token", "weight_bytes", "max_concurrency", "bound")
        return row | {k: flat[k] for k in keep}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer of `recommend`."""

    inputs: Mapping[str, Any]
    command: str
    basis: Mapping[str, str]  # speed, loss, accuracy
    warnings: tuple[str, ...]
    target_loss: float
    baseline: Candidate
    picks: Mapping[str, Candidate | None]  # loss_optimal, fastest, balanced
    pareto: tuple[Candidate, ...]  # lowest loss first
    binding: tuple[Mapping[str, Any], ...]  # what holds the fastest pick back
    n_evaluated: int
    n_feasible: int
    elapsed_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON contract of `planner recommend --json`."""
        return {
            "schema": SCHEMA,
            "kind": "recommend",
            "command": self.command,
            "inputs": dict(self.inputs),
            "basis": dict(self.basis),
            "warnings": list(self.warnings),
            "target_loss": self.target_loss,
            "baseline": self.baseline.to_dict(),
            "picks": {k: p.to_dict() if p else None for k, p in self.picks.items()},
            "pareto": [c.to_dict() for c in self.pareto],
            "binding": [dict(b) for b in self.binding],
            "n_evaluated": self.n_evaluated,
            "n_feasible": self.n_feasible,
            "elapsed_s": self.elapsed_s,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the front as CSV rows."""
        return [c.row() for c in self.pareto]

    def __rich__(self) -> Any:
        """Render as a terminal table."""
        from planner.report.text import recommendation

        return recommendation(self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer of `predict`: one model on one system."""

    inputs: Mapping[str, Any]
    command: str
    basis: Mapping[str, str]
    warnings: tuple[str, ...]
    candidate: Candidate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON contract of `planner predict --json`."""
        head = {
            "schema": SCHEMA,
            "kind": "predict",
            "command": self.command,
            "inputs": dict(self.inputs),
            "basis": dict(self.basis),
        }
        return head | self.candidate.to_dict() | {"warnings": list(self.warnings)}

    def rows(self) -> list[dict[str, Any]]:
        """Return one CSV row."""
        return [self.candidate.row()]

    def __rich__(self) -> Any:
        """Render as a terminal table."""
        from planner.report.text import prediction

        return prediction(self)
