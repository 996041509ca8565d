"""The one writer of files: a file is whole or absent, whatever happens while it is written."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import OutputError


def write_whole(path: Path, text: str | bytes, *, folders: bool = False) -> None:
    """Write `text` beside `path`, then rename it over `path`; what is no regular file is written to.

    The mode of a file that is there is kept; a new one may be read by everyone the umask lets.

    Raises:
        OutputError: it cannot be written; nothing is left half-written.

    """
    data = text.encode() if isinstance(text, str) else text
    try:
        if path.exists() and not path.is_file():  # a device, a pipe: there is nothing to replace
            with path.open("wb") as file:
                file.write(data)
            return
        path = path.resolve()  # a link stays one: what it points to is replaced
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        hint = "name a file in a folder you may write to"
        raise OutputError(f"{path}: {error.strerror}", hint=hint) from None


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
