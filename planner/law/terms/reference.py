"""The reference law: loss of the best shape at N parameters and D tokens (Hoffmann et al. 2022)."""

from planner.equation import equation
from planner.law.columns import LawColumns
from planner.law.terms.term import Acts, Guard, Term, of_law, outside
from planner.units import Number, Scalar, show

PUBLIC = "spread of public fits: Hoffmann, Besiroglu, Gadre, Muennighoff, Gemstones, OLMo"


@equation
def size_term(law: LawColumns, n: Scalar) -> Scalar:
    """Nats left because the model is finite."""
    return law.A * n**-law.alpha


@equation
def data_term(law: LawColumns, n_tokens: Scalar) -> Scalar:
    """Nats left because the data are finite."""
    return law.B * n_tokens**-law.beta


@equation
def reference_loss(law: LawColumns, n: Scalar, n_tokens: Scalar) -> Scalar:
    """E + A / N^alpha + B / D^beta, nats per token (Hoffmann et al. 2022, arXiv 2203.15556)."""
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
    "reference",
    "loss of the best shape at N parameters and D tokens",
    Acts.REFERENCE,
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
            lambda law, s: (
                f"training tokens per parameter were {law.tokens_per_param_low:g} to "
                f"{law.tokens_per_param_high:g} in the evidence; over- or under-training is "
                "extrapolated"
            ),
        ),
        Guard(
            "size",
            lambda law, s: outside(s.n, law.n_low, law.n_high),
            0.02,
            lambda law, s: (
                f"no model outside {show(law.n_low)} to {show(law.n_high)} parameters was in the "
                "evidence"
            ),
        ),
    ),
)
