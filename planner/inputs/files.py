"""The one reader of users' files: bounded, decoded and parsed, or one error that says what and where.

A file is a regular file, a link to one, or a pipe that somebody writes to; gzipped or not, which its
first bytes say. What it holds is read whole and no further than the limit `bytes` (`planner.limits`),
as it is and as it unpacks; nested no deeper than `DEEPEST`.
"""

import codecs
import csv
import gzip
import io
import json
import math
import os
import re
import select
import stat
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from planner import limits
from planner.errors import MissingExtra, SpecError

if TYPE_CHECKING:  # `planner --help` does without numpy
    import numpy as np
    from numpy.typing import NDArray

LONGEST_CELL = 1 << 20  # characters
PATIENCE_S = 10.0  # with a pipe whose writer is silent
DEEPEST = 100  # tables in tables
MOST_DIGITS = 18  # of a whole number; longer ones are read as the nearest float
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


ABSENT = {"", "nan", "na", "n/a", "none", "null", "-", "–"}


def rows_named(lines: "Sequence[int] | NDArray[Any]", shown: int = 6) -> str:
    """Write a file's lines for an error: ``rows 3, 9, 12 and 4 more``."""
    listed = ", ".join(str(int(i)) for i in lines[:shown])
    more = f" and {len(lines) - shown} more" if len(lines) > shown else ""
    return f"row{'s' if len(lines) > 1 else ''} {listed}{more}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text: its header, its rows by column, and the file's line that each row ends on.

    Cells that a short row lacks are absent; blank lines are no rows.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]

    @classmethod
    def of(cls, rows: list[dict[str, str]], path: Path) -> "Sheet":
        """Return rows that come from something else than a table, each a line of its own."""
        header = tuple(dict.fromkeys(name for row in rows for name in row))
        return cls(path, header, rows, list(range(1, len(rows) + 1)))

    def keep(self, wanted: Callable[[dict[str, str]], bool]) -> "Sheet":
        """Return the rows that are wanted."""
        kept = [i for i, row in enumerate(self.rows) if wanted(row)]
        return Sheet(
            self.path, self.header, [self.rows[i] for i in kept], [self.lines[i] for i in kept]
        )

    def filled(self, known: Mapping[str, str]) -> "Sheet":
        """Return it with what is known where a row says nothing."""
        known = {name: value for name, value in known.items() if value}
        rows = [known | {n: v for n, v in row.items() if v or n not in known} for row in self.rows]
        header = tuple(dict.fromkeys((*self.header, *known)))
        return Sheet(self.path, header, rows, self.lines)

    def numbers(self, name: str) -> "NDArray[np.float64]":
        """Return a column of numbers, NaN where a cell is empty or says NaN, NA, none, -.

        Raises:
            SpecError: a cell holds something else; its line is named.

        """
        import numpy as np

        texts = [row.get(name, "") for row in self.rows]
        values = np.array([_number(text) for text in texts])
        bad = [
            i
            for i, (text, value) in enumerate(zip(texts, values, strict=True))
            if not math.isfinite(value) and text.lower() not in ABSENT
        ]
        if bad:
            found = f"{name} is {texts[bad[0]]!r}, no number"
            places = rows_named([self.lines[i] for i in bad])
            hint = "write plain numbers, e.g. 3e9 or 3000000000"
            raise SpecError(f"{self.path}: {found}, in {places}", hint=hint)
        return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _point(cell: str) -> str:
    """Return a number with a decimal comma as one with a point, all else as it is."""
    dotted = cell.replace(",", ".")
    return dotted if cell.count(",") == 1 and not math.isnan(_number(dotted)) else cell


def read_bytes(path: str | Path, *, hint: str = "name a readable file") -> bytes:
    """Return what a file holds, unpacked; `-` is standard input.

    Raises:
        SpecError: it cannot be read, is a folder or a device, is too large, or is damaged.

    """
    try:
        data = _raw(Path(path), hint)
        if not data.startswith(b"\x1f\x8b"):
            return data
        with gzip.open(io.BytesIO(data)) as packed:
            return _bounded(packed.read, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpecError(f"{path}: damaged gzip: {error}", hint="copy the file again") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint=hint) from None


def _raw(path: Path, hint: str) -> bytes:
    if str(path) == "-":
        return _bounded(sys.stdin.buffer.read, path)
    # A pipe without a writer is not waited for; the flag changes nothing for regular files.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a null byte
        raise SpecError(f"{str(path)!r}: is no name of a file", hint=hint) from None
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        os.close(handle)
        raise SpecError(f"{path}: is a folder", hint=hint)
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a handle, not a path
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            return _bounded(file.read, path)
        if not stat.S_ISFIFO(mode):
            raise SpecError(f"{path}: is neither a file nor a pipe", hint=hint)

        def piece(size: int) -> bytes:
            while (part := file.read(size)) is None:  # somebody has it open, and is at work
                if not select.select([file], [], [], PATIENCE_S)[0]:
                    raise SpecError(f"{path}: nobody writes to this pipe", hint=hint)
            return part

        return _bounded(piece, path)


def _bounded(read: Callable[[int], bytes], path: str | Path) -> bytes:
    parts, size, most = [], 0, limits.greatest("bytes")
    while part := read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > most:
            raise limits.over("bytes", f"{path}")
    return b"".join(parts)


def read_text(path: str | Path, *, hint: str = "name a readable text file") -> str:
    """Return a file's text: UTF-8, or what its byte order mark says; raises as `read_bytes` does."""
    return Content.of(path, hint=hint).text(hint=hint)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, read once: a pipe can be asked what it is, and then read as that."""

    path: Path
    data: bytes

    @classmethod
    def of(cls, path: str | Path, *, hint: str) -> "Content":
        """Read a file; raises as `read_bytes` does."""
        name = "standard input" if str(path) == "-" else path
        return cls(Path(name), read_bytes(path, hint=hint))

    def text(self, *, hint: str, errors: Literal["strict", "replace"] = "strict") -> str:
        """Return its text: UTF-8, or what its byte order mark says.

        Raises:
            SpecError: it is none, and `errors` is strict; says the line.

        """
        data = self.data
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
        try:
            return data.decode(encoding, errors)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SpecError(f"{self.path}: line {line}: not {encoding} text", hint=hint) from None


def read_json(path: str | Path, *, hint: str = "name a JSON file") -> Any:
    """Return what a JSON file says; raises as `read_bytes` does, or because it is no JSON."""
    return json_in(read_text(path, hint=hint), path, hint=hint)


def json_in(text: str, path: str | Path, *, hint: str) -> Any:
    """Return what a JSON text says that `path` held; raises because it is no JSON."""
    try:
        return _json(text)
    except json.JSONDecodeError as error:
        whole = text.rstrip().endswith(("}", "]"))
        what = "not JSON" if whole else "not JSON: the file ends before its JSON does"
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise SpecError(f"{path}: {what} ({where})", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not JSON ({_short(error)})", hint=hint) from None


def _json(text: str) -> Any:
    try:
        return _shallow(json.loads(text, parse_int=_whole))
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), text, 0) from None


def _whole(digits: str) -> int | float:
    if len(digits) > 300:
        raise ValueError(f"a number of {len(digits)} digits: Exceeds the limit of 300")
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def _shallow(data: Any) -> Any:
    """Return what was read, unless tables in it are nested deeper than any file needs."""
    inside, depth = [data], 0
    while (
        inside := [
            v
            for held in inside
            for v in (held.values() if isinstance(held, dict) else held)
            if isinstance(v, dict | list)
        ]
        if depth
        else [v for v in inside if isinstance(v, dict | list)]
    ):
        depth += 1
        if depth > DEEPEST:
            raise RecursionError
    return data


def lines_in(path: str | Path, *, hint: str) -> Iterator[str]:
    """Yield a file's lines, unpacked, one at a time: memory is a line's, however large the file.

    Raises:
        SpecError: it cannot be read, is damaged or no text, or a line is longer than `LONGEST_CELL`.

    """
    name = Path(path)
    try:
        regular = str(path) != "-" and name.is_file()
    except (OSError, ValueError):
        regular = False
    if not regular:  # a pipe is read whole, and bounded; what cannot be read says why
        yield from read_text(path, hint=hint).splitlines()
        return
    try:
        with name.open("rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        with gzip.open(name, "rb") if packed else name.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_CELL):
                number += 1
                if len(line) == LONGEST_CELL:
                    raise SpecError(f"{path}: line {number}: longer than 1 MiB", hint=hint)
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: line {number}: not utf-8 text", hint=hint) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpecError(f"{path}: damaged gzip: {error}", hint="copy the file again") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint=hint) from None


def documents_in(text: str, path: str | Path, *, hint: str) -> list[Any]:
    """Return what a text holds, whatever it is written in: JSON, JSON lines, YAML, or a table's rows.

    Raises:
        SpecError: it is none of these.
        MissingExtra: it is YAML, and PyYAML is not installed.

    """
    bare = text.lstrip()
    if not bare:
        raise SpecError(f"{path}: holds nothing", hint=hint)
    try:
        if bare.startswith(("{", "[")):
            lines = [line for line in text.splitlines() if line.strip()]
            try:
                return [_json(text)]
            except json.JSONDecodeError:
                if len(lines) < 2 or not all(line.rstrip().endswith("}") for line in lines[:2]):
                    return [json_in(text, path, hint=hint)]
                return [_json_line(line, i, path, hint) for i, line in enumerate(lines, 1)]
        if Path(path).suffix.removesuffix(".gz") in (".yaml", ".yml") or _YAML.match(bare):
            return _yaml_in(text, path, hint)
    except RecursionError:
        raise SpecError(f"{path}: nested too deep", hint=hint) from None
    return list(csv_in(text, path, hint=hint).rows)


_YAML = re.compile(r"(---\s|[\w.-]+:\s*(\n|[^\n,;\t]*\n))")


def _json_line(line: str, number: int, path: str | Path, hint: str) -> Any:
    try:
        return _json(line)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}: line {number}: not JSON: {error.msg}", hint=hint) from None


def _yaml_in(text: str, path: str | Path, hint: str) -> list[Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtra.of("PyYAML", extra="yaml") from None
    try:
        return [_shallow(one) for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        what = str(error).partition("\n")[0]
        raise SpecError(f"{path}: not YAML: {what}", hint=hint) from None


def read_toml(path: str | Path, *, hint: str = "see any shipped file") -> dict[str, Any]:
    """Return what a TOML file says; raises as `read_bytes` does, or because it is no TOML."""
    text = read_text(path, hint=hint)
    try:
        found: dict[str, Any] = _shallow(tomllib.loads(text))
        return found
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not TOML: {_short(error)}", hint=hint) from None


def _short(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]


def read_csv(path: str | Path, *, hint: str = "name a CSV file with a header") -> Sheet:
    """Return a table of text; the header decides between commas, semicolons and tabs.

    Raises:
        SpecError: as `read_bytes`, or it is no table: says the line.

    """
    return csv_in(read_text(path, hint=hint), path, hint=hint)


def csv_in(text: str, path: str | Path, *, hint: str) -> Sheet:
    """Return the table of a text that `path` held; raises because it is none: says the line."""
    header: tuple[str, ...] = ()
    rows, lines = [], []
    for header, line, row in csv_rows(text, path, hint=hint):  # noqa: B007 - the last is as the first
        rows.append(row)
        lines.append(line)
    return Sheet(Path(path), header, rows, lines)


def csv_rows(
    text: str, path: str | Path, *, hint: str
) -> Iterator[tuple[tuple[str, ...], int, dict[str, str]]]:
    """Yield the header, the line and the cells of each row of a table, one at a time.

    Raises:
        SpecError: it is no table, or has no rows: says the line.

    """
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    some = False

    def fault(what: str, hint: str = hint) -> SpecError:
        return SpecError(f"{path}: line {reader.line_num}: {what}", hint=hint)

    try:
        header = tuple(name.strip() for name in next(reader, []))
        named = [name for name in header if name]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise fault(f"two columns are called {twice!r}")
        for cells in reader:
            if any(cells[len(header) :]):
                what = f"{len(cells)} cells for {len(header)} columns"
                raise fault(what, hint="a cell with a comma in it stands in quotes")
            if any(cells):
                found = map(str.strip, cells)
                # Where semicolons separate, a comma is the decimal sign: much of Europe's sheets.
                found = map(_point, found) if delimiter == ";" else found
                some = True
                yield header, reader.line_num, dict(zip(header, found, strict=False))
    except csv.Error as error:
        raise fault(f"not CSV: {error}") from None
    if not some:
        raise SpecError(f"{path}: no rows below a header", hint=hint)
