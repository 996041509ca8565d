"""What a sweep of one size says about shape: where the U in d_model/√N and in r bottoms out, how steep it is.

loss = L_seed · (1 + k_x φ(x/x*)) · (1 + k_r φ(r/r*)) + g ln GQA, with φ(u) = ln u + 1/u − 1
(Bian et al., arXiv 2510.18245, in coordinates that data identify). Each seed has its own level, since all
shapes of a seed see the same batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.measurement import Measurement
from planner.law.terms.shape import phi
from planner_calibration.fit.law.data import trainings
from planner_calibration.fit.map_fit import MapFit, Prior, map_fit
from planner_calibration.measure.shapes import Shape

# Wide: an order of magnitude around the published coefficients, and the whole range swept for the optima.
K_SD, OPTIMUM_SD, LEVEL_SD, GQA_SD = 1.5, 0.7, 0.5, 0.05
LEAST = 6  # runs; fewer leave the six unknowns to their priors


@dataclass(frozen=True, slots=True)
class ShapeReport:
    """The U-shapes of one sweep."""

    table: list[dict[str, Any]]  # one row a shape
    fit: MapFit
    rms_flat: float  # nats, with no effect of shape at all
    rms: float
    n_seeds: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "shapes": self.table,
            "values": self.fit.values,
            "sds": self.fit.sds,
            "noise": self.fit.noise,
            "rms_flat": self.rms_flat,
            "rms": self.rms,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the shapes, one a row."""
        return self.table

    def __rich__(self) -> Any:
        """Render both arms as bars over the best shape, and the fit below."""
        from rich.console import Group
        from rich.table import Table

        best = min(r["loss"] for r in self.table)
        worst = max(r["loss"] for r in self.table) - best
        table = Table("x", "r", "GQA", "seeds", "loss", "±", "", box=None, pad_edge=False)
        for row in self.table:
            bar = "█" * round(30 * (row["loss"] - best) / worst) if worst > 0 else ""
            table.add_row(
                f"{row['x']:.3f}", f"{row['r']:.2f}", f"{row['gqa']:g}", str(row["seeds"]),
                f"{row['loss']:.4f}", f"{row['sd']:.4f}" if row["seeds"] > 1 else "–", bar,
            )  # fmt: skip
        v, sd, shrunk = self.fit.values, self.fit.sds, self.fit.shrinkage()
        lines = [
            f"{name} = {v[name]:.3g} ± {100 * sd[name]:.0f} %{_silent(shrunk[name])}"
            for name in ("x_opt", "k_x", "r_opt", "k_r")
        ]
        gqa = f"GQA: {v['gqa_nats']:+.4f} ± {sd['gqa_nats']:.4f} nats an e-fold{_silent(shrunk['gqa_nats'])}"
        told = (
            f"run noise {self.fit.noise:.4f} nats; residuals {self.rms:.4f} nats rms,"
            f" {self.rms_flat:.4f} with no effect of shape; {self.fit.n_rows} runs, {self.n_seeds} seeds"
        )
        return Group(table, "", *lines, gqa, told)


def _silent(shrinkage: float) -> str:
    return " (the runs say little: this is the prior)" if shrinkage > 0.7 else ""


def fit_shape(rows: Sequence[Measurement]) -> ShapeReport:
    """Fit the U-shapes of trainings of one size.

    Raises:
        SpecError: there are too few of them, or of several sizes.

    """
    done = trainings(rows)
    shapes = [Shape.of(r.what) for r in done]
    sizes = np.array([s.n_params_non_embedding for s in shapes], dtype=np.float64)
    if len(done) < LEAST or np.ptp(np.log(sizes)) > 0.2:
        raise SpecError(
            f"{len(done)} trainings of {sizes.min():.3g} to {sizes.max():.3g} parameters make no sweep",
            hint=f"give at least {LEAST} runs of one size",
        )
    x, r, gqa = (np.array([getattr(s, n) for s in shapes]) for n in ("x", "r", "gqa"))
    loss = np.array([row.values["heldout_nats_per_token"] for row in done])
    seeds = sorted({int(str(row.what["seed"])) for row in done})
    index = np.array([seeds.index(int(str(row.what["seed"]))) for row in done])
    priors = [
        Prior("x_opt", float(np.exp(np.mean(np.log(x)))), OPTIMUM_SD),
        Prior("k_x", 0.04, K_SD),
        Prior("r_opt", 1.0, OPTIMUM_SD),
        Prior("k_r", 0.016, K_SD),
        Prior("gqa_nats", 0.0, GQA_SD, "linear"),
        *(Prior(f"loss_{s}", float(loss.min()), LEVEL_SD) for s in seeds),
    ]

    def residuals(c: Any) -> Any:
        level = c[:, 5:][:, index]
        wide = 1 + c[:, [1]] * phi(x / c[:, [0]])
        ratio = 1 + c[:, [3]] * phi(r / c[:, [2]])
        return loss - level * wide * ratio - c[:, [4]] * np.log(gqa)

    found = map_fit(residuals, priors, expected_noise=0.01, batched=True)
    left = residuals(np.array([list(found.values.values())]))[0]
    levels = np.array([loss[index == k].mean() for k in range(len(seeds))])
    fitted = np.array([found.values[f"loss_{s}"] for s in seeds])
    common = np.array([(index == k).mean() for k in range(len(seeds))]) @ fitted
    return ShapeReport(
        table=_table(shapes, loss - fitted[index] + common),
        fit=found,
        rms_flat=float(np.std(loss - levels[index])),
        rms=float(np.sqrt(np.mean(left**2))),
        n_seeds=len(seeds),
    )


def _table(shapes: Sequence[Any], loss: Any) -> list[dict[str, Any]]:
    """One row a shape; each seed's own level is taken off first, so that all seeds compare."""
    out = []
    for s in sorted(set(shapes), key=lambda s: (s.gqa, round(s.x, 2), s.r)):
        own = np.array([v for t, v in zip(shapes, loss, strict=True) if t == s])
        sd = float(own.std(ddof=1)) if len(own) > 1 else 0.0
        seen = {"seeds": len(own), "loss": float(own.mean()), "sd": sd}
        out.append({"x": s.x, "r": s.r, "gqa": s.gqa} | seen)
    return out
