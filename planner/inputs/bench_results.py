"""What benchmark tools write, as rows of measured runs: one table of formats, `FORMATS`.

A format is known by keys that are all there, and says under which keys each role stands, the first
that is there: newer and older versions of a tool side by side. A file holds JSON, JSON lines, a list,
YAML, CSV, or the text that `vllm bench serve` prints. What it says stands; flags add the rest, and may
not contradict it. Times are seconds, unless the key ends on ``_ms`` or a ``unit`` beside it says so.

How requests came, of all tools:

    a rate          open loop; under a cap that it reaches (Little's law), kept at the cap
    a cap           kept concurrency, of no more than there are requests
    neither         all at once, where it says that the rate was infinite: a burst of the requests;
                    else as many as Little's law says
"""

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.errors import PlannerError, SpecError
from planner.inputs.device import device_named
from planner.inputs.engine import engine_named
from planner.inputs.files import documents_in
from planner.inputs.formats import formats_in
from planner.inputs.names import slug
from planner.inputs.presets import preset_named

EVEN = "1e6"  # burstiness of arrivals at equal gaps
CHUNKED = 0.2  # mean gap and mean TPOT differ by more: gaps are between chunks of tokens
REACHED = 0.9  # share of a cap that is in flight where the cap, not the rate, held requests back
_UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MEAN = ("mean", "avg", "average")
_MEDIAN = ("median", "p50")
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Format:
    """How one tool writes a run: role → paths, the first that is there; ``**.key`` is anywhere."""

    tool: str
    marks: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]
    engine: str = ""  # where its files do not say
    client: bool = False  # what it calls its backend is a protocol, which other engines speak too
    runs: str = ""  # where the list of runs is
    batch: bool = False  # one offline batch


_LENGTHS = {"input_total": ("total_input_tokens",), "output_total": ("total_output_tokens",)}
_SERVE = _LENGTHS | {
    "model": ("model_id", "model", "server_info.model_path"),
    "engine": ("backend",),
    "gpu": ("gpu", "gpu_type"),
    "date": ("date",),
    "tp": ("tensor_parallel_size", "tp", "server_info.tp_size"),
    "n_requests": ("num_prompts", "completed"),
    "completed": ("completed",),
    "duration_s": ("duration",),
    "rate": ("request_rate",),
    "cap": ("max_concurrency",),
    "burstiness": ("burstiness",),
    "ttft_s": ("mean_ttft_ms",),
    "tpot_s": ("mean_tpot_ms",),
    "itl_s": ("mean_itl_ms",),
    "e2e_s": ("mean_e2el_ms", "mean_e2e_latency_ms"),
    "ttft_p50_s": ("median_ttft_ms",),
    "tpot_p50_s": ("median_tpot_ms",),
    "output_tokens_per_s": ("output_throughput",),
}
_PERF = {  # the statistics of genai-perf and aiperf: their inter-token latency is a TPOT
    "model": ("**.model_names", "**.model_name", "**.model", "**.models.items", "**.models"),
    "n_requests": ("request_count", "**.request_count", "**.num_requests"),
    "completed": ("request_count",),
    "duration_s": ("benchmark_duration",),
    "rate": ("**.request_rate",),
    "cap": ("**.concurrency", "**.concurrency_level"),
    "pattern": ("**.request_rate_mode", "**.arrival_pattern"),
    "input_tokens": ("input_sequence_length", "num_input_token"),
    "output_tokens": ("output_sequence_length", "num_output_token", "output_token_count"),
    "requests_per_s": ("request_throughput",),
    "ttft_s": ("time_to_first_token", "ttft"),
    "tpot_s": ("inter_token_latency", "inter_token_latencies"),
    "e2e_s": ("request_latency",),
    "output_tokens_per_s": ("output_token_throughput",),
}
FORMATS = (
    Format("InferenceX", ("hw", "conc", "isl", "osl"), _INFERENCEX := {
        "model": ("model", "infmax_model_prefix"),
        "engine": ("framework",),
        "gpu": ("hw", "hardware"),
        "dtype": ("precision",),
            "date": ("date",),
        "tp": ("tp", "decode_tp"),
        "ep": ("ep", "decode_ep"),
        "apart": ("disagg",),
        "draft": ("spec_decoding", "mtp"),
        "cap": ("conc", "concurrency"),
        "input_tokens": ("isl",),
        "output_tokens": ("osl",),
        "ttft_s": ("mean_ttft", "metrics.mean_ttft"),
        "tpot_s": ("mean_tpot", "metrics.mean_tpot"),
        "e2e_s": ("mean_e2el", "metrics.mean_e2el"),
        "ttft_p50_s": ("median_ttft", "metrics.median_ttft"),
        "tpot_p50_s": ("median_tpot", "metrics.median_tpot"),
        "per_gpu": ("output_tput_per_gpu", "metrics.output_tput_per_gpu"),
    }),
    Format("InferenceX", ("hardware", "isl", "osl", "metrics.tput_per_gpu"), _INFERENCEX),
    Format("SGLang bench_serving", ("total_output_tokens_retokenized", "completed"), _SERVE,
           engine="sglang", client=True),
    Format("vllm bench serve", ("completed", "total_input_tokens"), _SERVE,
           engine="vllm", client=True),
    Format("vllm bench throughput", ("elapsed_time", "num_requests"), {
        "model": ("model_id", "model"),
        "batch": ("num_requests",),
        "e2e_latency_s": ("elapsed_time",),
    }, engine="vllm", batch=True),
    Format("vllm bench latency", ("avg_latency",), {
        "model": ("model_id", "model"),
        "batch": ("batch_size",),
        "input_tokens": ("input_len",),
        "output_tokens": ("output_len",),
        "e2e_latency_s": ("avg_latency",),
    }, engine="vllm", batch=True),
    Format("SGLang bench_offline_throughput", ("last_gen_throughput", "total_latency"), _LENGTHS | {
        "model": ("model", "model_path"),
        "batch": ("successful_requests",),
        "completed": ("successful_requests",),
        "e2e_latency_s": ("total_latency",),
    }, engine="sglang", batch=True),
    Format("SGLang bench_one_batch", ("batch_size", "input_len", "output_len"), {
        "model": ("model", "model_path"),
        "batch": ("batch_size",),
        "input_tokens": ("input_len",),
        "output_tokens": ("output_len",),
        "e2e_latency_s": ("total_latency", "latency"),
    }, engine="sglang", batch=True),
    Format("trtllm-bench", ("performance", "request_info"), {
        "model": ("engine.model", "engine.model_path"),
        "engine_version": ("engine.version",),
        "dtype": ("engine.quantization", "engine.dtype"),
        "kv_dtype": ("engine.kv_cache_dtype",),
        "tp": ("world_info.tp_size",),
        "pp": ("world_info.pp_size",),
        "ep": ("world_info.ep_size",),
        "rate": ("world_info.issue_rate",),
        "cap": ("world_info.concurrency", "request_info.concurrency"),
        "max_num_seqs": ("world_info.max_batch_size",),
        "max_num_batched_tokens": ("world_info.max_num_tokens",),
        "n_requests": ("request_info.num_requests",),
        "completed": ("request_info.num_requests",),
        "in_flight": ("request_info.avg_num_concurrent_requests",),
        "input_tokens": ("request_info.avg_input_length",),
        "output_tokens": ("request_info.avg_output_length",),
        "duration_s": ("performance.total_latency_ms",),
        "requests_per_s": ("performance.request_throughput_req_s",),
        "e2e_s": ("performance.avg_request_latency_ms",),
        "ttft_s": ("streaming_metrics.avg_ttft_ms",),
        "tpot_s": ("streaming_metrics.avg_tpot_ms",),
        "output_tokens_per_s": ("performance.system_output_throughput_tok_s",),
    }, engine="tensorrt-llm"),
    Format("guidellm", ("metrics.requests_per_second",), {
        "model": ("**.backend_model", "**.default_model", "**.model"),
        "strategy": ("**.strategy.type_", "**.profile.strategy_type"),
        "rate": ("**.strategy.rate",),
        "cap": ("**.strategy.streams", "**.strategy.max_concurrency"),
        "n_requests": ("**.request_totals.successful", "**.requests_made.successful",
                       "request_totals.successful"),
        "in_flight": ("metrics.request_concurrency",),
        "input_tokens": ("metrics.prompt_token_count",),
        "output_tokens": ("metrics.output_token_count",),
        "requests_per_s": ("metrics.requests_per_second",),
        "ttft_s": ("metrics.time_to_first_token_ms",),
        "tpot_s": ("metrics.inter_token_latency_ms",),  # last less first, over the tokens between
        "e2e_s": ("metrics.request_latency",),
        "output_tokens_per_s": ("metrics.output_tokens_per_second",),
    }, runs="benchmarks"),
    Format("inference-perf", ("load_summary", "successes"), {
        "model": ("**.model_name", "**.model"),
        "rate": ("load_summary.requested_rate",),
        "cap": ("load_summary.concurrency", "load_summary.concurrency_level"),
        "n_requests": ("load_summary.count", "successes.count"),
        "completed": ("successes.count",),
        "duration_s": ("load_summary.send_duration",),
        "input_tokens": ("successes.prompt_len", "successes.prompt_tokens"),
        "output_tokens": ("successes.output_len", "successes.output_tokens"),
        "input_total": ("successes.prompt_tokens.total",),
        "output_total": ("successes.output_tokens.total",),
        "requests_per_s": ("successes.throughput.requests_per_sec",),
        "ttft_s": ("successes.latency.time_to_first_token",),
        "tpot_s": ("successes.latency.time_per_output_token",),
        "itl_s": ("successes.latency.inter_token_latency",),
        "e2e_s": ("successes.latency.request_latency",),
        "output_tokens_per_s": ("successes.throughput.output_tokens_per_sec",),
    }),
    Format("llmperf", ("num_concurrent_requests",), {
        "model": ("model",),
        "cap": ("num_concurrent_requests",),
        "n_requests": ("results_num_completed_requests", "results.num_completed_requests",
                       "num_completed_requests"),
        "input_tokens": ("results_number_input_tokens_mean", "results.number_input_tokens",
                         "mean_input_tokens"),
        "output_tokens": ("results_number_output_tokens_mean", "results.number_output_tokens",
                          "mean_output_tokens"),
        "ttft_s": ("results_ttft_s_mean", "results.ttft_s"),
        "itl_s": ("results_inter_token_latency_s_mean", "results.inter_token_latency_s"),
        "e2e_s": ("results_end_to_end_latency_s_mean", "results.end_to_end_latency_s"),
        "output_tokens_per_s": ("results_mean_output_throughput_token_per_s",
                                "results.mean_output_throughput_token_per_s"),
    }),
    Format("aiperf, genai-perf", ("request_throughput", "output_token_throughput"), _PERF),
    Format("aiperf, genai-perf", ("input_sequence_length", "request_latency"), _PERF),
)  # fmt: skip
TOOLS = tuple(dict.fromkeys(f.tool for f in FORMATS))
READS = f"planner reads {', '.join(TOOLS)}: JSON, JSON lines, YAML, CSV or printed text"


@dataclass(frozen=True, slots=True)
class Bench:
    """The runs of a file, and what is to be said of how they were read."""

    rows: list[Row]
    notes: tuple[str, ...]


def read_bench(
    text: str, path: Path, known: Mapping[str, str], usual: Mapping[str, str] | None = None
) -> Bench:
    """Read what a benchmark tool wrote, as rows of measured runs.

    Args:
        text: what the file holds.
        path: the file, for errors.
        known: columns that were given by flag; "" or "0" says nothing.
        usual: columns where neither file nor flags say.

    Raises:
        SpecError: no known format, something that it leaves out was not given, or what was given
            contradicts it.

    """
    given = {k: v for k, v in known.items() if v not in ("", "0", "0.0")}
    rows: list[Row] = []
    notes: list[str] = []
    refused: list[SpecError] = []
    for fmt, run, whole in _runs(text, path):
        try:
            row, said = _row(_Run(fmt, run, whole), given, path)
        except SpecError as error:
            refused.append(error)
            continue
        rows.append({**(usual or {}), **row})
        notes += said
    if not rows and refused:
        raise refused[0]
    if not rows:
        raise SpecError(f"{path}: no known benchmark result", hint=READS)
    if refused:
        notes.append(f"{len(refused)} of {len(rows) + len(refused)} runs left out: {refused[0]}")
    return Bench(rows, tuple(dict.fromkeys(notes)))


def is_bench(text: str, path: Path) -> bool:
    """Whether a text is a result of a benchmark tool that `FORMATS` knows."""
    marked = any(all(mark.rpartition(".")[2] in text for mark in f.marks) for f in FORMATS)
    if not (marked or _TITLE in text or text.startswith("Metric,")):
        return False
    try:
        return next(iter(_runs(text, path)), None) is not None
    except SpecError:
        return False


def _runs(text: str, path: Path) -> Iterator[tuple[Format, Mapping[str, Any], Any]]:
    documents = _printed(text) or documents_in(text, path, hint=READS)
    for document in _metric_table(documents):
        for whole in document if isinstance(document, list) else [document]:
            yield from _of(whole)


def _of(whole: Any) -> Iterator[tuple[Format, Mapping[str, Any], Any]]:
    if not isinstance(whole, dict):
        return
    if isinstance(whole.get("records"), dict):  # early aiperf
        whole = whole | whole["records"]
    for fmt in FORMATS:
        found = whole.get(fmt.runs, [whole]) if fmt.runs else [whole]
        runs = [run for run in found if isinstance(run, dict)] if isinstance(found, list) else []
        if runs and all(_at(runs[0], mark) is not None for mark in fmt.marks):
            yield from ((fmt, run, whole) for run in runs)
            return


_LABELS = {  # of the text that `vllm bench serve` prints, and SGLang's and TensorRT-LLM's copies
    "successful requests": "completed",
    "benchmark duration (s)": "duration",
    "total input tokens": "total_input_tokens",
    "total generated tokens": "total_output_tokens",
    "total generated tokens (retokenized)": "total_output_tokens_retokenized",
    "output token throughput (tok/s)": "output_throughput",
    "mean ttft (ms)": "mean_ttft_ms",
    "mean tpot (ms)": "mean_tpot_ms",
    "mean itl (ms)": "mean_itl_ms",
    "mean e2el (ms)": "mean_e2el_ms",
    "mean e2e latency (ms)": "mean_e2e_latency_ms",
    "median ttft (ms)": "median_ttft_ms",
    "median tpot (ms)": "median_tpot_ms",
    "traffic request rate": "request_rate",
    "request rate configured (rps)": "request_rate",
    "burstiness factor": "burstiness",
    "maximum request concurrency": "max_concurrency",
    "max request concurrency": "max_concurrency",
    "backend": "backend",
}
_TITLE = "Serving Benchmark Result"
_ARGUMENTS = re.compile(
    r"\b(model|backend|num_prompts|request_rate|max_concurrency)=('[^']*'|[^,)\s]+)"
)


def _printed(text: str) -> list[dict[str, Any]]:
    """Return the runs that a pasted text prints: a title each; what stands above it is its load."""
    if _TITLE not in text:
        return []
    runs: list[dict[str, Any]] = []
    above: dict[str, Any] = {}
    inside = False
    for line in text.splitlines():
        line = line.strip().lstrip("#").strip()
        if "Namespace(" in line:
            above = {k: v.strip("'") for k, v in _ARGUMENTS.findall(line) if v != "None"}
        if _TITLE in line:
            runs.append(dict(above))
            inside = True
        elif inside and set(line) == {"="}:
            inside = False
        label, colon, value = line.rpartition(":") if "(" in line else line.partition(":")
        key = _LABELS.get(label.strip().lower())
        if colon and key and value.strip() and "None" not in value:
            (runs[-1] if inside else above)[key] = value.split()[0]
    return runs


def _metric_table(documents: list[Any]) -> list[Any]:
    """Return the table of metrics that genai-perf and aiperf write as CSV, a row each, as one run."""
    if not documents or not all(isinstance(d, dict) and "Metric" in d for d in documents):
        return documents
    run: dict[str, Any] = {}
    for row in documents:
        name, _, unit = str(row["Metric"]).partition("(")
        cells = {k.lower(): v for k, v in row.items() if k != "Metric"}
        cells.setdefault("avg", cells.get("value") or next(iter(cells.values()), None))
        run[slug(name).replace("-", "_")] = cells | {"unit": unit.rstrip(") ")}
    return [run]


def _at(data: Any, path: str) -> Any:
    """Return what stands at a path; a table of one level may have the path itself as its key."""
    if not isinstance(data, dict):
        return None
    if path.startswith("**."):
        return _anywhere(data, path[3:])
    head, dot, rest = path.partition(".")
    value = data.get(head)
    if dot and value is not None:
        value = _at(value, rest)
    return data.get(path) if value is None else value


def _anywhere(data: Mapping[str, Any], path: str) -> Any:
    """Return the first that a path leads to from any place, nearest to the top first."""
    places: deque[Any] = deque([data])
    while places:
        place = places.popleft()
        if isinstance(place, dict):
            if (found := _at(place, path)) is not None and not _is_statistics(place):
                return found
            places.extend(place.values())
        elif isinstance(place, list) and len(place) < 100:
            places.extend(place)
    return None


def _is_statistics(place: Mapping[str, Any]) -> bool:
    return any(name in place for name in _MEAN)


def _finite(value: Any) -> float | None:
    """Return a number, None where there is none: infinite, not a number, a truth, a word."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class _Run:
    """One run of a format, asked by role."""

    def __init__(self, fmt: Format, run: Mapping[str, Any], whole: Any) -> None:
        self.format, self._places = fmt, (run, whole)

    def found(self, role: str) -> Iterator[tuple[str, Any]]:
        for path in self.format.roles.get(role, ()):
            for place in self._places:
                if (value := _at(place, path)) not in (None, "", [], {}):
                    yield path, value
                    break

    def text(self, role: str) -> str:
        for _, value in self.found(role):
            first = value[0] if isinstance(value, list) else value
            if isinstance(first, dict):
                first = first.get("name")
            if isinstance(first, str | int | float) and str(first).strip():
                return str(first).strip()
        return ""

    def number(self, role: str, statistic: Sequence[str] = _MEAN) -> float | None:
        """Return a role's number in SI units: a cell, or the mean of its statistics."""
        for path, value in self.found(role):
            unit = str(value.get("unit") or "") if isinstance(value, dict) else ""
            value = _statistic(value, statistic)
            if isinstance(value, list):
                value = value[0] if len(value) == 1 else None
            if (number := _finite(value)) is not None:
                in_key = "ms" if path.endswith("_ms") else ""
                return number * _UNITS.get(unit.lower() or in_key, 1.0)
        return None

    def positive(self, role: str) -> float | None:
        number = self.number(role)
        return number if number and number > 0 else None


def _statistic(value: Any, names: Sequence[str]) -> Any:
    """Return a statistic of a node, which may part requests by how they ended."""
    if isinstance(value, dict) and isinstance(value.get("successful"), dict | int | float):
        value = value["successful"]
    if isinstance(value, dict):
        return next((value[name] for name in names if name in value), None)
    return value


_DAY = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)")  # 2025-10-05, 20251005-101112
_NUMBERS = ("tp", "pp", "ep", "max_num_seqs", "max_num_batched_tokens")
_FLAGS = {"batch": "--batch", "input_tokens": "--input-tokens", "output_tokens": "--output-tokens",
          "model": "--model"}  # fmt: skip


def _row(run: _Run, given: Mapping[str, str], path: Path) -> tuple[Row, list[str]]:
    """Return a run as a row of measured runs, and what is to be said of it."""
    if run.text("apart").lower() == "true":
        raise SpecError(
            f"{path}: prefill and decode ran apart, which no row says", hint="leave such runs out"
        )
    row = {name: repr(n) for name in _NUMBERS if (n := run.positive(name))}
    row["source"] = run.format.tool
    if day := _DAY.match(run.text("date")):
        row["date"] = "-".join(day.groups())
    row |= {n: t for n in ("model", "kv_dtype", "engine_version") if (t := run.text(n))}
    row |= _lengths(run)
    if device := run.text("gpu"):
        row["gpu"] = _device(device)
    if (dtype := run.text("dtype")) and dtype.lower() not in ("none", "no_quant", "auto"):
        row["dtype"] = dtype
    if run.text("kv_dtype").lower() in ("none", "auto"):
        del row["kv_dtype"]
    engine = _engine(run.text("engine")) or run.format.engine
    if engine and not (run.format.client and given.get("engine")):
        row["engine"] = engine
    if (draft := run.text("draft").lower()) not in ("", "none", "false", "off"):
        row["flag"] = f"drafts: {draft}"
    _agree(row, given, path)
    row = {k: v for k, v in given.items() if k not in _WAYS} | row
    ways = {_WAYS[k]: v for k, v in given.items() if k in _WAYS}
    said: list[str] = []
    if run.format.batch:
        row |= _batch(run, ways, path)
    else:
        load, said = _load(run, row, ways, path)
        row |= load
        said += _measured(run, row)
    needed = [n for n in _FLAGS if n != "batch" or run.format.batch]
    if missing := [name for name in needed if not row.get(name)]:
        what = missing[0].replace("_", " ")
        raise SpecError(f"{path}: does not say its {what}", hint=f"add {_FLAGS[missing[0]]}")
    return row, said


# Flags of how requests come, as the roles of a run.
_WAYS = {"batch": "batch", "concurrency": "cap", "rate": "rate", "requests": "n_requests",
         "n_requests": "n_requests", "burst": "burst", "burstiness": "burstiness"}  # fmt: skip


def _lengths(run: _Run) -> Row:
    done, row = run.positive("completed"), {}
    for name, total in (("input_tokens", "input_total"), ("output_tokens", "output_total")):
        whole = run.positive(total)
        if mean := run.positive(name) or (whole / done if whole and done else None):
            row[name] = repr(mean)
    return row


def _device(text: str) -> str:
    """Return a device as results name it: a cluster's mark may follow ("h200-nv")."""
    for tried in (text, text.partition("-")[0], text.partition("_")[0]):
        try:
            return device_named(tried)
        except PlannerError:
            continue
    return text


def _engine(text: str) -> str:
    """Return an engine as results name it: what routes to it, or the protocol, may stand by."""
    known = {"trt": "tensorrt-llm", "trtllm": "tensorrt-llm"}
    parts = [known.get(p, p) for p in re.split(r"[-_ ]", text.lower())]
    for tried in (text, *parts):
        try:
            return engine_named(tried, "")[0] if tried else ""
        except PlannerError:
            continue
    return ""


def _agree(row: Row, given: Mapping[str, str], path: Path) -> None:
    """Refuse a flag that contradicts the file."""
    for name in row.keys() & given.keys():
        ours, theirs = _meant(name, row[name]), _meant(name, given[name])
        if ours is None or theirs is None or ours == theirs:
            continue
        flag = {"gpu": "--on"}.get(name, "--" + name.replace("_", "-"))
        raise SpecError(
            f"{path}: says {name} {row[name]}, {flag} says {given[name]}", hint=f"leave {flag} out"
        )
    # The name people gave, where the file has a path or another name of the same model.
    row.update({"model": given["model"]} if given.get("model") else {})


def _meant(name: str, text: str) -> Any:
    """Return what a cell means, to be compared; None where that cannot be said."""
    try:
        if name == "gpu":
            return device_named(text)
        if name == "engine":
            return engine_named(text, "")[0]
        if name in ("dtype", "kv_dtype"):
            return formats_in(text)[0]
    except PlannerError:
        return None
    if name == "model":
        return preset_named(text)
    return None if (number := _finite(text)) is None else round(number)


def _batch(run: _Run, ways: Mapping[str, str], path: Path) -> Row:
    n, seconds = run.positive("batch"), run.positive("e2e_latency_s")
    _same("batch", n, _finite(ways.get("batch")), path)
    if ways.keys() - {"batch", "n_requests"}:
        raise SpecError(
            f"{path}: ran one batch", hint="leave how requests come out, but for --batch"
        )
    row = {"arrival": "batch", "batch": repr(n) if n else ways.get("batch", "")}
    return row | ({"e2e_latency_s": repr(seconds)} if seconds else {})


def _same(what: str, own: float | None, flag: float | None, path: Path) -> None:
    """Refuse a flag that contradicts the file's number."""
    if own and flag and abs(flag / own - 1) > 0.01:
        raise SpecError(
            f"{path}: says {what} {own:g}, --{what} says {flag:g}", hint=f"leave --{what} out"
        )


def _load(run: _Run, row: Row, ways: Mapping[str, str], path: Path) -> tuple[Row, list[str]]:
    """Return how a run's requests came."""
    said: list[str] = []
    if "batch" in ways:
        raise SpecError(f"{path}: ran no offline batch", hint="leave --batch out")
    n = run.positive("n_requests") or _finite(ways.get("burst") or ways.get("n_requests"))
    rate, cap = run.positive("rate"), run.positive("cap")
    strategy = run.text("strategy").lower()
    burst = (strategy == "throughput" or "burst" in ways) and not cap
    if strategy == "synchronous":
        cap, rate = 1.0, None
    elif strategy in ("concurrent", "throughput"):
        rate = None
    for name, own in (("rate", rate), ("cap", cap)):
        flag = _finite(str(ways.get(name, "")).removesuffix("/s"))
        _same("rate" if name == "rate" else "concurrency", own, flag, path)
        if not (rate or cap or burst) and flag:
            rate, cap = (flag, cap) if name == "rate" else (rate, flag)
    flying = _in_flight(run, row)
    done, seconds = run.positive("completed"), run.positive("duration_s")
    came = run.positive("requests_per_s") or (done / seconds if done and seconds else None)
    if rate and cap and flying and flying >= REACHED * cap:
        said.append(f"the cap of {cap:g} held requests back, not the rate: {flying:.1f} in flight")
        rate = None
    if rate:
        if cap:  # what came through is what the engine saw
            rate = came or rate
        even = strategy == "constant" or run.text("pattern").lower() == "constant"
        burstiness = run.positive("burstiness")
        shape = repr(burstiness) if burstiness else EVEN if even else ways.get("burstiness", "")
        load = {"arrival": "rate", "rate_per_s": repr(rate), "burstiness": shape}
        said.append("output tokens a second left out: at a rate they are the load, not the engine")
        return load | ({"n_requests": repr(round(n))} if n else {}), said
    # Of requests all at once, half of them are in flight on the average, or more.
    averaged = None if cap or burst else run.positive("in_flight")
    if averaged and (not n or averaged < n / 2):
        cap = float(max(round(averaged), 1))
    # Without a rate, or at one that is not finite, tools that have one send all at once.
    burst = burst or (not rate and any(run.found("rate")))
    if not cap and n and burst:
        return {"arrival": "burst", "n_requests": repr(round(n)), "batch": repr(round(n))}, said
    if not cap and flying:
        cap = float(max(round(flying), 1))
        said.append(f"says no concurrency: by Little's law {flying:.1f} in flight")
    if not cap:
        raise SpecError(
            f"{path}: does not say how requests came", hint="add --concurrency, or --rate"
        )
    at_once = min(cap, n) if n else cap
    if flying and not 0.5 < flying / at_once < 1.1:
        said.append(f"says {at_once:g} at once; by Little's law {flying:.1f} were in flight")
    load = {"arrival": "closed", "concurrency": repr(round(at_once))}
    return load | ({"n_requests": repr(round(n))} if n else {}), said


def _in_flight(run: _Run, row: Row) -> float | None:
    """Return the mean number in flight by Little's law: requests a second × seconds a request."""
    done, seconds = run.positive("completed"), run.positive("duration_s")
    made, out = run.positive("output_tokens_per_s"), _finite(row.get("output_tokens"))
    per_s = run.positive("requests_per_s") or (
        done / seconds if done and seconds else made / out if made and out else None
    )
    first, gap = run.positive("ttft_s"), run.positive("tpot_s") or run.positive("itl_s")
    took = run.positive("e2e_s") or (first + gap * (out - 1) if first and gap and out else None)
    return per_s * took if per_s and took else None


def _measured(run: _Run, row: Row) -> list[str]:
    """Fill in what was measured, in a row's columns; returns what was left out and why."""
    ttft, tpot, itl, e2e = (run.positive(n) for n in ("ttft_s", "tpot_s", "itl_s", "e2e_s"))
    out, said = _finite(row.get("output_tokens")), []
    gap = tpot or ((e2e - ttft) / (out - 1) if e2e and ttft and out and out > 1 else None)
    if itl and gap and abs(itl / gap - 1) > CHUNKED:
        said.append(
            f"itl_s left out: {itl / gap:.3g} times the time per token, so it is not of single tokens"
        )
        itl = None
    values = {"ttft_s": ttft, "tpot_s": tpot, "itl_s": itl}
    for name in ("ttft", "tpot"):
        if not values[f"{name}_s"]:
            values[f"{name}_p50_s"] = run.positive(f"{name}_p50_s")
            values[f"{name}_p50_s"] = values[f"{name}_p50_s"] or run.number(f"{name}_s", _MEDIAN)
    if not (ttft and (tpot or itl)):  # with both, it is their sum
        values["e2e_mean_s"] = e2e
    if row["arrival"] != "rate":
        devices = (run.positive("tp") or 1.0) * (run.positive("pp") or 1.0)
        per_gpu = run.positive("per_gpu")
        whole = run.positive("output_tokens_per_s") or (per_gpu * devices if per_gpu else None)
        values["output_tokens_per_s"] = whole
    row |= {name: repr(value) for name, value in values.items() if value}
    return said
