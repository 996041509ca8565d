"""What a fit had to say, as text and as plain data; held-out error comes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.inputs.law import LawSpec
from planner_calibration.fit.law.evaluate import Stage


@dataclass(frozen=True, slots=True)
class FitReport:
    """A law and what its fit had to say, ready to print."""

    law: LawSpec
    held_out: list[Stage]
    parameters: dict[str, tuple[float, float, float]]  # value, 5 % and 95 %
    uninformed: tuple[str, ...]
    lines: tuple[str, ...]
    not_held_out: str = "it needs three model sizes or more"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None."""
        return {
            "schema": 1,
            "law": self.law.model_dump(mode="json"),
            "parameters": {
                k: {"value": v, "low": _json(lo), "high": _json(hi)}
                for k, (v, lo, hi) in self.parameters.items()
            },
            "uninformed": list(self.uninformed),
            "notes": list(self.lines),
            "held_out": [
                {
                    "trained_on": s.trained_on,
                    "tested_on": s.tested_on,
                    "verdict": s.verdict,
                    "scores": [
                        {"name": x.name, "n": x.n}
                        | {k: _json(getattr(x, k)) for k in ("mse", "spearman", "regret")}
                        for x in (s.law, *s.baselines)
                    ],
                }
                for s in self.held_out
            ],
        }

    def text(self) -> str:
        """Return the report as text, held-out error first."""
        out = []
        for s in self.held_out:
            out.append(f"fitted on {s.trained_on}; tested on {s.tested_on}")
            for x in (s.law, *s.baselines):
                out.append(
                    f"  {x.name:28}  rmse {x.rmse:.4f}  Spearman {_figure(x.spearman, '.2f'):>5}  "
                    f"regret {_figure(x.regret, '.4f')} nats"
                )
            out.append(f"  {s.verdict}")
        if not self.held_out:
            out.append(f"held-out error: none, {self.not_held_out}")
        out += ["", f"{'':16}  {'value':>12}  {'5 %':>12}  {'95 %':>12}"]
        for k, (v, lo, hi) in self.parameters.items():
            out.append(f"{k:16}  {v:12.5g}  {_figure(lo, '.5g'):>12}  {_figure(hi, '.5g'):>12}")
        if self.uninformed:
            out += ["", "not informed by these runs: " + in_words(self.uninformed)]
        return "\n".join([*out, "", *self.lines])


WORDS = {
    "ln_level": "level",
    "ln_slope_n": "slope in size",
    "ln_slope_d": "slope in tokens",
}


def in_words(coordinates: Sequence[str]) -> str:
    """Write a law's coordinates as the names its parameters go by."""
    return ", ".join(WORDS.get(c, c.removeprefix("ln_")) for c in coordinates)


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _figure(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"
