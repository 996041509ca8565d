"""Lists and choices written on the command line."""

from collections.abc import Sequence

from planner.errors import SpecError
from planner.units import count, parse


def numbers(text: str, flag: str) -> list[float]:
    """Return comma-separated numbers, `inf` among them.

    Raises:
        SpecError: something in between is none.

    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SpecError(f"{flag}: {text!r} is no list of numbers", hint="e.g. 0.5,1,3") from None


def counts(text: str) -> list[int]:
    """Return comma-separated counts such as ``512,4k``."""
    return [int(count(part)) for part in text.split(",")]


def seconds(text: str) -> float:
    """Return a time such as ``90s``, ``30min`` or ``2h`` in seconds."""
    for unit, scale in (("min", 60.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(unit):
            return scale * count(text.removesuffix(unit))
    return parse(text, "s")


def choice(text: str, known: Sequence[str], flag: str) -> str:
    """Return `text` if it is one of `known`."""
    if text not in known:
        raise SpecError(f"{flag}: no {text!r}", hint=f"one of: {', '.join(known)}")
    return text


def settings(texts: Sequence[str]) -> dict[str, object]:
    """Return ``name=value`` flags, values read as JSON where they are any."""
    import json

    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise SpecError(f"--flag: {text!r} is no NAME=VALUE", hint="e.g. max_num_seqs=64")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
