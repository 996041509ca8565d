"""Measured runs from a CSV file: each row says what was run and one number that came out.

The columns (a file may have more; `*` are required):

    engine* engine_version    vLLM, SGLang, TensorRT-LLM, transformers, …
    gpu*                      a hardware id, or a name such as "A100-SXM4-40GB"
    tp pp ep                  parallel degrees (1)
    dtype                     bfloat16, float16, fp8, awq, gptq-int4, w_int8_kv_fp8, …
    model*                    a name; the shape follows
    n_layers* d_model* n_heads* n_kv_heads* head_dim* d_ff* vocab*
    tied_embeddings mlp_gated n_experts n_active_experts n_shared_experts
    batch*                    requests at once (`concurrency` is another name for it)
    n_requests                in the whole run, at steady concurrency (10 a place; `num_prompts` too)
    input_len* output_len*    tokens a request
    metric* value*            see METRICS
    flag                      why a row should not count; scored apart
"""

import csv
import functools
import gzip
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, Workload
from planner.errors import SpecError
from planner.inputs.device import device_names
from planner.inputs.engine import EngineName, EngineSpec
from planner.inputs.fields import validate

METRICS = {
    "e2e_latency_s": "wall time of one batch of identical requests, prefill included",
    "prefill_s": "the same with one output token",
    "output_tok_s": "output tokens of the batch over that wall time",
    "ttft_s": "mean time to first token at steady concurrency",
    "tpot_s": "mean time per output token after the first, at steady concurrency",
    "itl_s": "mean gap between tokens, at steady concurrency",
    "output_tokens_per_s": "output tokens a second at steady concurrency",
}
REQUESTS_A_PLACE = 10.0  # where a file does not say: what benchmarks at a concurrency commonly send
BATCH_METRICS = ("e2e_latency_s", "prefill_s", "output_tok_s")
_SHAPE = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab")
_REQUIRED = ("engine", "gpu", "model", *_SHAPE, "input_len", "output_len", "metric", "value")
_ENGINES = {
    "vllm": "vllm",
    "sglang": "sglang",
    "tensorrt": "tensorrt-llm",
    "trt": "tensorrt-llm",
    "transformers": "transformers",
    "deepspeed": "deepspeed-mii",
    "fastertransformer": "fastertransformer",
    "torch": "torch",
}
Row = Mapping[str, str]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """One measured number with what it takes to predict it."""

    model: str
    gpu: str
    engine: str  # as the file names it, with its version
    device_id: str
    setup: EngineSpec
    metric: str
    value: float
    batch: float
    input_tokens: float
    output_tokens: float
    flag: str
    overflow: str  # "True" or "False" where the file says whether the cache overflowed
    row: Row

    @property
    def architecture(self) -> tuple[float, ...]:
        """What two runs of one architecture share, whatever they call it."""
        return tuple(_number(self.row, name) for name in _SHAPE)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, gzipped or not.

    Raises:
        SpecError: there is no such file, or it has no rows.

    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(
            f"{path}: {error.strerror}", hint="name a CSV file of measurements"
        ) from None
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    if not rows:
        raise SpecError(f"{path}: no rows", hint="a header line and a line for each measurement")
    return rows


def read_runs(path: Path) -> list[Run]:
    """Read end-to-end measurements.

    Raises:
        SpecError: a column is missing, or a row cannot be read; says which.

    """
    return runs_of(read_rows(path), path)


def runs_of(rows: Sequence[Row], path: Path) -> list[Run]:
    """Return the runs of a file's rows; raises as `read_runs` does."""
    if missing := [name for name in _REQUIRED if name not in rows[0]]:
        raise SpecError(
            f"{path}: no column {missing[0]!r}",
            hint="see `planner validate --help` for the columns",
        )
    runs = []
    for line, row in enumerate(rows, start=2):
        try:
            runs.append(_run(row))
        except SpecError as error:
            raise SpecError(f"{path}, line {line}: {error}", hint=error.hint) from None
    return runs


def _run(row: Row) -> Run:
    if row["metric"] not in METRICS:
        raise SpecError(
            f"no metric called {row['metric']!r}", hint=f"metrics are {', '.join(METRICS)}"
        )
    batch = row.get("batch") or row.get("concurrency") or "1"
    return Run(
        model=row["model"],
        gpu=row["gpu"],
        engine=f"{row['engine']} {row.get('engine_version', '')}".strip(),
        device_id=device_id(row["gpu"]),
        setup=setup(row),
        metric=row["metric"],
        value=_number(row, "value"),
        batch=float(batch),
        input_tokens=_number(row, "input_len"),
        output_tokens=_number(row, "output_len"),
        flag=row.get("flag", ""),
        overflow=row.get("kv_overflow", ""),
        row=row,
    )


def _number(row: Row, name: str, default: float = math.nan) -> float:
    text = row.get(name, "")
    try:
        value = float(text) if text not in ("", None) else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"{name}: {text!r} is not a number", hint="correct that line")
    return value


@functools.cache
def device_id(gpu: str) -> str:
    """Return the hardware id of a GPU as people write it: "A100-SXM4-40GB" is a100-sxm-40gb.

    Raises:
        SpecError: none fits.

    """
    words = set(re.findall(r"[a-z]+\d+[a-z]*|\d+gb|pcie|nvl|sxm", gpu.lower()))
    words = {re.sub(r"^sxm\d$", "sxm", w) for w in words} - {"nvidia"}
    known = device_names()
    if gpu.lower() in known:
        return gpu.lower()
    form = words & {"pcie", "nvl"} or {"sxm"}
    best, best_score = "", 0.0
    for name in known:
        parts = set(name.split("-"))
        if not parts & words - {"sxm", "pcie", "nvl"}:
            continue
        model = 4 * len({p for p in parts & words if not p.endswith("gb")} - {"sxm", "pcie", "nvl"})
        memory = {p for p in parts if p.endswith("gb")}
        score = model + 2 * bool(memory & words) + bool(form & parts) - bool(memory - words) * 0.5
        if model and score > best_score:
            best, best_score = name, score
    if not best:
        raise SpecError(f"no hardware like {gpu!r}", hint="see `planner hardware list`")
    return best


def setup(row: Row) -> EngineSpec:
    """Return the engine's settings as far as the row tells."""
    degrees = (int(_number(row, "tp", 1)), int(_number(row, "pp", 1)), int(_number(row, "ep", 1)))
    return _setup(
        row["engine"].lower(), row.get("engine_version", ""), row.get("dtype", ""), *degrees
    )


@functools.cache
def _setup(engine: str, released: str, dtype: str, tp: int, pp: int, ep: int) -> EngineSpec:
    name = next((v for k, v in _ENGINES.items() if engine.startswith(k)), engine)
    version = re.findall(r"\d+", released)[:2]
    if name == "vllm" and version and (int(version[0]), int(version[-1])) < (0, 8):
        name = "vllm-0.6"  # the first engine: no chunked prefill by default, more work a step
    dtype = dtype or "bfloat16"
    kv = next((d for d in ("fp8", "int8") if f"kv_{d}" in dtype), None)
    weights = dtype.partition("_kv_")[0].removeprefix("w_")
    formats = {"awq": "int4", "int4": "int4", "int8": "w8a16", "fp8": "fp8"}
    values = {
        "name": name,
        "dtype": next((v for k, v in formats.items() if k in weights), "bf16"),
        "kv_dtype": kv,
        "tp": tp,
        "pp": pp,
        "ep": ep,
    }
    known = ", ".join(get_args(EngineName))
    return validate(EngineSpec, values, f"engine {engine}", hint=f"engines are {known}")


def _truth(text: str) -> float:
    return float(text.strip().lower() in ("true", "1", "yes"))


def arch_of(runs: Iterable[Run]) -> Arch:
    """Return the shapes of `runs` as columns."""
    rows = [r.row for r in runs]

    def column(name: str, default: float = math.nan) -> Floats:
        return np.array([_number(row, name, default) for row in rows])

    return Arch(
        n_layers=column("n_layers"),
        d_model=column("d_model"),
        n_heads=column("n_heads"),
        n_kv_heads=column("n_kv_heads"),
        head_dim=column("head_dim"),
        d_ff=column("d_ff"),
        vocab_size=column("vocab"),
        untied=1.0 - np.array([_truth(row.get("tied_embeddings", "False")) for row in rows]),
        mlp_matrices=2.0 + np.array([_truth(row.get("mlp_gated") or "True") for row in rows]),
        n_experts=column("n_experts", 1.0),
        n_active_experts=column("n_active_experts", 1.0),
        n_shared_experts=column("n_shared_experts", 0.0),
    )


def workload_of(runs: Iterable[Run]) -> Workload:
    """Return what `runs` were asked as columns."""
    runs = list(runs)
    return Workload(
        input_tokens=np.array([r.input_tokens for r in runs]),
        output_tokens=np.array([r.output_tokens for r in runs]),
        batch=np.array([r.batch for r in runs]),
        n_requests=np.array([_requests(r) for r in runs]),
    )


def _requests(r: Run) -> float:
    """Return how many requests a run had: the first of them all arrive at once, and wait."""
    said = r.row.get("n_requests") or r.row.get("num_prompts")
    return float(said) if said else REQUESTS_A_PLACE * r.batch


def row_of(a: Arch) -> Row:
    """Return the columns that say a shape, for one known as an `Arch`."""
    names = {"vocab": a.vocab_size} | {n: getattr(a, n) for n in _SHAPE if n != "vocab"}
    names |= {n: getattr(a, n) for n in ("n_experts", "n_active_experts", "n_shared_experts")}
    flags = {"tied_embeddings": str(a.untied == 0), "mlp_gated": str(a.mlp_matrices == 3)}
    return {name: str(float(value)) for name, value in names.items()} | flags
