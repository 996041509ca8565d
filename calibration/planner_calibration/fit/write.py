"""A profile as TOML text: the same fit gives the same bytes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from planner.columns import Kernels, Overheads
from planner.writer import toml
from planner_calibration.fit.map_fit import MapFit


def profile_toml(profile: Mapping[str, Any], comment: str) -> str:
    """Return a profile as TOML, its numbers to four digits: the same fit gives the same bytes."""
    return toml(_rounded(profile), comment)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def constants(k: Kernels | Overheads) -> dict[str, float]:
    """Return a table of constants."""
    return {name: float(value) for name, value in asdict(k).items()}


def posterior(fits: Mapping[str, MapFit], digits: int = 2, places: int = 4) -> dict[str, Any]:
    """Return standard deviations and correlations of the logarithms; parts are independent."""
    covariance = block_diag(*(f.covariance for f in fits.values()))
    sd = np.sqrt(np.diag(covariance))
    scaled = covariance / np.outer(sd, sd)
    return {
        "constants": [name for f in fits.values() for name in f.values],
        "ln_sd": [float(f"{s:.{digits}g}") for s in sd],
        "correlation": [
            [round(float(v), places) + 0.0 for v in row[:i]] for i, row in enumerate(scaled) if i
        ],
    }
