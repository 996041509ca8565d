"""Depth: the law was fitted at one depth a size; off it, depth acts by a prior from other sweeps."""

from typing import Any

import numpy as np

from planner.equation import equation, exp, log, maximum, minimum, nearest
from planner.law.columns import LawColumns, Shapes
from planner.law.terms.term import Acts, Guard, Term, of_law, outside
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
# What well-tuned dense models since 2024 chose: layers a = 28.6 (N / 1e9)^0.178, sd 0.29 of the
# logarithm, over 47 published configs; four sd either way is where that evidence ends.
FIELD_LAYERS, FIELD_POWER, FIELD_SPAN = 28.6, 0.178, 4 * 0.29
# Slopes of ln(layers) in ln(N): below 1B width and depth shrink together; between, the families'.
_SLOPES = (1 / 3, *np.diff(_LN_LAYERS) / np.diff(_LN_N), 1 / 4)


@equation
def evidence_depth(n: Scalar) -> Scalar:
    """Depth of the law's evidence at `n` non-embedding parameters, not rounded: 16 at 1B, 28 at 3B.

    Between and beyond those, ln(layers) is interpolated on ln(N) through the Llama families;
    below 1B, layers fall as N^(1/3) (width and depth shrink together), to no less than 4:
    the paper does not print the depth of its 80M-297M runs.

    Args:
        n: parameters outside the embedding, a count.

    """
    ln = _LN_LAYERS[0] + _SLOPES[0] * (log(n) - _LN_N[0])
    for at, before, after in zip(_LN_N, _SLOPES, _SLOPES[1:], strict=False):
        ln = ln + (after - before) * maximum(log(n) - at, 0.0)
    return maximum(exp(ln), 4.0)


def reference_depth(n: Number) -> Any:
    """Return the layers the law is read at, `evidence_depth` rounded.

    Args:
        n: parameters outside the embedding, a count.

    """
    return nearest(evidence_depth(n))


@equation
def best_aspect(law: LawColumns, n: Scalar) -> Scalar:
    """Best d_model / n_layers at a size; it grows with it.

    The rate is a prior between sweeps (0 to -0.3 a unit of ln N) and what the field chose (+0.22).

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.

    """
    return law.depth_aspect * (n / 1e9) ** law.depth_drift


@equation
def best_width(law: LawColumns, n: Scalar) -> Scalar:
    """Best d_model / sqrt(N) at the reference depth of a size: it shrinks beyond the sizes fitted.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.

    """
    beyond = maximum(n / law.n_fitted_high, 1.0) * minimum(n / law.n_fitted_low, 1.0)
    return law.x_opt * beyond**law.x_drift


@equation
def depth_ln_n_factor(law: LawColumns, n: Scalar, n_layers: Scalar, layers: Scalar) -> Scalar:
    """ln(N_eff / N) of a depth other than the reference one, `layers`; 0 at the reference depth.

    Aspect ratio R = d_model / n_layers acts on effective parameters, N exp(-q ln^2(R / R_opt)).
    R is taken at the best width for that depth: given layers and MLP ratio, width says how wide
    the attention is inside, so the three are tied and depth has no prior on width of its own.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.
        n_layers: layers, a count.
        layers: depth of the evidence at that size, not rounded: a model a little larger jumps in nothing.

    """
    # Best width at any depth keeps d_model over the inner width: d ~ sqrt(N / layers).
    ln_reference = log(best_width(law, n) * n**0.5 / layers / best_aspect(law, n))
    ln_here = ln_reference - 1.5 * log(n_layers / layers)
    return law.depth_q * (ln_reference**2 - ln_here**2)


def best_depth(law: LawColumns, n: Number) -> Any:
    """Return the layers at which parameters are worth most, a count.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters outside the embedding, a count.

    """
    layers = evidence_depth(n)
    aspect = best_width(law, n) * n**0.5 / layers
    return layers * (aspect / best_aspect(law, n)) ** (2 / 3)


def field_depths(n: Number) -> tuple[Any, Any]:
    """Return the fewest and most layers that four sd of what the field chose allow, counts.

    Args:
        n: parameters outside the embedding, a count.

    """
    middle = FIELD_LAYERS * (n / 1e9) ** FIELD_POWER
    return middle * np.exp(-FIELD_SPAN), middle * np.exp(FIELD_SPAN)


def width_at_reference_depth(law: LawColumns, s: Shapes) -> Any:
    """Return d_model / sqrt(N) as the shape term sees it.

    The best width moves as sqrt(N / layers): held is d_model over inner width.

    Args:
        law: coefficients of a law, or draws of them.
        s: candidates, columns of shape (n,).

    """
    if not known(s.n_layers):
        return s.x
    return s.x * (s.n_layers / evidence_depth(s.n_depth)) ** 0.5


def known(value: Any) -> bool:
    """Whether something is known of candidates; a symbol is, a single NaN is not.

    Args:
        value: a number or column, of any unit.

    """
    return not (isinstance(value, float) and np.isnan(value))


def _moved(law: LawColumns, s: Shapes) -> Any:
    if not known(s.n_layers):
        return 0.0
    # Within one layer of it nothing moves that could be resolved.
    gap = np.abs(np.log(np.asarray(s.n_layers) / evidence_depth(s.n_depth)))
    return np.where(np.abs(s.n_layers - evidence_depth(s.n_depth)) < 1.0, 0.0, gap)


def _beyond(law: LawColumns, s: Shapes) -> Number:
    return outside(s.n_layers, *field_depths(s.n_depth))


DRIFTS = "between sweeps of shape (no drift) and 47 dense models since 2024 (judgement)"
SWEEPS = "22 Gemstones shapes and 35 open-lm shapes, square attention; refit, single seeds"
DEPTH = Term(
    "depth", "depth off the reference one changes what parameters are worth", Acts.LN_PARAMS,
    "N_eff = N e^(-q ln^2(R / R_opt)), R = d_model / n_layers",
    lambda law, s: depth_ln_n_factor(law, s.n_depth, s.n_layers, evidence_depth(s.n_depth)),
    (
        of_law("depth_q", "cost of a wrong depth", "depth_q_ln_sd", source=SWEEPS, ln=True),
        of_law("depth_aspect", "best d_model / n_layers at 1B", "depth_aspect_ln_sd", source=SWEEPS, ln=True),
        of_law("depth_drift", "power of N by which the best d_model / n_layers grows", "depth_drift_sd", source=DRIFTS),
        of_law("x_drift", "power of N by which the best width moves beyond the sizes fitted", "x_drift_sd", source=DRIFTS),
    ),
    guards=(
        Guard(
            "depth",
            _beyond,
            0.02,
            "layers are more than four sd from what 47 dense models since 2024 chose at this size "
            "(28.6 (N / 1B)^0.178, sd 29 %): no evidence reaches there",
        ),
        Guard(
            "depth-term",
            _moved,
            0.0,
            "layers differ from the reference depth, and the loss of that rests on the depth term "
            "(effective parameters fall with ln^2 of d_model / n_layers over "
            "{law.depth_aspect:.0f} (N / 1B)^{law.depth_drift:.2g}; Gemstones and open-lm sweeps, "
            "single seeds), not on the paper, which fixed depth",
        ),
    ),
    when=lambda law, s: known(s.n_layers),
)  # fmt: skip
