"""The reference law: loss of the best shape at N parameters and D tokens (Hoffmann et al. 2022)."""

from planner.equation import equation, log, maximum, minimum
from planner.law.columns import LawColumns
from planner.law.terms.term import Acts, Guard, Term, of_law, outside
from planner.units import Number, Scalar

PUBLIC = "spread of public fits: Hoffmann, Besiroglu, Gadre, Muennighoff, Gemstones, OLMo"


@equation
def size_term(law: LawColumns, n: Scalar) -> Scalar:
    """Nats left because the model is finite.

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters, counted as the law says.

    """
    return law.A * n**-law.alpha


@equation
def data_term(law: LawColumns, n_tokens: Scalar) -> Scalar:
    """Nats left because the data are finite.

    Args:
        law: coefficients of a law, or draws of them.
        n_tokens: training tokens, a count.

    """
    return law.B * n_tokens**-law.beta


@equation
def reference_loss(law: LawColumns, n: Scalar, n_tokens: Scalar) -> Scalar:
    """E + A / N^alpha + B / D^beta, nats per token (Hoffmann et al. 2022, arXiv 2203.15556).

    Args:
        law: coefficients of a law, or draws of them.
        n: parameters, counted as the law says.
        n_tokens: training tokens, a count.

    """
    return law.E + size_term(law, n) + data_term(law, n_tokens)


def anchored(
    alpha: Number,
    beta: Number,
    data_term_nats: Number,
    small: tuple[float, Number],
    large: tuple[float, Number],
    n_tokens: float,
) -> tuple[Number, Number, Number]:
    """Return (E, A, B) of the law through two anchors (N, loss) trained on the same `n_tokens`.

    Two losses cannot determine five numbers: the exponents and the size of the data term,
    B / D^beta at `n_tokens`, come from elsewhere (public priors). Arrays of draws work too.

    Args:
        alpha: exponent of N, a pure number.
        beta: exponent of D, a pure number.
        data_term_nats: B / D^beta at `n_tokens`, nats per token.
        small: the smaller model, (parameters, nats per token).
        large: the larger one.
        n_tokens: training tokens of both, a count.

    """
    (n1, loss1), (n2, loss2) = small, large
    a = (loss1 - loss2) / (n1**-alpha - n2**-alpha)
    return loss1 - a * n1**-alpha - data_term_nats, a, data_term_nats * n_tokens**beta


REFERENCE = Term(
    "reference", "loss of the best shape at N parameters and D tokens", Acts.REFERENCE,
    "E + A / N^alpha + B / D^beta",
    lambda law, s: reference_loss(law, s.n, s.n_tokens),
    (
        of_law("alpha", "exponent of the loss in N", "alpha_sd", source=PUBLIC),
        of_law("beta", "exponent of the loss in D", "beta_sd", source=PUBLIC),
    ),
    guards=(
        # The rate is judgement, after Sardana et al. 2024 (arXiv 2401.00448) on over-training.
        Guard(
            "tokens-per-param",
            lambda law, s: outside(
                s.n_tokens / s.n, law.tokens_per_param_low, law.tokens_per_param_high
            ),
            0.01,
            "training tokens per parameter were {law.tokens_per_param_low:g} to "
            "{law.tokens_per_param_high:g} in the evidence; over- or under-training is extrapolated",
        ),
        Guard(
            "size",
            lambda law, s: outside(s.n, law.n_low, law.n_high),
            0.02,
            "no model outside {shown.n_low} to {shown.n_high} parameters was in the evidence",
        ),
    ),
)  # fmt: skip


def size_slope_nats(law: LawColumns, n: Number) -> Number:
    """Return nats added per e-fold of N beyond the two anchors; 0 between them, and in the mean.

    Args:
        law: coefficients; `size_slope` in nats per e-fold.
        n: parameters, counted as the law says.

    """
    ln = log(n)
    small, large = (log(anchor[0]) for anchor in law.anchors)
    return law.size_slope * (minimum(ln - small, 0.0) + maximum(ln - large, 0.0))


# The paper's drop from 1B to 3B is 1.3-1.5 times what any public corpus implies (Gemstones
# rescaled: 2.52 against 2.45 at 8B).
SIZE_SLOPE = Term(
    "size-slope", "a slope in ln N beyond the anchors", Acts.NATS,
    "s (min(ln N / N_1, 0) + max(ln N / N_2, 0))",
    lambda law, s: size_slope_nats(law, s.n),
    (
        of_law(
            "size_slope", "loss per e-fold of size beyond the anchors", "size_slope_sd",
            source="judgement, from Gemstones rescaled against Bian et al. 2025",
        ),
    ),
    when=lambda law, s: law.anchors and law.has("size_slope"),
)  # fmt: skip
