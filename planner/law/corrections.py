"""Corrections that compose: each is a factor on effective parameters or nats added, with a switch.

N_eff = N times the product of the factors, so all act at one place; quantisation after training
adds nats. Every correction states its prior, its source and how far to trust it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.units import Number

# Clark et al. 2022 saturate the count of experts between E_START and E_MAX; refitted here on their
# public curves (deepmind/scaling_laws_for_routing @42da0c3, Apache-2.0).
E_START, E_MAX = 2.3, 500.0
EXPERT_POWER, EXPERT_POWER_SD = 0.47, 0.05
# Kumar et al. 2024, Table 2: bits over which a part recovers 1 - 1/e of its parameters' worth.
BITS = {"weights": 2.6745, "activations": 2.2102, "kv": 0.9578}
PTQ = {"C": 0.0598, "D": 0.5068, "N": 0.3439, "bits": 0.5907}
REPEAT_DATA, REPEAT_PARAMS = 15.39, 5.31  # Muennighoff et al. 2023, R_D* and R_N*


def effective_experts(n_experts: Number) -> Any:
    """Return Clark et al.'s saturated expert count: E_START at one expert, E_MAX at infinitely many."""
    offset = 1 / (1 / E_START - 1 / E_MAX)
    return 1 / (1 / (np.asarray(n_experts, dtype=np.float64) - 1 + offset) + 1 / E_MAX)


def expert_gain(n_experts: Number) -> Any:
    """Return the saturated expert count over that of a dense model."""
    return effective_experts(n_experts) / E_START


def ln_expert_factor(n_experts: Number, power: Number = EXPERT_POWER) -> Any:
    """Return ln(N_eff / N_active) of routed models.

    One active expert's parameters count as N. Extrapolates better than Clark's bilinear law:
    0.6-1.1 % against 2.0-2.1 % relative error from below to above 450M parameters.
    """
    return power * np.log(expert_gain(n_experts))


def ln_training_bits_factor(
    weight_bits: Number = 16, activation_bits: Number = 16, kv_bits: Number = 16
) -> Any:
    """Return ln(N_eff / N) of training at low precision (Kumar et al. 2024, Table 2).

    Each part keeps 1 - exp(-bits / gamma) of its parameters' worth. Relative to 16 bits, where the
    law's own evidence lies. The authors warn that constants do not transfer between recipes: trust
    the direction and the order of size.
    """
    given = {"weights": weight_bits, "activations": activation_bits, "kv": kv_bits}
    return sum(
        np.log1p(-np.exp(-np.asarray(bits, dtype=np.float64) / BITS[part]))
        - np.log1p(-np.exp(-16.0 / BITS[part]))
        for part, bits in given.items()
    )


def quantisation_nats(n: Number, n_tokens: Number, weight_bits: Number) -> Any:
    """Return nats added by quantising weights after training (Kumar et al. 2024): C D^a / N^b e^(-bits/g).

    Grows with tokens per parameter. About 0.02 nats for int4 at 1B and 100B tokens without their
    second exponent, 0.06 with it; the two are the interval's ends.
    """
    return PTQ["C"] * n_tokens ** PTQ["D"] / n ** PTQ["N"] * np.exp(-weight_bits / PTQ["bits"])


def effective_tokens(n_tokens: Number, unique_tokens: Number, r_star: float = REPEAT_DATA) -> Any:
    """Return what repeated tokens are worth as fresh ones (Muennighoff et al. 2023, eq. 5).

    U + U R* (1 - exp(-R / R*)) with R repeats beyond the first pass: four passes are nearly as
    good as fresh data, forty nearly worthless.
    """
    unique = np.minimum(unique_tokens, n_tokens)
    repeats = n_tokens / unique - 1
    return unique + unique * r_star * (1 - np.exp(-repeats / r_star))


def bits_per_byte(loss: Number, bytes_per_token: Number) -> Any:
    """Return the loss in bits per byte of text, which different tokenizers share."""
    return loss / (np.log(2.0) * bytes_per_token)


def change_tokenizer(loss: Number, bytes_per_token: Number, new_bytes_per_token: Number) -> Any:
    """Return the loss per token of another tokenizer at the same bits per byte."""
    return loss * new_bytes_per_token / bytes_per_token


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction is, what it rests on, and how it acts."""

    name: str
    acts_on: str
    prior: str
    source: str
    default: bool
    function: Callable[..., Any] | None = None


CORRECTIONS = (
    Correction(
        "depth",
        "N_eff",
        "q ~ LN(ln 0.075, 0.4), R_opt ~ LN(ln 60, 0.45) for d_model / n_layers, N non-embedding",
        "22 Gemstones shapes and 35 open-lm shapes, square attention; refit, single seeds",
        False,
    ),
    Correction(
        "head-dim",
        "loss factor",
        "1 + 0.015 max(0, ln(96 / head_dim))^2",
        "Gadre et al. 2024 grid (130 shapes, N <= 0.31B): +3.3 % at 20-28, +0.3 % at 50-70",
        False,
    ),
    Correction(
        "experts",
        "N_eff",
        f"power {EXPERT_POWER} +- {EXPERT_POWER_SD} on the saturated expert count",
        "Clark et al. 2022 curves, refit; Ludziejewski et al. 2025 imply 0.39-0.46",
        True,
        ln_expert_factor,
    ),
    Correction(
        "training-bits",
        "N_eff",
        "1 - exp(-bits / gamma), gamma 2.67 weights, 2.21 activations, 0.96 KV",
        "Kumar et al. 2024 (arXiv 2411.04330) Table 2; constants do not transfer between recipes",
        False,
        ln_training_bits_factor,
    ),
    Correction(
        "quantised-after",
        "added nats",
        "0.0598 D^0.507 / N^0.344 e^(-bits / 0.59), times 1 to 3",
        "Kumar et al. 2024, post-training quantisation of weights",
        False,
        quantisation_nats,
    ),
    Correction(
        "repeated-data",
        "D_eff",
        "R_D* = 15.39",
        "Muennighoff et al. 2023 (arXiv 2305.16264), C4",
        False,
        effective_tokens,
    ),
    Correction(
        "over-training",
        "spread",
        "0.01 nats per e-fold of D / N beyond the evidence (guard in planner/law/evidence.py)",
        "judgement, after Sardana et al. 2024 (arXiv 2401.00448)",
        True,
    ),
    Correction(
        "tokenizer",
        "unit of loss",
        "same bits per byte",
        "definition",
        False,
        change_tokenizer,
    ),
)
