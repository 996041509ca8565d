"""The questions as tools that a program or an agent calls: the options as JSON, the same answers."""

import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.cli.flags import SERVING
from planner.errors import SpecError
from planner.metrics import LATENCIES
from planner.results import Result, json_schema
from planner.scenario.options import ASKED, OPTIONS, Group, Kind, Option

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
# What an option's value may be: a number, or text with its unit as on the command line.
_JSON: dict[Kind, Schema] = {
    "whole": {"type": ["integer", "string"]},
    "count": {"type": ["number", "string"]},
    "real": {"type": ["number", "string"]},
    "rate": {"type": ["number", "string"]},
    "time": {"type": ["number", "string"]},
    "bytes": {"type": ["number", "string"]},
    "text": TEXT,
    "flag": {"type": "boolean"},
    "wholes": {"type": ["array", "string", "integer"], "items": {"type": "integer"}},
    "pair": {"type": ["array", "string"], "items": {"type": "number"}},
}
_UNIT = {"rate": "a second", "time": "seconds", "bytes": "bytes"}  # of a bare number
EXPLAINED: Schema = {
    "type": "object",
    "properties": {"quantity": TEXT, "steps": {"type": "array"}, "inputs": {"type": "array"}},
    "required": ["quantity"],
}
_MODEL = "Preset, hub id, or path of a TOML or config.json."
_FROM = "A serve command of vLLM, SGLang or TensorRT-LLM; options beside it win."


@dataclass(frozen=True)
class Tool:
    """One question: what it takes and returns, and the function that asks it."""

    name: str
    words: str
    takes: Schema
    returns: Schema
    ask: Callable[..., tuple[dict[str, Any], Any]]  # arguments → JSON form, and what shows it


def _of(o: Option) -> Schema:
    """Return an option as a property."""
    words = o.help or o.name.replace("_", " ")
    if o.kind in _UNIT:
        words = f"{words} A number is {_UNIT[o.kind]}."
    default = {} if o.default in (None, ()) else {"default": o.default}
    return _JSON[o.kind] | {"description": words} | default


def _properties(*groups: Group, without: Sequence[str] = ()) -> Schema:
    known = ASKED | OPTIONS | ASKED if "question" in groups else OPTIONS
    return {o.name: _of(o) for o in known.values() if o.group in groups and o.name not in without}


def _object(properties: Schema, required: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _shown(result: Result) -> tuple[dict[str, Any], Any]:
    return result.to_dict(), result


def _command(name: str, places: Sequence[Any], flags: Mapping[str, Any]) -> str:
    """Return the command line that asks the same."""
    words = ["planner", name, *(str(p) for p in places if p is not None)]
    for key, value in flags.items():
        flag = "--" + key.rstrip("_").replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif key in ("vary", "why_not"):
            words += [w for one in value for w in (flag, str(one))]
        elif value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            words += [flag, ",".join(_typed(key, v) for v in values)]
    return shlex.join(words)


def _typed(name: str, value: Any) -> str:
    """Return a value as the command line reads it, where a bare number is of no unit."""
    o = ASKED.get(name) or OPTIONS.get(name)
    kind = "time" if f"--{name}" in {x.flag for x in LATENCIES.values()} else o.kind if o else ""
    if isinstance(value, int | float) and kind in ("time", "bytes"):
        return f"{value}s" if kind == "time" else str(round(value))
    return str(value)


def _recommend(**asked: Any) -> tuple[dict[str, Any], Any]:
    from planner.questions.recommend.recommend import recommend

    return _shown(recommend(**_tuples(asked), command=_command("recommend", [], asked)))


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return lists as the tuples that fields hold."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _served(asked: Mapping[str, Any], **more: Any) -> tuple[str, dict[str, Any], Any]:
    from planner.cli.serve import served

    rest = {k: v for k, v in asked.items() if k not in ("model", "from")}
    if not asked.get("model") and not asked.get("from"):
        raise SpecError("no model", hint="give model, or a serve command as from")
    return served(asked.get("from"), asked.get("model"), rest, **more)


def _predict(**asked: Any) -> tuple[dict[str, Any], Any]:
    from planner.questions.predict import predict

    model, settings, serve = _served(asked)
    rest = {k: v for k, v in asked.items() if k != "model"}
    command = _command("predict", [asked.get("model")], rest)
    found = predict(model, **settings, command=command)
    return _shown(found.model_copy(update={"serve_command": serve}))


def _what_if(**asked: Any) -> tuple[dict[str, Any], Any]:
    from planner.questions.what_if import what_if
    from planner.scenario.options import read_vary

    vary = asked.pop("vary", [])
    model, settings, serve = _served(asked, beside=read_vary(vary))
    rest = {k: v for k, v in asked.items() if k != "model"} | {"vary": vary}
    found = what_if(
        model, vary, **settings, command=_command("what-if", [asked.get("model")], rest)
    )
    return _shown(found.model_copy(update={"serve_command": serve}))


def _budget(**asked: Any) -> tuple[dict[str, Any], Any]:
    from planner.cli.budget import COPIES
    from planner.questions.budget.budget import budget

    command = _command(
        "budget", [asked.get("model")], {k: v for k, v in asked.items() if k != "model"}
    )
    model, settings, serve = _served(asked, without={"replicas": COPIES})
    for one, many in (("dtype", "dtypes"), ("tp", "tps")):
        if one in settings:
            value = settings.pop(one)
            settings[many] = value if isinstance(value, list) else [value]
    if isinstance(settings.get("on"), str):
        settings["on"] = [settings["on"]]
    found = budget(model, **settings, command=command)
    return _shown(found.model_copy(update={"serve_command": serve}))


def _explain(
    quantity: str, model: str | None = None, of: Sequence[str] = (), **settings: Any
) -> tuple[dict[str, Any], Any]:
    from planner.cli.explain import explained, versus
    from planner.inputs.loading import load_model
    from planner.scenario.evaluate import Evaluation
    from planner.scenario.scenario import Resolved, Scenario, conditions

    if of:
        if len(of) != 2:
            raise SpecError(f"of: {len(of)} models", hint="name two to compare, or one as model")
        a, b = of
        shown, plain = versus(a, b, None, settings.get("on"))
        return {"quantity": quantity} | plain, shown
    at = None
    if model is not None:
        s = Scenario.of(load_model(model), conditions(**settings))
        at = Evaluation(Resolved.of(s, s.model.n_params_non_embedding), s.model.arch())
    text, plain, _ = explained(quantity, at, False, None)
    return plain, text


@functools.cache
def tools() -> dict[str, Tool]:
    """Return every tool by its name."""
    serving = _properties(*SERVING)
    model = {"model": TEXT | {"description": _MODEL}, "from": TEXT | {"description": _FROM}}
    trained = _properties("training")
    limits = {n.removesuffix("_s"): _JSON["time"] | {"description": f"Longest {x.title}: 300ms."}
              for n, x in LATENCIES.items()}  # fmt: skip
    many = {
        "on": TEXTS | {"description": "Devices to consider."},
        "dtype": TEXTS | {"description": "Weight formats to consider."},
        "tp": {"type": "array", "items": {"type": "integer"},
               "description": "Tensor-parallel degrees to consider."},
    }  # fmt: skip
    why = TEXTS | {"description": "Shapes to explain: d_model=3840,n_heads=16,…, or a model."}
    vary = TEXTS | {"description": "concurrency=1..256, tp=1,2,4, d_ff=0.5x,1x: one option each."}
    at = TEXT | {"description": "Where limits hold: mean, p50, p90, p95, p99.", "default": "p99"}
    found = (
        Tool(
            "recommend",
            "Which transformer shape to train for a parameter and token budget: accurate, fast to "
            "serve, and how sure; with the command that serves it.",
            _object(_properties("question", *SERVING, "training") | {"why_not": why},
                    ("params", "tokens")),
            json_schema("recommend"),
            _recommend,
        ),
        Tool(
            "predict",
            "Speed, memory, loss and accuracy of one model on one deployment, operator by operator, "
            "with intervals.",
            _object(model | serving | trained),
            json_schema("predict"),
            _predict,
        ),
        Tool(
            "what-if",
            "One model under many settings: latency, throughput, what binds, dollars and joules.",
            _object(model | {"vary": vary} | serving),
            json_schema("what-if"),
            _what_if,
        ),
        Tool(
            "budget",
            "The load each configuration carries within latency limits, how many devices a rate "
            "takes, at what price, and why.",
            _object(model | limits | {"at": at} | serving | many),
            json_schema("budget"),
            _budget,
        ),
        Tool(
            "explain",
            "Where a number comes from, step by step: its formula, and with a model its values. Or, "
            "with two models as `of`, why one is faster or better.",
            _object(
                {"quantity": TEXT | {"description": "tpot_s, loss, step_s[prefill], ridge_point, …"},
                 "model": model["model"],
                 "of": TEXTS | {"description": "Two models to compare."}} | serving | trained,
                ("quantity",),
            ),
            EXPLAINED,
            _explain,
        ),
    )  # fmt: skip
    return {t.name: t for t in found}
