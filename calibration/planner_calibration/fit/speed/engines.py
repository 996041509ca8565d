"""What an engine adds on a device, from end-to-end runs, on top of kernels fitted on kernels.

End-to-end rows alone don't tell a slow kernel from a busy scheduler. So kernel constants start from
their own fit with a tight prior, and move only as far as the runs of this engine insist: it may ship
other kernels than those benchmarked, and long runs keep a lower clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads
from planner.inputs.formats import FORMATS, Format
from planner.questions.validate.measured import Run
from planner.questions.validate.scoring import prepare
from planner_calibration.fit.map_fit import Constant, MapFit, fit_constants, rounded

Vector = NDArray[np.float64]

OVERHEADS = {"step_s": Constant(1e-3, 1.0, 1e-5, 3e-2), "layer_s": Constant(3e-5, 1.2, 1e-7, 5e-4)}
SEQUENCES = {"sequence_s": Constant(3e-5, 1.0, 1e-7, 1e-3)}
RANKS = {
    "ranks_s": Constant(0.5e-3, 1.0, 1e-6, 2e-2),
    "rank_block_s": Constant(1e-7, 1.0, 1e-9, 1e-5),
}
EAGER = {"eager_launch_s": Constant(4e-5, 0.7, 1e-6, 5e-4)}
# Long streams reach 0.87 to 0.92 of the nameplate bandwidth on these devices (BabelStream); the
# benchmark's small matrices say less, and end-to-end rows trade it against overheads.
STREAM = Constant(0.88, 0.03, 0.4, 0.95)
CLOCK = Constant(0.9, 0.1, 0.5, 1.0)
REREADS = Constant(0.02, 1.5, 1e-4, 1.0)
UNPACK = {"unpack_share": Constant(0.2, 0.7, 0.001, 2.0)}
NARROW = {"kv_unpack_share": Constant(0.3, 1.0, 0.001, 10.0)}
NOISE = 0.05  # beyond this, a row counts linearly


@dataclass(frozen=True, slots=True)
class EngineFit:
    """An engine on a device: its overheads, and the kernels as it runs them."""

    kernels: Kernels
    overheads: Overheads
    fits: Mapping[str, MapFit]  # by what was fitted: 16-bit rows first, other formats on top


def near(value: float, ln_sd: float, high: float = np.inf) -> Constant:
    """Return a prior around what another fit found."""
    return Constant(value, ln_sd, value / 10.0, min(max(high, value * 1.0001), value * 10.0))


def constants_for(runs: Sequence[Run], kernels: Kernels) -> dict[str, Constant]:
    """Return what these runs can say something about, with priors around the kernels' own fit."""
    constants = dict(OVERHEADS) | {"gemm_hbm_eff": STREAM, "sustained_clock": CLOCK}
    constants["gemm_compute_eff"] = near(kernels.gemm_compute_eff, 0.05, 0.97)
    constants["decode_hbm_eff"] = near(kernels.decode_hbm_eff, 0.1, 0.95)
    constants["launch_s"] = near(kernels.launch_s, 0.2)
    if any(r.batch > 1 for r in runs):
        constants |= SEQUENCES
    if any(r.scenario.model.gqa > 1 for r in runs):
        constants["decode_rereads"] = REREADS
    if any(r.scenario.engine.tp > 1 for r in runs):
        constants |= RANKS | {"link_eff": near(kernels.link_eff, 0.2, 0.95)}
    if runs and not runs[0].scenario.engine.release.graphs:
        constants |= EAGER
    return constants


def _format(r: Run) -> Format:
    return FORMATS[r.scenario.engine.dtype]


def constants_after(runs: Sequence[Run], before: EngineFit) -> dict[str, Constant]:
    """Return the same with priors around a fit of this engine on a sister device.

    What a step and a layer cost is the host's, and starts afresh.
    """
    constants = constants_for(runs, before.kernels)
    for name, c in constants.items():
        own = hasattr(before.overheads, name)
        value = getattr(before.overheads if own else before.kernels, name)
        if name in SEQUENCES or (name in RANKS and own):
            constants[name] = replace(c, mean=value, ln_sd=0.7)
        elif not own and name != "gemm_hbm_eff":
            constants[name] = replace(c, mean=value, ln_sd=0.05)
    return constants


def placed(values: Mapping[str, Any], k: Kernels, o: Overheads) -> tuple[Kernels, Overheads]:
    """Put fitted constants where they belong."""
    own = {n: v for n, v in values.items() if hasattr(o, n)}
    return replace(k, **{n: v for n, v in values.items() if n not in own}), replace(o, **own)


def fit_engine(runs: Sequence[Run], kernels: Kernels, before: EngineFit | None = None) -> EngineFit:
    """Fit one engine on one device: rows in 16 bits first, then what other formats cost on top.

    Args:
        runs: what it measured, flagged ones left out.
        kernels: as fitted on kernels.
        before: a fit of this engine on a sister device.

    """
    start = EngineFit(kernels, Overheads(layer_s=0.0), {})
    if before is not None:
        start = replace(before, fits={})
    plain = [r for r in runs if _format(r).plain and r.scenario.engine.kv_dtype is None]
    chosen = constants_after(plain, before) if before else constants_for(plain, kernels)
    found = _add(start, "plain", plain, chosen)
    unpacked = [r for r in runs if _format(r).weight_only]
    found = _add(found, "weight-only", unpacked, UNPACK)
    cached = [r for r in runs if r.scenario.engine.kv_dtype and _format(r).plain]
    found = _add(found, "narrow cache", cached, NARROW)
    quantised = [r for r in runs if _format(r).quantised]
    k = found.kernels
    costs = {
        "quantise_launch_s": near(k.quantise_launch_s, 0.7),
        "quantise_hbm_eff": near(k.quantise_hbm_eff, 1.0, 0.95),
    }
    return _add(found, "quantised", quantised, costs)


def _add(
    f: EngineFit, name: str, runs: Sequence[Run], constants: Mapping[str, Constant]
) -> EngineFit:
    if not runs:
        return f
    predict = prepare(runs).predict
    measured = np.log([r.value for r in runs])

    def ln_ratio(values: dict[str, float]) -> Vector:
        return np.log(predict(*placed(values, f.kernels, f.overheads))) - measured

    found = fit_constants(constants, ln_ratio, noise=NOISE)
    k, o = placed(rounded(found.values), f.kernels, f.overheads)
    return EngineFit(k, o, {**f.fits, name: found})
