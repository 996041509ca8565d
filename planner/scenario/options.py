"""The knobs a what-if can turn, and how their values are written.

concurrency=1..256      doubling: 1, 2, 4 … 256
concurrency=8..64:8     in steps of 8
tp=1,2,4                one by one
d_ff=0.5x,1x            times the model's own
rate=2/s,4/s            arrivals per second
model=llama-3.2-1b,surefire-1b
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from planner.errors import SpecError, UnknownName
from planner.units import parse, whole

Kind = Literal["whole", "share", "real", "rate", "text", "flag"]
MOST_POINTS = 200_000


@dataclass(frozen=True, slots=True)
class Knob:
    """What a knob turns, and what its values are."""

    turns: Literal["model", "load", "engine", "shape", "draft"]
    kind: Kind
    least: float = 1


KNOBS: dict[str, Knob] = {
    "model": Knob("model", "text"),
    "concurrency": Knob("load", "whole"),
    "rate": Knob("load", "rate", 0),
    "input_tokens": Knob("load", "whole"),
    "output_tokens": Knob("load", "whole"),
    "prefix_hit": Knob("load", "share", 0),
    "burstiness": Knob("load", "real", 0),
    "input_cv": Knob("load", "real", 0),
    "output_cv": Knob("load", "real", 0),
    "on": Knob("engine", "text"),
    "engine": Knob("engine", "text"),
    "dtype": Knob("engine", "text"),
    "kv_dtype": Knob("engine", "text"),
    "tp": Knob("engine", "whole"),
    "pp": Knob("engine", "whole"),
    "ep": Knob("engine", "whole"),
    "replicas": Knob("engine", "whole"),
    "prefill_replicas": Knob("engine", "whole", 0),
    "memory_fraction": Knob("engine", "share", 0),
    "max_num_seqs": Knob("engine", "whole"),
    "max_batched_tokens": Knob("engine", "whole"),
    "block_tokens": Knob("engine", "whole"),
    "chunked_prefill": Knob("engine", "flag"),
    "n_layers": Knob("shape", "whole"),
    "d_model": Knob("shape", "whole"),
    "n_heads": Knob("shape", "whole"),
    "n_kv_heads": Knob("shape", "whole"),
    "gqa": Knob("shape", "whole"),
    "head_dim": Knob("shape", "whole"),
    "d_ff": Knob("shape", "whole"),
    "vocab_size": Knob("shape", "whole"),
    "n_experts": Knob("shape", "whole"),
    "n_active_experts": Knob("shape", "whole"),
    "d_ff_expert": Knob("shape", "whole"),
    "kv_latent_dim": Knob("shape", "whole"),
    "draft": Knob("draft", "text"),
    "draft_tokens": Knob("draft", "whole"),
    "acceptance": Knob("draft", "share", 0),
}


@dataclass(frozen=True, slots=True)
class Times:
    """A value relative to the model's own."""

    factor: float


def read_knobs(texts: Sequence[str], flag: str = "--vary") -> dict[str, list[Any]]:
    """Read ``name=values`` of every text; a name with dashes is the same as with underscores.

    Raises:
        UnknownName: no such knob; the nearest is suggested.
        SpecError: a value is malformed or out of range.

    """
    read: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values.strip():
            raise SpecError(
                f"{flag}: {text!r} has no values", hint=f"write e.g. {flag} concurrency=1..256"
            )
        if name not in KNOBS:
            raise UnknownName.among("knob", name, KNOBS)
        if name in read:
            raise SpecError(f"{flag}: {name} is there twice", hint="list its values in one")
        read[name] = [v for part in values.split(",") for v in _values(name, part.strip())]
    return read


def _values(name: str, text: str) -> list[Any]:
    first, dots, rest = text.partition("..")
    if not dots:
        return [_value(name, text)]
    last, colon, step = rest.partition(":")
    if KNOBS[name].kind not in ("whole", "rate"):
        raise SpecError(f"--vary: {name}={text}: a range of no numbers", hint="list the values")
    low, high = _value(name, first), _value(name, last)
    if isinstance(low, Times) or isinstance(high, Times) or low > high or low <= 0:
        raise SpecError(f"--vary: {name}={text}: no range", hint=f"write e.g. {name}=1..8")
    values, by = [], _value(name, step) if colon else None
    value = low
    while value <= high * (1 + 1e-9):
        values.append(value)
        value = value + by if by else value * 2
        if len(values) > MOST_POINTS:
            raise SpecError(f"--vary: {name}={text}: too many values", hint="widen the step")
    if not by and values[-1] != high:
        values.append(high)
    return values


def _value(name: str, text: str) -> Any:
    knob, where = KNOBS[name], f"--vary: {name}"
    if knob.kind == "text":
        return text
    if knob.kind == "flag":
        if text not in ("true", "false"):
            raise SpecError(f"{where}: {text!r} is neither true nor false", hint=f"{name}=false")
        return text == "true"
    if knob.turns == "shape" and text.endswith("x"):
        return Times(_number(where, text[:-1]))
    if knob.kind == "whole":
        return 0 if text == "0" and knob.least == 0 else whole(text, where)
    if knob.kind == "rate":
        value = parse(text, "1/s") if text.endswith("/s") else _number(where, text)
    else:
        value = _number(where, text)
    if value < knob.least or (knob.kind == "share" and value > 1):
        hint = "a share lies between 0 and 1" if knob.kind == "share" else "write a larger number"
        raise SpecError(f"{where}: {text} is out of range", hint=hint)
    return value


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise SpecError(f"{where}: {text!r} is not a number", hint="write e.g. 0.5") from None
    if not 0 <= value < float("inf"):
        raise SpecError(f"{where}: {text} is out of range", hint="write a positive number")
    return value


def product(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination, the last knob fastest.

    Raises:
        SpecError: there are more than 200,000.

    """
    total = 1
    for values in vary.values():
        total *= len(values)
    if total > MOST_POINTS:
        raise SpecError(f"--vary: {total:,} points", hint=f"at most {MOST_POINTS:,}: vary fewer")
    rows: list[dict[str, Any]] = [{}]
    for name, values in vary.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return rows
