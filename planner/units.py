"""Units: text with units at the edges, SI floats with suffixed names inside."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from planner.errors import SpecError


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit a column or an equation declares; the tests check it with pint."""

    symbol: str


Number = Any  # float | numpy.ndarray | sympy.Expr: they share operators and no useful static type
Scalar = Annotated[Number, Unit("")]
Seconds = Annotated[Number, Unit("s")]
Bytes = Annotated[Number, Unit("byte")]
Flops = Annotated[Number, Unit("flop")]
BytesPerS = Annotated[Number, Unit("byte/s")]
FlopsPerS = Annotated[Number, Unit("flop/s")]
PerS = Annotated[Number, Unit("1/s")]
Watts = Annotated[Number, Unit("watt")]
Joules = Annotated[Number, Unit("joule")]
Usd = Annotated[Number, Unit("usd")]
UsdPerHour = Annotated[Number, Unit("usd/hour")]

DECIMAL = {p: 10.0 ** (3 * i) for i, p in enumerate(["", "k", "M", "G", "T", "P", "E", "Z", "Y"])}
BINARY = {f"{p}i": 2.0 ** (10 * i) for i, p in enumerate(["K", "M", "G", "T", "P"], start=1)}
MIB, GIB = BINARY["Mi"], BINARY["Gi"]  # bytes
SMALL = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}
BASES = {
    "B": ("byte", DECIMAL | BINARY),
    "FLOP": ("flop", DECIMAL),
    "s": ("s", {"": 1.0} | SMALL),
    "Hz": ("1/s", DECIMAL),
    "W": ("watt", DECIMAL),
    "USD": ("usd", DECIMAL),
}
EXAMPLES = {
    "byte": "80 GB",
    "byte/s": "3.35 TB/s",
    "flop": "1e22 FLOP",
    "flop/s": "989 TFLOP/s",
    "s": "300ms",
    "1/s": "12/s",
    "watt": "400 W",
    "usd": "50 kUSD",
}
COUNT_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}

_NUMBER = r"[-+]?(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_QUANTITY = re.compile(
    rf"\s*(?P<number>{_NUMBER})\s*(?P<prefix>[a-zA-Zµ]*?)(?P<base>FLOP|USD|Hz|B|s|W|)(?P<per>/s)?\s*"
)
_COUNT = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?P<suffix>[a-zA-Z]?)\s*")


def parse(text: object, unit: str) -> float:
    """Return `text` in SI: ``parse("3.35 TB/s", "byte/s") == 3.35e12``.

    Raises:
        SpecError: `text` is not a number with a unit of the asked kind.

    """
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match:
        # A bare rate such as 12/s has no base unit of its own.
        base, scales = BASES.get(match["base"], ("1", {"": 1.0}))
        scale = scales.get(match["prefix"])
        known = scale is not None and (base + (match["per"] or "")) == unit
        if known and math.isfinite(value := float(match["number"]) * (scale or 0.0)):
            return value
    hint = f"write a number and a unit, e.g. '{EXAMPLES.get(unit, unit)}'"
    raise SpecError(f"{text!r} is not a quantity in {unit}", hint=hint)


def count(text: object, flag: str = "") -> float:
    """Return a count such as ``3e9``, ``3B`` or ``100k`` as a float; `flag` is named in errors.

    Raises:
        SpecError: `text` is not a positive finite count.

    """
    if isinstance(text, int | float):
        value = float(text)
    elif isinstance(text, str) and (match := _COUNT.fullmatch(text)):
        value = float(match["number"]) * COUNT_SUFFIXES.get(match["suffix"].lower(), math.nan)
    else:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        where = f"{flag}: " if flag else ""
        hint = "write e.g. 3e9, 3B or 100B"
        raise SpecError(f"{where}{text!r} is not a positive count", hint=hint)
    return value


def whole(text: object, flag: str = "") -> int:
    """Return a whole positive count such as ``4096`` or ``4k``.

    Raises:
        SpecError: `text` is not one.

    """
    value = count(text, flag)
    if value != int(value):
        where = f"{flag}: " if flag else ""
        raise SpecError(f"{where}{text!r} is not a whole number", hint="write e.g. 4096 or 4k")
    return int(value)


_SCALES = {
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
    "byte": [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
    "gibibyte": [(2.0**30, "GiB")],
    "": [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")],
}
_SI = [(f, p) for p, f in reversed(DECIMAL.items())]


def show(value: float, unit: str = "", digits: int = 3) -> str:
    """Write `value` for people, e.g. ``show(0.0123, "s") == "12.3 ms"``; counts as 3.01B."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    base = {"flop": "FLOP", "usd": "USD", "watt": "W"}.get(unit.partition("/")[0], "")
    scales = _SCALES.get(unit.partition("/")[0]) or [(f, p + base) for f, p in _SI]
    scale, name = next(((f, n) for f, n in scales if abs(value) >= f * 0.9995), scales[-1])
    per = "/s" if unit.endswith("/s") else ""
    space = " " if unit else ""
    return f"{significant(value / scale, digits)}{space}{name}{per}".strip()


def significant(value: float, digits: int = 3) -> str:
    """Round to `digits` significant digits without an exponent: 1234.5 → 1230, 0.01234 → 0.0123."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"
