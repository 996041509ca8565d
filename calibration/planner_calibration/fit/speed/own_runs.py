"""MAP fit of a speed profile to a machine's own runs, with the shipped profile as its prior.

Kernels and whole batches are fitted together: kernels tell the efficiencies apart, batches tell what the
engine adds. The headline is the error on architectures the fit has not seen, before and after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from planner.columns import Kernels, Overheads
from planner.inputs.measurement import Measurement
from planner.inputs.profile import ProfileSpec
from planner.interval import INTERVAL, Z
from planner_calibration.fit.map_fit import MapFit, Prior, map_fit
from planner_calibration.fit.speed.engines import placed
from planner_calibration.fit.speed.rows import Group, repeat_sd, shape_of

Vector = NDArray[np.float64]

# How far a machine's constant may lie from the shipped one, as the sd of its logarithm: on the device the
# profile was fitted on, and on one it was not.
SAME, OTHER = 0.15, 1.0
ENGINE_SD = 1.5  # what an engine adds depends on its version, its flags and the host's CPU
# Kept as shipped: counts and switches of a kernel's design, and what no run here measures.
KEPT = {
    "gemm_tile_rows", "attention_tile_rows", "packs_gqa", "splits_mha", "unpack_share",
    "quantise_launch_s", "quantise_hbm_eff", "link_eff", "link_latency_s", "link_peer_s",
    "sustained_clock", "ranks_s",
}  # fmt: skip
MOST = 1.0  # of an efficiency: above it the device's stated rate is too low
TILE_ROWS = (1.0, 4.0, 16.0, 64.0)  # a CPU's tiles are unlike a GPU's: each is tried
KERNEL_NOISE, SERVING_NOISE = 0.25, 0.06  # of ln time: one formula for many kernels; a whole batch
FLOOR = 0.02  # no spread is claimed below this
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Error:
    """How far predictions are from runs, in ln(measured / predicted)."""

    n: int
    mape: float  # mean |predicted/measured − 1|
    median: float
    worst: float
    worst_but_one: float
    bias: float  # mean of ln(measured / predicted)
    spearman: float  # of throughput across the runs


@dataclass(frozen=True, slots=True)
class Away:
    """A serving run, predicted by a fit without its architecture."""

    row: Measurement
    measured_s: float
    predicted_s: float
    fold: int

    @property
    def ln_ratio(self) -> float:
        return float(np.log(self.measured_s / self.predicted_s))


@dataclass(frozen=True, slots=True)
class Corrected:
    """A profile before and after a machine's runs."""

    kernels: Kernels
    overheads: Overheads
    posterior: MapFit
    before: dict[str, Error]  # by kind of run
    held_out: dict[str, Error]
    fitted: dict[str, Error]
    held_out_sd: float
    gain_sd: float
    coverage: float  # of held-out runs, by 80 % intervals as wide as the others' errors say
    n_shapes: int
    repeat_sd: float  # of the serving runs' own repeats, median: no prediction errs less
    away: tuple["Away", ...] = ()

    @property
    def at_bounds(self) -> tuple[str, ...]:
        """Efficiencies that runs would have above one: something there beats the device's stated rate."""
        return tuple(
            n for n, v in self.posterior.values.items() if n.endswith("_eff") and v > 0.999
        )


def correct(
    runs: Sequence[Group],
    profile: ProfileSpec,
    *,
    same_device: bool,
    n_starts: int = 3,
    tile_rows: Sequence[float] | None = None,
) -> Corrected:
    """Correct `profile` with `runs`.

    Args:
        runs: from `rows.groups`.
        profile: the prior.
        same_device: the profile was fitted on this device; its priors are then narrow.
        n_starts: of each fit.
        tile_rows: values of `gemm_tile_rows` to try; None keeps the profile's.

    """
    shipped, engine = profile.columns()
    posterior = profile.posterior if same_device else None
    left_open = dict(zip(posterior.constants, posterior.ln_sd, strict=True)) if posterior else {}

    def own_sd(name: str) -> float:
        """On the profile's own device what it left open counts, and that machines differ a little."""
        own = float(np.hypot(SAME, left_open.get(name, 0.0))) if same_device else OTHER
        return prior_sd(name, engine, own)

    def best_fit(some: Sequence[Group]) -> _Fit:
        tiles = tile_rows or [shipped.gemm_tile_rows]
        tried = [
            _fit(some, replace(shipped, gemm_tile_rows=t), engine, own_sd, n_starts) for t in tiles
        ]
        return min(tried, key=lambda f: f.fit.cost)

    best = best_fit(runs)
    kernels, overheads = best.constants()
    away = _held_out(runs, best_fit)
    logs = np.array([a.ln_ratio for a in away])
    spread = spread_of(logs) if len(logs) else SERVING_NOISE
    seen = [(a.measured_s, a.predicted_s) for a in away]
    return Corrected(
        kernels=kernels,
        overheads=overheads,
        posterior=best.fit,
        before={g.kind: error(g.measured_s, g.predict(shipped, engine)) for g in runs},
        held_out={"serve_offline": error(*map(np.array, zip(*seen, strict=True)))} if seen else {},
        fitted={g.kind: error(g.measured_s, g.predict(kernels, overheads)) for g in runs},
        held_out_sd=spread,
        coverage=_coverage(away),
        gain_sd=max(FLOOR, float(np.std(logs)) if len(logs) > 1 else SERVING_NOISE),
        n_shapes=len({shape_of(r) for g in runs if g.kind == "serve_offline" for r in g.rows}),
        repeat_sd=_repeats([r for g in runs if g.kind == "serve_offline" for r in g.rows]),
        away=away,
    )


def spread_of(logs: Vector) -> float:
    """Return the sd of ln(measured / predicted), from the 80 % of rows that err least.

    Tails are heavier than a normal's, and 80 % intervals are to cover 80 %.
    """
    return max(FLOOR, float(np.quantile(np.abs(logs), INTERVAL)) / Z)


def _repeats(rows: Sequence[Measurement]) -> float:
    return float(np.median([repeat_sd(r) for r in rows])) if rows else float("nan")


def _coverage(away: Sequence[Away]) -> float:
    """Return how many runs 80 % intervals cover that are as wide as the errors of other folds say."""
    inside = []
    for fold in sorted({a.fold for a in away}):
        others = np.array([a.ln_ratio for a in away if a.fold != fold])
        own = np.array([a.ln_ratio for a in away if a.fold == fold])
        inside += list(np.abs(own) <= Z * spread_of(others)) if len(others) else []
    return float(np.mean(inside)) if inside else float("nan")


@dataclass(frozen=True, slots=True)
class _Fit:
    fit: MapFit
    build: Callable[[Vector], tuple[Kernels, Overheads]]

    def constants(self) -> tuple[Kernels, Overheads]:
        return self.build(np.array(list(self.fit.values.values())))


def free_constants(kernels: Kernels, overheads: Overheads) -> dict[str, float]:
    """Return the constants that runs can move, with their values."""
    return {
        f.name: float(getattr(columns, f.name))
        for columns in (kernels, overheads)
        for f in fields(columns)
        if f.name not in KEPT and getattr(columns, f.name) > 0
    }


def prior_sd(name: str, overheads: Overheads, of_kernels: float) -> float:
    """Return how far a constant may lie from the profile's, as the sd of its logarithm."""
    return ENGINE_SD if hasattr(overheads, name) else of_kernels


def _fit(
    runs: Sequence[Group],
    kernels: Kernels,
    overheads: Overheads,
    sd: Callable[[str], float],
    n_starts: int,
) -> _Fit:
    serving = any(g.kind == "serve_offline" for g in runs)
    priors = [
        Prior(name, value, sd(name), high=MOST if name.endswith("_eff") else np.inf)
        for name, value in free_constants(kernels, overheads).items()
        if serving or hasattr(kernels, name)
    ]

    def build(values: Vector) -> tuple[Kernels, Overheads]:
        many = values.ndim == 2
        named = {p.name: values[:, [i]] if many else float(values[i]) for i, p in enumerate(priors)}
        return placed(named, kernels, overheads)

    def residuals(values: Vector) -> Vector:
        """In units of each kind's own noise, one row a set of constants."""
        k, o = build(values)
        parts = [
            (np.log(g.steady_s) - np.log(g.predict(k, o)))
            / (SERVING_NOISE if g.kind == "serve_offline" else KERNEL_NOISE)
            for g in runs
        ]
        full = [np.broadcast_to(p, (len(values), p.shape[-1])) for p in parts]
        return np.concatenate(full, axis=1)

    # A step takes as long as the slower of devices and host: the fit starts at either, the host's work
    # taking the shortest step there was.
    step_s = [
        t / r.what["output_tokens"]
        for g in runs
        if g.kind == "serve_offline"
        for r, t in zip(g.rows, g.steady_s, strict=True)
    ]
    guesses = [{"step_s": min(step_s)}] if step_s else []
    found = map_fit(residuals, priors, noise=1.0, n_starts=n_starts, batched=True, guesses=guesses)
    return _Fit(found, build)


def _held_out(
    runs: Sequence[Group], best_fit: Callable[[Sequence[Group]], _Fit]
) -> tuple[Away, ...]:
    """Return serving runs measured and predicted, each architecture without its own runs.

    Without at least two architectures nothing can be held out.
    """
    shapes = sorted({shape_of(r) for g in runs if g.kind == "serve_offline" for r in g.rows})
    folds = min(FOLDS, len(shapes))
    out: list[Away] = []
    for fold in range(folds if folds > 1 else 0):
        away = {s for i, s in enumerate(shapes) if i % folds == fold}
        seen, unseen = split(runs, away)
        kernels, overheads = best_fit(seen).constants()
        for g in unseen:
            told = zip(g.rows, g.measured_s, g.predict(kernels, overheads), strict=True)
            out += [Away(row, float(m), float(p), fold) for row, m, p in told]
    return tuple(out)


def split(runs: Sequence[Group], away: set[str]) -> tuple[list[Group], list[Group]]:
    """Part serving runs of the architectures in `away` from all the rest."""
    seen, unseen = [], []
    for g in runs:
        out = [g.kind == "serve_offline" and shape_of(r) in away for r in g.rows]
        if not all(out):
            seen.append(g.take([not o for o in out]))
        if any(out):
            unseen.append(g.take(out))
    return seen, unseen


def error(measured: Vector, predicted: Vector) -> Error:
    """Compare seconds with seconds."""
    off = np.abs(predicted / measured - 1)
    varied = len(measured) > 2 and np.ptp(measured) > 0 and np.ptp(predicted) > 0
    return Error(
        n=len(measured),
        mape=float(off.mean()),
        median=float(np.median(off)),
        worst=float(off.max()),
        worst_but_one=float(np.sort(off)[-2:][0]),
        bias=float(np.mean(np.log(measured / predicted))),
        spearman=float(spearmanr(measured, predicted).statistic) if varied else float("nan"),
    )
