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
