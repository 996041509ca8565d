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
class Multiple:
    """A value relative to the model's own."""

    factor: float


def read_vary(texts: Sequence[str], flag: str = "--vary") -> dict[str, list[Any]]:
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
    if isinstance(low, Multiple) or isinstance(high, Multiple) or low > high or low <= 0:
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
        return Multiple(_number(where, text[:-1]))
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


from collections import namedtuple
from types import SimpleNamespace

from planner.inputs.deployment import DeploymentSpec
from planner.inputs.engine import EngineSpec
from planner.inputs.fields import validate
from planner.inputs.model import ModelSpec
from planner.inputs.training import TrainingSpec
from planner.inputs.workload import WorkloadSpec

Specs = namedtuple("Specs", "deployment engine workload training")
NAMES = {"engine": "name", "rate": "rate_per_s", "requests": "n_requests"}
_OF = {
    "deployment": DeploymentSpec,
    "engine": EngineSpec,
    "workload": WorkloadSpec,
    "training": TrainingSpec,
}
OPTIONS = {n: SimpleNamespace(group="model") for n in ModelSpec.model_fields if n not in ("name",)}
OPTIONS |= {"model": SimpleNamespace(group="model"), "gqa": SimpleNamespace(group="model")}
for _g, _c in _OF.items():
    for _f in _c.model_fields:
        _n = next((k for k, v in NAMES.items() if v == _f), _f)
        OPTIONS[_n] = SimpleNamespace(group=_g, field=_f)


def settings_of(*given):
    out = {}
    for spec in given:
        if isinstance(spec, str):
            out["engine"] = spec
        elif spec is not None:
            for k in spec.model_fields_set:
                out[next((n for n, v in NAMES.items() if v == k), k)] = getattr(spec, k)
    return out


def specs(*given, **settings):
    settings = settings_of(*given) | settings
    parts = {g: {} for g in _OF}
    for n, v in settings.items():
        if n not in OPTIONS or OPTIONS[n].group == "model":
            raise UnknownName.among("option", n, OPTIONS)
        if n == "rate" and isinstance(v, str):
            v = parse(v, "1/s")
        if isinstance(v, str) and n in ("tokens",):
            from planner.units import count

            v = count(v)
        parts[OPTIONS[n].group][OPTIONS[n].field] = v
    flags = {"name": "--engine", "rate_per_s": "--rate"}
    return Specs(**{g: validate(c, parts[g], "", flags=flags) for g, c in _OF.items()})


def plain(v):
    return f"{v.factor:g}x" if isinstance(v, Multiple) else v


def shape(base, setting):
    changes = {}
    for name, value in setting.items():
        if name == "gqa":
            continue
        if isinstance(value, Multiple):
            value = max(round(getattr(base, name) * value.factor), 1)
        changes[name] = value
    if "gqa" in setting:
        heads = changes.get("n_heads", base.n_heads)
        group = setting["gqa"]
        group = base.gqa * group.factor if isinstance(group, Multiple) else group
        if heads % group:
            raise SpecError(
                f"--vary: gqa={group:g} does not divide {heads} heads",
                hint="gqa must divide n_heads: vary both, or choose a divisor",
            )
        changes["n_kv_heads"] = int(heads / group)
    if not changes:
        return base
    words = ", ".join(f"{k} {v}" for k, v in changes.items())
    return validate(ModelSpec, base.model_dump() | changes, f"{base.name} with {words}")


def question(params, tokens, **settings):
    from planner.inputs.conditions import Conditions
    from planner.inputs.question import Question
    from planner.units import count

    names = {"head_dim": "head_dims", "ttft": "ttft_s", "tpot": "tpot_s", "e2e": "e2e_s"}
    own, rest = {}, {}
    for k, v in settings.items():
        f = names.get(k, k)
        if f in Question.model_fields and f not in Conditions.model_fields:
            if f in ("ttft_s", "tpot_s", "e2e_s") and isinstance(v, str):
                v = parse(v, "s")
            if f in ("layers", "head_dims", "gqa"):
                if v == "auto":
                    rest["depth_term"] = True
                    continue
                if v is None:
                    continue
                v = (
                    tuple(int(x) for x in v.split(","))
                    if isinstance(v, str)
                    else (v,)
                    if isinstance(v, int)
                    else tuple(v)
                )
            if f == "serve_requests" and v is not None:
                v = count(v)
            if f in ("mlp_attn_ratio", "d_over_sqrt_n") and isinstance(v, str):
                v = tuple(float(x) for x in v.split(","))
            if v is not None:
                own[f] = v
        elif v is not None:
            rest[f] = v
    found = specs(**rest)
    given = {
        **dict(found.deployment),
        **dict(found.training),
        "engine": found.engine,
        "workload": found.workload,
    }
    given |= {"params": count(params, "--params"), "tokens": count(tokens, "--tokens")}
    return validate(
        Question,
        given | own,
        "",
        flags={"head_dims": "--head-dim", "ttft_s": "--ttft", "tpot_s": "--tpot"},
        hint="see `planner recommend --help`",
    )


def seconds(time, flag):
    if time is None or isinstance(time, int | float):
        return time
    try:
        return parse(time, "s")
    except SpecError as error:
        raise SpecError(f"{flag}: {error}", hint=error.hint) from None
