"""A law written as TOML, and a free fit written as a law."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from planner.inputs.law import (
    AnchorSpec,
    ConditionalSpec,
    DepthSpec,
    EvidenceSpec,
    LawSpec,
    ReferenceSpec,
)
from planner.law.columns import LawColumns
from planner.law.posterior import AT, COORDINATES, coordinates
from planner.law.terms.depth import reference_depth
from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.reference import LawFit


def to_toml(law: LawSpec) -> str:
    """Return the law as a TOML file that `load_law` reads back."""
    values = law.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    head, tables = [], []
    for key, value in values.items():
        if isinstance(value, dict):
            tables.append(f"\n[{key}]\n" + _lines(value) if value else "")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [f"\n[[{key}]]\n" + _lines(item) for item in value]
        elif key == "checked":
            head.append(f"{key} = {value}")
        else:
            head.append(f"{key} = {_value(value)}")
    return "\n".join(head) + "\n" + "".join(tables)


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{k} = {_value(v)}\n" for k, v in table.items())


def _value(value: Any) -> str:
    import json

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # JSON's strings, numbers and booleans are TOML's


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
    has_shape = "k_x" in v or "k_r" in v
    many = fit.design.natural(draws)
    if "depth_q" in v:
        v, many = (_at_reference_depth(t, runs) for t in (v, many))

    def columns(values: dict[str, Any]) -> LawColumns:
        anchors = ((low, tokens, 1.0, 0.0), (high, tokens, 1.0, 0.0))
        return LawColumns(**values, anchors=anchors)

    kept = {k: v[k] for k in v}
    theta = np.array(
        [coordinates(columns({k: float(many[k][i]) for k in kept})) for i in range(len(draws))]
    )
    covariance = np.cov(theta, rowvar=False) + np.diag(np.full(len(COORDINATES), 1e-12))
    prior = LawColumns(E=v["E"], A=v["A"], alpha=v["alpha"], B=v["B"], beta=v["beta"])
    for key in ("k_x", "x_opt", "k_r", "r_opt", "depth_q", "depth_aspect"):
        if key not in v:
            i = AT[f"ln_{key}"]
            covariance[i, i] = float(getattr(prior, f"{key}_ln_sd")) ** 2
    at = coordinates(columns(kept))
    ratio = runs.n_tokens / runs.n
    basis = f"Huber on log loss, {len(runs)} runs, {fit.n_agreeing} of {fit.n_starts} starts agree"
    return LawSpec(
        name=name,
        summary=f"fitted to {len(runs)} runs of {data}",
        n_definition=runs.n_definition,
        source=source,
        licence="your data",
        checked=date.today(),
        basis="user",
        reference=ReferenceSpec(**{k: v[k] for k in ("E", "A", "alpha", "B", "beta")}, basis=basis),
        conditional=ConditionalSpec(
            x_opt=v.get("x_opt", 0.0739),
            k_x=v.get("k_x", 0.0),
            r_opt=v.get("r_opt", 1.2157),
            k_r=v.get("k_r", 0.0),
            fitted_n=(low, high),
            basis=basis,
        )
        if has_shape
        else None,
        depth=DepthSpec(q=max(v["depth_q"], 1e-6), aspect=v["depth_aspect"], basis=basis)
        if "depth_q" in v
        else None,
        anchors=[
            AnchorSpec(n=n, n_tokens=tokens, loss=float(at[i]), sd=float(np.sqrt(covariance[i, i])))
            for i, n in ((AT["loss_small"], low), (AT["loss_large"], high))
        ],
        covariance=covariance.tolist(),
        evidence=EvidenceSpec(
            n=(low, high),
            tokens_per_param=(float(ratio.min()), float(ratio.max()) * 1.0001),
            data=data,
            n_runs=len(runs),
        ),
        noise_sd=max(noise, 1e-4),
    )


def _at_reference_depth(values: dict[str, Any], runs: Runs) -> dict[str, Any]:
    """Return coefficients whose A holds at the reference depth, where laws are read.

    The fit's A holds at the best aspect. Between them lies ln^2 of the reference's aspect over the
    best one, at the middle size of `runs` and the best width for it (see depth_ln_n_factor).
    """
    n = float(np.exp(np.mean(np.log(runs.n))))
    aspect = LawColumns(E=0, A=1, alpha=1, B=1, beta=1).x_opt * n**0.5 / reference_depth(n)
    gap = np.log(aspect / values["depth_aspect"]) ** 2
    factor = np.exp(values["alpha"] * values["depth_q"] * gap)
    return values | {"A": values["A"] * factor}


def write_law(law: LawSpec, path: Path) -> None:
    """Write the law to `path`."""
    path.write_text(to_toml(law), encoding="utf-8")
