"""Where the law's evidence ends: reference depth and head size, named warnings, and widening."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.law.columns import LawColumns, Shapes
from planner.units import Number, show

# (non-embedding N, layers) of Llama-style models. The first two are the paper's own large runs and
# are met exactly; the rest are the families' config.json: SmolLM2 is deeper for its size and left
# out. Llama-2-7B, Llama-2-13B, Llama-3-8B, Llama-3-70B, Llama-3.1-405B.
_DEPTHS = (
    (0.973e9, 16.0),  # Llama-3.2-1B
    (2.819e9, 28.0),  # Llama-3.2-3B
    (6.98e9, 32.0),  # Llama-3-8B
    (12.7e9, 40.0),  # Llama-2-13B
    (68.5e9, 80.0),  # Llama-3-70B
    (402e9, 126.0),  # Llama-3.1-405B
)


def reference_depth(n: Number) -> Any:
    """Return the layer count the law is read at for `n` non-embedding parameters: 16 at 1B, 28 at 3B.

    Between and beyond those, ln(layers) is interpolated on ln(N) through the Llama families;
    below 1B, layers fall as N^(1/3) (width and depth shrink together), to no less than 4:
    the paper does not print the depth of its 80M-297M runs.
    """
    n = np.asarray(n, dtype=np.float64)
    ln_n = np.log([d[0] for d in _DEPTHS])
    ln_layers = np.log([d[1] for d in _DEPTHS])
    inside = np.interp(np.log(n), ln_n, ln_layers)
    below = ln_layers[0] + (np.log(n) - ln_n[0]) / 3
    above = ln_layers[-1] + (np.log(n) - ln_n[-1]) / 4
    # A one-billion target of 0.95-1.0B is Llama-3.2-1B's size: rounding absorbs the slope.
    ln = np.where(n < _DEPTHS[0][0], below, np.where(n > _DEPTHS[-1][0], above, inside))
    return np.maximum(np.rint(np.exp(ln)), 4.0)[()]


def reference_head_dim(n: Number) -> Any:
    """Return 64 up to 1B parameters and 128 from 3B (the paper); between, 128 from sqrt(3) B on.

    The change is put at the geometric middle, where the paper says nothing.
    """
    return np.where(np.asarray(n, dtype=np.float64) < 3**0.5 * 1e9, 64.0, 128.0)[()]


@dataclass(frozen=True, slots=True)
class LawWarning:
    """One way a candidate leaves the evidence: `code` is stable, `message` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Guard:
    code: str
    distance: Callable[[LawColumns, Shapes], Any]  # 0 inside, e-folds outside
    sd_per_efold: float  # nats added to the spread per e-fold outside
    say: Callable[[LawColumns, Shapes], str]


def _outside(value: Number, low: Number, high: Number) -> Any:
    """Return how many e-folds `value` lies outside [low, high]; 0 inside, and where it is unknown."""
    value = np.asarray(value, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ln = np.log(value)
        # Two percent of slack: bounds are round numbers, and a search allows N a percent.
        gap = np.maximum(np.maximum(np.log(low) - ln, ln - np.log(high)) - 0.02, 0.0)
    return np.nan_to_num(gap, nan=0.0, posinf=10.0)


GUARDS = (
    _Guard(
        "mlp-attn-ratio",
        lambda w, s: _outside(s.r, w.r_low, w.r_high),
        0.03,
        lambda w, s: (
            f"the MLP/attention ratio was fitted in [{w.r_low:g}, {w.r_high:g}] only; "
            "outside it the paper's ranking breaks"
        ),
    ),
    _Guard(
        "width",
        lambda w, s: _outside(s.x, w.x_low, w.x_high),
        0.03,
        lambda w, s: f"d_model / sqrt(N) was fitted in [{w.x_low:g}, {w.x_high:g}] only",
    ),
    _Guard(
        "tokens-per-param",
        lambda w, s: _outside(s.n_tokens / s.n, w.tokens_per_param_low, w.tokens_per_param_high),
        0.01,
        lambda w, s: (
            f"training tokens per parameter were {w.tokens_per_param_low:g} to "
            f"{w.tokens_per_param_high:g} in the evidence; over- or under-training is extrapolated"
        ),
    ),
    _Guard(
        "size",
        lambda w, s: _outside(s.n, w.n_low, w.n_high),
        0.02,
        lambda w, s: (
            f"no model outside {show(w.n_low)} to {show(w.n_high)} parameters was in the evidence"
        ),
    ),
    _Guard(
        "depth",
        lambda w, s: _outside(
            s.n_layers, 0.75 * np.asarray(s.reference_layers), 1.25 * np.asarray(s.reference_layers)
        ),
        0.02,
        lambda w, s: (
            "the law was fitted at one depth per size; layers here differ by more than "
            "25%, which rests on the depth prior (Gemstones, open-lm sweeps), not on the paper"
        ),
    ),
    _Guard(
        "gqa",
        lambda w, s: _outside(s.gqa, 1.0, w.gqa_high),
        0.006,
        lambda w, s: (
            f"no model with more than {w.gqa_high:g} query heads per KV head was in the evidence"
        ),
    ),
)


def outside(law: LawColumns, shapes: Shapes) -> dict[str, Any]:
    """Return, for each guard, how many e-folds each candidate lies outside the evidence."""
    return {g.code: g.distance(law, shapes) for g in GUARDS}


def widening_sd(law: LawColumns, shapes: Shapes) -> Any:
    """Return the nats (one sigma) each candidate's interval widens by for leaving the evidence.

    The rates are judgement, chosen so that one e-fold outside costs three to five times the
    law's own noise; they only ever widen.
    """
    return np.sqrt(sum((g.sd_per_efold * g.distance(law, shapes)) ** 2 for g in GUARDS))


def domain_warnings(law: LawColumns, shapes: Shapes) -> list[LawWarning]:
    """Return one warning for each guard that any candidate trips, in a fixed order."""
    found = [
        LawWarning(g.code, g.say(law, shapes))
        for g in GUARDS
        if np.any(np.asarray(g.distance(law, shapes)) > 0)
    ]
    moved = np.asarray(shapes.depth_on) * np.abs(
        np.asarray(shapes.n_layers) - np.asarray(shapes.reference_layers)
    )
    if np.any(moved > 0):
        # It says what the guard on depth says, and on what it rests.
        found = [w for w in found if w.code != "depth"]
        found.append(
            LawWarning(
                "depth-term",
                f"layers differ from the reference depth, and the loss of that rests on the depth "
                f"term (effective parameters fall with ln^2 of d_model / n_layers over "
                f"{float(np.mean(law.depth_aspect)):.0f}; Gemstones and open-lm sweeps, single "
                "seeds), not on the paper, which fixed depth",
            )
        )
    return found
