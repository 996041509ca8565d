"""Field types for quantities written as text with a unit, and the reading of TOML into models."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from planner.errors import SpecError
from planner.inputs.files import read_toml
from planner.units import Unit, parse

COUNT: dict[str, JsonValue] = {"reads": "count"}  # of a field: 3e9, 3B, 100k


class Spec(BaseModel):
    """A frozen record that refuses unknown keys, NaN and infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def _quantity(unit: str) -> BeforeValidator:
    def read(value: Any) -> float:
        try:
            return parse(value, unit)
        except SpecError as error:
            raise ValueError(f"{error}; {error.hint}") from None

    return BeforeValidator(read)


Name = Annotated[str, Field(min_length=1, max_length=300)]  # fits a line, and a file's name
BytesField = Annotated[float, _quantity("byte"), Unit("byte"), Field(ge=1, le=1e19)]
BytesPerSField = Annotated[float, _quantity("byte/s"), Unit("byte/s"), Field(ge=1, le=1e19)]
FlopsPerSField = Annotated[float, _quantity("flop/s"), Unit("flop/s"), Field(ge=1, le=1e19)]
HertzField = Annotated[float, _quantity("1/s"), Unit("1/s"), Field(ge=1, le=1e12)]
WattsField = Annotated[float, _quantity("watt"), Unit("watt"), Field(ge=0.1, le=1e6)]


def units_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the unit of every field that is a quantity."""
    return {
        name: mark.symbol
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Unit)
    }


M = TypeVar("M", bound=BaseModel)
# No quantity of ours, in SI units, is larger or, but for zero, smaller; products of several stay finite.
GREATEST, LEAST = 1e19, 1e-30
LONGEST_TEXT = 10_000  # characters of a value; most have fewer than a hundred


def require_plausible(values: Any, where: str) -> None:
    """Refuse numbers that no field of any file has, and texts longer than anybody writes.

    Raises:
        SpecError: a number is not finite, beyond `GREATEST` or nearer to zero than `LEAST`, or a text
            is too long; says which key.

    """
    inside: list[tuple[str, Any]] = [("", values)]
    while inside:
        key, value = inside.pop()
        if isinstance(value, Mapping):
            inside += [(f"{key}.{k}" if key else str(k), v) for k, v in value.items()]
        elif isinstance(value, list | tuple):
            inside += [(f"{key}.{i}" if key else str(i), v) for i, v in enumerate(value)]
        elif isinstance(value, str):
            if len(value) > LONGEST_TEXT:
                what = f"{key}: a text of {len(value)} characters"
                raise SpecError(_at(where, what), hint=f"at most {LONGEST_TEXT}")
        elif isinstance(value, int | float) and value and not LEAST <= abs(value) <= GREATEST:
            hint = f"numbers lie between {LEAST:g} and {GREATEST:g}, or are zero"
            raise SpecError(_at(where, f"{key}: {str(value)[:20]} is out of range"), hint=hint)


def _at(where: str, what: str) -> str:
    return f"{where}: {what}" if where else what


def validate(
    model: type[M],
    values: Any,
    where: str,
    *,
    hint: str = "",
    flags: Mapping[str, str] | None = None,
) -> M:
    """Validate `values`, turning pydantic's report into one line that says what and where.

    Where `flags` is given the values came from the command line, and its flag is named: the
    field's name with dashes, unless `flags` has another.

    Raises:
        SpecError: the first thing wrong, as ``where: key: what``.

    """
    require_plausible(values, where)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "no such key"
            hint = hint or f"the keys are: {', '.join(model.model_fields)}"
        if flags is not None and first["loc"]:
            field = str(first["loc"][0])
            key = flags.get(field, "--" + field.replace("_", "-"))
        cause = first.get("ctx", {}).get("error")
        hint = hint or getattr(cause, "hint", "")
        head = "".join(f"{part}: " for part in (where, key) if part)
        raise SpecError(head + message, hint=hint or "correct that line") from None


def faults(model: type[BaseModel], values: Any) -> list[str]:
    """Return everything that `validate` would refuse of `values`, as ``key: what``."""
    try:
        require_plausible(values, "")
        model.model_validate(values)
    except SpecError as error:
        return [str(error)]
    except ValidationError as error:
        return [_fault(model, e) for e in error.errors()]
    return []


def _fault(model: type[BaseModel], error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, model.model_fields, n=1)
        message = "no such key" + (f", did you mean {close[0]}?" if close else "")
    elif error["type"] == "missing":
        message = "missing"
    return f"{key}: {message}" if key else message


def load_toml(model: type[M], path: Path, *, hint: str = "") -> M:
    """Read one TOML file into `model`.

    Raises:
        SpecError: the file cannot be read, is no TOML, or does not fit the model.

    """
    return validate(model, read_toml(path), str(path), hint=hint)
