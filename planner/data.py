"""Where data files live: the user's folders first, then what ships with planner."""

import functools
import os
from contextvars import ContextVar
from pathlib import Path

from planner.errors import UnknownName

_PACKAGE = Path(__file__).parent
_CHECKOUT = {
    "hardware": "hardware",
    "calibration": "calibration/fits",
    "front_ends": "calibration/front_ends",
}
_first: ContextVar[dict[str, tuple[Path, ...]]] = ContextVar("first", default={})  # noqa: B039


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; what can be no name of one is none."""
    return os.path.isfile(path)  # noqa: PTH113 - a name may be too long, or hold a null byte


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; what can be no name of one is none."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def bundled(kind: str) -> Path:
    """Return our own folder of `kind`: hardware, calibration, front_ends, presets/models or presets/laws.

    In a wheel the mapped data sits inside the package; in a checkout, beside it.
    """
    inside = _PACKAGE / ("_data/" + kind if kind in _CHECKOUT else kind)
    return inside if inside.is_dir() else _PACKAGE.parent / _CHECKOUT[kind]


def look_first(kind: str, folder: Path) -> None:
    """Look for files of `kind` in `folder` before every other place, from here on in this context."""
    first = dict(_first.get())
    first[kind] = (folder, *first.get(kind, ()))
    _first.set(first)


def search_path(kind: str) -> tuple[Path, ...]:
    """Return folders to look in; the first match wins, so a user's file replaces ours."""
    short = kind.rpartition("/")[2]
    named = os.environ.get(f"PLANNER_{short.upper()}_PATH", "")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    return (*_first.get().get(kind, ()), *_places(kind, named, config))


@functools.lru_cache(maxsize=64)  # asked for every row of a grid
def _places(kind: str, named: str, config: str) -> tuple[Path, ...]:
    users = Path(config) / "planner" / kind.rpartition("/")[2]
    return (*map(Path, filter(None, named.split(os.pathsep))), users, bundled(kind))


def catalogue(kind: str) -> dict[str, Path]:
    """Return every TOML of `kind` by its stem, the user's before ours."""
    *users, ours = search_path(kind)
    found: dict[str, Path] = {}
    for folder in users:
        if is_folder(folder):
            found = _by_stem(folder) | found
    if is_folder(ours):
        found = _shipped(ours, ours.stat().st_mtime_ns) | found
    return dict(sorted(found.items()))


def is_own(kind: str, path: Path) -> bool:
    """Whether a file is the user's: of none of our folders of `kind`."""
    return not path.is_relative_to(bundled(kind))


def own_folder(kind: str) -> Path:
    """Return the user's own folder of `kind`, where commands look without being told."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    return Path(config) / "planner" / kind.rpartition("/")[2]


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.rglob("*.toml"), reverse=True)}


@functools.lru_cache(maxsize=64)  # asked for every row of a grid
def _shipped(folder: Path, _modified: int) -> dict[str, Path]:
    return _by_stem(folder)


def find(kind: str, what: str, name: str, *, see: str = "") -> Path:
    """Return the file called `name`, which may also be a path to one.

    Raises:
        UnknownName: there is no such file; the nearest name is suggested.

    """
    if name.endswith(".toml") and is_file(name):
        return Path(name)
    known = catalogue(kind)
    if name not in known:
        raise UnknownName.among(what, name, known, see=see)
    return known[name]
