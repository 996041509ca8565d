"""Which count of parameters a table means by N; mixing is refused by row."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import rows_named
from planner.law.columns import NDefinition

N_COLUMNS = {
    NDefinition.NON_EMBEDDING: ("n_params_non_embedding", "N_nonembed"),
    NDefinition.TOTAL: ("n_params", "N_total"),
    NDefinition.ACTIVE: ("n_active_params_non_embedding", "N_active_nonembed"),
}


def column(header: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the first of `names` that the header has."""
    return next((n for n in names if n in header), None)


def choose_n(
    path: Path | str,
    header: Sequence[str],
    lines: np.ndarray,
    numbers: Callable[[str | None], np.ndarray],
    texts: Callable[[str | None], np.ndarray],
    wanted: NDefinition | str | None,
) -> tuple[NDefinition, np.ndarray]:
    """Return the definition and the counts; by default the one every row has, non-embedding first.

    Raises:
        SpecError: no such column, or definitions are mixed; rows are named.

    """
    wanted = NDefinition(wanted) if wanted is not None else None
    if "n_definition" in header and "n" in header:
        said = texts("n_definition")
        first = said[0]
        if np.any(said != first):
            raise SpecError(
                f"{path}: mixed N definitions: {first!r} in row {lines[0]}, others in "
                f"{rows_named(lines[said != first])}",
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
        d: numbers(c) for d, names in N_COLUMNS.items() if (c := column(header, names)) is not None
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
        f"{path}: mixed N definitions: no {d} count in {rows_named(lines[~has[d]])}",
        hint="give every row the same count, or select one source with --source",
    )
