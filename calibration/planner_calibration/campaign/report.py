"""What a campaign found: how far predictions are from the clock, and where its files are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner_calibration.campaign.plan import Stage
from planner_calibration.fit.service import LoadError, ServiceFit
from planner_calibration.fit.speed.profile import Fitted

SHOWN = ("ttft", "tpot")


@dataclass(frozen=True, slots=True)
class Took:
    """A stage: rows it left, and how long it took."""

    name: str
    rows: int
    seconds: float
    failed: str = ""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything that a campaign has to tell."""

    device: str
    fitted: Fitted | None
    service: ServiceFit | None
    shares: Mapping[str, float]  # of a load by its key: of the greatest rate
    stages: tuple[Took, ...]
    planned: tuple[Stage, ...]
    profile: Path | None
    folder: Path
    spent_s: float
    seconds: float
    asked: str  # flags by which its profile is found
    law: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    def rows(self) -> list[dict[str, Any]]:
        """Return every held-out run and every load, one a row."""
        away = self.fitted.corrected.away if self.fitted else ()
        loads = self.service.loads if self.service else ()
        return [
            {
                "kind": "serve_offline",
                **{
                    k: a.row.what[k]
                    for k in ("d_model", "n_layers", "d_ff", "n_heads", "n_kv_heads")
                },
                **{k: a.row.what[k] for k in ("batch", "input_tokens", "output_tokens")},
                "measured_s": a.measured_s,
                "predicted_s": a.predicted_s,
                "held_out": True,
            }
            for a in away
        ] + [
            {"kind": "serve_online", "load": self.load_name(e), "held_out": e.held_out}
            | {f"measured_{k}": v for k, v in e.measured.items()}
            | {f"predicted_{k}": v for k, v in e.predicted.items()}
            for e in loads
        ]

    def figures(self) -> dict[str, float]:
        """Return the figures by which a campaign is judged."""
        found: dict[str, float] = {}
        if self.fitted and (held := self.fitted.corrected.held_out.get("serve_offline")):
            c = self.fitted.corrected
            found |= {
                "held_out_runs": float(held.n),
                "held_out_mean": held.mape,
                "held_out_median": held.median,
                "held_out_worst_but_one": held.worst_but_one,
                "held_out_worst": held.worst,
                "bias": held.bias,
                "repeat_sd": c.repeat_sd,
                "coverage": c.coverage,
            }
        for e in self.service.loads if self.service else ():
            if e.held_out and self.shares.get(e.load.key) != 1.0:
                found |= {f"{m}_p50 at {self.load_name(e)}": e.off(f"{m}_p50_s") for m in SHOWN}
        return found

    def use_of(self, e: LoadError) -> str:
        """Return what a load was for."""
        if self.shares.get(e.load.key) == 1.0:
            return "sets 100 %"
        return "held out" if e.held_out else "fitted"

    def load_name(self, e: LoadError) -> str:
        """Return what a load is called."""
        share = self.shares.get(e.load.key)
        return f"{100 * share:.0f} %, {e.load.name}" if share else e.load.name

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "device": self.device,
            "profile": str(self.profile) if self.profile else None,
            "folder": str(self.folder),
            "seconds": self.seconds,
            "spent_s": round(self.spent_s, 1),
            "figures": {k: v if v == v else None for k, v in self.figures().items()},  # noqa: PLR0124 - NaN
            "front_end": self.service.table() if self.service else None,
            "stages": [
                {"name": t.name, "rows": t.rows, "seconds": round(t.seconds, 1), "failed": t.failed}
                for t in self.stages
            ],
            "runs": self.rows(),
            "law": self.law or None,
            "notes": list(self.notes),
        }

    def __rich__(self) -> Any:
        """Render: held-out error against the clock first, then loads, stages and files."""
        from rich.console import Group
        from rich.table import Table

        lines: list[Any] = [self._headline(), ""]
        if self.service:
            table = Table(
                "load", "TTFT", "said", "off", "TPOT", "said", "off", "", box=None, pad_edge=False
            )
            for e in self.service.loads:
                cells = [c for m in SHOWN for c in _cells(e, f"{m}_p50_s")]
                table.add_row(self.load_name(e), *cells, self.use_of(e))
            lines += ["requests as they came, medians:", table, ""]
        stages = Table("stage", "rows", "took", "", box=None, pad_edge=False)
        for t in self.stages:
            stages.add_row(t.name, str(t.rows), f"{t.seconds:.0f} s", t.failed)
        lines += [stages, ""]
        lines += [self.law, ""] if self.law else []
        lines += self.notes
        lines.append(
            f"{self.spent_s / 60:.1f} of {self.seconds / 60:.0f} min; rows, report: {self.folder}"
        )
        if self.profile:
            lines.append(f"profile {self.profile}")
            lines.append(f"it is used wherever {self.asked} is asked")
        return Group(*lines)

    def _headline(self) -> str:
        f = self.figures()
        if "held_out_mean" not in f:
            return f"{self.device}: nothing could be held out; more than one model is needed"
        assert self.fitted is not None
        return (
            f"{self.device}: {f['held_out_runs']:.0f} batches of {self.fitted.corrected.n_shapes} models, each"
            f" without its own runs: error {100 * f['held_out_mean']:.1f} % of the median wall time (worst but"
            f" one {100 * f['held_out_worst_but_one']:.0f} %, bias {100 * f['bias']:+.1f} %), repeats scatter by"
            f" {100 * f['repeat_sd']:.1f} %, 80 % intervals hold {100 * f['coverage']:.0f} %"
        )


def _cells(e: LoadError, name: str) -> list[str]:
    from planner.units import show

    return [
        show(e.measured[name], "s"),
        show(e.predicted[name], "s"),
        f"{100 * e.off(name):+.0f} %",
    ]
