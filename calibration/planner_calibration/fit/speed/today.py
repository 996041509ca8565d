"""Engines of today, from runs of services: kernels and overheads of an engine on a device generation.

A service's rows say little of what its host does, which works ahead. They say what the devices take
between kernels, what kernels reach, and what collectives cost. Each constant has a prior around what
kernels alone measured on the nearest device, and is bounded by physics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.columns import Kernels, Overheads
from planner.inputs.files import Sheet, read_csv
from planner.questions.validate.measured import Run, runs_of
from planner.questions.validate.scoring import prepare
from planner_calibration.fit.map_fit import Constant, fit_constants, rounded
from planner_calibration.fit.speed.crossval import ln_errors
from planner_calibration.fit.speed.engines import NOISE, EngineFit, near, placed

Vector = NDArray[np.float64]
# Rows that count, by words of their flags: the latest of each setting, and nothing odd about it.
LATEST = "latest"
ODD = ("older_run", "compile_in_run", "littles_law", "not_official", "early_stop", "experimental")


def rows_of(path: Path) -> list[Run]:
    """Return the runs of InferenceX that count: time per output token, without speculation."""
    sheet = read_csv(path)
    kept = [_time_a_token(row) for row in sheet.rows if _counts(row)]
    return runs_of(Sheet.of(kept, path))[0]


def _counts(row: Mapping[str, str]) -> bool:
    flags = row["flags"]
    odd = any(word in flags for word in ODD)
    return LATEST in flags and not odd and row["speculative"] == "none"


def _time_a_token(row: Mapping[str, str]) -> dict[str, str]:
    """Keep of what a row measured its mean time per output token; its median where there is none."""
    column = "tpot_mean_s" if row["tpot_mean_s"] else "tpot_p50_s"
    measured = [n for n in row if n.endswith(("_s", "_gpu")) and n not in (column, "rate_per_s")]
    return {**row, **dict.fromkeys(measured, "")}


def constants_for(k: Kernels) -> dict[str, Constant]:
    """Return what services can say something about, with priors around kernels measured nearby."""
    return {
        "layer_s": Constant(5e-6, 1.0, 1e-7, 3e-5),
        # 37 us with DeepSeek-V3 (sgl-project/sglang#12160), 40 with GPT-2 (deepspeedai/DeepSpeed#8352).
        "eager_launch_s": Constant(3.8e-5, 0.3, 5e-6, 1e-4),
        "launch_s": near(k.launch_s, 0.15),
        # moe_align_block_size, two kernels of five: 13.7 us for 8 experts (sgl-project/sglang#5086).
        "route_launch_s": Constant(5e-6, 0.5, 1e-6, 3e-5),
        "gemm_hbm_eff": Constant(0.85, 0.07, 0.4, 0.95),
        "gemm_compute_eff": near(k.gemm_compute_eff, 0.05, 0.97),
        "narrow_compute_eff": Constant(0.85, 0.15, 0.3, 1.0),
        "decode_hbm_eff": near(k.decode_hbm_eff, 0.1, 0.95),
        "kv_unpack_share": Constant(0.3, 1.0, 0.001, 10.0),
        "quantise_launch_s": Constant(2e-6, 0.7, 1e-7, 2e-5),
        "quantise_hbm_eff": Constant(0.4, 0.5, 0.03, 0.95),
        "link_eff": Constant(0.65, 0.3, 0.2, 1.0),
        "link_latency_s": near(k.link_latency_s, 0.4),
        "link_peer_s": near(k.link_peer_s, 0.5),
        "link_second_s": Constant(6e-6, 0.7, 1e-7, 1e-4),
    }


def constants_after(before: EngineFit) -> dict[str, Constant]:
    """Return the same for a later generation of an engine: near what the one before it has."""
    found = constants_for(before.kernels)
    for name, c in found.items():
        own = before.overheads if hasattr(before.overheads, name) else before.kernels
        found[name] = replace(c, mean=min(max(getattr(own, name), c.low), c.high), ln_sd=0.3)
    return found


def fit_today(
    runs: Sequence[Run], kernels: Kernels, overheads: Overheads, before: EngineFit | None = None
) -> EngineFit:
    """Fit one engine on devices of one generation.

    Args:
        runs: what it measured.
        kernels: as fitted on kernels of the nearest device.
        overheads: of the nearest engine: what the host does, which these rows do not say.
        before: the fit of an older generation of the engine there.

    """
    chosen = constants_after(before) if before else constants_for(kernels)
    predict = prepare(runs).predict
    measured = np.log([r.value for r in runs])

    def ln_ratio(values: dict[str, float]) -> Vector:
        return np.log(predict(*placed(values, kernels, overheads))) - measured

    found = fit_constants(chosen, ln_ratio, noise=NOISE)
    return EngineFit(*placed(rounded(found.values), kernels, overheads), {"services": found})


def unseen(
    own: Sequence[Run], others: Sequence[Run], kernels: Kernels, overheads: Overheads
) -> Vector:
    """Return ln(predicted / measured), each architecture by a fit on the others of the device.

    Args:
        own: runs of the engine.
        others: runs of whatever engine on devices of its generation, or of others where these have
            one architecture only.
        kernels: see `fit_today`.
        overheads: likewise.

    """
    errors = np.full(len(own), np.nan)
    for architecture in sorted({r.architecture for r in own}):
        rows = [i for i, r in enumerate(own) if r.architecture == architecture]
        rest = [r for r in others if r.architecture != architecture]
        if rest:
            errors[rows] = ln_errors([own[i] for i in rows], fit_today(rest, kernels, overheads))
    return errors
