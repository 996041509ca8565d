"""A profile as TOML text: the same fit gives the same bytes."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from planner.columns import Kernels, Overheads
from planner_calibration.fit.bounded import Fit


def toml(profile: Mapping[str, Any], comment: str) -> str:
    """Return `profile`, scalars first and then its tables."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{k} = {_value(v)}" for k, v in profile.items() if not isinstance(v, Mapping)]
    for name, table in profile.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{k} = {_value(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return repr(float(f"{value:.4g}"))
    return str(value)


def constants(k: Kernels | Overheads) -> dict[str, float]:
    """Return a table of constants."""
    return {name: float(value) for name, value in asdict(k).items()}


def posterior(fits: Mapping[str, Fit]) -> dict[str, Any]:
    """Return standard deviations and correlations of the logarithms; parts are independent."""
    names = [n for f in fits.values() for n in f.values]
    covariance = np.zeros((len(names), len(names)))
    at = 0
    for f in fits.values():
        n = len(f.values)
        covariance[at : at + n, at : at + n] = f.ln_covariance
        at += n
    sd = np.sqrt(np.diag(covariance))
    scaled = covariance / np.outer(sd, sd)
    return {
        "constants": names,
        "ln_sd": [float(f"{s:.2g}") for s in sd],
        "correlation": [
            [round(float(scaled[i, j]), 4) + 0.0 for j in range(i)] for i in range(1, len(names))
        ],
    }
