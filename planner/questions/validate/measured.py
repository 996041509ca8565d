"""Measured runs from a CSV file: each row says what was run, and the numbers that came out.

The columns (a file may have more; `*` are required, of alternatives one):

    engine* engine_version    vLLM, SGLang, TensorRT-LLM, transformers, …
    gpu*                      a hardware id, or a name such as "A100-SXM4-40GB"
    tp pp ep                  parallel degrees (1)
    dtype kv_dtype            bfloat16, float16, fp8, awq, gptq-int4, w_int8_kv_fp8, fp4, …
    quantization              in place of dtype where it is filled
    model*                    a name; its shape follows in columns, else it is a preset's or a path
    n_layers d_model n_heads n_kv_heads head_dim d_ff vocab
    tied_embeddings mlp_gated n_experts n_active_experts n_shared_experts
    input_tokens* output_tokens*   tokens a request (`input_len`, `output_len`)
    arrival                   batch, closed, burst, rate; without it the metric says (below)
    batch concurrency         requests at once, or kept in flight
    n_requests rate_per_s     of the whole run (without an end; `num_prompts`); arrivals, and their burstiness
    max_num_batched_tokens max_num_seqs max_model_len block_size enforce_eager
    async_scheduling          else as the engine's version does
    gpu_memory_utilization prefix_hit
    endpoint                  completions, chat
    lengths                   fixed, uniform:0.8, lognormal, sharegpt; mean only: taken as fixed
    date                      of the run: where no version is said, the engine's of that day
    outcome judge             of an engine's start: ran, or failed and why; `no` leaves a row out
    speculative               none, or the draft that was used: scored apart
    flag flags                why a row should not count; scored apart

and what was measured: any of `COLUMNS` by name, or one a row in `metric` and `value`.
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.errors import PlannerError, SpecError
from planner.inputs.bench_run import CHUNKED
from planner.inputs.benchmarks import passed
from planner.inputs.device import device_named
from planner.inputs.engine import engine_named, engines
from planner.inputs.fields import validate
from planner.inputs.files import Sheet
from planner.inputs.formats import formats_in
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.metrics import METRICS
from planner.scenario.options import OPTIONS
from planner.scenario.scenario import Scenario, conditions
from planner.units import GIB

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of measurements holds."""

    metric: str  # of `planner.metrics`
    words: str
    statistic: str = "mean"  # or a percentile, which only a simulation has
    spread: str = ""  # in place of the metric's own
    batch: bool = False  # of one offline batch, where the file does not say how requests came
    per_device: bool = False
    unit: float = 1.0  # of the column, in its metric's


def _client(name: str, metric: str, words: str) -> dict[str, Column]:
    """Return the columns of a latency as clients report it."""
    return {
        f"{name}_mean_s": Column(metric, f"mean {words}"),
        f"{name}_p50_s": Column(metric, f"median {words}", "p50"),
        f"{name}_p99_s": Column(metric, f"99th percentile of {words}", "p99"),
    }


_of_batch = functools.partial(Column, batch=True)
_each = functools.partial(Column, per_device=True)
_stored = functools.partial(Column, unit=GIB)
MEMORY: dict[str, Column] = {  # of one device, as an engine's start-up log says
    "device_gib": _stored("device_bytes", "memory found"),
    "weights_gib": _stored("weight_bytes", "weights"),
    "activation_gib": _stored("activation_bytes", "activation peak"),
    "non_torch_gib": _stored("outside_torch_bytes", "what is outside torch"),
    "cuda_graph_gib": _stored("graph_bytes", "captured graphs"),
    "kv_cache_gib": _stored("kv_room_bytes", "the cache"),
    "kv_cache_tokens": Column("kv_capacity_tokens", "tokens the cache holds"),
    "max_concurrency": Column("longest_at_once", "longest requests at once"),
}
COLUMNS: dict[str, Column] = {
    "e2e_latency_s": _of_batch(
        "duration_s", "wall time of one batch of identical requests, prefill included"
    ),
    "prefill_s": _of_batch("duration_s", "the same with one output token", spread="prefill"),
    "output_tok_s": _of_batch(
        "output_tokens_per_s", "output tokens of the batch over that wall time"
    ),
    "ttft_s": Column("ttft_s", "mean time to first token"),
    "tpot_s": Column("tpot_s", "mean time per output token after the first"),
    "itl_s": Column("tpot_s", "mean gap between tokens"),
    **_client("ttft", "ttft_s", "time to first token"),
    **_client("tpot", "tpot_s", "time per output token after the first"),
    **_client("itl", "tpot_s", "gap between tokens"),
    **_client("e2e", "e2e_s", "time from arrival to the last token"),
    "duration_s": Column("duration_s", "wall time of the run"),
    "output_tokens_per_s": Column("output_tokens_per_s", "output tokens a second"),
    "output_tokens_per_s_per_gpu": _each("output_tokens_per_s", "output tokens a second a device"),
    "total_tokens_per_s_per_gpu": _each(
        "total_tokens_per_s", "tokens in and out a second a device"
    ),
    **MEMORY,
}
SIGNED = ("cuda_graph_gib", "kv_cache_gib")  # differences of a log: below zero they say nothing
OUTCOME = "outcome"  # whether the engine started: ran, or failed and why
_LENGTHS = [("input_tokens", "input_len"), ("output_tokens", "output_len")]
# Flags that tell of a row, and nothing against it.
NOTED = ("latest", "medians_only", "no_ep_info", "engine_by_convention", "output_tput_derived",
         "date_from_run_id", "image_unknown", "api_says", "third_party_rerun", "also:",
         "file_name_says", "header_says", "refused", "constant arrivals")  # fmt: skip
CONSTANT = 1e6  # gamma shape of gaps that are all alike
_SHAPE = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab")
_SETTINGS = {n: n for n in ("max_num_seqs", "max_model_len", "prefix_hit", "pp", "ep", "tp")} | {
    "max_num_batched_tokens": "max_batched_tokens",
    "gpu_memory_utilization": "memory_fraction",
    "block_size": "block_tokens",
}
# Options by the columns that say them.
COLUMN_OF = {"on": "gpu"} | {option: column for column, option in _SETTINGS.items()}
COLUMN_OF |= {
    n: n
    for n in (
        *("engine", "engine_version", "dtype", "kv_dtype", "model"),
        *("enforce_eager", "async_scheduling"),
    )
}


@dataclass(frozen=True, slots=True)
class Run:
    """One measured number with the scenario it is of."""

    scenario: Scenario
    column: str  # of `COLUMNS`
    value: float
    line: int = 0  # of the file
    engine: str = ""  # as the file names it, with its version
    gpu: str = ""
    flag: str = ""
    overflow: bool | None = None  # where the file says whether the cache overflowed

    @property
    def batch(self) -> int:
        """Requests at once, or kept in flight."""
        w = self.scenario.workload
        return w.concurrency or w.burst or w.batch

    @property
    def architecture(self) -> tuple[int, ...]:
        """What two runs of one architecture share, whatever they call it."""
        m = self.scenario.model
        return (m.n_layers, m.d_model, m.n_heads, m.n_kv_heads, m.head_dim, m.d_ff, m.vocab_size)


@dataclass(frozen=True, slots=True)
class Unread:
    """A measured number that could not be asked about, and why."""

    line: int
    column: str
    why: str
    hint: str
    row: Row


def runs_of(sheet: Sheet) -> tuple[list[Run], list[Unread]]:
    """Return the runs of a file's rows, and the numbers that could not be read.

    Raises:
        SpecError: a column is missing, or nothing of the file can be read; says the first reason.

    """
    path = sheet.path
    needed: list[tuple[str, ...]] = [("engine",), ("gpu",), ("model",)]
    if not MEMORY.keys() & set(sheet.header):  # what an engine says when it starts has no requests
        needed += _LENGTHS
    for names in needed:
        if not any(name in sheet.header for name in names):
            raise SpecError(
                f"{path}: no column {names[0]!r}",
                hint="see `planner validate --help` for the columns",
            )
    runs: list[Run] = []
    unread: list[Unread] = []
    for line, row in zip(sheet.lines, sheet.rows, strict=True):
        for column, text in measured_in(row).items():
            try:
                runs.append(_run(row, column, text, line))
            except PlannerError as error:
                unread.append(Unread(line, column, str(error), error.hint, row))
    if not runs:
        if not unread:
            raise SpecError(
                f"{path}: no column of measurements", hint=f"name one of {', '.join(COLUMNS)}"
            )
        first = unread[0]
        raise SpecError(f"{path}, line {first.line}: {first.why}", hint=first.hint)
    return runs, unread


def measured_in(row: Row) -> dict[str, str]:
    """Return what a row measured: every column of `COLUMNS` it fills, or its `metric`."""
    if row.get("metric"):
        return {row["metric"]: row.get("value", "")}
    found = {name: text for name in COLUMNS if (text := row.get(name) or "")}
    return {n: text for n, text in found.items() if n not in SIGNED or not text.startswith("-")}


def _run(row: Row, column: str, text: str, line: int) -> Run:
    if column not in COLUMNS:
        raise SpecError(f"no metric called {column!r}", hint=f"metrics are {', '.join(COLUMNS)}")
    value = _number({column: text}, column)
    least, greatest = measurable(column)
    if not least <= value <= greatest:
        hint = f"correct that line: it lies between {least:g} and {greatest:g}"
        raise SpecError(f"{column}: {text} is no measurement", hint=hint)
    said = row.get("kv_overflow", "")
    overflow = _truth(said) if said else None
    engine = f"{row['engine']} {row.get('engine_version') or ''}".strip()
    scenario = scenario_of(row, column)
    flag = row.get("flag") or "|".join(filter(None, (against(row), in_chunks(row, column))))
    flag = flag or (unjudged(row, scenario) if column in MEMORY else "")
    return Run(scenario, column, value, line, engine, row["gpu"], flag, overflow)


# What can be measured at all, by the metric's unit: from a step of nanoseconds to a run of months.
MEASURABLE = {"s": (1e-9, 1e7), "gibibyte": (2.0**10, 2.0**50), "": (1e-9, 1e13)}


def measurable(column: str) -> tuple[float, float]:
    """Return the least and the greatest that a column of measurements can hold, in its own unit."""
    held = COLUMNS[column]
    m = METRICS[held.metric]
    least, greatest = MEASURABLE.get(m.unit, MEASURABLE[""])
    return least / held.unit, min(greatest, m.greatest) / held.unit


def flags_of(row: Row) -> list[str]:
    """Return what a row's `flags` say of it."""
    return [f for part in re.split("[|;,]", row.get("flags") or "") if (f := part.strip())]


def against(row: Row) -> str:
    """Return the flags for which a row is scored apart; nothing where none says so."""
    flags = [f for f in flags_of(row) if not f.startswith(NOTED)]
    drafts = row.get("speculative") or "none"
    return "|".join(flags + [f"speculative {drafts}"] * (drafts != "none"))


def in_chunks(row: Row, column: str) -> str:
    """Say whether gaps that a client saw are of several tokens, as its times per token tell."""
    if not column.startswith("itl_"):
        return ""
    for statistic in ("mean_s", "s", "p50_s"):
        gap_s, token_s = (_number(row, f"{n}_{statistic}", 0.0) for n in ("itl", "tpot"))
        if gap_s and token_s:
            return "gaps of several tokens" if gap_s / token_s - 1 > CHUNKED else ""
    return ""


def unjudged(row: Row, s: Scenario) -> str:
    """Return why what a row says of memory is scored apart; nothing where it is not."""
    if row.get("judge") in ("no", "verdict"):
        return f"judge {row['judge']}"
    known = engines()[s.engine.name]
    if known.before_memory(s.engine.version):
        return f"{s.engine.name} before {known.memory_from}"
    return ""


@dataclass(frozen=True, slots=True)
class Start:
    """An engine's start, as a row of a file tells it."""

    line: int
    scenario: Scenario
    outcome: str

    @property
    def ran(self) -> bool:
        """Whether it came up."""
        return not self.outcome.startswith("failed")


def starts_of(sheet: Sheet) -> list[Start]:
    """Return the starts that a file's rows tell of and can be judged by."""
    found = []
    for line, row in zip(sheet.lines, sheet.rows, strict=True):
        if not row.get(OUTCOME):
            continue
        try:
            s = scenario_of(row, "weights_gib")
        except PlannerError:
            continue  # its numbers are among those unread
        if unjudged(row, s) in ("", "judge verdict"):
            found.append(Start(line, s, row[OUTCOME]))
    return found


def _first(row: Row, *names: str) -> str:
    return next((row[n] for n in names if row.get(n)), "")


def _number(row: Row, name: str, default: float = math.nan) -> float:
    text = row.get(name) or ""
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"{name}: {text!r} is not a number", hint="correct that line")
    return value


def _truth(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes")


def scenario_of(row: Row, column: str) -> Scenario:
    """Return what a row ran.

    Raises:
        SpecError: a cell is malformed or out of range.
        UnknownName: no such model, device or engine.

    """
    gpu = row["gpu"]
    settings: dict[str, Any] = {"on": gpu if gpu.endswith(".toml") else device_named(gpu)}
    settings |= engine_settings(row)
    kept = round(_number(row, "concurrency", 0.0))
    engine, devices = settings["engine"], round(_number(row, "tp", 1.0))
    settings |= passed(
        row.get("source") or "", engine, settings["on"], kept, settings.get("dtype", ""), devices
    )
    for name, option in _SETTINGS.items():
        if row.get(name):
            value = _number(row, name)
            settings[option] = round(value) if OPTIONS[option].kind == "whole" else value
    for names in _LENGTHS:
        said = _first(row, *names) or ("1" if column in MEMORY else "")
        settings[names[0]] = max(round(_number({names[0]: said}, names[0])), 1)
    settings |= load_settings(row, column)
    model = model_of(row)
    for switch in ("enforce_eager", "async_scheduling"):
        if row.get(switch):
            settings[switch] = _truth(row[switch])
    if column in MEMORY:  # of a server; an engine starts for the longest text of the model
        settings.setdefault("max_model_len", model.max_position_embeddings)
        settings |= {"batch": None, "concurrency": 1, "requests": 1}
    return Scenario.of(model, conditions(**settings))


def load_settings(row: Row, column: str) -> dict[str, Any]:
    """Return how a row's requests came."""
    arrival = row.get("arrival") or ("batch" if COLUMNS[column].batch else "closed")
    together = round(_number({"batch": _first(row, "batch", "concurrency") or "1"}, "batch"))
    said = _first(row, "n_requests", "num_prompts")
    n = round(_number({"n_requests": said}, "n_requests")) if said else None
    lengths = (row.get("lengths") or "").strip()
    spread = {"lengths": lengths} if lengths and lengths != "mean only" else {}
    spread |= {"endpoint": row["endpoint"]} if row.get("endpoint") else {}
    if arrival == "batch":
        return {"batch": together} | spread
    if arrival == "burst":
        return {"burst": n or together} | spread
    if arrival == "rate":
        came = {"burstiness": CONSTANT} if "constant arrivals" in flags_of(row) else {}
        came |= {"burstiness": _number(row, "burstiness")} if row.get("burstiness") else {}
        return {"rate": _number(row, "rate_per_s"), "requests": n} | came | spread
    if arrival == "closed":
        together = min(together, n or together)  # no more than there are can be in flight
        return {"concurrency": together, "requests": n} | spread
    raise SpecError(f"arrival: {arrival!r} is none", hint="write batch, closed, burst or rate")


def model_of(row: Row) -> ModelSpec:
    """Return a row's model: its shape's columns where they are filled, else the model of its name."""
    if all(row.get(name) for name in _SHAPE):
        more = ("n_experts", "n_active_experts", "n_shared_experts")
        shape = tuple(_number(row, name, 1.0) for name in (*_SHAPE, *more[:2]))
        shared = _number(row, more[2], 0.0)
        flags = _truth(row.get("tied_embeddings") or ""), _truth(row.get("mlp_gated") or "True")
        return _shaped(row["model"], (*shape, shared), *flags)
    return _named(row["model"])


@functools.lru_cache(maxsize=4096)
def _shaped(name: str, shape: tuple[float, ...], tied: bool, gated: bool) -> ModelSpec:
    if any(not v.is_integer() for v in shape):
        raise SpecError(f"{name}: a shape is whole numbers", hint="correct that line")
    keys = (*_SHAPE[:-1], "vocab_size", "n_experts", "n_active_experts", "n_shared_experts")
    values: dict[str, Any] = dict(zip(keys, map(int, shape), strict=True))
    routed = values["n_experts"] > 1
    values |= {"name": name, "tied_embeddings": tied, "mlp_gated": gated}
    values |= {"family": "mixtral", "d_ff_expert": values["d_ff"]} if routed else {}
    return validate(ModelSpec, values, name, hint="correct that line")


def _named(name: str) -> ModelSpec:
    found = _loaded(name)
    if isinstance(found, PlannerError):
        raise found
    return found


@functools.lru_cache(maxsize=4096)
def _loaded(name: str) -> ModelSpec | PlannerError:
    try:
        return load_model(name)
    except PlannerError as error:  # of thousands of rows of one unknown model, look once
        return error


def engine_settings(row: Row) -> dict[str, Any]:
    """Return a row's engine and formats as far as it tells."""
    name, version = engine_named(row["engine"], row.get("engine_version") or "")
    version = version or engines()[name].on_day(row.get("date") or "")
    dtype = row.get("quantization") or row.get("dtype") or ""
    weights, cache = formats_in(dtype, row.get("kv_dtype") or "")
    found = {"engine": name, "engine_version": version, "kv_dtype": cache}
    return found | ({"dtype": weights} if dtype else {})  # else what the checkpoint is stored in
