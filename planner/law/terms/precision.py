"""Precision: few bits in training and few bits afterwards add nats."""

from typing import Any

import numpy as np

from planner.equation import exp, log, maximum, minimum
from planner.law.terms.term import Acts, Coefficient, Guard, Switch, Term, outside
from planner.units import Number

KUMAR = "Kumar et al. 2024 (arXiv 2411.04330), Table 2; constants do not transfer between recipes"
# Bits over which a part recovers 1 - 1/e of its parameters' worth.
BITS = {"weights": 2.6745, "activations": 2.2102, "kv": 0.9578}
FULL_BITS = 16.0  # where the law's own evidence lies
PTQ = {"D": 0.5068, "N": 0.3439, "bits": 0.5907}
KUMAR_NATS = 0.0598
# Theirs round to nearest; calibrated quantisers (GPTQ, AWQ) do better, 0.3 to 1 times.
PTQ_NATS = Coefficient(
    "ptq_nats", "size of the loss by quantising afterwards", 0.7 * KUMAR_NATS, 0.7, KUMAR, ln=True
)
FP8_NATS = Coefficient(
    "fp8_training_nats", "loss of training in 8 bits", 0.003, 0.004,
    "DeepSeek-V3 (arXiv 2412.19437), appendix B.1: under 0.25 % at 16B and 230B",
)  # fmt: skip
FP4_NATS = Coefficient(
    "fp4_training_nats", "loss of training in 4 bits", 0.03, 0.02,
    "gaps of 1-2.5 % of the loss published at 1T tokens, blocks of 16 below blocks of 32",
)  # fmt: skip


def ln_training_bits_factor(
    weight_bits: Number = FULL_BITS,
    activation_bits: Number = FULL_BITS,
    kv_bits: Number = FULL_BITS,
) -> Any:
    """Return ln(N_eff / N) of training at low precision as Kumar et al. 2024 fit it (Table 2).

    Each part keeps 1 - exp(-bits / gamma) of its parameters' worth, relative to 16 bits. Their
    integer formats are older than fine-grained scales: printed facts, no part of the law.

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


def training_nats(bits: Number, fp8: Number, fp4: Number) -> Any:
    """Return nats added by training in few bits: none at 16, straight lines between 16, 8 and 4.

    Args:
        bits: of the products' inputs in training.
        fp8: nats at 8 bits.
        fp4: nats at 4 bits.

    """
    eight = minimum(maximum((FULL_BITS - bits) / 8.0, 0.0), 1.0)
    four = maximum((8.0 - bits) / 4.0, 0.0)
    return fp8 * eight + (fp4 - fp8) * four


def quantisation_nats(
    n: Number, n_tokens: Number, weight_bits: Number, size: Number = KUMAR_NATS
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
    "training-bits", "training in few bits adds loss", Acts.NATS,
    "d_8 at 8 bits, d_4 at 4, straight between",
    lambda law, s: training_nats(
        law.asked("training_bits"), FP8_NATS.of(law), FP4_NATS.of(law)
    ),
    (FP8_NATS, FP4_NATS),
    guards=(
        Guard(
            "training-bits",
            lambda law, s: (
                outside(s.n, 1e9, np.inf) if 0 < law.asked("training_bits") < FULL_BITS else 0.0
            ),
            0.003,
            "training in few bits was published at 1B parameters and more",
        ),
    ),
    switch=Switch("training_bits", "bits of the products in training", "bit", 4.0, FULL_BITS),
)  # fmt: skip
QUANTISED_AFTER = Term(
    "quantised-after", "quantising the weights after training adds loss", Acts.NATS,
    "C D^a / N^b e^(-bits / g)",
    lambda law, s: quantisation_nats(
        s.n, s.n_tokens, law.asked("quantised_bits"), PTQ_NATS.of(law)
    ),
    (PTQ_NATS,),
    guards=(
        Guard(
            "quantised-after",
            lambda law, s: (
                outside(s.n_tokens / s.n, 0.001, 2000.0) + max(3.98 - law.asked("quantised_bits"), 0)
                if 0 < law.asked("quantised_bits") < 8
                else 0.0
            ),
            0.02,
            "quantising after training was published for 4 bits and more, up to 2000 tokens a "
            "parameter",
        ),
    ),
    switch=Switch("quantised_bits", "bits of the weights after training", "bit", 1.0, FULL_BITS),
)  # fmt: skip
