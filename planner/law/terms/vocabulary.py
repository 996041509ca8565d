"""Vocabulary: a small one leaves loss to gain at equal text (Tao et al. 2024)."""

from typing import Any

import numpy as np

from planner.law.columns import LawColumns, Shapes
from planner.law.terms.term import Acts, Coefficient, Guard, Term, outside
from planner.units import Number

TAO = (
    "Tao et al. 2024 (arXiv 2407.13623), coefficients of their code: 33M-1.13B, 4k-96k, SlimPajama"
)
SIZE, POWER, MILLION = 0.195842, 0.670737, 1e6  # A_2, alpha_2, of parameters
REFERENCE = 128_256.0  # the vocabulary of the default law's evidence
WORTH = Coefficient("vocab_worth", "worth of a vocabulary, times theirs", 1.0, 0.5, TAO, ln=True)


def vocabulary_nats(vocab_size: Number, d_model: Number) -> Any:
    """Return what a vocabulary leaves to gain at equal text, nats a token of the reference.

    Args:
        vocab_size: entries, a count.
        d_model: width of an entry, elements.

    """
    return SIZE * (vocab_size * d_model / MILLION) ** -POWER


def best_vocabulary_params(n: Number) -> Any:
    """Return the parameters V d_model of the best vocabulary, by their derivative.

    Args:
        n: parameters outside the embedding, a count.

    """
    return 3.1457e6 * (n / 33e6) ** 0.8354


def _against_reference(law: LawColumns, s: Shapes) -> Any:
    here, there = (vocabulary_nats(v, s.arch.d_model) for v in (s.arch.vocab_size, REFERENCE))
    return WORTH.of(law) * (here - there)


VOCABULARY = Term(
    "vocabulary", "a smaller vocabulary costs loss at equal text", Acts.NATS,
    "m A_2 ((V d)^(-a_2) - (V_0 d)^(-a_2))",
    _against_reference,
    (WORTH,),
    guards=(
        Guard(
            "vocabulary",
            lambda law, s: 0.0 if s.arch is None else outside(s.arch.vocab_size, 8e3, 256e3),
            0.01,
            "vocabularies from 8k to 256k were in the evidence",
        ),
    ),
    when=lambda law, s: s.arch is not None and np.any(s.arch.vocab_size != REFERENCE),
)  # fmt: skip
