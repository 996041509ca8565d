"""Depth: the law was fitted at one depth a size; other depths act by a prior from other sweeps."""

from typing import Any

import numpy as np

from planner.equation import equation, exp, log, maximum, nearest
from planner.law.columns import LawColumns, Shapes
from planner.law.terms.term import Acts, Guard, Switch, Term, of_law, outside
from planner.units import Number, Scalar

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
_LN_N, _LN_LAYERS = np.log(_DEPTHS).T
# Slopes of ln(layers) in ln(N): below 1B width and depth shrink together; between, the families'.
_SLOPES = (1 / 3, *np.diff(_LN_LAYERS) / np.diff(_LN_N), 1 / 4)


@equation
def reference_depth(n: Scalar) -> Scalar:
    """Layers the law is read at for `n` non-embedding parameters: 16 at 1B, 28 at 3B.

    Between and beyond those, ln(layers) is interpolated on ln(N) through the Llama families;
    below 1B, layers fall as N^(1/3) (width and depth shrink together), to no less than 4:
    the paper does not print the depth of its 80M-297M runs.

    Args:
        n: parameters outside the embedding, a count.

    """
    ln = _LN_LAYERS[0] + _SLOPES[0] * (log(n) - _LN_N[0])
    for at, before, after in zip(_LN_N, _SLOPES, _SLOPES[1:], strict=False):
        ln = ln + (after - before) * maximum(log(n) - at, 0.0)
    # A one-billion target of 0.95-1.0B is Llama-3.2-1B's size: rounding absorbs the slope.
    return maximum(nearest(exp(ln)), 4.0)


@equation
def depth_ln_n_factor(law: LawColumns, n: Scalar, n_layers: Scalar, layers: Scalar) -> Scalar:
    """ln(N_eff / N) of a depth other than the reference one, `layers`; 0 at the reference depth.

    Aspect ratio R = d_model / n_layers acts on effective parameters, N exp(-q ln^2(R / R_opt)).
    R is taken at the best width for that depth, so at fixed depth the paper's law is untouched.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters, counted as the law says.
        n_layers: layers, a count.
        layers: those of the reference depth.

    """
    # Best width at any depth keeps d_model over the inner width: d ~ sqrt(N / layers).
    ln_reference = log(law.x_opt * n**0.5 / layers / law.depth_aspect)
    ln_here = ln_reference - 1.5 * log(n_layers / layers)
    return law.depth_q * (ln_reference**2 - ln_here**2)


def width_at_reference_depth(law: LawColumns, s: Shapes) -> Any:
    """Return d_model / sqrt(N) as the shape term sees it.

    Where depth acts, the best width moves as sqrt(N / layers): held is d_model over inner width.

    Args:
        law: coefficients of a law, or draws of them.
        s: candidates, columns of shape (n,).

    """
    if not law.asked("depth"):
        return s.x
    return s.x * (s.n_layers / reference_depth(s.n_depth)) ** 0.5


def _moved(law: LawColumns, s: Shapes) -> Any:
    """Return how far depth is from the reference one, where the term acts."""
    if not law.asked("depth"):
        return 0.0
    return np.abs(np.log(np.asarray(s.n_layers) / reference_depth(s.n_depth)))


def _beyond(law: LawColumns, s: Shapes) -> Number:
    layers = reference_depth(s.n_depth)
    return outside(s.n_layers, 0.75 * layers, 1.25 * layers)


SWEEPS = "22 Gemstones shapes and 35 open-lm shapes, square attention; refit, single seeds"
DEPTH = Term(
    "depth", "depth off the reference one changes what parameters are worth", Acts.LN_PARAMS,
    "N_eff = N e^(-q ln^2(R / R_opt)), R = d_model / n_layers",
    lambda law, s: depth_ln_n_factor(law, s.n, s.n_layers, reference_depth(s.n_depth)),
    (
        of_law("depth_q", "cost of a wrong depth", "depth_q_ln_sd", source=SWEEPS, ln=True),
        of_law("depth_aspect", "best d_model / n_layers", "depth_aspect_ln_sd", source=SWEEPS, ln=True),
    ),
    guards=(
        Guard(
            "depth",
            _beyond,
            0.02,
            "the law was fitted at one depth per size; layers here differ by more than 25%, which "
            "rests on the depth prior (Gemstones, open-lm sweeps), not on the paper",
        ),
        Guard(
            "depth-term",
            _moved,
            0.0,
            "layers differ from the reference depth, and the loss of that rests on the depth term "
            "(effective parameters fall with ln^2 of d_model / n_layers over "
            "{law.depth_aspect:.0f}; Gemstones and open-lm sweeps, single seeds), not on the paper, "
            "which fixed depth",
            instead_of="depth",
        ),
    ),
    switch=Switch("depth", "let depth act on the loss"),
)  # fmt: skip
