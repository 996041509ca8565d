"""Ask for optional packages by name, before anything that needs them is imported."""

from importlib.util import find_spec

from planner.errors import MissingExtra


def require(package: str, *, extra: str) -> None:
    """Raise unless `package` can be imported.

    Raises:
        MissingExtra: it cannot; the hint names the extra that brings it.

    """
    if find_spec(package) is None:
        raise MissingExtra.of(package, extra=extra)
