"""Precision: few bits in training are worth fewer parameters, few bits afterwards add nats."""

from typing import Any

from planner.equation import exp, log
from planner.law.terms.term import Acts, Coefficient, Switch, Term
from planner.units import Number

KUMAR = "Kumar et al. 2024 (arXiv 2411.04330), Table 2; constants do not transfer between recipes"
# Bits over which a part recovers 1 - 1/e of its parameters' worth.
BITS = {"weights": 2.6745, "activations": 2.2102, "kv": 0.9578}
FULL_BITS = 16.0  # where the law's own evidence lies
PTQ = {"D": 0.5068, "N": 0.3439, "bits": 0.5907}
# About 0.02 nats for int4 at 1B and 100B tokens without their second exponent, 0.06 with it: the
# interval reaches from a third of the first to the second.
PTQ_NATS = Coefficient(
    "ptq_nats", "size of the loss by quantising afterwards", 0.0598, 0.86, KUMAR, ln=True
)


def ln_training_bits_factor(
    weight_bits: Number = FULL_BITS,
    activation_bits: Number = FULL_BITS,
    kv_bits: Number = FULL_BITS,
) -> Any:
    """Return ln(N_eff / N) of training at low precision (Kumar et al. 2024, Table 2).

    Each part keeps 1 - exp(-bits / gamma) of its parameters' worth, relative to 16 bits. The
    authors warn that constants do not transfer between recipes: trust the direction and the order
    of size.

    Args:
        weight_bits: bits of an element of the weights in training.
        activation_bits: of the activations.
        kv_bits: of the attention's keys and values.

    """
    given = {"weights": weight_bits, "activations": activation_bits, "kv": kv_bits}
    return sum(
        log(1 - exp(-bits / BITS[part])) - log(1 - exp(-FULL_BITS / BITS[part]))
        for part, bits in given.items()
    )


def quantisation_nats(
    n: Number, n_tokens: Number, weight_bits: Number, size: Number = PTQ_NATS.mean
) -> Any:
    """Return nats added by quantising weights after training (Kumar et al. 2024): C D^a / N^b e^(-bits/g).

    Grows with tokens per parameter.

    Args:
        n: parameters, a count.
        n_tokens: training tokens, a count.
        weight_bits: bits of a weight after training.
        size: C, nats.

    """
    return size * n_tokens ** PTQ["D"] / n ** PTQ["N"] * exp(-weight_bits / PTQ["bits"])


TRAINING_BITS = Term(
    "training-bits", "weights trained at few bits are worth fewer parameters", Acts.LN_PARAMS,
    "N_eff = N (1 - e^(-bits / gamma)) / (1 - e^(-16 / gamma))",
    lambda law, s: ln_training_bits_factor(law.asked("training_bits")),
    tuple(
        Coefficient(f"{part}_bits", f"bits that make {part} worth most", bits, 0.0, KUMAR)
        for part, bits in BITS.items()
    ),
    switch=Switch("training_bits", "bits of the weights in training", "bit", 1.0, FULL_BITS),
)  # fmt: skip
QUANTISED_AFTER = Term(
    "quantised-after", "quantising the weights after training adds loss", Acts.NATS,
    "C D^a / N^b e^(-bits / g)",
    lambda law, s: quantisation_nats(
        s.n, s.n_tokens, law.asked("quantised_bits"), PTQ_NATS.of(law)
    ),
    (PTQ_NATS,),
    switch=Switch("quantised_bits", "bits of the weights after training", "bit", 1.0, FULL_BITS),
)  # fmt: skip
