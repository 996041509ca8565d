"""Runs from a CSV, refused with row numbers when they cannot support a law."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from planner.errors import SpecError
from planner.law.columns import NDefinition

# Our word first, then what public tables call it.
ALIASES = {
    "loss": ("loss",),
    "n_tokens": ("n_tokens", "D", "tokens"),
    "run_id": ("run_id", "run", "name"),
    "source": ("source",),
    "dataset": ("dataset", "data"),
    "n_layers": ("n_layers",),
    "d_model": ("d_model",),
    "head_dim": ("head_dim",),
    "n_heads": ("n_heads",),
    "n_kv_heads": ("n_kv_heads",),
    "r": ("mlp_attn_ratio", "r"),
    "x": ("d_over_sqrt_n", "d_over_sqrtN"),
    "n_experts": ("n_experts",),
}
N_COLUMNS = {
    NDefinition.NON_EMBEDDING: ("n_params_non_embedding", "N_nonembed"),
    NDefinition.TOTAL: ("n_params", "N_total"),
    NDefinition.ACTIVE: ("n_active_params_non_embedding", "N_active_nonembed"),
}
_OPTIONAL = ("n_layers", "d_model", "head_dim", "n_heads", "n_kv_heads", "r", "x", "n_experts")


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
    run_id: np.ndarray
    source: np.ndarray
    dataset: np.ndarray

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.loss)

    def __getitem__(self, rows: Any) -> Self:
        """Return the chosen runs."""
        return replace(
            self,
            **{
                f.name: getattr(self, f.name)[rows]
                for f in fields(self)
                if f.name != "n_definition"
            },
        )

    @property
    def aspect(self) -> np.ndarray:
        """Width over depth, R = d_model / n_layers."""
        return np.asarray(self.d_model / self.n_layers)

    @property
    def gqa(self) -> np.ndarray:
        """Query heads a KV head serves."""
        return np.asarray(self.n_heads / self.n_kv_heads)


def where(rows: Sequence[int] | np.ndarray, shown: int = 6) -> str:
    """Write row numbers for an error: ``rows 3, 9, 12 and 4 more``."""
    listed = ", ".join(str(int(i)) for i in rows[:shown])
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"


def _column(header: Iterable[str], names: Sequence[str]) -> str | None:
    return next((n for n in names if n in header), None)


def read_table(path: Path | str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header and the rows of a CSV.

    Raises:
        SpecError: there is no such file, it is no text, or it holds no rows.

    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header, rows = list(reader.fieldnames or []), list(reader)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint="name a readable CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{path}: not a CSV: {error}", hint="write comma-separated UTF-8") from None
    if not rows:
        raise SpecError(f"{path}: no rows", hint="one line a trained model, below a header")
    return header, rows


def _number(text: str | None) -> float:
    try:
        return float(text) if text else np.nan
    except ValueError:
        return np.nan


def load_runs(
    path: Path | str,
    *,
    source: str | None = None,
    n_definition: NDefinition | str | None = None,
) -> Runs:
    """Read trained models from a CSV with columns loss, n_tokens (or D) and a count of parameters.

    Args:
        path: the file. `n_params_non_embedding` (or N_nonembed), `n_params` (or N_total) say
            which N is meant; a column `n_definition` beside a bare `n` does too.
        source: keep only rows of this `source`, or, where none is called so, that start so.
        n_definition: which N to use; by default the one every row has, non-embedding first.

    Raises:
        SpecError: a column is missing, values are impossible, N definitions are mixed or runs
            are duplicated; the message names the rows.

    """
    header, table = read_table(path)
    rows = [(i, r) for i, r in enumerate(table, start=2)]
    if source is not None:
        known = sorted({r.get("source", "") for _, r in rows})
        exact = source in known
        rows = [
            (i, r)
            for i, r in rows
            if (s := r.get("source", "")) == source or (not exact and s.startswith(source))
        ]
        if not rows:
            raise SpecError(f"{path}: no row of source {source!r}", hint=f"has {', '.join(known)}")
    names = {key: _column(header, alias) for key, alias in ALIASES.items()}
    for key in ("loss", "n_tokens"):
        if names[key] is None:
            raise SpecError(
                f"{path}: row 1: no column {' or '.join(ALIASES[key])}",
                hint=f"the header has {', '.join(header)}",
            )
    lines = np.array([i for i, _ in rows])

    def numbers(column: str | None) -> np.ndarray:
        return np.array([_number(r.get(column)) if column else np.nan for _, r in rows])

    def texts(column: str | None) -> np.ndarray:
        return np.array([(r.get(column) or "") if column else "" for _, r in rows])

    definition, n = _choose_n(path, header, lines, numbers, texts, n_definition)
    values = {key: numbers(names[key]) for key in ("loss", "n_tokens", *_OPTIONAL)}
    runs = Runs(
        n=n,
        shape=np.zeros(len(n), dtype=int),
        row=lines,
        n_definition=definition,
        **values,
        **{key: texts(names[key]) for key in ("run_id", "source", "dataset")},
    )
    runs = replace(
        runs, x=_width(runs, numbers(_column(header, N_COLUMNS[NDefinition.NON_EMBEDDING])))
    )
    _refuse_impossible(path, runs)
    _refuse_duplicates(path, runs)
    return replace(runs, shape=_shape_ids(runs))


def _choose_n(
    path: Path | str,
    header: Sequence[str],
    lines: np.ndarray,
    numbers: Any,
    texts: Any,
    wanted: NDefinition | str | None,
) -> tuple[NDefinition, np.ndarray]:
    wanted = NDefinition(wanted) if wanted is not None else None
    if "n_definition" in header and "n" in header:
        said = texts("n_definition")
        first = said[0]
        if np.any(said != first):
            raise SpecError(
                f"{path}: mixed N definitions: {first!r} in row {lines[0]}, others in "
                f"{where(lines[said != first])}",
                hint="exponents differ by half between definitions: convert or drop those rows",
            )
        if first not in set(NDefinition):
            raise SpecError(
                f"{path}: row {lines[0]}: unknown n_definition {first!r}",
                hint=f"one of {', '.join(NDefinition)}",
            )
        if wanted is not None:
            wanted.require(NDefinition(first), where=str(path))
        return NDefinition(first), numbers("n")
    present = {
        d: numbers(c) for d, names in N_COLUMNS.items() if (c := _column(header, names)) is not None
    }
    if not present or (wanted is not None and wanted not in present):
        missing = N_COLUMNS[wanted or NDefinition.NON_EMBEDDING][0]
        raise SpecError(
            f"{path}: row 1: no column {missing}",
            hint="say which N is meant: n_params_non_embedding or n_params",
        )
    for d in [wanted] if wanted else present:
        if np.all(np.isfinite(present[d])):
            return d, present[d]
    has = {d: np.isfinite(v) for d, v in present.items()}
    d = wanted or max(has, key=lambda k: int(has[k].sum()))
    raise SpecError(
        f"{path}: mixed N definitions: no {d} count in {where(lines[~has[d]])}",
        hint="give every row the same count, or select one source with --source",
    )


def _width(runs: Runs, non_embedding: np.ndarray) -> np.ndarray:
    n = non_embedding if runs.n_definition is not NDefinition.NON_EMBEDDING else runs.n
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(runs.x), runs.x, runs.d_model / np.sqrt(n))


def _refuse_impossible(path: Path | str, runs: Runs) -> None:
    for name, low, high in (("loss", 0.0, 30.0), ("n", 1e3, 1e14), ("n_tokens", 1e3, 1e17)):
        value = getattr(runs, name)
        bad = ~(np.isfinite(value) & (value > low) & (value < high))
        if bad.any():
            first = value[bad][0]
            what = "missing" if np.isnan(first) else f"{first:g}"
            raise SpecError(
                f"{path}: {name} is {what} in {where(runs.row[bad])}",
                hint="loss is nats per token, counts are plain numbers; correct or drop those rows",
            )
    r = runs.r
    if np.any(bad := (np.isfinite(r) & (r <= 0))):
        raise SpecError(f"{path}: r is not positive in {where(runs.row[bad])}", hint="drop them")


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
        listed = "; ".join(where(rows) for rows in twice[:3])
        raise SpecError(
            f"{path}: {len(twice)} duplicated run{'s' if len(twice) > 1 else ''}: {listed}",
            hint="a copy counts as evidence twice: drop it, or give repeats their own run_id",
        )


def _shape_ids(runs: Runs) -> np.ndarray:
    keys = np.column_stack(
        [np.nan_to_num(np.round(getattr(runs, k), 6), nan=-1) for k in
         ("n", "n_layers", "d_model", "n_heads", "n_kv_heads", "r", "n_experts")]
    )  # fmt: skip
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)


def sizes(runs: Runs, *, within: float = 0.15) -> np.ndarray:
    """Return an integer per run that numbers its model size, sizes within 15 % being one."""
    order = np.argsort(runs.n, kind="stable")
    steps = np.diff(np.log(runs.n[order]))
    label = np.concatenate([[0], np.cumsum(steps > within)])
    out = np.empty(len(runs), dtype=int)
    out[order] = label
    return out


def require_sizes(runs: Runs, path: Path | str = "data") -> None:
    """Refuse one model size, or one token count per size, where N and D are to be separated.

    Raises:
        SpecError: names the rows.

    """
    if sizes(runs).max() == 0:
        raise SpecError(
            f"{path}: one model size only ({where(runs.row)}): alpha cannot be seen",
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
            f"{path}: too few shapes: no size has {least} ({where(runs.row)})",
            hint="train at least three shapes at one size, or keep the published shape law",
        )
