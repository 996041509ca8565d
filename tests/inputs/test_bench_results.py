"""Results of benchmark tools, written here after what the tools document, are read to one same run."""

import json
from pathlib import Path

import pytest

from planner.errors import SpecError
from planner.inputs.bench_results import is_bench, read_bench
from planner.inputs.files import Sheet
from planner.questions.validate.measured import runs_of
from planner.questions.validate.validate import validate_file

FILES = Path(__file__).parents[1] / "files"

# One run: llama-3.1-8b, 16 in flight of 160 requests, 1000 in, 200 out, TTFT 50 ms, TPOT 10 ms.
# A request takes 2.04 s; 16 / 2.04 = 7.843 come through a second, in 20.4 s.
N, CAP, IN, OUT, TTFT, TPOT, E2E, SPAN = 160, 16, 1000, 200, 0.05, 0.01, 2.04, 20.4
PER_S = N / SPAN
MODEL = "meta-llama/Llama-3.1-8B-Instruct"

SERVE = {
    "backend": "vllm", "model_id": MODEL, "num_prompts": N, "completed": N, "duration": SPAN,
    "request_rate": "inf", "burstiness": 1.0, "max_concurrency": CAP, "total_input_tokens": N * IN,
    "total_output_tokens": N * OUT, "request_throughput": PER_S, "output_throughput": PER_S * OUT,
    "mean_ttft_ms": TTFT * 1e3, "mean_tpot_ms": TPOT * 1e3, "mean_itl_ms": TPOT * 1e3,
}  # fmt: skip
OLD_SERVE = {k: v for k, v in SERVE.items() if k != "burstiness"} | {
    "date": "20240801-101010", "input_throughput": PER_S * IN, "mean_e2el_ms": E2E * 1e3,
}  # fmt: skip
SGLANG = {k: v for k, v in SERVE.items() if k not in ("model_id", "num_prompts", "burstiness")} | {
    "backend": "sglang", "dataset_name": "random", "total_output_tokens_retokenized": N * OUT - 3,
    "mean_e2e_latency_ms": E2E * 1e3, "concurrency": 15.9, "accept_length": None,
}  # fmt: skip
NEW_SGLANG = SGLANG | {"server_info": {"model_path": MODEL, "tp_size": 1}, "tag": None}
TRTLLM = {
    "engine": {"model": MODEL, "backend": "PyTorch", "version": "1.0.0", "dtype": "bfloat16",
               "kv_cache_dtype": None, "quantization": None},
    "world_info": {"tp_size": 1, "pp_size": 1, "ep_size": -1, "world_size": 1,
                   "max_batch_size": 2048, "max_num_tokens": 8192, "issue_rate": -1},
    "request_info": {"num_requests": N, "avg_num_concurrent_requests": 15.98,
                     "avg_input_length": IN, "avg_output_length": OUT},
    "performance": {"total_latency_ms": SPAN * 1e3, "avg_request_latency_ms": E2E * 1e3,
                    "request_throughput_req_s": PER_S,
                    "system_output_throughput_tok_s": PER_S * OUT},
    "streaming_metrics": {"avg_ttft_ms": TTFT * 1e3, "avg_tpot_ms": TPOT * 1e3},
}  # fmt: skip
OLD_TRTLLM = TRTLLM | {
    "engine": {"model": MODEL, "engine_dir": "/e", "version": "0.17.0", "dtype": "bfloat16"}
}


def statistics(**values):
    """Return what genai-perf and aiperf write of each metric."""
    units = {"time_to_first_token": "ms", "inter_token_latency": "ms", "request_latency": "ms"}
    return {
        k: {"unit": units.get(k, ""), "avg": v, "p50": v, "std": 0.0} for k, v in values.items()
    }


PERF = statistics(
    request_throughput=PER_S, output_token_throughput=PER_S * OUT, time_to_first_token=TTFT * 1e3,
    inter_token_latency=TPOT * 1e3, request_latency=E2E * 1e3,
    input_sequence_length=IN, output_sequence_length=OUT,
)  # fmt: skip
AIPERF = PERF | statistics(request_count=N) | {
    "schema_version": "1.0", "aiperf_version": "0.3.0",
    "input_config": {"endpoint": {"model_names": [MODEL]}, "loadgen": {"concurrency": CAP}},
}  # fmt: skip
OLD_AIPERF = {
    "records": {"ttft" if k == "time_to_first_token" else k: v
                for k, v in (PERF | statistics(request_count=N)).items()},
    "input_config": {"model_names": [MODEL], "loadgen": {"concurrency": CAP, "request_rate": None}},
}  # fmt: skip
GENAI = PERF | {
    "input_config": {"model_names": [MODEL], "perf_analyzer": {"stimulus": {"concurrency": CAP}}}
}
OLD_GENAI = PERF | {"input_config": {"model": [MODEL], "concurrency": CAP, "request_rate": None}}


def parted(mean):
    """Return what guidellm writes of each metric."""
    return {"successful": {"mean": mean, "median": mean}, "errored": {"mean": 0.0}}


GUIDE = {
    "metrics": {
        "requests_per_second": parted(PER_S), "request_concurrency": parted(15.9),
        "request_latency": parted(E2E), "prompt_token_count": parted(IN),
        "output_token_count": parted(OUT), "time_to_first_token_ms": parted(TTFT * 1e3),
        "time_per_output_token_ms": parted(E2E * 1e3 / OUT),
        "inter_token_latency_ms": parted(TPOT * 1e3), "output_tokens_per_second": parted(PER_S * OUT),
    },
}  # fmt: skip
OLD_GUIDE = {"benchmarks": [GUIDE | {
    "run_stats": {"requests_made": {"successful": N, "errored": 0, "total": N}},
    "args": {"strategy": {"type_": "concurrent", "streams": CAP}},
    "worker": {"backend_type": "openai_http", "backend_model": MODEL},
}]}  # fmt: skip
NEW_GUIDE = {
    "metadata": {"version": 1, "guidellm_version": "0.4.0"}, "args": {"model": MODEL},
    "benchmarks": [{**GUIDE, "metrics": GUIDE["metrics"] | {"request_totals": {"successful": N}},
                    "config": {"strategy": {"type_": "concurrent", "streams": CAP}}}],
}  # fmt: skip


def mean(value):
    return {"mean": value, "median": value, "p99": value}


INFERENCE_PERF = {
    "load_summary": {"count": N, "concurrency": CAP, "send_duration": SPAN},
    "successes": {
        "count": N, "prompt_len": mean(IN), "output_len": mean(OUT),
        "latency": {"request_latency": mean(E2E), "time_to_first_token": mean(TTFT),
                    "time_per_output_token": mean(TPOT),
                    "normalized_time_per_output_token": mean(E2E / OUT)},
        "throughput": {"output_tokens_per_sec": PER_S * OUT, "requests_per_sec": PER_S},
    },
    "failures": {"count": 0},
}  # fmt: skip
NEW_INFERENCE_PERF = INFERENCE_PERF | {
    "successes": {k: v for k, v in INFERENCE_PERF["successes"].items() if k[-4:] != "_len"}
    | {"prompt_tokens": mean(IN) | {"total": N * IN}, "output_tokens": {"total": N * OUT}}
}
LLMPERF = {
    "version": "2023-08-31", "model": MODEL, "mean_input_tokens": IN, "mean_output_tokens": OUT,
    "num_concurrent_requests": CAP, "results_ttft_s_mean": TTFT, "results_ttft_s_quantiles_p50": TTFT,
    "results_inter_token_latency_s_mean": TPOT, "results_number_input_tokens_mean": IN,
    "results_number_output_tokens_mean": OUT, "results_num_completed_requests": N,
    "results_mean_output_throughput_token_per_s": PER_S * OUT,
}  # fmt: skip
NESTED_LLMPERF = {
    "model": MODEL, "num_concurrent_requests": CAP,
    "results": {"ttft_s": mean(TTFT), "inter_token_latency_s": mean(TPOT),
                "number_input_tokens": mean(IN), "number_output_tokens": mean(OUT),
                "num_completed_requests": N,
                "mean_output_throughput_token_per_s": PER_S * OUT},
}  # fmt: skip
INFERENCEX = {
    "hw": "h100", "conc": CAP, "model": MODEL, "framework": "vllm", "precision": "bf16",
    "isl": IN, "osl": OUT, "tp": 1, "ep": 1, "mean_ttft": TTFT, "mean_tpot": TPOT,
    "output_tput_per_gpu": PER_S * OUT, "tput_per_gpu": PER_S * (IN + OUT),
}  # fmt: skip
API_INFERENCEX = {
    "hardware": "h100-nv", "model": MODEL, "framework": "vllm", "precision": "bf16", "conc": CAP,
    "isl": IN, "osl": OUT, "decode_tp": 1, "disagg": False, "spec_decoding": "none",
    "metrics": {"mean_ttft": TTFT, "mean_tpot": TPOT, "output_tput_per_gpu": PER_S * OUT,
                "tput_per_gpu": PER_S * (IN + OUT)},
}  # fmt: skip
TOOLS = {
    "vllm": SERVE, "vllm of 2024": OLD_SERVE, "SGLang": SGLANG, "newer SGLang": NEW_SGLANG,
    "trtllm-bench": TRTLLM, "trtllm-bench 0.17": OLD_TRTLLM, "aiperf": AIPERF,
    "early aiperf": OLD_AIPERF, "genai-perf": GENAI, "genai-perf of 2024": OLD_GENAI,
    "guidellm 0.2": OLD_GUIDE, "guidellm 0.4": NEW_GUIDE, "inference-perf": INFERENCE_PERF,
    "newer inference-perf": NEW_INFERENCE_PERF, "llmperf": LLMPERF, "llmperf nested": NESTED_LLMPERF,
    "InferenceMAX": [INFERENCEX], "InferenceX": [API_INFERENCEX],
}  # fmt: skip


def read(data, **known):
    text = data if isinstance(data, str) else json.dumps(data)
    return read_bench(text, Path("result.json"), {"gpu": "h100-sxm", **known}, {"engine": "vllm"})


def same_run(bench):
    """Hold a file's only run against the run all of them tell of."""
    runs, unread = runs_of(Sheet.of(bench.rows, Path("result.json")))
    assert not unread
    found = {r.column: r.value for r in runs}
    w = runs[0].scenario.workload
    assert (w.concurrency, w.input_tokens, w.output_tokens) == (CAP, IN, OUT)
    said = bench.rows[0].get("n_requests")  # else the run is answered as one without an end
    assert w.n_requests == (N if said else None)
    assert runs[0].scenario.model.name == "Llama-3.1-8B" and runs[0].scenario.on == "h100-sxm"
    assert (
        found.pop("itl_s", TPOT) == pytest.approx(found.pop("tpot_s", TPOT)) == pytest.approx(TPOT)
    )
    assert found == pytest.approx({"ttft_s": TTFT, "output_tokens_per_s": PER_S * OUT}, rel=1e-3)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_is_read_to_the_same_run(tool):
    data = TOOLS[tool]
    lacking = "model" if tool in ("SGLang", "inference-perf", "newer inference-perf") else ""
    if lacking:
        with pytest.raises(SpecError, match="does not say its model"):
            read(data)
    same_run(read(data, model="llama-3.1-8b" if lacking else ""))


@pytest.mark.parametrize("written", ["lines", "list", "csv", "yaml", "text"])
def test_one_run_however_it_is_written(written):
    yaml = pytest.importorskip("yaml")
    text = {
        "lines": json.dumps(SERVE),
        "list": json.dumps([SERVE]),
        "csv": ",".join(SERVE) + "\n" + ",".join(map(str, SERVE.values())) + "\n",
        "yaml": yaml.safe_dump(SERVE),
        "text": f"""Namespace(backend='vllm', model='{MODEL}', num_prompts={N}, request_rate=inf)
Traffic request rate: inf
Burstiness factor: 1.0 (Poisson process)
Maximum request concurrency: {CAP}
============ Serving Benchmark Result ============
Successful requests:                     {N}
Benchmark duration (s):                  {SPAN}
Total input tokens:                      {N * IN}
Total generated tokens:                  {N * OUT}
Output token throughput (tok/s):         {PER_S * OUT:.2f}
Mean TTFT (ms):                          50.00
Median TTFT (ms):                        49.00
Mean TPOT (ms):                          10.00
==================================================
""",
    }[written]
    path = Path(f"result.{ {'csv': 'csv', 'yaml': 'yaml', 'text': 'txt'}.get(written, 'json') }")
    assert is_bench(text, path)
    same_run(read_bench(text, path, {"gpu": "h100-sxm"}, {"engine": "vllm"}))


def test_a_table_of_metrics_as_genai_perf_writes_it():
    text = (
        "Metric,avg,min,max,p99\n"
        "Time To First Token (ms),50.0,40,60,60\nInter Token Latency (ms),10,9,11,11\n"
        "Request Latency (ms),2040,2000,2100,2100\nInput Sequence Length (tokens),1000,1,1,1\n"
        f"Output Sequence Length (tokens),200,1,1,1\nRequest Throughput (per sec),{PER_S},,,\n"
        f"Output Token Throughput (per sec),{PER_S * OUT},,,\n"
    )
    known = {"gpu": "h100-sxm", "model": "llama-3.1-8b", "concurrency": "16", "requests": str(N)}
    same_run(read_bench(text, Path("x.csv"), known, {"engine": "vllm"}))


def load(**changed):
    (row,) = read(SERVE | changed).rows
    return row


def test_a_rate_under_a_cap_is_an_open_loop_until_it_reaches_the_cap():
    seen = {"duration": 20.5, "mean_e2el_ms": 2440.0, "num_prompts": 100, "completed": 100}
    seen |= {"total_input_tokens": 30000, "total_output_tokens": 20000}
    row = load(**seen, request_rate=5.0, max_concurrency=256)
    assert row["arrival"] == "rate" and float(row["rate_per_s"]) == pytest.approx(100 / 20.5)
    assert "output_tokens_per_s" not in row
    assert load(**seen, request_rate=5.0, max_concurrency=12)["arrival"] == "closed"
    free = load(**seen, request_rate=5.0, max_concurrency=None)
    assert (free["arrival"], free["rate_per_s"]) == ("rate", "5.0")


def test_no_more_are_in_flight_than_there_are_requests():
    assert {load(max_concurrency=cap)["concurrency"] for cap in (N, 256, 5000)} == {str(N)}
    assert load(max_concurrency=None)["arrival"] == "burst"


def test_gaps_between_chunks_are_left_out_and_said():
    (row,) = (bench := read(SERVE | {"mean_itl_ms": 100.0})).rows
    assert "itl_s" not in row and "tpot_s" in row
    assert any(note.startswith("itl_s left out: 10 times") for note in bench.notes)


def test_what_the_file_says_is_not_asked_for_and_may_not_be_contradicted():
    known = {"model": "llama-3.1-8b", "input_tokens": "1000", "output_tokens": "200"}
    data = {"elapsed_time": 20.0, "num_requests": 64, "total_num_tokens": 76800}
    assert float(read(data, **known).rows[0]["batch"]) == 64
    with pytest.raises(SpecError, match="says batch 64, --batch says 8"):
        read(data, **known, batch="8")
    with pytest.raises(SpecError, match="no offline batch"):
        read(SERVE, batch="8")
    with pytest.raises(SpecError, match="says concurrency 16, --concurrency says 32"):
        read(SERVE, concurrency="32")
    with pytest.raises(SpecError, match="says model"):
        read(SERVE, model="llama-3.2-3b")
    with pytest.raises(SpecError, match="says gpu h100-sxm, --on says a100"):
        read([INFERENCEX], gpu="a100-sxm-80gb")
    assert read(SERVE, engine="sglang").rows[0]["engine"] == "sglang"  # vllm is the protocol


def test_a_file_that_does_not_say_how_requests_came():
    data = {k: v for k, v in INFERENCE_PERF.items() if k != "load_summary"}
    data["load_summary"] = {"count": N}
    data["successes"] = {k: v for k, v in data["successes"].items() if k != "throughput"}
    with pytest.raises(SpecError, match="how requests came"):
        read(data, model="llama-3.1-8b")
    (row,) = read(data, model="llama-3.1-8b", rate="10/s").rows
    assert (row["arrival"], row["rate_per_s"]) == ("rate", "10.0")
    untold = PERF | {"input_config": {"model_names": [MODEL]}}
    (row,) = (bench := read(untold)).rows  # Little's law: 7.84 a second, 2.04 s each
    assert row["concurrency"] == "16" and "by Little's law 16.0 in flight" in bench.notes[0]


def test_a_day_is_read_however_it_is_written():
    for day in ("20251005-101112", "2025-10-05", "2025-10-05T10:11:12Z"):
        assert load(date=day)["date"] == "2025-10-05"
    assert "date" not in load(date="yesterday")


@pytest.mark.parametrize("text", ['{"answer": 42}', "[]", "[1, 2]", '{"a": 1}\n{"b": 2}', "{}"])
def test_other_json_is_no_known_result(text):
    with pytest.raises(SpecError, match="no known benchmark result") as error:
        read(text)
    assert "guidellm" in error.value.hint


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"completed": 1', "\x00\x01", '{"a":'])
def test_hostile_text_is_one_error(text):
    with pytest.raises(SpecError):
        read(text)


RIGHT = {  # of the files' README: arrival, how many or how often, lengths, what is to score
    "b01_rate_with_cap.json": ("rate", 4.88, 300, 200, {"ttft_s": 0.092, "tpot_s": 0.0118}),
    "b03_open_rate.json": ("rate", 10, 300, 200, {"ttft_s": 0.055, "tpot_s": 0.0136}),
    "b05_instruct_id.json": (
        "closed", 16, 300, 200, {"ttft_s": 0.055, "tpot_s": 0.0062, "output_tokens_per_s": 2500}),
    "b09_aiperf.json": (
        "closed", 12, 1024, 128, {"ttft_s": 0.06, "tpot_s": 0.011, "output_tokens_per_s": 1024}),
    "b10_genai_perf.json": (
        "closed", 12, 1024, 128, {"ttft_s": 0.06, "tpot_s": 0.011, "output_tokens_per_s": 1024}),
    "b11_inference_perf_stage.json": ("rate", 10, 1024, 128, {"ttft_s": 0.06, "tpot_s": 0.0128}),
    "b12_llmperf_summary.json": (
        "closed", 5, 550, 149, {"ttft_s": 0.21, "itl_s": 0.0189, "output_tokens_per_s": 250}),
    "b13_inferencemax.json": (
        "closed", 16, 1024, 1024, {"ttft_s": 0.28, "tpot_s": 0.0178, "output_tokens_per_s": 864}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_files_people_have(name):
    arrival, many, given, made, measured = RIGHT[name]
    lacking = {"model": "llama-3.1-8b"} if name.startswith("b11") else {}
    (row,) = read_bench((FILES / name).read_text(), FILES / name, lacking).rows
    assert row["arrival"] == arrival
    assert float(row["rate_per_s" if arrival == "rate" else "concurrency"]) == pytest.approx(
        many, rel=1e-3
    )
    assert (float(row["input_tokens"]), float(row["output_tokens"])) == (given, made)
    columns = ("ttft_s", "tpot_s", "itl_s", "output_tokens_per_s", "e2e_mean_s")
    assert {c: float(row[c]) for c in columns if c in row} == pytest.approx(measured)
    if name.startswith("b13"):
        assert [row[n] for n in ("gpu", "engine", "dtype", "tp")] == [
            "h200-sxm", "sglang", "fp8", "8.0"]  # fmt: skip


def test_the_same_through_the_command_s_question():
    lines = validate_file(FILES / "b06_lines.jsonl", known={"gpu": "h100-sxm"}).lines
    assert len(lines) == 6
    chunked = {"gpu": "h200-sxm", "tp": "8", "dtype": "fp8", "engine": "sglang"}
    found = validate_file(FILES / "b02_chunked_itl.json", known=chunked)
    assert [line.metric for line in found.lines] == ["ttft_s", "tpot_s", "output_tokens_per_s"]
    assert "itl_s left out" in found.basis["file"]
