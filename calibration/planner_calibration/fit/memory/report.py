"""What a fit to starts says: error on models it has not seen first, then what moved."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.results import Score
from planner.units import GIB, MIB
from planner_calibration.fit.memory.constants import SHOWN
from planner_calibration.fit.memory.profile import Fitted

NONE = "–"


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """A corrected footprint and where it was written."""

    fitted: Fitted
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        f, c = self.fitted, self.fitted.corrected

        def scores(of: dict[str, Score]) -> dict[str, Any]:
            return {column: s.model_dump() for column, s in of.items()}

        return {
            "profile": str(self.path),
            "prior": f.prior.name,
            "engine": f.starts.engine,
            "engine_versions": f.starts.versions,
            "n_starts": f.starts.n,
            "n_models": c.n_models,
            "before": scores(c.before),
            "held_out": scores(c.held_out),
            "fitted": scores(c.fitted),
            "constants": c.constants,
            "ln_sd": c.fit.sds if c.fit else {},
            "shrinkage": c.fit.shrinkage() if c.fit else {},
            "spreads": c.spreads,
            "skipped": [str(out) for out in f.starts.left_out],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the constants, one a row."""
        if (fit := self.fitted.corrected.fit) is None:
            return []
        return [
            {"constant": n, "value": v, "ln_sd": fit.sds[n], "shrinkage": fit.shrinkage()[n]}
            for n, v in fit.values.items()
        ]

    def __rich__(self) -> Any:
        """Render: held-out error, each part before and after, constants, what was left out."""
        from rich.console import Group
        from rich.table import Table

        f, c = self.fitted, self.fitted.corrected
        parts = Table("part", "n", "before", "held out", "fitted", box=None, pad_edge=False)
        for column, before in c.before.items():
            shares = (before, c.held_out.get(column), c.fitted[column])
            parts.add_row(SHOWN[column], str(before.n + before.refused), *map(_percent, shares))
        told = Table("constant", "value", "±", "prior", box=None, pad_edge=False)
        for row in self.rows():
            name, value = row["constant"], row["value"]
            told.add_row(
                name,
                _written(name, value),
                f"{100 * row['ln_sd']:.0f} %",
                _written(name, c.prior[name]),
            )
        spread = Table("spread of a part", "value", "prior", box=None, pad_edge=False)
        for name, sd in c.spreads.items():
            spread.add_row(name, f"{100 * sd:.1f} %", f"{100 * c.prior[name]:.1f} %")
        lines: list[Any] = [self._headline(), f"{f.data}, on {f.device_id}", "", parts, ""]
        lines += [told, ""] if told.row_count else ["the starts spoke of no constant", ""]
        lines += [spread, "", *map(str, f.starts.left_out)]
        return Group(*lines, f"wrote {self.path}; use it with --profile {self.path}")

    def _headline(self) -> str:
        c, name = self.fitted.corrected, self.fitted.starts.engine
        if not c.held_out:
            return f"{name}: nothing could be held out; starts of more than one model are needed"
        (n, before), (_, held) = _mean(c.before), _mean(c.held_out)
        return (
            f"held out, {c.n_models} models, {n} parts of memory: error {100 * before:.1f} % with"
            f" {name}'s file, {100 * held:.1f} % corrected"
        )


def _mean(scores: dict[str, Score]) -> tuple[int, float]:
    """Return how many rows were scored, and their mean error."""
    n = sum(s.n for s in scores.values())
    return n, sum(s.n * (s.mean_ape or 0.0) for s in scores.values()) / max(n, 1)


def _percent(score: Score | None) -> str:
    return NONE if score is None or score.mean_ape is None else f"{100 * score.mean_ape:.1f} %"


def _written(name: str, value: float) -> str:
    if not name.endswith("_bytes"):
        return f"{value:.3g}"
    return f"{value / GIB:.3f} GiB" if value >= 0.01 * GIB else f"{value / MIB:.3f} MiB"
