"""Routed models: Clark et al.'s bilinear law, and experts as effective parameters."""

from dataclasses import dataclass

import numpy as np

from planner.law.terms.experts import effective_experts, expert_gain
from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.solve import solve

SPLIT_N = 450e6


@dataclass(frozen=True, slots=True)
class RoutingFit:
    """Coefficients and relative errors of both laws, in sample and extrapolated."""

    a: float  # ln L = a ln N + b ln E^ + c ln N ln E^ + d (Clark et al. 2022, arXiv 2202.01169)
    b: float
    c: float
    power: float  # k of N_eff = N (E^(E) / E^(1))^k
    bilinear_oos: float
    power_oos: float


def _bilinear(n: np.ndarray, e: np.ndarray, loss: np.ndarray) -> np.ndarray:
    columns = np.column_stack([np.log(n), np.log(e), np.log(n) * np.log(e), np.ones_like(n)])
    return np.asarray(np.linalg.lstsq(columns, np.log(loss), rcond=None)[0])


def _bilinear_at(t: np.ndarray, n: np.ndarray, e: np.ndarray) -> np.ndarray:
    return np.asarray(t[0] * np.log(n) + t[1] * np.log(e) + t[2] * np.log(n) * np.log(e) + t[3])


def _power(n: np.ndarray, gain: np.ndarray, loss: np.ndarray) -> np.ndarray:
    mid = np.log(n).mean()

    def residual(t: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(_power_at(t, n, gain, mid)) - np.log(loss))

    starts = [
        np.array([np.log(f * loss.min()), 0.0, a, 0.4]) for f in (0.3, 0.7) for a in (0.1, 0.3)
    ]
    return np.array([*solve(residual, starts).theta, mid], dtype=np.float64)


def _power_at(t: np.ndarray, n: np.ndarray, gain: np.ndarray, mid: float) -> np.ndarray:
    return np.asarray(np.exp(t[0]) + np.exp(t[1] - t[2] * (np.log(n) - mid + t[3] * np.log(gain))))


def fit_routing(runs: Runs) -> RoutingFit:
    """Fit both laws to one router's runs; `SPLIT_N` separates training from extrapolation."""
    n, loss = runs.n, runs.loss
    e, gain = effective_experts(runs.n_experts), expert_gain(runs.n_experts)
    t, p = _bilinear(n, e, loss), _power(n, gain, loss)
    small, large = n < SPLIT_N, n >= SPLIT_N

    def rms(values: np.ndarray, actual: np.ndarray) -> float:
        return float(np.sqrt(np.mean((np.exp(values - np.log(actual)) - 1) ** 2)))

    ts, ps = _bilinear(n[small], e[small], loss[small]), _power(n[small], gain[small], loss[small])
    return RoutingFit(
        a=float(t[0]),
        b=float(t[1]),
        c=float(t[2]),
        power=float(p[3]),
        bilinear_oos=rms(_bilinear_at(ts, n[large], e[large]), loss[large]),
        power_oos=rms(np.log(_power_at(ps[:4], n[large], gain[large], ps[4])), loss[large]),
    )


def saturated(n_experts: float, start: float, most: float) -> float:
    """Return Clark et al.'s saturated count of experts (2202.01169, eq. 8)."""
    return 1 / (1 / (n_experts - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


# log10 L = a n + b e + c n e + g with n = log10 N and e = log10 of the saturated count (Table 3).
CLARK = {
    "S-BASE": (-0.082, -0.108, 0.009, 1.104, 1.847, 314.5),
    "RL-R": (-0.083, -0.126, 0.012, 1.111, 1.880, 470.0),
    "Hash": (-0.087, -0.136, 0.012, 1.157, 4.175, 477.7),
}


def clark_gain(router: str, n: float, n_experts: float) -> float:
    """Return N_eff / N: the size of the dense model of equal loss by Clark et al.'s printed law.

    Args:
        router: S-BASE, RL-R or Hash.
        n: parameters of the dense base, a count.
        n_experts: a count.

    """
    a, b, c, _, start, most = CLARK[router]
    e, alone = (float(np.log10(saturated(k, start, most))) for k in (n_experts, 1.0))
    size = float(np.log10(n))
    dense = (a * size + b * (e - alone) + c * size * e) / (a + c * alone)
    return float(10 ** (dense - size))


def ludziejewski_loss(n: float, n_tokens: float, n_experts: float) -> float:
    """Return the joint law's loss, nats (Ludziejewski et al. 2025, arXiv 2502.05172, Table 3).

    Args:
        n: active parameters with embeddings, a count.
        n_tokens: training tokens, a count.
        n_experts: a count.

    """
    e = saturated(n_experts, 2.0732, 290.4521)
    size = 35.91 * e**-0.2285 * n ** (-0.1889 + 0.0098 * np.log(e))
    data = 35.98 * e**0.5529 * n_tokens ** (-0.1775 - 0.0259 * np.log(e))
    return float(size + data + 1.3637)


def ludziejewski_gain(n: float, n_experts: float) -> float:
    """Return N_eff / N by that law: the dense model of equal loss, both on 20 tokens a parameter.

    Args:
        n: active parameters with embeddings, a count.
        n_experts: a count.

    """
    from scipy.optimize import brentq

    tokens = 20 * n
    wanted = ludziejewski_loss(n, tokens, n_experts)
    found = brentq(lambda ln: ludziejewski_loss(n * np.exp(ln), tokens, 1.0) - wanted, -1.0, 8.0)
    return float(np.exp(found))
