"""The library's door to the search: the same words as the flags, as text or as numbers."""

from collections.abc import Sequence
from typing import Any

from planner.errors import SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.fields import validate
from planner.inputs.question import Question
from planner.inputs.workload import WorkloadSpec
from planner.questions.recommend import recommend as _recommend
from planner.results import Recommendation
from planner.units import count, parse, whole

# Where a field's flag is not the field's name with dashes.
FLAGS = {"name": "--engine", "head_dims": "--head-dim", "ttft_s": "--ttft", "tpot_s": "--tpot"}
Count = str | float
Time = str | float | None  # text with a unit, or seconds
Wholes = str | int | Sequence[int] | None


def recommend(params: Count, tokens: Count, **asked: Any) -> Recommendation:
    """Choose the shape to train for `params` parameters and `tokens` training tokens.

    Takes the keywords of `question`, which are the flags of `planner recommend`.

    Returns:
        A frozen result: `.picks["fastest"].d_model`, `.baseline.loss.low`, `.pareto`, `.to_dict()`.

    Raises:
        Infeasible: no shape meets the limits; the one that binds is named.
        SpecError: a value is malformed or out of range.
        UnknownName: no such hardware, law or profile.

    Source: Bian et al., arXiv 2510.18245, Algorithm 1.

    """
    return _recommend.recommend(question(params, tokens, **asked))


def question(
    params: Count,
    tokens: Count,
    *,
    on: str = "a100-sxm-40gb",
    engine: str | EngineSpec = "vllm",
    dtype: str = "bf16",
    tp: int = 1,
    input_tokens: Count = 4096,
    output_tokens: Count = 1024,
    batch: Count = 64,
    layers: Wholes = None,
    head_dim: Wholes = None,
    gqa: Wholes = None,
    align: int = 128,
    tolerance: float = 0.01,
    params_kind: str = "non-embedding",
    vocab_size: Count = 128256,
    mlp_attn_ratio: str | tuple[float, float] = (0.5, 5.0),
    d_over_sqrt_n: str | tuple[float, float] = (0.04, 0.14),
    max_loss: float | None = None,
    ttft: Time = None,
    tpot: Time = None,
    serve_requests: Count | None = None,
    usd_per_hour: float | None = None,
    confidence: float = 0.5,
    law: str | None = None,
    profile: str | None = None,
) -> Question:
    """Read a question from text or numbers; the words are those of `planner recommend --help`.

    Raises:
        SpecError: a value is malformed or out of range; says which.

    """
    asked: dict[str, Any] = {
        "params": count(params, "--params"),
        "tokens": count(tokens, "--tokens"),
        "on": on,
        "engine": engine_spec(engine, dtype=dtype, tp=tp),
        "workload": workload_spec(input_tokens, output_tokens, batch),
        "layers": () if layers == "auto" else wholes(layers, "--layers"),
        "search_depth": layers == "auto",
        "head_dims": wholes(head_dim, "--head-dim"),
        "align": align,
        "tolerance": tolerance,
        "params_kind": params_kind,
        "vocab_size": whole(vocab_size, "--vocab-size"),
        "mlp_attn_ratio": pair(mlp_attn_ratio, "--mlp-attn-ratio"),
        "d_over_sqrt_n": pair(d_over_sqrt_n, "--d-over-sqrt-n"),
        "max_loss": max_loss,
        "ttft_s": seconds(ttft, "--ttft"),
        "tpot_s": seconds(tpot, "--tpot"),
        "serve_requests": None
        if serve_requests is None
        else count(serve_requests, "--serve-requests"),
        "usd_per_hour": usd_per_hour,
        "confidence": confidence,
        "law": law,
        "profile": profile,
    }
    if gqa is not None:
        asked["gqa"] = wholes(gqa, "--gqa")
    return validate(Question, asked, "", flags=FLAGS, hint="see `planner recommend --help`")


def engine_spec(engine: str | EngineSpec, **settings: Any) -> EngineSpec:
    """Return an engine by name with `settings`, or the one given as it is."""
    if isinstance(engine, EngineSpec):
        return engine
    return validate(EngineSpec, {"name": engine, **settings}, "", flags=FLAGS)


def workload_spec(input_tokens: Count, output_tokens: Count, batch: Count) -> WorkloadSpec:
    """Return an offline batch."""
    values = {
        "input_tokens": whole(input_tokens, "--input-tokens"),
        "output_tokens": whole(output_tokens, "--output-tokens"),
        "batch": whole(batch, "--batch"),
    }
    return validate(WorkloadSpec, values, "", flags=FLAGS)


def seconds(time: Time, flag: str) -> float | None:
    """Read ``300ms``, or seconds as a number; None stays None."""
    if time is None or isinstance(time, int | float):
        return time
    try:
        return parse(time, "s")
    except SpecError as error:
        raise SpecError(f"{flag}: {error}", hint=error.hint) from None


def wholes(values: Wholes, flag: str) -> tuple[int, ...]:
    """Read one whole number or several; None is none."""
    if values is None:
        return ()
    if isinstance(values, str):
        return tuple(whole(part, flag) for part in values.split(","))
    return (values,) if isinstance(values, int) else tuple(values)


def pair(values: str | tuple[float, float], flag: str) -> tuple[float, float]:
    """Read ``LOW,HIGH``, or a pair of numbers as it is."""
    parts = values.split(",") if isinstance(values, str) else list(values)
    if len(parts) != 2:
        raise SpecError(f"{flag}: {values!r} is not LOW,HIGH", hint="write e.g. 0.5,5")
    return count(parts[0], flag), count(parts[1], flag)
