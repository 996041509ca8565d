"""Whether runs can support a fit: sizes to see alpha, shapes to see what shape does."""

from pathlib import Path

import numpy as np

from planner.errors import SpecError
from planner_calibration.fit.law.data import Runs, sizes
from planner_calibration.fit.law.table import where


def require_sizes(runs: Runs, path: Path | str = "data") -> None:
    """Refuse one model size, or one token count per size, where N and D are to be separated.

    Raises:
        SpecError: names the rows.

    """
    if sizes(runs).max() == 0:
        raise SpecError(
            f"{path}: one model size only ({where(runs.row)}): alpha cannot be seen",
            hint="add runs at another size, or keep a published reference with --prior LAW",
        )


def require_shapes(runs: Runs, path: Path | str = "data", least: int = 3) -> None:
    """Refuse fewer than `least` shapes at every size, where shape is to be fitted.

    Raises:
        SpecError: names the rows.

    """
    label = sizes(runs)
    most = max(len(np.unique(runs.shape[label == k])) for k in range(label.max() + 1))
    if most < least:
        raise SpecError(
            f"{path}: too few shapes: no size has {least} ({where(runs.row)})",
            hint="train at least three shapes at one size, or keep the published shape law",
        )
