"""Runs seen as a law sees them: their shapes, whether depth varies, the best of each shape."""

import numpy as np

from planner.law.columns import LawColumns, Shapes
from planner.law.evidence import reference_depth, reference_head_dim
from planner_calibration.fit.law.data import Runs


def depth_varies(runs: Runs) -> bool:
    """Whether depths leave the one the law was read at, by more than a quarter, in some run."""
    if not np.all(np.isfinite(runs.n_layers)):
        return False
    return bool(np.any(np.abs(np.log(runs.n_layers / reference_depth(runs.n))) > np.log(1.25)))


def well_tuned(runs: Runs) -> Runs:
    """Return the best run of each shape and token count: the law speaks of tuned training."""
    order = np.argsort(runs.loss, kind="stable")
    keys = np.column_stack([runs.shape, runs.n_tokens])[order]
    _, first = np.unique(keys, axis=0, return_index=True)
    return runs[np.sort(order[first])]


def shapes_of(runs: Runs, law: LawColumns, *, depth: bool = False) -> Shapes:
    """Return what the law needs to know of `runs`; unknown width or ratio counts as the optimum."""
    depth = depth and bool(np.all(np.isfinite(runs.n_layers)))
    return Shapes(
        n=runs.n,
        n_tokens=runs.n_tokens,
        x=np.where(np.isfinite(runs.x), runs.x, law.x_opt),
        r=np.where(np.isfinite(runs.r), runs.r, law.r_opt),
        gqa=np.where(np.isfinite(runs.gqa), runs.gqa, law.gqa),
        n_layers=runs.n_layers,
        head_dim=runs.head_dim,
        reference_layers=reference_depth(runs.n),
        reference_head_dim=reference_head_dim(runs.n),
        depth_on=float(depth),
    )
