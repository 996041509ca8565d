"""Options: each is a field of a spec, and thereby a flag, a keyword, a `--vary` name, a slider.

Its name, help, bounds and default are the field's; nothing is written down again. Text is read by what
the field holds:

    concurrency=1..256      doubling: 1, 2, 4 … 256
    concurrency=8..64:8     in steps of 8
    tp=1,2,4                one by one
    d_ff=0.5x,1x            times the model's own
    rate=2/s,4/s            arrivals per second
    on=all                  every device there is
    model=llama-3.2-1b,surefire-1b
"""

import functools
import math
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from planner import limits
from planner.data import search_path
from planner.errors import SpecError, UnknownName, WrongType
from planner.inputs.conditions import Conditions
from planner.inputs.deployment import DeploymentSpec
from planner.inputs.device import device_names
from planner.inputs.engine import EngineSpec
from planner.inputs.fields import validate
from planner.inputs.model import ModelSpec
from planner.inputs.question import Question
from planner.inputs.stack import LARGEST
from planner.inputs.training import TrainingSpec
from planner.inputs.workload import WorkloadSpec
from planner.units import count, parse, whole

Kind = Literal["whole", "count", "real", "rate", "time", "bytes", "text", "flag", "wholes", "pair"]
Group = Literal["model", "deployment", "engine", "workload", "training", "question"]
METAVARS: dict[Kind, str] = {
    "whole": "COUNT",
    "count": "COUNT",
    "real": "NUMBER",
    "rate": "RATE",
    "time": "TIME",
    "bytes": "BYTES",
    "text": "TEXT",
    "flag": "",
    "wholes": "N[,N…]",
    "pair": "LOW,HIGH",
}


@dataclass(frozen=True, slots=True)
class Multiple:
    """A value relative to the model's own."""

    factor: float


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a spec, as people set it."""

    name: str
    group: Group
    field: str
    kind: Kind
    default: Any
    help: str
    least: float
    greatest: float
    open_least: bool  # above `least`, not at it
    required: bool = False
    aliases: tuple[str, ...] = ()  # what engines call it

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return "--" + self.name.replace("_", "-")

    def read(self, value: Any, where: str = "") -> Any:
        """Return the value that `value` stands for: text is read, the rest taken as it is.

        Raises:
            SpecError: it is malformed or out of range; `where` (default: the flag) is named.

        """
        where = where or self.flag
        if isinstance(value, list | set | dict) and self.kind not in ("wholes", "pair"):
            varied = f"vary it: what_if(model, {{{self.name!r}: [1, 2]}})"
            hint = varied if self.name in OPTIONS else "give one"
            raise WrongType.of(where, value, "one value", hint=hint)
        if isinstance(value, list):
            value = tuple(value)
        if value is None or isinstance(value, Multiple):
            return value
        if isinstance(value, str) and self.kind != "text":
            if self.group == "model" and value.endswith("x") and self.kind == "whole":
                return Multiple(_number(where, value[:-1]))
            value = _READ[self.kind](value.strip(), where)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._require_inside(value, where)
        return value

    def _require_inside(self, value: float, where: str) -> None:
        low = value > self.least if self.open_least else value >= self.least
        if low and value <= self.greatest:
            return
        hint = f"write {'more than' if self.open_least else 'at least'} {self.least:g}"
        if math.isfinite(self.greatest):
            above = "above" if self.open_least else "between"
            hint = f"it lies {above} {self.least:g} and {'at most ' * self.open_least}{self.greatest:g}"
        raise SpecError(f"{where}: {value:g} is out of range", hint=hint)


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise SpecError(f"{where}: {text!r} is not a number", hint="write e.g. 0.5")
    return value


def _whole(text: str, where: str) -> int:
    return 0 if text == "0" else whole(text, where)


def _quantity(unit: str) -> Any:
    def read(text: str, where: str) -> float:
        try:
            return parse(text, unit)
        except SpecError as error:
            raise SpecError(f"{where}: {error}", hint=error.hint) from None

    return read


def _bytes(text: str, where: str) -> float:
    return _number(where, text) if text.isdecimal() else float(_quantity("byte")(text, where))


def _rate(text: str, where: str) -> float:
    return float(_quantity("1/s")(text if text.endswith("/s") else f"{text}/s", where))


def _flag(text: str, where: str) -> bool:
    if text not in ("true", "false"):
        raise SpecError(f"{where}: {text!r} is neither true nor false", hint="write true or false")
    return text == "true"


def _pair(text: str, where: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise SpecError(f"{where}: {text!r} is not LOW,HIGH", hint="write e.g. 0.5,5")
    return count(parts[0], where), count(parts[1], where)


_READ: dict[str, Any] = {
    "whole": _whole,
    "count": count,
    "real": lambda text, where: _number(where, text),
    "rate": _rate,
    "time": _quantity("s"),
    "bytes": _bytes,
    "flag": _flag,
    "wholes": lambda text, where: tuple(whole(part, where) for part in text.split(",")),
    "pair": _pair,
}


def _kind(name: str, annotation: Any, reads: str) -> Kind:
    """Return what text a field is read from, by what it holds."""
    if reads:
        return reads  # type: ignore[return-value]
    parts = [a for a in typing.get_args(annotation) if a is not type(None)]
    plain = parts[0] if type(None) in typing.get_args(annotation) else annotation
    if typing.get_origin(plain) is tuple:
        return "wholes" if typing.get_args(plain)[0] is int else "pair"
    if plain is float:
        return "rate" if name.endswith("_per_s") else "time" if name.endswith("_s") else "real"
    kinds: dict[Any, Kind] = {int: "whole", bool: "flag"}
    return kinds.get(plain, "text")


def options_of(spec: type[BaseModel], group: Group, without: Collection[str] = ()) -> list[Option]:
    """Return the options that a spec's fields are."""
    found = []
    for field, info in spec.model_fields.items():
        if field in without:
            continue
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        annotation = info.annotation
        bounds: dict[str, float] = {}
        for mark in info.metadata:
            bounds |= {
                k: v for k in ("ge", "gt", "le", "lt") if (v := getattr(mark, k, None)) is not None
            }
        found.append(
            Option(
                name=str(extra.get("option") or field),
                group=group,
                field=field,
                kind=_kind(field, annotation, str(extra.get("reads") or "")),
                default=None if info.default is PydanticUndefined else info.default,
                help=info.description or "",
                least=bounds.get("ge", bounds.get("gt", -math.inf)),
                greatest=bounds.get("le", bounds.get("lt", math.inf)),
                open_least="gt" in bounds,
                required=info.is_required(),
                aliases=tuple(str(extra.get("aliases") or "").split()),
            )
        )
    return found


_SPECS: dict[Group, type[BaseModel]] = {
    "deployment": DeploymentSpec,
    "engine": EngineSpec,
    "workload": WorkloadSpec,
    "training": TrainingSpec,
}
_MODEL = [
    Option("model", "model", "", "text", None, "Another model: preset or path.", 0, 0, False),
    Option("gqa", "model", "", "whole", None, "Query heads a KV head.", 1, LARGEST, False),
    *options_of(ModelSpec, "model", without=("name", "family", "source")),
]
OPTIONS: dict[str, Option] = {
    o.name: o for o in [*_MODEL, *(o for g, spec in _SPECS.items() for o in options_of(spec, g))]
}
ALIASES = {a: o.name for o in OPTIONS.values() for a in o.aliases}
# Those only `recommend` has: the size, the limits, how far to look.
ASKED: dict[str, Option] = {
    o.name: o for o in options_of(Question, "question", {*Conditions.model_fields} - {"tokens"})
}
ALL = "all"  # devices
LOADS = ("batch", "concurrency", "burst", "rate", "trace")  # how requests come: one of them


class Specs(NamedTuple):
    """The specs that options make up."""

    deployment: DeploymentSpec
    engine: EngineSpec
    workload: WorkloadSpec
    training: TrainingSpec


def option(name: str) -> Option:
    """Return the option of a name; dashes are as good as underscores.

    Raises:
        UnknownName: there is none; the nearest is suggested.

    """
    name = name.strip().replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in OPTIONS:
        raise UnknownName.among("option", name, OPTIONS)
    return OPTIONS[name]


def settings_of(*specs: BaseModel | str | None) -> dict[str, Any]:
    """Return what specs state, by option; a bare text is an engine's name."""
    found: dict[str, Any] = {}
    for spec in specs:
        if isinstance(spec, str):
            found["engine"] = spec
        elif spec is not None:
            if not isinstance(spec, tuple(_SPECS.values())):
                takes = "an engine's name, an EngineSpec or a WorkloadSpec"
                hint = 'give options by name: engine="vllm", concurrency=8'
                raise WrongType.of("engine or workload", spec, takes, hint=hint)
            named = {o.field: o.name for o in OPTIONS.values() if isinstance(spec, _spec_of(o))}
            found |= {named[f]: getattr(spec, f) for f in spec.model_fields_set}
    return found


def _spec_of(o: Option) -> type[BaseModel]:
    return _SPECS.get(o.group, ModelSpec)


def specs(*given: BaseModel | str | None, **settings: Any) -> Specs:
    """Return the specs that specs and options by name make up together; None says nothing.

    Raises:
        UnknownName: no option of that name.
        SpecError: a value that cannot be; its flag is named.

    """
    parts: dict[Group, dict[str, Any]] = {group: {} for group in _SPECS}
    for name, value in (settings_of(*given) | settings).items():
        o = option(name)
        if o.group not in parts:
            raise SpecError(f"{o.name} is of the model, which is given apart", hint="use --vary")
        if value is not None:
            parts[o.group][o.field] = o.read(value)
    places = search_path("hardware")  # engines are looked up there
    made = {group: _made(group, tuple(own.items()), places) for group, own in parts.items()}
    return Specs(**made)


@functools.lru_cache(maxsize=65536)
def _made(group: Group, items: tuple[tuple[str, Any], ...], places: tuple[Path, ...]) -> Any:
    """Return a spec; rows of a grid share most of theirs, and `places` to look."""
    flags = {o.field: o.flag for o in OPTIONS.values() if o.group == group}
    return validate(_SPECS[group], dict(items), "", flags=flags)


def question(params: Any, tokens: Any, **settings: Any) -> Question:
    """Read a question from text or numbers, by the flags of `planner recommend`.

    Raises:
        UnknownName: no option of that name.
        SpecError: a value is malformed or out of range; says which.

    """
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in {"params": params, "tokens": tokens, **settings}.items():
        if name == "layers" and value == "auto":
            own["search_depth"] = True
        elif name in ASKED:
            value = ASKED[name].read(value)
            value = (value,) if ASKED[name].kind == "wholes" and isinstance(value, int) else value
            own |= {} if value is None else {ASKED[name].field: value}
        else:
            rest[name] = value
    found = specs(**rest)
    given = {**dict(found.training), **dict(found.deployment)}
    given |= {"engine": found.engine, "workload": found.workload}
    flags = {o.field: o.flag for o in ASKED.values()}
    return validate(Question, given | own, "", flags=flags, hint="see `planner recommend --help`")


def read_vary(texts: Sequence[str], flag: str = "--vary") -> dict[str, list[Any]]:
    """Read ``name=values`` of every text; a name with dashes is the same as with underscores.

    Raises:
        UnknownName: no such option; the nearest is suggested.
        SpecError: a value is malformed or out of range.

    """
    read: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values.strip():
            raise SpecError(
                f"{flag}: {text!r} has no values", hint=f"write e.g. {flag} concurrency=1..256"
            )
        o = option(name)
        if o.name in read:
            raise SpecError(f"{flag}: {o.name} is there twice", hint="list its values in one")
        where = f"{flag}: {o.name}"
        read[o.name] = [v for part in values.split(",") for v in _values(o, part.strip(), where)]
    return read


def _values(o: Option, text: str, where: str) -> list[Any]:
    if o.name == "on" and text == ALL:
        return device_names()
    first, dots, rest = text.partition("..")
    if not dots or (o.kind == "text" and "/" in text):
        return [o.read(text, where)]
    last, colon, step = rest.partition(":")
    if o.kind not in ("whole", "rate"):
        raise SpecError(f"{where}={text}: a range of no numbers", hint="list the values")
    low, high = o.read(first, where), o.read(last, where)
    if isinstance(low, Multiple) or isinstance(high, Multiple) or low > high or low <= 0:
        raise SpecError(f"{where}={text}: no range", hint=f"write e.g. {o.name}=1..8")
    most = limits.greatest("points")
    values, by, value = [], o.read(step, where) if colon else None, low
    while value <= high * (1 + 1e-9):
        values.append(value)
        value = value + by if by else value * 2
        if len(values) > most:
            raise limits.over("points", f"{where}={text}")
    if not by and values[-1] != high:
        values.append(high)
    return values


def read_set(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` of every text; raises as `read_vary` does."""
    settings = {}
    for name, values in read_vary(texts, "--set").items():
        if len(values) != 1:
            raise SpecError(f"--set: {name} has {len(values)} values", hint=f"use --vary {name}=…")
        settings[name] = values[0]
    return settings


def product(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination, the last option fastest.

    Raises:
        OverLimit: there are more than the limit `points`.

    """
    total = math.prod(len(values) for values in vary.values())
    limits.require("points", total, f"--vary: {total:,} points")
    rows: list[dict[str, Any]] = [{}]
    for name, values in vary.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return rows


def plain(value: Any) -> Any:
    """Return a setting's value as JSON can hold it."""
    return f"{value.factor:g}x" if isinstance(value, Multiple) else value


def shape(base: ModelSpec, settings: Mapping[str, Any]) -> ModelSpec:
    """Return `base` with the shape options of `settings`.

    Raises:
        SpecError: they make no legal shape; says why.

    """
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "gqa":
            continue
        read = OPTIONS[name].read(value)
        if isinstance(read, Multiple):
            read = max(round(getattr(base, name) * read.factor), 1)
        changes[name] = read
    if "gqa" in settings:
        heads, group = changes.get("n_heads", base.n_heads), OPTIONS["gqa"].read(settings["gqa"])
        group = base.gqa * group.factor if isinstance(group, Multiple) else group
        if heads % group:
            raise SpecError(
                f"--vary: gqa={group:g} does not divide {heads} heads",
                hint="gqa must divide n_heads: vary both, or choose a divisor",
            )
        changes["n_kv_heads"] = int(heads / group)
    if not changes:
        return base
    if base.stacks and (
        fixed := [k for k in changes if k not in ("vocab_size", "tied_embeddings")]
    ):
        raise SpecError(
            f"--vary: {', '.join(fixed)}: the layers of {base.name} are not all alike",
            hint="describe the other shape in a TOML with [[stacks]], and name it",
        )
    words = ", ".join(f"{k} {v}" for k, v in changes.items())
    return validate(ModelSpec, base.model_dump() | changes, f"{base.name} with {words}")


def seconds(time: str | float | None, flag: str) -> float | None:
    """Read ``300ms``, or seconds as a number; None stays None."""
    return _quantity("s")(time, flag) if isinstance(time, str) else time
