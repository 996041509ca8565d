"""Where runs are kept: append-only JSONL that survives two writers, kill -9 and foreign lines.

A row is appended by one `write(2)` under a lock and synced to disk, so it is there whole or, after a
crash in the middle of that write, as one broken line that readers name and skip.
"""

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from planner.errors import OutputError
from planner.inputs.measurement import Measurement
from planner.writer import write_all

HINT = "name a run file in a folder you may write to, on a disk that is not full"


class Skipped(NamedTuple):
    """A line that is not a row: where it is and what is wrong with it."""

    path: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: skipped, {self.why}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rows of some files, the first of each key, and the lines that were none."""

    rows: list[Measurement] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    duplicates: int = 0


def append(path: Path, row: Measurement) -> bool:
    """Add `row` unless its key is there already with a result; return whether it was added.

    A failed run may be tried again: its row stays, and the new one is added after it.

    Raises:
        OutputError: the file cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", hint=HINT) from None
    try:
        # flock, and reading through the same handle: a POSIX lock would go with the first other
        # handle on the file that this process closes.
        fcntl.flock(handle, fcntl.LOCK_EX)
        content = os.pread(handle, os.fstat(handle).st_size, 0)
        if any(r.key == row.key and _final(r, row) for r in _parse(path, content).rows):
            return False
        # A writer killed in mid-write left half a line: end it, so that only that one line is lost.
        mend = b"\n" if content and not content.endswith(b"\n") else b""
        _write_all(handle, mend + row.line(), len(content))
        return True
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", hint=HINT) from None
    finally:
        os.close(handle)  # releases the lock


def _write_all(handle: int, data: bytes, end: int) -> None:
    """Append all of `data` and let it reach the disk, or leave the file as it was, `end` bytes long."""
    try:
        write_all(handle, data)
        os.fsync(handle)
    except BaseException:
        os.ftruncate(handle, end)
        raise


def _final(old: Measurement, new: Measurement) -> bool:
    return old.status in ("ok", "diverged") or old.status == new.status


def load(paths: Path | Iterable[Path]) -> Loaded:
    """Read run files, or every `*.jsonl` of a folder. A row with a result stands over a failed one."""
    result, best = Loaded(), dict[str, Measurement]()
    duplicates = 0
    for path in [paths] if isinstance(paths, Path) else paths:
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            part = _parse(file, file.read_bytes() if file.exists() else b"")
            result.skipped.extend(part.skipped)
            for row in part.rows:
                duplicates += row.key in best
                if row.key not in best or (best[row.key].status != "ok" and row.status == "ok"):
                    best[row.key] = row
    return Loaded(list(best.values()), result.skipped, duplicates)


def done(paths: Path | Iterable[Path]) -> set[str]:
    """Return the keys of runs that need not be run again: finished, or diverged for good."""
    return {row.key for row in load(paths).rows if row.status in ("ok", "diverged")}


def _parse(path: Path, content: bytes) -> Loaded:
    loaded = Loaded()
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            loaded.rows.append(Measurement.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            cut = "truncated: " if number == len(lines) else ""
            loaded.skipped.append(
                Skipped(path, number, f"{cut}{where}{': ' if where else ''}{first['msg']}")
            )
    return loaded
