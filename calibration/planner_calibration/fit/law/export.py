"""A law written as TOML, and a free fit written as a law."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from planner.inputs.law import (
    ConditionalSpec,
    DepthSpec,
    EvidenceSpec,
    LawSpec,
    ReferenceSpec,
)
from planner.law.columns import LawColumns
from planner.law.posterior import AT, COORDINATES, coordinates
from planner.law.terms.depth import DEPTH, evidence_depth
from planner.law.terms.shape import SHAPE
from planner.writer import toml, write_whole
from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.reference import LawFit


def to_toml(law: LawSpec) -> str:
    """Return the law as a TOML file that `load_law` reads back."""
    values = law.model_dump(mode="json") | {"checked": law.checked}
    return toml({key: value for key, value in values.items() if value != {}})


def law_of_fit(
    fit: LawFit, draws: np.ndarray, runs: Runs, *, name: str, source: str, data: str
) -> LawSpec:
    """Return a free fit as a law, the bootstrap's covariance in the law's own coordinates.

    Coordinates the fit left out keep their priors' spread: silence is no certainty.
    """
    v = fit.natural
    low, high = float(runs.n.min()), float(runs.n.max())
    tokens = float(np.exp(np.mean(np.log(runs.n_tokens))))
    noise = float(np.sqrt(np.mean(fit.residual**2)) * np.mean(runs.loss))
    many = fit.design.natural(draws)
    if "depth_q" in v:
        v, many = (_at_reference_depth(t, runs) for t in (v, many))
        # A depth that does not matter has no logarithm.
        v, many = (t | {"depth_q": np.maximum(t["depth_q"], LEAST_Q)} for t in (v, many))
        v, many = v | {"depth_drift": 0.0}, many | {"depth_drift": np.zeros(len(draws))}
    pivot = float(np.exp(np.mean(np.log(runs.n)))), tokens
    covariance = _in_coordinates(v, many, len(draws), pivot)
    ratio = runs.n_tokens / runs.n
    basis = f"Huber on log loss, {len(runs)} runs, {fit.n_agreeing} of {fit.n_starts} starts agree"
    shape = {k: v[k] for k in ("x_opt", "k_x", "r_opt", "k_r") if k in v}
    return LawSpec(
        name=name,
        summary=f"fitted to {len(runs)} runs of {data}",
        n_definition=runs.n_definition,
        source=source,
        licence="your data",
        checked=date.today(),
        basis="user",
        reference=ReferenceSpec(**{k: v[k] for k in ("E", "A", "alpha", "B", "beta")}, basis=basis),
        conditional=ConditionalSpec(**_NO_SHAPE | shape, fitted_n=(low, high), basis=basis)
        if shape
        else None,
        depth=DepthSpec(q=float(v["depth_q"]), aspect=v["depth_aspect"], basis=basis)
        if "depth_q" in v
        else None,
        pivot=pivot,
        covariance=covariance.tolist(),
        evidence=EvidenceSpec(
            n=(low, high),
            tokens_per_param=(float(ratio.min()), float(ratio.max()) * 1.0001),
            data=data,
            n_runs=len(runs),
        ),
        noise_sd=max(noise, 1e-4),
    )


LEAST_Q = 1e-6
_NO_SHAPE = {"x_opt": 0.0739, "k_x": 0.0, "r_opt": 1.2157, "k_r": 0.0}


def _in_coordinates(
    values: dict[str, Any], many: dict[str, Any], n_draws: int, pivot: tuple[float, float]
) -> np.ndarray:
    """Return the covariance of a fit's draws in the coordinates of the law's doubt."""
    least = {"E": 1e-9, "A": 1e-300, "B": 1e-300, "alpha": 1e-6, "beta": 1e-6}

    def theta(i: int) -> np.ndarray:
        v: dict[str, Any] = {k: max(float(many[k][i]), least.get(k, -np.inf)) for k in values}
        return coordinates(LawColumns(**v, pivot=pivot))

    drawn = [theta(i) for i in range(n_draws)]
    covariance = np.cov(drawn, rowvar=False) + np.diag(np.full(len(COORDINATES), 1e-12))
    prior = LawColumns(E=0.0, A=1.0, alpha=1.0, B=1.0, beta=1.0)
    for c in (*SHAPE.coefficients, *DEPTH.coefficients):
        if c.name not in values or c.name.endswith("_drift"):
            i = AT[c.coordinate]
            covariance[i] = covariance[:, i] = 0.0
            covariance[i, i] = float(getattr(prior, c.sd_field)) ** 2
    return covariance


def _at_reference_depth(values: dict[str, Any], runs: Runs) -> dict[str, Any]:
    """Return coefficients whose A holds at the reference depth, where laws are read.

    The fit's A holds at the best aspect. Between them lies ln^2 of the reference's aspect over the
    best one, at the middle size of `runs` and the best width for it (see depth_ln_n_factor).
    """
    n = float(np.exp(np.mean(np.log(runs.n))))
    aspect = LawColumns(E=0, A=1, alpha=1, B=1, beta=1).x_opt * n**0.5 / evidence_depth(n)
    gap = np.log(aspect / values["depth_aspect"]) ** 2
    factor = np.exp(values["alpha"] * values["depth_q"] * gap)
    return values | {"A": values["A"] * factor}


def write_law(law: LawSpec, path: Path) -> None:
    """Write the law to `path`."""
    write_whole(path, to_toml(law))
