"""What is on record, rendered: runs by kind, failures, and residuals of a profile."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.inputs.measurement import Measurement
from planner.units import show
from planner_calibration import runs

LINES = 40  # of each kind, on a terminal


def kernel_line(row: Measurement) -> str:
    """Return a kernel in one line: predicted at the roofline, measured, and their ratio."""
    shape = " ".join(f"{k} {v}" for k, v in row.what.items() if k not in ("dtype", "threads"))
    if row.status != "ok":
        return f"{row.kind} {shape}: {row.status}: {row.message}"
    v = row.values
    if "bound_s" not in v:
        return f"{row.kind} {shape}: {show(v['median_s'], 's')}, {show(v['bus_bytes_per_s'], 'byte/s')}"
    drift = ", clock drifted" if v.get("clock_drifted") else ""
    return (
        f"{row.kind} {shape}: at least {show(v['bound_s'], 's')}, measured {show(v['median_s'], 's')}"
        f" ± {100 * v['iqr_s'] / v['median_s']:.0f} % ({100 * v['bound_s'] / v['median_s']:.0f} % of"
        f" the roofline{drift})"
    )


@dataclass(frozen=True, slots=True)
class Report:
    """Runs, and how a profile sees them."""

    loaded: runs.Loaded
    residuals: dict[str, float]  # ln(measured / predicted), by key
    basis: str

    @classmethod
    def of(cls, paths: Sequence[Path], *, on: str | None, profile: str | None) -> "Report":
        """Read run files; with hardware, predict each run as well.

        Raises:
            SpecError: no such hardware or profile.

        """
        loaded = runs.load(paths)
        if on is None:
            return cls(loaded, {}, "")
        import numpy as np

        from planner.inputs.device import load_device
        from planner.inputs.profile import load_profile, profile_for
        from planner_calibration.fit.speed import rows
        from planner_calibration.fit.speed.profile import generation, own_id

        device = load_device(on)
        chosen, basis = (
            (load_profile(profile), f"profile {profile}, as asked") if profile else (None, "")
        )
        if chosen is None:
            chosen, _, basis = profile_for(own_id(on), device, generation(loaded.rows))
        found: dict[str, float] = {}
        for group in rows.groups(loaded.rows, device):
            logs = np.log(group.measured_s / group.predict(*chosen.columns()))
            found |= {r.key: float(v) for r, v in zip(group.rows, logs, strict=True)}
        return cls(loaded, found, f"{basis}, on {device.name}")

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "runs": self.rows(),
            "skipped": [str(s) for s in self.loaded.skipped],
            "duplicates": self.loaded.duplicates,
            "basis": self.basis,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the runs, one a row."""
        return [
            {
                **r.model_dump(include={"key", "kind", "status", "engine", "machine"}),
                **r.what,
                **r.values,
                **({"residual": self.residuals[r.key]} if r.key in self.residuals else {}),
                **({"message": r.message} if r.message else {}),
            }
            for r in self.loaded.rows
        ]

    def __rich__(self) -> Any:
        """Render each kind's runs in a line each, then counts and what was skipped."""
        from rich.console import Group

        lines: list[str] = []
        for kind in sorted({r.kind for r in self.loaded.rows}):
            part = [r for r in self.loaded.rows if r.kind == kind]
            states = Counter(r.status for r in part)
            told = ", ".join(f"{n} {s}" for s, n in states.most_common())
            lines.append(f"{kind}: {told}")
            lines += [f"  {self._line(r)}" for r in part[:LINES]]
            if len(part) > LINES:
                lines.append(f"  … and {len(part) - LINES} more (--json has all)")
        lines += [str(s) for s in self.loaded.skipped]
        if self.loaded.duplicates:
            lines.append(f"{self.loaded.duplicates} rows were there before under the same key")
        if self.basis:
            lines.append(f"residuals are measured over predicted: {self.basis}")
        return Group(*(lines or ["no runs"]))

    def _line(self, row: Measurement) -> str:
        text = _line(row)
        if row.key in self.residuals:
            import math

            text += f"; {100 * (math.exp(self.residuals[row.key]) - 1):+.0f} %"
        return text


def _line(row: Measurement) -> str:
    if row.kind.startswith("serve"):
        from planner_calibration.measure.serve.command import line

        return line(row)
    if row.kind == "train":
        from planner_calibration.measure.train.command import line as train_line

        return train_line(row)
    return kernel_line(row)
