"""Traces of real traffic, read from CSV: when requests came, and how long they and their answers were.

Known by their header, in any order of columns:

    planner    arrival_s,input_tokens,output_tokens
    Azure      TIMESTAMP,ContextTokens,GeneratedTokens
               (github.com/Azure/AzurePublicDataset, LLM inference traces 2023 and 2024)
    BurstGPT   Timestamp,Model,Request tokens,Response tokens,…  (Wang et al., arXiv 2401.17644)

Arrivals count from the first; rows need not be in order.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import Sheet, read_csv
from planner.serving.requests import Requests

FORMATS = {
    "planner": ("arrival_s", "input_tokens", "output_tokens"),
    "Azure": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "BurstGPT": ("Timestamp", "Request tokens", "Response tokens"),
}
_ASK = "columns: arrival_s,input_tokens,output_tokens, or an Azure or BurstGPT trace as it is"


def read_trace(path: str | Path) -> Requests:
    """Read a trace.

    Raises:
        SpecError: no such file, no known header, or a malformed row: says file, line and column.

    """
    sheet = read_csv(path, hint=f"name a CSV file; {_ASK}")
    known = (names for names in FORMATS.values() if set(names) <= set(sheet.header))
    columns = next(known, None)
    if columns is None:
        said = ",".join(sheet.header)
        raise SpecError(f"{path}: line 1: no trace has the columns {said!r}", hint=_ASK)
    rows = [_row(sheet, i, columns) for i in range(len(sheet.rows))]
    rows.sort(key=lambda row: row[0])
    arrival, given, made = (np.array(column) for column in zip(*rows, strict=True))
    return Requests(arrival - arrival[0], given.astype(np.int64), made.astype(np.int64))


def _row(sheet: Sheet, i: int, columns: tuple[str, str, str]) -> tuple[float, int, int]:
    values: list[float] = []
    for name, least in zip(columns, (None, 1, 0), strict=True):
        place = sheet.header.index(name) + 1
        where = f"{sheet.path}: line {sheet.lines[i]}, column {place} ({name})"
        text = sheet.rows[i].get(name)
        if text is None:
            raise SpecError(f"{where}: the row ends before it", hint=_ASK)
        try:
            value = _seconds(text) if least is None else float(int(text))
        except ValueError:
            kind = "a time" if least is None else "a whole number"
            raise SpecError(f"{where}: {text!r} is not {kind}", hint="correct that row") from None
        if not np.isfinite(value) or (least is not None and value < least):
            raise SpecError(f"{where}: {text} is out of range", hint="correct that row")
        values.append(value)
    return values[0], int(values[1]), int(values[2])


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
