"""The reference law: loss of the best shape at N parameters and D tokens (Hoffmann et al. 2022)."""

from planner.equation import equation
from planner.law.columns import LawColumns
from planner.law.terms.term import Acts, Guard, Term, of_law, outside
from planner.units import Scalar

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


REFERENCE = Term(
    "reference", "loss of the best shape at N parameters and D tokens", Acts.REFERENCE,
    "E + A / N^alpha + B / D^beta",
    lambda law, s: reference_loss(law, s.n, s.n_tokens),
    (
        of_law("alpha", "exponent of the loss in N", "ln_alpha_sd", source=PUBLIC, ln=True),
        of_law("beta", "exponent of the loss in D", "ln_beta_sd", source=PUBLIC, ln=True),
    ),
    guards=(
        # What shapes differ by changes by 0.002-0.0045 nats (rms) an e-fold of tokens in Gemstones
        # from 500M on; with size it is the shape's own coefficients that walk.
        Guard(
            "tokens-per-param",
            lambda law, s: outside(
                s.n_tokens / s.n, law.tokens_per_param_low, law.tokens_per_param_high
            ),
            0.003,
            "training tokens per parameter were {law.tokens_per_param_low:g} to "
            "{law.tokens_per_param_high:g} in the evidence; over- or under-training is extrapolated",
        ),
        Guard(
            "size",
            lambda law, s: outside(s.n, law.n_low, law.n_high),
            0.0,
            "no model outside {shown.n_low} to {shown.n_high} parameters was in the evidence",
        ),
    ),
)  # fmt: skip
