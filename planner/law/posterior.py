"""What a law is unsure of, in coordinates where priors are independent; draws, and back again.

The reference is pinned at two anchors, models of different size trained on the same tokens: their
two losses are known well, the exponents and the data term only from public fits. The shape side is
pinned at its optimum. A fit may replace the independent priors by a full covariance.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from planner.law.columns import LawColumns
from planner.law.terms.reference import anchored, data_term, reference_loss
from planner.units import Number

COORDINATES = (
    "loss_small",
    "loss_large",
    "alpha",
    "beta",
    "ln_data_term",
    "ln_k_x",
    "ln_x_opt",
    "ln_k_r",
    "ln_r_opt",
    "ln_depth_q",
    "ln_depth_aspect",
)
# Exponents stay where public fits of any kind lie; a draw outside would be no scaling law.
ALPHA_RANGE = (0.12, 0.70)
BETA_RANGE = (0.15, 0.75)
# Relative sampling error of the shape coefficients at the fitted size, from the paper's own design
# with 0.005 nats of noise; away from that size they drift.
SAMPLING_SD = {"ln_k_x": 0.05, "ln_x_opt": 0.008, "ln_k_r": 0.04, "ln_r_opt": 0.02}
# Of ln L, where corpus, tokenizer or recipe are not the law's. Loss over the default law's at equal
# N and D: Gemstones 0.93-0.95 (same corpus, another tokenizer), Gadre et al. 0.86, NX-AI on DCLM
# 0.85, MassiveText 0.82; refitted here.
OTHER_DATA_SD = 0.15
# Nats of misfit of such laws to single runs elsewhere (rel. rmse 0.5-0.7 % in Gemstones, OLMo,
# Chinchilla), where learning rates are not retuned by shape.
OTHER_NOISE_SD = 0.015
DRIFT_FACTOR = 3.0  # in N, over which the drift reaches its prior width (the paper: fit within 1/3)


def coordinates(law: LawColumns) -> np.ndarray:
    """Return the law's own values of `COORDINATES`."""
    (n1, tokens, *_), (n2, *_) = law.anchors
    return np.array(
        [
            reference_loss(law, n1, tokens),
            reference_loss(law, n2, tokens),
            law.alpha,
            law.beta,
            np.log(data_term(law, tokens)),
            *np.log(np.maximum([law.k_x, law.x_opt, law.k_r, law.r_opt], 1e-300)),
            np.log(law.depth_q),
            np.log(law.depth_aspect),
        ]
    )


def law_at(law: LawColumns, theta: Mapping[str, Number]) -> LawColumns:
    """Return `law` with its coefficients moved to the coordinates `theta`; draws broadcast."""
    (n1, tokens, *_), (n2, *_) = law.anchors
    alpha, beta = theta["alpha"], theta["beta"]
    data = np.exp(theta["ln_data_term"])
    small, large = (n1, theta["loss_small"]), (n2, theta["loss_large"])
    e, a, b = anchored(alpha, beta, data, small, large, tokens)
    shape = {n: np.exp(theta[f"ln_{n}"]) for n in ("k_x", "x_opt", "k_r", "r_opt")}
    depth = {n: np.exp(theta[f"ln_{n}"]) for n in ("depth_q", "depth_aspect")}
    return replace(law, E=e, A=a, alpha=alpha, B=b, beta=beta, **shape, **depth)


def spread(law: LawColumns, n: float) -> np.ndarray:
    """Return the covariance of `COORDINATES` for models of about `n` parameters.

    Shape coefficients walk at random in ln N away from the sizes they were fitted at: between
    80-297M and 1B the paper's own k_x moved threefold.
    """
    if len(law.covariance):
        covariance = np.array(law.covariance, dtype=np.float64)
    else:
        sd = [law.anchors[0][3], law.anchors[1][3], law.alpha_sd, law.beta_sd, law.data_term_ln_sd]
        sd += [*SAMPLING_SD.values(), law.depth_q_ln_sd, law.depth_aspect_ln_sd]
        covariance = np.diag(np.square(sd))
    gap = max(np.log(law.n_fitted_low / n), np.log(n / law.n_fitted_high), 0.0)
    walk = gap / np.log(DRIFT_FACTOR)
    drift = [law.k_x_ln_sd, law.x_opt_ln_sd, law.k_r_ln_sd, law.r_opt_ln_sd]
    covariance[range(5, 9), range(5, 9)] += walk * np.square(drift)
    return covariance


def draw_law(law: LawColumns, n: Number, n_draws: int = 1000, *, seed: int = 0) -> LawColumns:
    """Return posterior draws of the law for models of about `n` parameters, fields (n_draws, 1)."""
    rng = np.random.default_rng(seed)
    n_mid = float(np.exp(np.mean(np.log(n))))
    factor = np.linalg.cholesky(spread(law, n_mid) + 1e-18 * np.eye(len(COORDINATES)))
    theta = coordinates(law) + rng.standard_normal((n_draws, len(COORDINATES))) @ factor.T
    t: dict[str, Any] = {c: theta[:, [i]] for i, c in enumerate(COORDINATES)}
    t["alpha"] = np.clip(t["alpha"], *ALPHA_RANGE)
    t["beta"] = np.clip(t["beta"], *BETA_RANGE)
    # More parameters never hurt: anchors keep their order.
    t["loss_small"] = np.maximum(t["loss_small"], t["loss_large"] + 1e-3)
    slope = rng.normal(law.gqa_slope, law.gqa_sd, (n_draws, 1))
    size = rng.normal(0.0, law.size_slope_sd, (n_draws, 1))
    return replace(law_at(law, t), gqa_slope=slope, size_slope=size)
