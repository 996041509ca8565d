"""The reference law: loss of the best shape at N parameters and D tokens (Hoffmann et al. 2022)."""

from planner.equation import equation
from planner.law.columns import LawColumns
from planner.units import Number, Scalar


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
    """
    (n1, loss1), (n2, loss2) = small, large
    a = (loss1 - loss2) / (n1**-alpha - n2**-alpha)
    return loss1 - a * n1**-alpha - data_term_nats, a, data_term_nats * n_tokens**beta
