"""Many shapes under several conditions at once: what shapes and conditions share is computed once.

Shapes come in chunks of a quarter of a million; the equations of all conditions are read once, as a graph
(`planner.scenario.columnwise`), and run on the grids of each chunk. A row is a shape under one of the
conditions.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from planner.columns import Arch, Table
from planner.cost import memory
from planner.equation import reading, remembering
from planner.inputs.model import llama_arch
from planner.metrics import METRICS, QUALITY
from planner.scenario.columnwise import BLOCK_ROWS, Program
from planner.scenario.evaluate import RATIOS, SHAPE, THREADS, Evaluation
from planner.scenario.grids import Grids
from planner.scenario.scenario import Resolved
from planner.scenario.traced import Trace, UntraceableError

T = TypeVar("T")
CHUNK_ROWS = 2**18  # of shapes: their columns, a dozen indices and tables take some 200 MB
FEW = 2**14  # shapes that are evaluated row by row before the equations are read
# What is looked at of the cache itself, whether it binds or not.
STORED = frozenset(
    {n for n, m in METRICS.items() if m.group == "memory"} | {"kv_utilisation", *QUALITY, *RATIOS}
)
PATHS = ("roomy", "tight")
ROOMY = {
    "max_concurrency",
    "kv_tokens",
}  # equations of what fits: all there is, where it binds nobody


@dataclass(frozen=True, slots=True)
class Block:
    """Shapes side by side, and what is asked of them under each of the conditions.

    The columns of `tables` are overwritten by the next block: copy what is kept.
    """

    shapes: Table
    tables: list[Table]

    def __len__(self) -> int:
        return len(self.shapes["d_model"])


@dataclass(frozen=True, slots=True)
class Read:
    """One set of conditions, as graphs of what is asked."""

    stored: dict[str, Any]  # what does not go through how many fit
    fits: Any  # whether all requests of the workload fit at once
    roomy: dict[str, Any]  # the rest, where they do
    tight: dict[str, Any]  # and where they do not


class Joint:
    """Conditions, and the names of what is asked of every shape under each of them."""

    def __init__(self, resolved: Sequence[Resolved], names: Sequence[str]) -> None:
        """Read the equations; conditions whose equations look at values are computed row by row."""
        self.resolved, self.names = tuple(resolved), tuple(names)
        self.trace = Trace([n for n in SHAPE if n != "vocab_size"])
        self._read: dict[float, list[Read | None]] = {}

    def read(self, vocab_size: float) -> list[Read | None]:
        """Return the graphs of each of the conditions; None where equations look at values."""
        if vocab_size not in self._read:
            self._read[vocab_size] = [self._graphs(r, vocab_size) for r in self.resolved]
        return self._read[vocab_size]

    def _graphs(self, r: Resolved, vocab_size: float) -> Read | None:
        arch = llama_arch({**self.trace.columns, "vocab_size": vocab_size})
        stored = [n for n in self.names if n in STORED]
        moving = [n for n in self.names if n not in STORED]
        try:
            with remembering():
                e = Evaluation(r, arch)
                known = {n: e[n] for n in stored}
                tight = {n: e[n] for n in moving}
                fits = self._fits(e)
            with reading(_roomy):
                roomy = Evaluation(r, arch)
                return Read(known, fits, {n: roomy[n] for n in moving}, tight)
        except UntraceableError:
            return None

    @staticmethod
    def _fits(e: Evaluation) -> Any:
        """Return whether an engine's share of the requests all fit at once, at their full length."""
        s, w = e.system, e.resolved.kind.engine(e.load)
        most = np.minimum(w.batch, s.limits.max_num_seqs)
        length = w.input_tokens + w.output_tokens
        at_once = memory.max_concurrency(s, w) >= most
        return np.logical_and(at_once, memory.kv_tokens(s, w) >= w.batch * length)

    def row_by_row(self, shapes: Table) -> Iterator[Block]:
        """Evaluate a chunk of shapes as they are, block by block: of few, sooner than equations are read."""
        rows = _rows(shapes)
        for start in range(0, rows, BLOCK_ROWS):
            block = slice(start, min(start + BLOCK_ROWS, rows))
            own = {name: _of(shapes[name], block, block.stop - start) for name in SHAPE}
            yield Block(own, [self._plain(i, own) for i in range(len(self.resolved))])

    def blocks(self, shapes: Table) -> Iterator[Block]:
        """Evaluate a chunk of shapes, block by block.

        Args:
            shapes: the columns of a shape; a number where all rows share one.

        """
        names = self.trace.columns
        grids = Grids({n: shapes[n] for n in names})
        read = self.read(float(shapes["vocab_size"]))
        always: dict[Any, Any] = {}
        for i, r in enumerate(read):
            if r is not None:
                always |= {(i, n): v for n, v in r.stored.items()} | {(i, "fits"): r.fits}
        none: dict[str, Any] = {}
        programs = [
            _Later(grids, outputs)
            for outputs in (always, *(getattr(r, k) if r else none for r in read for k in PATHS))
        ]
        for start in range(0, grids.rows, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, grids.rows))
            n = rows.stop - rows.start
            own = {name: _of(shapes[name], rows, n) for name in SHAPE}
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                stored, *paths = programs
                found = stored.run(rows)
                tables = []
                for i, r in enumerate(read):
                    if r is None:
                        tables.append(self._plain(i, own))
                        continue
                    table = {name: found[i, name] for name in r.stored}
                    fits = np.broadcast_to(found[i, "fits"], (n,))
                    table |= _by_fit(paths[2 * i], paths[2 * i + 1], fits, rows)
                    tables.append({name: np.broadcast_to(c, (n,)) for name, c in table.items()})
            grids.tables.clear()  # what is gathered from is in programs, the way to it takes memory
            yield Block(own, tables)

    def _plain(self, i: int, shapes: Table) -> Table:
        return Evaluation(self.resolved[i], llama_arch(shapes)).table(self.names)


class _Later:
    """A program that is made when it is first run, with buffers of its own."""

    def __init__(self, grids: Grids, outputs: dict[Any, Any]) -> None:
        self._made: Program | None = None
        self._of = grids, outputs
        self._buffers: list[Any] = []

    def run(self, rows: Any) -> dict[Any, Any]:
        self._made = self._made or Program(*self._of)
        return self._made.run(rows, self._buffers)


def _by_fit(roomy: _Later, tight: _Later, fits: Any, rows: slice) -> dict[str, Any]:
    """Return what is asked of a block: of rows that all requests fit in by the shorter way."""
    n_fit = np.count_nonzero(fits)
    table = (roomy if n_fit else tight).run(rows)
    if 0 < n_fit < len(fits):
        late = np.flatnonzero(~fits)
        for name, column in tight.run(late + rows.start).items():
            table[name] = np.array(np.broadcast_to(table[name], fits.shape), np.float64)
            table[name][late] = column
    return table


def _roomy(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Read an equation where memory binds nobody."""
    return np.inf if fn.__name__ in ROOMY else fn(*args)


def _rows(shapes: Table) -> int:
    return max(np.size(column) for column in shapes.values())


def _of(column: Any, rows: slice, n: int) -> Any:
    return column[rows] if np.ndim(column) else np.broadcast_to(float(column), (n,))


def joined(chunks: Iterable[Arch], rows: int = CHUNK_ROWS) -> Iterator[Table]:
    """Put chunks of shapes together, so that what they share is found."""
    waiting: list[Arch] = []
    held = 0
    for arch in chunks:
        waiting.append(arch)
        held += np.size(arch.d_model)
        if held >= rows:
            yield _join(waiting)
            waiting, held = [], 0
    if waiting:
        yield _join(waiting)


def _join(archs: Sequence[Arch]) -> Table:
    table: Table = {"vocab_size": float(archs[0].vocab_size)}
    for name in SHAPE[:-1]:
        parts = [getattr(a, name) for a in archs]
        if all(np.ndim(p) == 0 and p == parts[0] for p in parts):
            table[name] = float(parts[0])
        else:
            sizes = [np.size(a.d_model) for a in archs]
            table[name] = np.concatenate(
                [np.broadcast_to(p, (n,)) for p, n in zip(parts, sizes, strict=True)]
            )
    return table


def evaluate_joint(
    chunks: Iterator[Arch],
    resolved: Sequence[Resolved],
    names: Sequence[str],
    then: Callable[[Iterator[Block]], T],
    threads: int = THREADS,
) -> Iterator[T]:
    """Evaluate shapes under every set of conditions, and yield what `then` makes of each chunk.

    Args:
        chunks: shapes, as columns.
        resolved: conditions.
        names: metrics and ratios asked for.
        then: takes a chunk's blocks, in order; runs in a thread.
        threads: chunks under way at once.

    """
    joint = Joint(resolved, names)
    tables: Iterator[Table] = joined(chunks)

    first = next(tables, None)
    if first is not None and _rows(first) <= FEW:
        yield then(joint.row_by_row(first))  # and there are no others
        return
    tables = chain([] if first is None else [first], tables)

    def work(shapes: Table) -> T:
        return then(joint.blocks(shapes))

    with ThreadPoolExecutor(threads) as pool:

        def start(n: int) -> list[Future[T]]:
            return [pool.submit(work, shapes) for shapes in islice(tables, n)]

        waiting = start(threads)
        while waiting:
            yield waiting.pop(0).result()
            waiting += start(1)
