"""A CSV as people save it: commas, semicolons or tabs, a byte-order mark, decimal commas; rows by number."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from planner.errors import SpecError

ABSENT = {"", "nan", "na", "n/a", "none", "null", "-", "–"}


def where(rows: Sequence[int] | np.ndarray, shown: int = 6) -> str:
    """Write row numbers for an error: ``rows 3, 9, 12 and 4 more``."""
    listed = ", ".join(str(int(i)) for i in rows[:shown])
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"


def read_table(path: Path | str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header and the rows of a CSV; the header decides the delimiter.

    Raises:
        SpecError: there is no such file, it is no text, or it holds no rows.

    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=delimiter)
            header, rows = [h.strip() for h in reader.fieldnames or []], list(reader)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint="name a readable CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{path}: not a CSV: {error}", hint="write comma-separated UTF-8") from None
    if not rows:
        raise SpecError(f"{path}: no rows", hint="one line a trained model, below a header")
    # Where semicolons separate, a comma is the decimal sign (spreadsheets in much of Europe).
    comma = delimiter == ";"
    clean = []
    for row in rows:
        cells = [row.get(h) or "" for h in reader.fieldnames or []]
        clean.append(
            dict(zip(header, (_decimal(v) if comma else v.strip() for v in cells), strict=True))
        )
    return header, clean


def _decimal(text: str) -> str:
    text = text.strip()
    dotted = text.replace(",", ".")
    return dotted if text.count(",") == 1 and not np.isnan(_number(dotted)) else text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def numbers(path: Path | str, name: str, texts: Sequence[str], rows: Sequence[int]) -> np.ndarray:
    """Return a column of numbers, NaN where a cell is empty (or says NaN, NA, none, -).

    Raises:
        SpecError: a cell holds something else; its row is named.

    """
    values = np.array([_number(t) for t in texts])
    bad = [
        i
        for i, (t, v) in enumerate(zip(texts, values, strict=True))
        if np.isnan(v) and t.strip().lower() not in ABSENT
    ]
    if bad:
        raise SpecError(
            f"{path}: {name} is {texts[bad[0]]!r}, no number, in {where([rows[i] for i in bad])}",
            hint="write plain numbers, e.g. 3e9 or 3000000000",
        )
    return values
