"""How benchmark tools write a run: one table, `FORMATS`, from the roles of its numbers to their keys.

A format is known by keys that are all there, and says under which keys each role stands, the first
that is there: newer and older versions of a tool side by side.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEAN = ("mean", "avg", "average")  # keys of a statistic


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


def value_at(data: Any, path: str) -> Any:
    """Return what stands at a path; a table of one level may have the path itself as its key."""
    if not isinstance(data, dict):
        return None
    if path.startswith("**."):
        return _anywhere(data, path[3:])
    head, dot, rest = path.partition(".")
    value = data.get(head)
    if dot and value is not None:
        value = value_at(value, rest)
    return data.get(path) if value is None else value


def _anywhere(data: Mapping[str, Any], path: str) -> Any:
    """Return the first that a path leads to from any place, nearest to the top first."""
    places: deque[Any] = deque([data])
    while places:
        place = places.popleft()
        if isinstance(place, dict):
            if (found := value_at(place, path)) is not None and not _is_statistics(place):
                return found
            places.extend(place.values())
        elif isinstance(place, list) and len(place) < 100:
            places.extend(place)
    return None


def _is_statistics(place: Mapping[str, Any]) -> bool:
    return any(name in place for name in MEAN)
