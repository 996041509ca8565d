"""A space searched and only its fronts kept: chunk by chunk here, or piece by piece over a cluster.

A piece is a part of the space that is cut the same way whoever cuts it; what is left of it, counts and
fronts, is some kilobytes. Written to a journal as it comes in, it is not searched again by whoever
asks the same question of the same data.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, Self

import numpy as np

from planner import __version__, cluster
from planner.columns import Table
from planner.errors import OutputError, PlannerError, SpecError
from planner.inputs.files import read_text
from planner.questions.recommend.limits import Tally
from planner.questions.recommend.pareto import Front
from planner.questions.recommend.space import Space
from planner.scenario.evaluate import THREADS
from planner.scenario.joint import Block, evaluate_joint
from planner.scenario.scenario import Resolved

Progress = Callable[[int], None]
PIECE_ROWS = 2**23  # shapes times conditions: about a second of one processor
LEAST_SHAPES = 2**17  # so many share what is computed once
HEADER = "planner search"


@dataclass(slots=True)
class Count:
    """What was met of the rows of one place."""

    tally: Tally
    fewest: float = np.inf  # devices on which a shape is served as asked

    def merge(self, other: "Count") -> None:
        """Add what was counted of other rows."""
        self.tally.merge(other.tally)
        self.fewest = min(self.fewest, other.fewest)


class Sought(Protocol):
    """What is looked for among shapes."""

    @property
    def under(self) -> Sequence[Resolved]:
        """Conditions that every shape is evaluated under."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked of each."""

    @property
    def fronts(self) -> tuple[str, ...]:
        """Names of the fronts that are kept."""

    def counts(self) -> list[Count]:
        """Return counts of nothing."""

    def look(self, block: Block, counts: list[Count]) -> Iterator[tuple[str, Table]]:
        """Yield the rows of a block that may be on each front, and count it."""


@dataclass(slots=True)
class Left:
    """What is left of some shapes: how many rows there were, counts, and fronts."""

    n: int
    counts: list[Count]
    fronts: dict[str, Table]

    def record(self) -> dict[str, Any]:
        """Return it for a journal."""
        return {
            "n": self.n,
            "counts": [
                {
                    "n_evaluated": c.tally.n_evaluated,
                    "n_feasible": c.tally.n_feasible,
                    "nearest": c.tally.nearest,
                    "dropped": dict(c.tally.dropped),
                    "fewest": c.fewest,
                }
                for c in self.counts
            ],
            "fronts": {
                k: {n: np.asarray(c).tolist() for n, c in t.items()} for k, t in self.fronts.items()
            },
        }

    @classmethod
    def of(cls, record: Any, counts: list[Count]) -> "Left":
        """Read it from a journal; raises KeyError, TypeError or ValueError where it is none."""
        for c, told in zip(counts, record["counts"], strict=True):
            c.tally.n_evaluated, c.tally.n_feasible = told["n_evaluated"], told["n_feasible"]
            c.tally.nearest.update(told["nearest"])
            c.tally.dropped.update(told["dropped"])
            c.fewest = float(told["fewest"])
        fronts = {
            k: {n: np.asarray(c, np.float64) for n, c in t.items()}
            for k, t in record["fronts"].items()
        }
        return cls(int(record["n"]), counts, fronts)


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a search is done, and what is written of it on the way."""

    ray: str | None = None  # address of a cluster; None: here
    journal: Path | None = None
    piece_rows: int = PIECE_ROWS

    @classmethod
    def of(cls, ray: str | None, journal: str | Path | None) -> "Spread | None":
        """Return what is asked for; None: chunk by chunk here, and nothing is written."""
        if ray is None and journal is None:
            return None
        return cls(ray, None if journal is None else Path(journal))


def search(
    space: Space, sought: Sought, progress: Progress | None = None, spread: Spread | None = None
) -> Left:
    """Return what is left of a space.

    Args:
        space: shapes.
        sought: what is looked for.
        progress: called with the number of rows evaluated so far.
        spread: where else than in threads here.

    Raises:
        MissingExtra: a cluster is asked for and Ray is not installed.
        OutputError: the journal cannot be written.
        PlannerError: a piece that no worker brought to its end.
        SpecError: no cluster answers, or the journal is none.

    """
    running = {key: Front() for key in sought.fronts}
    if spread is None:
        return _gathered(_chunks(space, sought, running), sought, running, progress)
    return _gathered(_pieces(space, sought, spread), sought, running, progress)


def _gathered(
    found: Iterable[Left], sought: Sought, running: dict[str, Front], progress: Progress | None
) -> Left:
    """Return together what comes in."""
    total = Left(0, sought.counts(), {})
    for left in found:
        for mine, theirs in zip(total.counts, left.counts, strict=True):
            mine.merge(theirs)
        for key, table in left.fronts.items():
            running[key].add(table)
        total.n += left.n
        if progress:
            progress(total.n)
    return Left(total.n, total.counts, _levels(running))


def _levels(fronts: dict[str, Front]) -> dict[str, Table]:
    return {k: t for k, front in fronts.items() if (t := front.all_levels()) is not None}


def _chunks(
    space: Space, sought: Sought, running: dict[str, Front], threads: int = THREADS
) -> Iterator[Left]:
    """Search chunk by chunk; rows that are beaten by those found before are dropped at once."""

    def left_of(blocks: Iterator[Block]) -> Left:
        counts, n = sought.counts(), 0
        best = {key: Front(beside=front) for key, front in running.items()}
        for block in blocks:
            for key, rows in sought.look(block, counts):
                best[key].add(rows)
            n += len(block) * len(sought.under)
        return Left(n, counts, _levels(best))

    return evaluate_joint(space.chunks(), sought.under, sought.names, left_of, threads)


def search_piece(sought: Sought, part: Space, threads: int = 1) -> Left:
    """Return what is left of a piece: what a worker of a cluster does."""
    running = {key: Front() for key in sought.fronts}
    return _gathered(_chunks(part, sought, running, threads), sought, running, None)


def _pieces(space: Space, sought: Sought, spread: Spread) -> Iterator[Left]:
    """Search piece by piece, but for those the journal has."""
    key = _key(space, sought, spread)
    shapes = max(spread.piece_rows // len(sought.under), LEAST_SHAPES)
    done = {} if spread.journal is None else read_journal(spread.journal, key)
    todo: list[tuple[int, Space]] = []
    for i, part in enumerate(space.pieces(shapes)):
        if i in done:
            yield Left.of(done.pop(i), sought.counts())
        else:
            todo.append((i, part))
    with _Journal(spread.journal, key) as journal:
        for i, left in _searched(todo, sought, spread.ray):
            journal.write(i, left)
            yield left


def _searched(
    todo: Sequence[tuple[int, Space]], sought: Sought, address: str | None
) -> Iterator[tuple[int, Left]]:
    if address is None:
        for i, part in todo:
            yield i, search_piece(sought, part, THREADS)
        return
    with cluster.connected(address) as ray:
        for i, left in cluster.spread(ray, search_piece, todo, (sought,)):
            if isinstance(left, cluster.Lost):
                if isinstance(left.cause, PlannerError):
                    raise left.cause
                hint = "ask again with the same --journal: what came to its end is kept"
                raise PlannerError(f"a piece of the search was lost: {left.words}", hint=hint)
            yield i, left


def _key(space: Space, sought: Sought, spread: Spread) -> str:
    """Return what tells a search and all it looks up from others."""
    looked_up = [(r.deployment, r.load, r.kind.name, r.trained, r.terms) for r in sought.under]
    asked = space.question.model_dump_json(), space.layers, space.head_dims, sought.names
    told = repr((__version__, asked, sought.fronts, spread.piece_rows, looked_up))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def read_journal(path: Path, key: str) -> dict[int, Any]:
    """Return what is on record of a search, by piece; nothing where there is no file yet.

    A last line that was cut while it was written is left out.

    Raises:
        SpecError: the file is no journal.

    """
    if not path.exists():
        return {}
    found: dict[int, Any] = {}
    lines = read_text(path).split("\n")
    try:
        if lines[0] and HEADER not in json.loads(lines[0]):
            raise ValueError
        for line in lines[1:-1]:
            row = json.loads(line)
            if row["search"] == key:
                found[int(row["piece"])] = row
    except (ValueError, KeyError, TypeError):
        raise SpecError(
            f"--journal {path}: no journal of a search", hint="give the name of a new file"
        ) from None
    return found


class _Journal:
    """A file that gets a line a piece as it ends; without a path, none."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._file = self._path.open("r+b" if self._path.exists() else "w+b")
            text = self._file.read()
            self._file.truncate(text.rfind(b"\n") + 1)  # what was cut while it was written
            self._file.seek(0, os.SEEK_END)
            if not self._file.tell():
                self._line({HEADER: __version__})
        except OSError as error:
            raise OutputError(f"--journal {self._path}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, i: int, left: Left) -> None:
        if self._file is not None:
            self._line({"search": self._key, "piece": i} | left.record())

    def _line(self, row: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
