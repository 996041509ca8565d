"""Traces of real traffic, read from CSV: when requests came, and how long they and their answers were.

Known by their header, in any order of columns:

    planner    arrival_s,input_tokens,output_tokens
    Azure      TIMESTAMP,ContextTokens,GeneratedTokens
               (github.com/Azure/AzurePublicDataset, LLM inference traces 2023 and 2024)
    BurstGPT   Timestamp,Model,Request tokens,Response tokens,…  (Wang et al., arXiv 2401.17644)

Arrivals count from the first; rows need not be in order.
"""

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.errors import SpecError
from planner.inputs.files import Content, csv_rows
from planner.serving.requests import Requests

FORMATS = {
    "planner": ("arrival_s", "input_tokens", "output_tokens"),
    "Azure": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "BurstGPT": ("Timestamp", "Request tokens", "Response tokens"),
}
# The least that a column may hold; of times, nothing is said.
_LEAST = {names[i]: least for names in FORMATS.values() for i, least in ((1, 1), (2, 0))}
_ASK = "columns: arrival_s,input_tokens,output_tokens, or an Azure or BurstGPT trace as it is"


def read_trace(path: str | Path) -> Requests:
    """Read a trace, a row at a time: beside the text, it takes 24 bytes a request.

    Raises:
        SpecError: no such file, no known header, or a malformed row: says file, line and column.

    """
    arrival, given, made = _columns(path, FORMATS.values(), _ASK)
    order = np.argsort(arrival, kind="stable")
    return Requests((arrival - arrival.min())[order], _whole(given)[order], _whole(made)[order])


def read_lengths(path: str | Path) -> Requests:
    """Read lengths alone, to be drawn from: a CSV with input_tokens and output_tokens, or any trace.

    Raises:
        SpecError: no such file, no such columns, or a malformed row: says file, line and column.

    """
    known = (names[1:] for names in FORMATS.values())
    given, made = _columns(path, known, "columns: input_tokens,output_tokens")
    return Requests(np.zeros(len(given)), _whole(given), _whole(made))


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return values.astype(np.int64)


def _columns(
    path: str | Path, known: Iterable[tuple[str, ...]], ask: str
) -> list[NDArray[np.float64]]:
    """Return the numbers of the first of the `known` sets of columns that a file has."""
    hint = f"name a CSV file; {ask}"
    text = Content.of(path, hint=hint).text(hint=hint)
    names: tuple[str, ...] = ()
    columns: list[array[float]] = []
    for header, line, row in csv_rows(text, path, hint=hint):
        if not names:
            names = next((n for n in known if set(n) <= set(header)), ())
            if not names:
                said = ",".join(header)
                raise SpecError(f"{path}: line 1: no trace has the columns {said!r}", hint=ask)
            columns = [array("d") for _ in names]
        for column, name in zip(columns, names, strict=True):
            where = f"{path}: line {line}, column {header.index(name) + 1} ({name})"
            column.append(_cell(row.get(name), _LEAST.get(name), where))
    return [np.frombuffer(column) for column in columns]


def _cell(text: str | None, least: int | None, where: str) -> float:
    if text is None:
        raise SpecError(f"{where}: the row ends before it", hint=_ASK)
    try:
        value = _seconds(text) if least is None else float(int(text))
    except ValueError:
        kind = "a time" if least is None else "a whole number"
        raise SpecError(f"{where}: {text!r} is not {kind}", hint="correct that row") from None
    if not np.isfinite(value) or (least is not None and value < least):
        raise SpecError(f"{where}: {text} is out of range", hint="correct that row")
    return value


def _seconds(text: str) -> float:
    """Return seconds as written, or of a date and time since 1970."""
    try:
        return float(text)
    except ValueError:
        # Azure writes seven decimals, fromisoformat reads six.
        head, dot, tail = text.partition(".")
        if dot:
            digits = tail[: next((i for i, c in enumerate(tail) if not c.isdigit()), len(tail))]
            text = f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}"
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
