"""Progressive evaluation: fit on small, test on the next size, against naive baselines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from planner.interval import ENDS
from planner_calibration.fit.law.data import Runs, sizes
from planner_calibration.fit.law.reference import LawFit, bootstrap, fit

Predictor = Callable[[Runs], np.ndarray]


@dataclass(frozen=True, slots=True)
class Score:
    """How predictions did on held-out runs; losses in nats."""

    name: str
    n: int
    mse: float
    mae: float
    bias: float
    spearman: float  # mean within (size, tokens), NaN where no cell has three shapes
    regret: float  # loss of the shape chosen less the best one's, mean over cells

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(self.mse))


def cells(runs: Runs) -> list[np.ndarray]:
    """Return the row sets of equal size and tokens that hold three shapes or more."""
    label = sizes(runs)
    tokens = np.round(np.log(runs.n_tokens) / 0.02)
    keys = np.unique(np.column_stack([label, tokens]), axis=0)
    found = [np.flatnonzero((label == k) & (tokens == t)) for k, t in keys]
    return [c for c in found if len(np.unique(runs.shape[c])) >= 3]


def score(name: str, predicted: np.ndarray, runs: Runs) -> Score:
    """Score predictions; within a cell, rank and regret of the choice they would make."""
    error = predicted - runs.loss
    rank, regret = [], []
    for c in cells(runs):
        p, y = predicted[c], runs.loss[c]
        chosen = y[p <= p.min() + 1e-12].mean()  # ties: the mean of what they would pick
        regret.append(chosen - y.min())
        if np.ptp(p) > 1e-12 and np.ptp(y) > 0:
            rank.append(float(spearmanr(p, y).statistic))
    return Score(
        name,
        len(runs),
        float(np.mean(error**2)),
        float(np.mean(np.abs(error))),
        float(np.mean(error)),
        float(np.mean(rank)) if rank else float("nan"),
        float(np.mean(regret)) if regret else float("nan"),
    )


def nearest_size_baseline(train: Runs) -> Predictor:
    """Predict the mean loss of the largest training size: what a person would say without a law."""
    label = sizes(train)
    mean = float(train.loss[label == label.max()].mean())
    return lambda runs: np.full(len(runs), mean)


def best_shape_so_far(train: Runs, size_law: Predictor) -> Predictor:
    """Predict that the aspect that won at the largest training size wins again."""
    label = sizes(train)
    last = train[label == label.max()]
    by_depth = bool(np.all(np.isfinite(last.aspect)))

    def key(runs: Runs) -> np.ndarray:
        return np.asarray(np.log(runs.aspect if by_depth else runs.x))

    won = float(key(last)[np.argmin(last.loss)])
    return lambda runs: size_law(runs) * (1 + 1e-3 * np.abs(key(runs) - won))


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: fitted below, tested on the next."""

    trained_on: str
    tested_on: str
    law: Score
    baselines: tuple[Score, ...]

    @property
    def verdict(self) -> str:
        """Whether the law earns its keep, in words."""
        lost = [
            f"{b.name} ({what})"
            for b in self.baselines
            for what, worse in (
                ("error", self.law.mse >= b.mse),
                ("choice", self.law.regret > b.regret + 1e-12),
            )
            if worse
        ]
        return "beats every baseline" if not lost else "does not beat: " + ", ".join(lost)


def progressive(
    runs: Runs, blocks: Sequence[str] = ("reference", "depth"), *, n_starts: int = 20, seed: int = 0
) -> list[Stage]:
    """Fit on all sizes below each size and test there, for every size from the third on."""
    label = sizes(runs)
    out = []
    for k in range(2, label.max() + 1):
        train, test = runs[label < k], runs[label == k]
        out.append(stage(train, test, blocks, n_starts=n_starts, seed=seed))
    return out


def stage(
    train: Runs, test: Runs, blocks: Sequence[str], *, n_starts: int = 20, seed: int = 0
) -> Stage:
    """Fit on `train`, test on `test`, with the baselines beside it."""
    law = fit(train, blocks, n_starts=n_starts, seed=seed)
    flat = fit(train, ("reference",), n_starts=n_starts, seed=seed).predict
    baselines = [
        score("the last size's mean loss", nearest_size_baseline(train)(test), test),
    ]
    if _shapes_known(train) and _shapes_known(test):
        baselines.append(
            score("the shape that won last", best_shape_so_far(train, flat)(test), test)
        )
    if tuple(blocks) != ("reference",):
        baselines.insert(1, score("L(N, D) without shape", flat(test), test))
    return Stage(
        f"{len(train)} runs, N {train.n.min():.3g}-{train.n.max():.3g}",
        f"{len(test)} runs, N {test.n.min():.3g}-{test.n.max():.3g}",
        score("+".join(blocks), law.predict(test), test),
        tuple(baselines),
    )


def _shapes_known(runs: Runs) -> bool:
    return bool(np.all(np.isfinite(runs.aspect)) or np.all(np.isfinite(runs.x)))


def interval_coverage(
    runs: Runs,
    blocks: Sequence[str] = ("reference",),
    *,
    n_folds: int = 5,
    n_draws: int = 200,
    scheme: str = "shape",
) -> float:
    """Hold out whole shapes (or sizes), predict them, and return the share inside 80 % intervals.

    An interval is the bootstrap's spread of the mean plus held-out residuals of the training part
    itself (each of its shapes predicted by a fit without it), so it knows shape-to-shape scatter.
    """
    rng = np.random.default_rng(0)
    inside = []
    for held in _folds(runs, scheme, n_folds, rng):
        low, high = predict_interval(runs[~held], runs[held], blocks, n_draws, rng, scheme)
        inside.append((runs.loss[held] >= low) & (runs.loss[held] <= high))
    return float(np.concatenate(inside).mean())


def _folds(runs: Runs, scheme: str, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return `n` masks of runs to hold out, whole shapes (or sizes) together, at random."""
    groups = runs.shape if scheme == "shape" else sizes(runs)
    names = rng.permutation(np.unique(groups))
    return [np.isin(groups, fold) for fold in np.array_split(names, min(n, len(names)))]


def predict_interval(
    train: Runs,
    test: Runs,
    blocks: Sequence[str],
    n_draws: int,
    rng: np.random.Generator,
    scheme: str = "shape",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 80 % interval of each run of `test` from a fit on `train`."""
    law = fit(train, blocks, n_starts=8)
    thetas = bootstrap(law, train, n_draws, seed=int(rng.integers(1 << 31)))
    draws = np.array([law.predict(test, t) for t in thetas])
    residual = held_out_residuals(law, train, blocks, rng, scheme)
    noise = rng.choice(residual, draws.shape)
    low, high = np.quantile(draws * np.exp(noise), ENDS, axis=0)
    return low, high


def held_out_residuals(
    law: LawFit, train: Runs, blocks: Sequence[str], rng: np.random.Generator, scheme: str = "shape"
) -> np.ndarray:
    """Return ln L observed less predicted, each group predicted by a fit without it (10 folds)."""
    out = []
    for held in _folds(train, scheme, 10, rng):
        if held.all():
            continue
        without = fit(train[~held], blocks, n_starts=0, starts=[law.theta])
        out.append(np.log(train.loss[held]) - np.log(without.predict(train[held])))
    return np.concatenate(out)
