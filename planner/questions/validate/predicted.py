"""What is predicted of measured runs: by the constants that ship, or by a fit that has not seen their like."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads, System
from planner.interval import INTERVAL, Z
from planner.metrics import METRICS
from planner.questions.validate.measured import COLUMNS, Run
from planner.questions.validate.scoring import Prepared, seen_in, spread_of
from planner.scenario.evaluate import arrives
from planner.scenario.simulated import Seen

Floats = NDArray[np.float64]
# Fits the engine of its second argument on its first; None where that has nothing to fit on.
Refit = Callable[[Sequence[Run], Sequence[Run]], tuple[Kernels, Overheads] | None]


def as_shipped(prepared: Prepared) -> tuple[Floats, Floats]:
    """Return what is predicted of runs, simulated where requests arrive, and its ln sd."""
    return _simulated(prepared, prepared.predict(), prepared.see())


def _simulated(
    prepared: Prepared, predicted: Floats, seen: Sequence[Seen | None]
) -> tuple[Floats, Floats]:
    """Put what was simulated in place of closed forms, nothing where not one request fits; and spreads."""
    always = [METRICS[COLUMNS[r.column].metric].always for r in prepared.runs]
    predicted = np.where(prepared.fits() | np.array(always, dtype=bool), predicted, np.nan)
    ln_sd, loaded = prepared.ln_sd(), prepared.ln_sd(under_load=True)
    for i, one in enumerate(seen):
        if one is not None:
            predicted[i], ln_sd[i] = seen_in(one, prepared.runs[i]), loaded[i]
    return predicted, ln_sd


def left_out(prepared: Prepared, refit: Refit) -> tuple[Floats, Floats]:
    """Predict each architecture by a fit on the others, measured on devices of its generation.

    Intervals of batches are as wide as errors of the other architectures of the engine on the device
    say, each predicted in the same way. Those of services are as wide as the profile says, which has
    it from such fits.
    """
    runs = prepared.runs
    predicted = np.full(prepared.n, np.nan)
    fitted: dict[int, tuple[Kernels, Overheads]] = {}
    strange: set[int] = set()  # runs of models with layers that the others have not
    devices = [d.device.architecture for d in prepared.deployments]
    of_one = [(r.scenario.on, r.scenario.engine.generation) for r in runs]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, r in enumerate(runs):
        where = () if arrives(r.scenario) else of_one[i]
        groups.setdefault((devices[i], r.architecture, *where), []).append(i)
    for (device, architecture, *_), own in groups.items():
        rest = [r for i, r in enumerate(runs)
                if devices[i] == device and r.architecture != architecture and not r.flag]  # fmt: skip
        if found := refit(rest, [runs[i] for i in own]):
            predicted[own] = prepared.take(own).predict(*found)
            fitted |= dict.fromkeys(own, found)
            kinds = {kind for r in rest for kind in r.scenario.model.layer_kinds}
            if runs[own[0]].scenario.model.layer_kinds - kinds:
                strange |= {*own}

    def under(i: int, system: System) -> System:
        kernels, overheads = fitted[i]
        return replace(system, kernels=kernels, overheads=overheads)

    seen = prepared.see(under, among=fitted.keys())
    predicted, ln_sd = _simulated(prepared, predicted, seen)
    for i in strange:
        d = replace(prepared.deployments[i], unseen_layers=True)
        ln_sd[i] = d.load_sd(spread_of(runs[i].column))
    errors = np.abs(np.log(predicted / [r.value for r in runs]))
    for (_, architecture, *place), own in groups.items():
        others = [i for i, r in enumerate(runs) if place and of_one[i] == tuple(place)
                  and r.architecture != architecture and not r.flag and np.isfinite(errors[i])]  # fmt: skip
        if others:
            ln_sd[own] = np.quantile(errors[others], INTERVAL) / Z
    return predicted, ln_sd
