"""Traces of real traffic: when requests came, how long they and their answers were, what they share.

A column is known by its role's names, whatever their case, spaces or underscores. CSV, TSV and JSON
lines, gzipped or not, are read a line at a time: Azure (github.com/Azure/AzurePublicDataset), BurstGPT
(arXiv 2401.17644), Mooncake (arXiv 2407.00079), Vidur (2405.05465), Splitwise (2311.18677),
LLMServingSim, and logs of requests.

Arrivals count from the first; rows need not be in order. A row that is malformed is left out and counted.
"""

import csv
import itertools
import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import SpecError
from planner.inputs.files import documents_in, lines_in
from planner.serving.requests import Drawn, Requests, draw

ROLES = {  # as `_plain` writes a name
    "arrival": (
        "arrivals arrivaltime arrivaltimes arrivaltimestamp arrivaltimens arrivaltimeus arrivaltimems "
        "arrivalms arrivalns arrivalus arrivedat arrival timestamp timestamps timestampms timestampus "
        "timestampns ts time starttime starttimes starttimems requesttime requesttimestamp senttime "
        "sendtime sentat submittime created createdat"
    ),
    "input": (
        "inputtokens inputtoks inputlength inputlen ninputtokens numinputtokens contexttokens "
        "requesttokens prompttokens prompttoks promptlength promptlen promptsize nprompttokens "
        "numprompttokens numprefilltokens prefilltokens isl inputsequencelength inputtokenlength "
        "usageprompttokens usageinputtokens"
    ),
    "output": (
        "outputtokens outputtoks outputlength outputlen noutputtokens numoutputtokens generatedtokens "
        "generationtokens numgeneratedtokens numgenerationtokens ngeneratedtokens responsetokens "
        "responselength responselen completiontokens completionlength numcompletiontokens "
        "numdecodetokens decodetokens tokensize osl outputsequencelength outputtokenlength "
        "usagecompletiontokens usageoutputtokens"
    ),
    "blocks": "hashids blockhashes blockhashids prefixhashids prefixblocks blockids",
    "session": "sessionid conversationid chatid session conversation",
    "text": "prompt prompts text messages conversations body input query question content",
}
_SUFFIX_S = (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3))
_EPOCH_S = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))  # what counts from 1970 is so large
_BLOCK_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048)
ASK = "columns: arrival_s,input_tokens,output_tokens, or a public trace as it is"


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, and what is to be said of it."""

    requests: Requests
    left_out: int = 0  # rows
    why: str = ""  # of the first of them
    prefix_hit: float = 0.0  # share of prompt tokens in blocks that an earlier prompt began with
    sessions: int = 0
    drawn_rate_per_s: float | None = None  # where it has lengths only
    unit: str = "s"  # of its arrivals

    @property
    def words(self) -> str:
        """Say rows, span, rate, mean lengths, and what was left out."""
        r, n = self.requests, len(self.requests)
        span = float(r.arrival_s[-1])
        said = [f"{n:,} requests over {span:,.4g} s"]
        if span > 0:
            said[0] += f" ({(n - 1) / span:.3g} a second)"
        said.append(f"mean {r.input_tokens.mean():,.0f} in, {r.output_tokens.mean():,.0f} out")
        if self.unit != "s":
            said.append(f"arrivals read as {self.unit}")
        if self.drawn_rate_per_s:
            said.append("no arrivals in it: drawn at the rate")
        if self.prefix_hit:
            said.append(f"{self.prefix_hit:.1%} of prompt tokens in shared prefix blocks")
        if self.sessions:
            said.append(f"{self.sessions:,} sessions")
        if self.left_out:
            rows = "1 row" if self.left_out == 1 else f"{self.left_out:,} rows"
            said.append(f"{rows} left out, the first: {self.why}")
        return "; ".join(said)


@dataclass(slots=True)
class _Read:
    """What has been read so far: 24 bytes a request, whatever the file holds besides."""

    arrival: "array[float]" = field(default_factory=lambda: array("d"))
    given: "array[int]" = field(default_factory=lambda: array("q"))
    made: "array[int]" = field(default_factory=lambda: array("q"))
    left_out: int = 0
    why: str = ""
    seen: set[int] = field(default_factory=set)  # prefix blocks
    shared: float = 0.0  # tokens in blocks that an earlier prompt began with
    block_tokens: float | None = None  # where the format says it, else of the first row
    sessions: set[int] = field(default_factory=set)


def read_trace(path: str | Path, rate_per_s: float | None = None, seed: int = 0) -> Trace:
    """Read a trace.

    Args:
        path: CSV, TSV or JSON lines, gzipped or not.
        rate_per_s: arrivals a second, for a trace of lengths only.
        seed: of the arrivals that are drawn for it.

    Raises:
        SpecError: no such file, columns whose role is not known, text that nobody counted, lengths
            without arrivals or a rate, or no row that is whole; says file, line and column.

    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise SpecError(f"{path}: no rows", hint=f"name a CSV or JSON lines; {ASK}")
    names = list(first[1])
    columns = {role: _column(names, role) for role in ROLES}
    timed = _require(path, names, columns, rate_per_s)
    unit_s = _unit_s(names, columns["arrival"]) if timed else None
    read = _Read(block_tokens=_block_tokens(names))
    for line, row in itertools.chain([first], rows):
        _take(read, row, line, columns, timed)
    if not read.given:
        raise SpecError(f"{path}: {read.why}", hint="correct that row; none can be used")
    given, made = np.array(read.given), np.array(read.made)
    hit = read.shared / float(given.sum())
    if not timed:
        assert rate_per_s is not None  # _require asked
        coming = draw(Drawn(len(given), 1, 1, rate_per_s=rate_per_s, seed=seed)).arrival_s
        requests = Requests(coming - coming[0], given, made)
        return Trace(requests, read.left_out, read.why, hit, len(read.sessions), rate_per_s)
    arrival = np.array(read.arrival)
    if unit_s is None:
        unit_s = next((s for least, s in _EPOCH_S if np.median(arrival) >= least), 1.0)
    order = np.argsort(arrival, kind="stable")
    arrival = (arrival[order] - arrival[order[0]]) * unit_s
    unit = {1e-3: "ms", 1e-6: "us", 1e-9: "ns"}.get(unit_s, "s")
    requests = Requests(arrival, given[order], made[order])
    sessions = len(read.sessions)
    return Trace(requests, read.left_out, read.why, hit, sessions, unit=unit)


def read_lengths(path: str | Path) -> Requests:
    """Read lengths alone, to be drawn from: a table with input_tokens and output_tokens, or any trace.

    Raises:
        SpecError: no such file, no such columns, or no row that can be used.

    """
    return read_trace(path, rate_per_s=1.0).requests


def _require(
    path: str | Path, names: list[str], columns: Mapping[str, str], rate_per_s: float | None
) -> bool:
    """Return whether a trace has arrivals; refuse what cannot be replayed."""
    missing = [role for role in ("input", "output") if not columns[role]]
    said = ",".join(names)[:200]
    if missing and columns["text"]:
        what = f"{columns['text']!r} is text, and nothing counts its tokens"
        raise SpecError(
            f"{path}: {what}",
            hint="count them with the model's tokenizer: input_tokens,output_tokens",
        )
    if missing:
        raise SpecError(f"{path}: line 1: no trace has the columns {said!r}", hint=ASK)
    if not columns["arrival"] and rate_per_s is None:
        raise SpecError(
            f"{path}: has lengths and no arrivals", hint="say how often they come: --rate 4/s"
        )
    return bool(columns["arrival"])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _column(names: list[str], role: str) -> str:
    """Return the column of a role: the first of its names that the file has."""
    known = {_plain(name): name for name in reversed(names)}
    return next((known[word] for word in ROLES[role].split() if word in known), "")


def _unit_s(names: list[str], column: str) -> float | None:
    """Return the unit of a column of arrivals, in seconds, where its name or its neighbours say it."""
    plain = _plain(column)
    for suffix, seconds in _SUFFIX_S:
        if plain.endswith(suffix) and not plain.endswith("timestamps"):
            return seconds
    return 1e-3 if _is_mooncake(names) and not _is_qwen(names) else None


def _is_mooncake(names: list[str]) -> bool:
    """Whether arrivals are milliseconds and blocks 512 tokens, as Mooncake's README says."""
    return {"timestamp", "inputlength", "outputlength"} <= {_plain(name) for name in names}


def _is_qwen(names: list[str]) -> bool:
    """Whether it has Mooncake's columns and chats: Qwen's traces, in seconds and blocks of 16."""
    return bool({_plain(name) for name in names} & {"chatid", "parentchatid", "turn"})


def _block_tokens(names: list[str]) -> float | None:
    if not _is_mooncake(names):
        return None
    return 16.0 if _is_qwen(names) else 512.0


def _rows(path: str | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a table, JSON lines, or a list of objects, with their lines."""
    lines = lines_in(path, hint=f"name a CSV or JSON lines; {ASK}")
    filled = ((i, line) for i, line in enumerate(lines, 1) if line.strip())
    number, first = next(filled, (0, ""))
    start = first.lstrip("\ufeff \t")
    if start.startswith("["):
        whole = documents_in("\n".join([first, *lines]), path, hint=ASK)
        listed = whole[0] if isinstance(whole[0], list) else []
        yield from ((i, _flat(row)) for i, row in enumerate(listed, 1) if isinstance(row, dict))
    elif start.startswith("{"):
        for line, text in enumerate(itertools.chain([start], lines), number):
            if text.strip():
                yield line, _object(text)
    elif start:
        yield from _table(itertools.chain([start], lines), number, path)


def _object(text: str) -> Mapping[str, Any]:
    """Return what a line says; a line that is no object has no column."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return _flat(found) if isinstance(found, dict) else {}


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row with the fields of its objects beside its own: usage.prompt_tokens."""
    if not any(isinstance(value, dict) for value in row.values()):
        return row
    inner = {f"{k}.{n}": x for k, v in row.items() if isinstance(v, dict) for n, x in v.items()}
    return {**row, **inner}


def _table(
    lines: Iterator[str], number: int, path: str | Path
) -> Iterator[tuple[int, dict[str, str]]]:
    head = next(lines)
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(itertools.chain([head], lines), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if any(cells):
                yield (
                    number + reader.line_num - 1,
                    dict(itertools.zip_longest(header, cells[: len(header)], fillvalue="")),
                )
    except csv.Error as error:
        line = number + reader.line_num - 1
        raise SpecError(f"{path}: line {line}: not CSV: {error}", hint=ASK) from None


def _take(
    read: _Read, row: Mapping[str, Any], line: int, columns: Mapping[str, str], timed: bool
) -> None:
    try:
        given = _tokens(row, columns["input"], 1)
        made = _tokens(row, columns["output"], 0)
        arrival = _time(row, columns["arrival"]) if timed else 0.0
    except ValueError as error:
        read.left_out += 1
        read.why = read.why or f"line {line}, {error}"
        return
    read.arrival.append(arrival)
    read.given.append(given)
    read.made.append(made)
    if columns["blocks"]:
        _blocks(read, row.get(columns["blocks"]), given)
    if columns["session"] and (session := row.get(columns["session"])) not in (None, ""):
        read.sessions.add(hash(str(session)))


def _tokens(row: Mapping[str, Any], column: str, least: int) -> int:
    value = row.get(column)
    try:
        number = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"column {column}: {_short(value)} is not a whole number")
    if not least <= number < 1e9:
        raise ValueError(f"column {column}: {number:g} is out of range")
    return int(number)


def _time(row: Mapping[str, Any], column: str) -> float:
    value = row.get(column)
    try:
        found = _seconds(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"column {column}: {_short(value)} is not a time")
    return found


def _short(value: Any) -> str:
    return repr(value)[:40]


def _blocks(read: _Read, value: Any, given: int) -> None:
    """Count the blocks that a prompt begins with and an earlier one had: a cache of no bound."""
    if isinstance(value, str):
        value = re.findall(r"-?\w+", value)
    if not isinstance(value, list) or not value:
        return
    ids = [hash(str(block)) for block in value]
    if read.block_tokens is None:  # the last block may be short
        sizes = (b for b in _BLOCK_TOKENS if math.ceil(given / b) == len(ids))
        read.block_tokens = next(sizes, given / len(ids))
    shared = next((i for i, block in enumerate(ids) if block not in read.seen), len(ids))
    read.shared += min(shared * read.block_tokens, given - 1)
    read.seen.update(ids)


def _seconds(text: str) -> float:
    """Return seconds as written, or of a date and time since 1970."""
    try:
        return float(text)
    except ValueError:
        # Azure writes seven decimals, fromisoformat reads six.
        head, dot, tail = text.strip().partition(".")
        if dot:
            digits = tail[: next((i for i, c in enumerate(tail) if not c.isdigit()), len(tail))]
            text = f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}"
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
