"""The one writer of files and of text: a file is whole or absent, and text shows what it holds.

`printable` writes control characters as escapes, `shortened` and `in_lines` keep lines readable, `cell`
keeps a spreadsheet from taking a name for a formula. `write_whole` writes a file.
"""

import contextlib
import errno
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import OutputError

LONGEST_LINE = 500  # characters of text for people; JSON and CSV are for programs
# C0 but for tab and line feed, DEL, C1, what turns the direction of text, and halves of characters.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def printable(text: str, *, coloured: bool = False) -> str:
    """Return text with control characters as escapes; line feeds and tabs stay, colours where `coloured`."""
    if not coloured:
        return _CONTROL.sub(_escape, text)
    parts = _COLOUR.split(text)
    return "".join(part if i % 2 else _CONTROL.sub(_escape, part) for i, part in enumerate(parts))


def json_printable(text: str) -> str:
    """Return JSON text in which no string holds a control character raw; it says the same."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(line: str, most: int) -> str:
    """Return a line of at most so many characters; what is cut is marked."""
    return line if len(line) <= most else line[: most - 1] + "…"


def in_lines(text: str, most: int = LONGEST_LINE) -> str:
    """Return text of which no line is longer than `most`, colours not counted."""
    return "\n".join(
        line
        if len(line) <= most or len(_COLOUR.sub("", line)) <= most
        else shortened(_COLOUR.sub("", line), most)
        for line in text.split("\n")
    )


def cell(value: Any) -> Any:
    """Return a cell of a table for spreadsheets: a text that would be a formula is marked as text."""
    if not isinstance(value, str):
        return value
    value = _CONTROL.sub(_escape, value).replace("\n", "\\n")
    if value[:1] in ("=", "+", "-", "@", "\t") and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def write_whole(path: Path, text: str | bytes, *, folders: bool = False) -> None:
    """Write `text` beside `path`, then rename it over `path`; what is no regular file is written to.

    The mode of a file that is there is kept; a new one may be read by everyone the umask lets.

    Raises:
        OutputError: it cannot be written; nothing is left half-written.

    """
    data = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    try:
        if path.exists() and not path.is_file():  # a device, a pipe: there is nothing to replace
            with path.open("wb", buffering=0) as file:
                write_all(file.fileno(), data)
            return
        path = path.resolve()  # a link stays one: what it points to is replaced
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        handle, name = _beside(path)
        try:
            write_all(handle, data)
            os.fchmod(handle, mode)
            os.fsync(handle)
            if not name:
                name = f"{path.parent}/.{path.name[:40]}.{secrets.token_hex(8)}"
                _name(handle, name)
            os.replace(name, path)  # noqa: PTH105 - one call, one moment
            _sync(path.parent)
        finally:
            os.close(handle)
            if name:
                Path(name).unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        hint = "name a file in a folder you may write to"
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: {why}", hint=hint) from None


def _beside(path: Path) -> tuple[int, str]:
    """Open a file to write to: without a name, where a killed process leaves nothing, or with one."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - not a user's
        with contextlib.suppress(OSError):  # not every file system can
            return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), ""
    return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")


def _name(handle: int, name: str) -> None:
    """Give an open file without a name one."""
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        os.link(str(handle), name, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data`: a disk that fills takes a part, and says so at the next write."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _sync(folder: Path) -> None:
    """Let the folder's entry reach the disk, where the system can say so."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a folder that may be written to and not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def toml(values: Mapping[str, Any], comment: str = "") -> str:
    """Return `values` as TOML under `comment`: the same values give the same bytes; None is left out."""
    import tomlkit

    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + tomlkit.dumps(_stated(values))


def _stated(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _stated(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_stated(v) for v in value]
    return value
