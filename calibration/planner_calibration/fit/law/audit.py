"""What a law promises away from home, held against runs it has not seen, and against itself."""

import csv
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planner.columns import stack
from planner.errors import PlannerError
from planner.inputs.files import read_csv
from planner.inputs.law import DEFAULT, SETS, LawSpec, load_law
from planner.interval import ENDS, INTERVAL
from planner.law.columns import NDefinition
from planner.law.compare import loss_draws
from planner.law.law import predict_loss, shapes
from planner.writer import write_whole
from planner_calibration.fit.law.average import average
from planner_calibration.fit.law.data import Runs, load_runs, shapes_of, well_tuned
from planner_calibration.fit.law.export import write_law
from planner_calibration.fit.law.run import fit_csv
from planner_calibration.fit.law.update import update_law

TRAIN, LEAST_RUNS, DRAWS = 5, 20, 6  # runs a law is moved by; runs of a source; choices of them
HORIZONS = (1.0, 3.0, 10.0, np.inf)  # times the most compute that the law saw
FAMILY_OF = {
    "epoch": "chinchilla",
    "gadre": "gadre",
    "gemstones": "gemstones",
    "marin": "marin",
    "misfitting": "misfitting",
    "olmo": "olmo",
}


@dataclass(frozen=True, slots=True)
class FewRuns:
    """How a law moved by five cheap runs predicts the rest of a source, its family left out."""

    source: str
    n: int
    mae: float  # nats
    interval_score: float  # nats, of the 80 % interval (Gneiting and Raftery 2007)
    coverage: float
    by_horizon: tuple[float, ...]  # coverage, by compute over the most that was seen


def parts(path: Path) -> Iterator[tuple[str, Runs]]:
    """Yield every source and corpus of a table with enough dense, well-tuned runs."""
    for source in sorted({r.get("source", "") for r in read_csv(path).rows}):
        for counts in (NDefinition.NON_EMBEDDING, NDefinition.TOTAL):
            try:
                runs = load_runs(path, source=source, n_definition=counts)
            except PlannerError:
                continue
            dense = runs[(runs.source == source) & ~(runs.n_experts > 1)]
            for corpus in sorted(set(dense.dataset)):
                part = well_tuned(dense[dense.dataset == corpus])
                if len(part) >= LEAST_RUNS:
                    yield f"{source} {corpus}".strip(), part
            break


def choices(runs: Runs, seed: int = 0) -> list[np.ndarray]:
    """Return sets of `TRAIN` runs of the cheaper half: one spread out, the others at random."""
    cheap = np.argsort(runs.n * runs.n_tokens, kind="stable")[: max(len(runs) // 2, TRAIN)]
    rng = np.random.default_rng(seed)
    spread = cheap[np.linspace(0, len(cheap) - 1, TRAIN).astype(int)]
    return [spread, *(np.sort(rng.choice(cheap, TRAIN, replace=False)) for _ in range(DRAWS - 1))]


def few_runs(path: Path, law: LawSpec | None = None) -> list[FewRuns]:
    """Score laws moved by five cheap runs on the rest of every source of a table."""
    law = law or load_law(DEFAULT)
    return [_few_runs(law, name, runs) for name, runs in parts(path)]


def _few_runs(law: LawSpec, name: str, runs: Runs) -> FewRuns:
    family = next((f for start, f in FAMILY_OF.items() if name.startswith(start)), "")
    found = []
    for train in choices(runs):
        rest = np.setdiff1d(np.arange(len(runs)), train)
        moved = update_law(law, runs[train], without=[family]).law.columns()
        s, y = shapes_of(runs[rest], moved), runs.loss[rest]
        low, high = np.quantile(loss_draws(moved, s, 400), ENDS, axis=0)
        compute = runs.n * runs.n_tokens
        outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        found.append(
            np.column_stack(
                [
                    np.abs(predict_loss(moved, s) - y),
                    high - low + 2 / (1 - INTERVAL) * outside,
                    outside == 0,
                    compute[rest] / compute[train].max(),
                ]
            )
        )
    error, score, inside, far = np.concatenate(found).T
    edges = (0.0, *HORIZONS)
    within = [(far > a) & (far <= b) for a, b in zip(edges, HORIZONS, strict=False)]
    by = tuple(float(inside[w].mean()) if w.any() else float("nan") for w in within)
    mae, interval_score, coverage = (float(v.mean()) for v in (error, score, inside))
    return FewRuns(name, len(error), mae, interval_score, coverage, by)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What `planner law fit` said of a source, or of some of its runs."""

    what: str
    n: int
    seconds: float
    said: str  # its first line, or why it was refused
    refused: bool
    rmse: float  # nats, held out
    size_alone: float  # nats, of size alone on the same runs


def fits(path: Path, subsets: Sequence[int] = (3, 5, 12, 20), per: int = 3) -> list[Fitted]:
    """Fit every source of a table, and random subsets of it, as a user would."""
    sheet = read_csv(path)
    header = list(sheet.header)
    found = []
    for source in sorted({r.get("source", "") for r in sheet.rows}):
        rows = [r for r in sheet.rows if r.get("source", "") == source]
        found.append(_fitted(source, header, rows))
        for k in subsets:
            for seed in range(per if k <= len(rows) else 0):
                some = np.random.default_rng(seed).choice(len(rows), k, replace=False)
                found.append(_fitted(f"{source} {k}", header, [rows[i] for i in sorted(some)]))
    return found


def _fitted(what: str, header: list[str], rows: Sequence[dict[str, str]]) -> Fitted:
    nan, started = float("nan"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "runs.csv"
        text = io.StringIO()
        writer = csv.DictWriter(text, header, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(table, text.getvalue())
        try:
            report = fit_csv(table)
        except PlannerError as error:
            took = time.perf_counter() - started
            return Fitted(what, len(rows), took, str(error), True, nan, nan)
    took = time.perf_counter() - started
    scores = report.held_out[-1] if report.held_out else None
    alone = (
        next((b.rmse for b in scores.baselines if b.name == "size alone"), nan) if scores else nan
    )
    own = scores.law.rmse if scores else nan
    return Fitted(what, len(rows), took, report.lines[0], False, own, alone)


@dataclass(frozen=True, slots=True)
class Promise:
    """P(loss <= target) of a pick as claimed, and as truth of a set left out of the law has it."""

    left_out: str
    params: float
    tokens: float
    pick: str
    claimed: float
    realised: float


def promises(
    sizes: Sequence[tuple[float, float]] = ((1e9, 1e11), (3e9, 1e11), (7e9, 7e11), (1e9, 1e13)),
    n_draws: int = 2000,
) -> list[Promise]:
    """Draw the truth from a published set that is not in the average; choose by the average's mean."""
    from planner.questions.recommend.recommend import recommend

    found = []
    for left_out in SETS:
        truth = load_law(left_out).columns()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "without.toml"
            write_law(average([s for s in SETS if s != left_out], "without"), path)
            for params, tokens in sizes:
                r = recommend(params, tokens, law=str(path), on="h100-sxm")
                for name, pick in r.picks.items():
                    if pick is None or pick.shape == r.baseline.shape:
                        continue
                    pair = stack([pick.model.arch(), r.baseline.model.arch()])
                    drawn = loss_draws(truth, shapes(truth, pair, tokens), n_draws)
                    realised = float(np.mean(drawn[:, 0] <= drawn[:, 1]))
                    claimed = pick.p_loss_at_most_target
                    assert claimed is not None
                    found.append(Promise(left_out, params, tokens, name, claimed, realised))
    return found
