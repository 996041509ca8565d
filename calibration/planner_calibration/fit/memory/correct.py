"""MAP fit of an engine's footprint to starts on a machine, with the engine's file as its prior.

The cache is never fitted: it is what the parts leave, and so tells whether they are right together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Footprint
from planner.inputs.engine import EngineSpec
from planner.inputs.profile import ProfileSpec
from planner.questions.validate.measured import Run
from planner.questions.validate.scoring import Prepared, prepare
from planner.questions.validate.validate import score
from planner.results import Score
from planner.scenario.scenario import resolve
from planner_calibration.fit.map_fit import MAD, NOISE_ROWS, Constant, MapFit, fit_constants
from planner_calibration.fit.memory.constants import ASKS, SHOWN, SPREADS
from planner_calibration.fit.memory.starts import Starts

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

TAIL = 5.0  # times its noise beyond which a row counts linearly only
REPEAT = 0.5  # starts of one machine differ by this share of what machines do
ROUNDED = 0.005  # GiB; logs say two digits
WILD = 10.0  # spreads: no row counts for more when they are updated
NUDGE = 1.01  # to see whether a constant moves a prediction


@dataclass(frozen=True, slots=True)
class Corrected:
    """A footprint before and after a machine's starts; scores by column."""

    fit: MapFit | None  # None: no row speaks of a constant
    prior: dict[str, float]
    spreads: dict[str, float]
    before: dict[str, Score]
    held_out: dict[str, Score]  # each model by a fit on the others; nothing of one model alone
    fitted: dict[str, Score]
    n_models: int

    @property
    def constants(self) -> dict[str, float]:
        """The constants that moved, at their new values."""
        return self.fit.values if self.fit else {}

    @property
    def memory(self) -> dict[str, float]:
        """What a profile says of memory."""
        return self.constants | self.spreads


def correct(starts: Starts, start: ProfileSpec) -> Corrected:
    """Correct what the engine takes of memory.

    Args:
        starts: on one machine.
        start: the profile whose `memory`, if it has any, stands before the engine's file.

    """
    rows = _Rows.of(starts, start)
    fit = rows.fit(np.ones(len(rows.runs), dtype=bool))
    before, fitted = rows.predict({}), rows.predict(fit.values if fit else {})
    held_out = rows.held_out()
    with np.errstate(divide="ignore"):  # a cache that is predicted to be none
        unseen = np.log(rows.measured / (before if held_out is None else held_out))
    prior = {name: float(getattr(rows.prior, name)) for name in (*ASKS, *SPREADS.values())}
    return Corrected(
        fit=fit,
        prior=prior,
        spreads={
            sd: _spread(prior[sd], unseen[own])
            for column, sd in SPREADS.items()
            if (own := (rows.columns == column) & np.isfinite(unseen)).any()
        },
        before=rows.scores(before),
        held_out={} if held_out is None else rows.scores(held_out),
        fitted=rows.scores(fitted),
        n_models=len(set(rows.models)),
    )


def _spread(prior: float, residuals: Vector) -> float:
    """Return the rows' robust spread, with what was known as a few more of them."""
    n = len(residuals)
    own = MAD * float(np.median(np.minimum(np.abs(residuals), WILD * prior)))
    return float(np.sqrt((NOISE_ROWS * prior**2 + n * own**2) / (NOISE_ROWS + n)))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Measured parts of memory with their predictions under any constants."""

    runs: tuple[Run, ...]
    prepared: Prepared
    told: NDArray[np.intp]  # rows that constants are told of
    told_prepared: Prepared
    measured: Vector
    columns: NDArray[np.str_]
    models: list[tuple[int, ...]]
    prior: Footprint
    device_bytes: float

    @classmethod
    def of(cls, starts: Starts, start: ProfileSpec) -> "_Rows":
        runs = starts.runs

        def prepared(some: list[Run]) -> Prepared:
            return prepare(some, lambda s: replace(resolve(s), profile=start))

        asked = {asks.column for asks in ASKS.values()}
        told = [i for i, r in enumerate(runs) if r.column in asked]
        return cls(
            runs=runs,
            prepared=prepared([*runs]),
            told=np.array(told, dtype=np.intp),
            told_prepared=prepared([runs[i] for i in told]),
            measured=np.array([r.value for r in runs]),
            columns=np.array([r.column for r in runs]),
            models=[r.architecture for r in runs],
            prior=replace(_newest(starts).footprint(), **start.memory),
            device_bytes=starts.device.hbm_bytes,
        )

    def predict(self, memory: Mapping[str, float]) -> Vector:
        return self.prepared.predict(memory=memory)

    def scores(self, predicted: Vector) -> dict[str, Score]:
        def of(column: str) -> Score:
            own = (self.columns == column) & (predicted > 0)
            refused = int(np.sum(self.columns == column) - np.sum(own))
            return score(self.measured[own], predicted[own], refused=refused)

        return {c: of(c) for c in SHOWN if (self.columns == c).any()}

    def held_out(self) -> Vector | None:
        """Return predictions of each model by a fit on the others; None where there is one model."""
        models = sorted(set(self.models))
        if len(models) < 2:
            return None
        predicted = np.empty(len(self.runs))
        for model in models:
            own = np.array([m == model for m in self.models])
            fit = self.fit(~own)
            predicted[own] = self.predict(fit.values if fit else {})[own]
        return predicted

    def fit(self, seen: Mask) -> MapFit | None:
        """Fit what the seen rows speak of; None where that is nothing."""
        known = self.told_prepared.predict()
        usable = seen[self.told] & (known > 0)
        constants = self._free(usable, known)
        if not constants:
            return None
        measured = self.measured[self.told]
        sd = np.array([getattr(self.prior, SPREADS[self.runs[i].column]) for i in self.told])
        weights = usable / np.maximum(REPEAT * sd, ROUNDED / measured)

        def ln_ratio(values: dict[str, float]) -> Vector:
            predicted = self.told_prepared.predict(memory=values)
            return np.log(np.where(usable, predicted / measured, 1.0))

        return fit_constants(constants, ln_ratio, noise=1.0, weights=weights, tail=TAIL)

    def _free(self, usable: Mask, known: Vector) -> dict[str, Constant]:
        """Return the constants that rows can speak of, with their priors."""
        runs = [self.runs[i] for i in self.told]
        depths = {
            r.scenario.model.n_layers / r.scenario.engine.pp
            for r, use in zip(runs, usable, strict=True)
            if use and r.column == "cuda_graph_gib"
        }
        free = {}
        for name, asks in ASKS.items():
            value = float(getattr(self.prior, name))
            own = usable & np.array([asks.of(r) for r in runs], dtype=bool)
            if name == "graph_bytes" and len(depths) < 2:
                continue  # of one depth it cannot be told from what layers add
            nudged = self.told_prepared.predict(memory={name: NUDGE * value})
            if np.any((nudged != known) & own):
                sd = float(getattr(self.prior, SPREADS[asks.column]))
                high = min(asks.high, asks.device_share * self.device_bytes)
                free[name] = Constant(value, sd, asks.low, max(high, value))
        return free


def _newest(starts: Starts) -> EngineSpec:
    """Return the engine as it was started in the version whose footprint is corrected."""
    runs = starts.runs
    own = (r for r in runs if r.scenario.engine.release is starts.release)
    return next(own, runs[-1]).scenario.engine
