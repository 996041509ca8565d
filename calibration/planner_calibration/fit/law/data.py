"""Runs from a CSV or on record: what a law sees of them, refused where they cannot support one."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import rows_named
from planner.inputs.measurement import Measurement
from planner.law.columns import LawColumns, NDefinition, Shapes
from planner.law.terms.depth import evidence_depth
from planner.law.terms.head_size import reference_head_dim
from planner_calibration.fit.law.counts import N_COLUMNS, choose_n
from planner_calibration.fit.law.counts import column as column_of
from planner_calibration.fit.law.table import likely, training_sheet
from planner_calibration.measure.shapes import Shape

# Our word first, then what public tables call it, where they differ.
ALIASES = {
    "n_tokens": ("n_tokens", "D", "tokens"),
    "run_id": ("run_id", "run", "name"),
    "dataset": ("dataset", "data"),
    "r": ("mlp_attn_ratio", "r"),
    "x": ("d_over_sqrt_n", "d_over_sqrtN"),
    "n_active_experts": ("n_active_experts", "top_k"),
}
ILL_TUNED = 0.01  # of ln L above the best of its cell: twice what seeds part by
_REQUIRED = ("loss", "n_tokens")
OPTIONAL = (
    "n_layers",
    "d_model",
    "head_dim",
    "n_heads",
    "n_kv_heads",
    "r",
    "x",
    "n_experts",
    "n_active_experts",
)
_WORDS = ("run_id", "source", "dataset")


@dataclass(frozen=True, slots=True)
class Runs:
    """Trained models, one a row; arrays of equal length, NaN where a number is unknown."""

    n: np.ndarray  # as `n_definition` counts
    n_tokens: np.ndarray
    loss: np.ndarray  # nats per token
    shape: np.ndarray  # an integer per distinct architecture
    row: np.ndarray  # line in the file, the header being 1
    n_definition: NDefinition
    n_layers: np.ndarray
    d_model: np.ndarray
    head_dim: np.ndarray
    n_heads: np.ndarray
    n_kv_heads: np.ndarray
    r: np.ndarray
    x: np.ndarray
    n_experts: np.ndarray
    n_active_experts: np.ndarray
    run_id: np.ndarray
    source: np.ndarray
    dataset: np.ndarray

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.loss)

    def __getitem__(self, rows: Any) -> Self:
        """Return the chosen runs."""
        columns = [f.name for f in fields(self) if f.name != "n_definition"]
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    @property
    def aspect(self) -> np.ndarray:
        """Width over depth, R = d_model / n_layers."""
        return np.asarray(self.d_model / self.n_layers)

    @property
    def gqa(self) -> np.ndarray:
        """Query heads a KV head serves."""
        return np.asarray(self.n_heads / self.n_kv_heads)


def load_runs(
    path: Path | str,
    *,
    source: str | None = None,
    n_definition: NDefinition | str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Runs:
    """Read trained models from a table with columns loss, n_tokens (or D) and a count of parameters.

    Args:
        path: the file. `n_params_non_embedding` (or N_nonembed), `n_params` (or N_total) say
            which N is meant; a column `n_definition` beside a bare `n` does too.
        source: keep only rows of this `source`, or, where none is called so, that start so.
        n_definition: which N to use; by default the one every row has, non-embedding first. Of a
            column that only says N: which it is.
        columns: our name → its column, where its name does not say it; see `training_sheet`.

    Raises:
        SpecError: a column is missing, values are impossible, N definitions are mixed or runs
            are duplicated; the message names the rows.

    """
    sheet, n_definition = training_sheet(path, columns, n_definition)
    header = list(sheet.header)
    if source is not None:
        known = sorted({r.get("source", "") for r in sheet.rows})
        exact = source in known
        sheet = sheet.keep(
            lambda r: (s := r.get("source", "")) == source or (not exact and s.startswith(source))
        )
        if not sheet.rows:
            raise SpecError(f"{path}: no row of source {source!r}", hint=f"has {', '.join(known)}")
    known_as = {key: ALIASES.get(key, (key,)) for key in _REQUIRED + OPTIONAL + _WORDS}
    names = {key: column_of(header, alias) for key, alias in known_as.items()}
    for key in _REQUIRED:
        if names[key] is None:
            raise SpecError(
                f"{path}: row 1: no column {' or '.join(known_as[key])}",
                hint=likely(header, key),
            )
    lines = np.array(sheet.lines)

    def numbers(column: str | None) -> np.ndarray:
        return np.full(len(lines), np.nan) if column is None else sheet.numbers(column)

    def texts(column: str | None) -> np.ndarray:
        return np.array([row.get(column or "", "") for row in sheet.rows])

    definition, n = choose_n(path, header, lines, numbers, texts, n_definition)
    values = {key: numbers(names[key]) for key in _REQUIRED + OPTIONAL}
    runs = Runs(
        n=n,
        shape=np.zeros(len(n), dtype=int),
        row=lines,
        n_definition=definition,
        **values,
        **{key: texts(names[key]) for key in _WORDS},
    )
    runs = replace(
        runs, x=_width(runs, numbers(column_of(header, N_COLUMNS[NDefinition.NON_EMBEDDING])))
    )
    _refuse_impossible(path, runs)
    _refuse_duplicates(path, runs)
    return replace(runs, shape=_shape_ids(runs))


def _width(runs: Runs, non_embedding: np.ndarray) -> np.ndarray:
    n = non_embedding if runs.n_definition is not NDefinition.NON_EMBEDDING else runs.n
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(runs.x), runs.x, runs.d_model / np.sqrt(n))


def _shape_ids(runs: Runs) -> np.ndarray:
    keys = np.column_stack(
        [np.nan_to_num(np.round(getattr(runs, k), 6), nan=-1) for k in
         ("n", "n_layers", "d_model", "n_heads", "n_kv_heads", "r", "n_experts")]
    )  # fmt: skip
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)


def sizes(runs: Runs) -> np.ndarray:
    """Return an integer per run that numbers its model size, sizes within 15 % being one.

    Within 15 % of the smallest of its group, so that a ladder of near neighbours is many sizes.
    """
    out = np.empty(len(runs), dtype=int)
    label, first = -1, -np.inf
    for i in np.argsort(runs.n, kind="stable"):
        if np.log(runs.n[i]) > first + 0.15:
            label, first = label + 1, float(np.log(runs.n[i]))
        out[i] = label
    return out


def _refuse_impossible(path: Path | str, runs: Runs) -> None:
    for name, low, high in (("loss", 0.0, 30.0), ("n", 1e3, 1e14), ("n_tokens", 1e3, 1e17)):
        value = getattr(runs, name)
        bad = ~(np.isfinite(value) & (value > low) & (value < high))
        if bad.any():
            first = value[bad][0]
            what = "missing" if np.isnan(first) else f"{first:g}"
            raise SpecError(
                f"{path}: {name} is {what} in {rows_named(runs.row[bad])}",
                hint="loss is nats per token, counts are plain numbers; correct or drop those rows",
            )
    for name in OPTIONAL:
        value = getattr(runs, name)
        if np.any(bad := (np.isinf(value) | (value <= 0))) and name != "n_active_experts":
            raise SpecError(
                f"{path}: {name} is not positive in {rows_named(runs.row[bad])}",
                hint="leave a cell empty where the number is unknown",
            )


def _refuse_duplicates(path: Path | str, runs: Runs) -> None:
    seen: dict[Any, list[int]] = defaultdict(list)
    for i in range(len(runs)):
        named = runs.run_id[i] and (runs.source[i], runs.run_id[i])
        numbers = tuple(
            float(getattr(runs, k)[i]) if np.isfinite(getattr(runs, k)[i]) else None
            for k in ("n", "n_tokens", "loss", "n_layers", "d_model", "n_heads", "r")
        )
        seen[named or numbers].append(int(runs.row[i]))
    twice = [rows for rows in seen.values() if len(rows) > 1]
    if twice:
        listed = "; ".join(rows_named(rows) for rows in twice[:3])
        raise SpecError(
            f"{path}: {len(twice)} duplicated run{'s' if len(twice) > 1 else ''}: {listed}",
            hint="a copy counts as evidence twice: drop it, or give repeats their own run_id",
        )


def require_sizes(runs: Runs, path: Path | str = "data") -> None:
    """Refuse one model size, or one token count per size, where N and D are to be separated.

    Raises:
        SpecError: names the rows.

    """
    if sizes(runs).max() == 0:
        raise SpecError(
            f"{path}: one model size only ({rows_named(runs.row)}): alpha cannot be seen",
            hint="add runs at another size, or keep a published reference with --prior LAW",
        )


def require_shapes(runs: Runs, path: Path | str = "data", least: int = 3) -> None:
    """Refuse fewer than `least` shapes at every size, where shape is to be fitted.

    Raises:
        SpecError: names the rows.

    """
    label = sizes(runs)
    most = max(len(np.unique(runs.shape[label == k])) for k in range(label.max() + 1))
    if most < least:
        raise SpecError(
            f"{path}: too few shapes: no size has {least} ({rows_named(runs.row)})",
            hint="train at least three shapes at one size, or keep the published shape law",
        )


def _cells(runs: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Return a number per run of its shape, tokens and corpus, and the least loss of each."""
    corpus = np.unique(runs.dataset, return_inverse=True)[1]
    keys = np.column_stack([runs.shape, runs.n_tokens, corpus])
    cell = np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)
    best = np.full(cell.max() + 1, np.inf)
    np.minimum.at(best, cell, runs.loss)
    return cell, best


def well_tuned(runs: Runs) -> Runs:
    """Return the best run of each shape and token count: the law speaks of tuned training."""
    cell, _ = _cells(runs)
    order = np.lexsort((runs.loss, cell))
    return runs[np.sort(order[np.unique(cell[order], return_index=True)[1]])]


def tuned(runs: Runs) -> np.ndarray:
    """Return which runs are within `ILL_TUNED` of the best of their shape, tokens and corpus.

    Repeats with another seed stay; runs that diverged or whose learning rate was off do not.
    """
    cell, best = _cells(runs)
    return np.asarray(np.log(runs.loss / best[cell]) <= ILL_TUNED)


def shapes_of(runs: Runs, law: LawColumns) -> Shapes:
    """Return what the law needs to know of `runs`; what is unknown counts as the law's own."""
    return Shapes(
        n=runs.n,
        n_tokens=runs.n_tokens,
        x=np.where(np.isfinite(runs.x), runs.x, law.x_opt),
        r=np.where(np.isfinite(runs.r), runs.r, law.r_opt),
        gqa=np.where(np.isfinite(runs.gqa), runs.gqa, law.gqa),
        n_layers=np.where(np.isfinite(runs.n_layers), runs.n_layers, evidence_depth(runs.n)),
        head_dim=np.where(np.isfinite(runs.head_dim), runs.head_dim, reference_head_dim(runs.n)),
        n_experts=np.where(np.isfinite(runs.n_experts), runs.n_experts, 1.0),
        n_active_experts=np.where(np.isfinite(runs.n_active_experts), runs.n_active_experts, 1.0),
    )


TRAINING_COLUMNS = [
    "run_id", "n_params_non_embedding", "n_tokens", "loss", "n_layers", "d_model", "n_heads", "n_kv_heads",
    "head_dim", "mlp_attn_ratio", "d_over_sqrt_n", "seed", "dataset",
]  # fmt: skip


def trainings(rows: Sequence[Measurement]) -> list[Measurement]:
    """Return the finished trainings among `rows`.

    Raises:
        SpecError: there is none.

    """
    done = [r for r in rows if r.kind == "train" and r.status == "ok"]
    if not done:
        raise SpecError(
            "none of these runs is a finished training", hint="see planner calibrate train"
        )
    return done


def to_csv(rows: Sequence[Measurement]) -> str:
    """Return finished trainings as CSV, one a line, in the words of `planner law fit`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TRAINING_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in trainings(rows):
        s = Shape.of(row.what)
        writer.writerow(
            {
                **row.what,
                **s.settings(),
                "run_id": row.key,
                "n_params_non_embedding": s.n_params_non_embedding,
                "loss": row.values["heldout_nats_per_token"],
                "mlp_attn_ratio": round(s.r, 5),
                "d_over_sqrt_n": round(s.x, 6),
                "dataset": row.what["data"],
            }
        )
    return text.getvalue()
