"""Scores are what they say, flagged rows stay apart, and vLLM's own files are read."""

import json

import numpy as np
import pytest

from planner.columns import Kernels, Overheads
from planner.errors import SpecError
from planner.inputs.bench_results import read_bench
from planner.inputs.benchmarks import passed
from planner.inputs.files import Sheet, read_csv
from planner.inputs.profile import load_profile
from planner.questions.validate.kernel_rows import group_kernels, predicted_s
from planner.questions.validate.measured import engine_settings, runs_of
from planner.questions.validate.validate import score, validate_kernels, validate_runs

HEADER = (
    "engine,engine_version,gpu,tp,dtype,model,n_layers,d_model,n_heads,n_kv_heads,head_dim,d_ff,"
    "vocab,tied_embeddings,batch,input_len,output_len,metric,value,kv_overflow,flag"
)
LLAMA = "Llama,32,4096,32,8,128,14336,128256,False"
SMALL = "Small,16,2048,32,8,64,8192,128256,True"


def rows():
    for shape in (LLAMA, SMALL):
        for batch in (1, 8, 64):
            for metric, flag in (("e2e_latency_s", ""), ("tpot_s", ""), ("ttft_s", "cold")):
                yield f"vLLM,0.10,H100-80GB,1,bfloat16,{shape},{batch},512,128,{metric},1.0,False,{flag}"
    yield f"vLLM,0.6.3,A100-SXM4-40GB,1,float16,{LLAMA},64,2048,2048,e2e_latency_s,1.0,True,"


def file_of(tmp_path, lines, name="runs.csv"):
    path = tmp_path / name
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture
def measured(tmp_path):
    """A file whose rows are what is predicted, times 1.1, but for two."""
    path = file_of(tmp_path, rows())
    runs, _ = runs_of(read_csv(path))
    lines = []
    said = [line.predicted for line in validate_runs(runs, "f").lines]
    for i, (line, p) in enumerate(zip(rows(), said, strict=True)):
        factor = {0: 2.0, 3: 0.5}.get(i, 1.1)
        cells = line.split(",")
        cells[-3] = repr(float(p) * factor)
        lines.append(",".join(cells))
    return file_of(tmp_path, lines, "measured.csv")


def test_scores_are_of_predicted_over_measured(measured):
    v = validate_runs(runs_of(read_csv(measured))[0], "file")
    assert v.overall.n == 13
    errors = [abs(1 / 1.1 - 1)] * 11 + [0.5, 1.0]
    assert v.overall.mean_ape == pytest.approx(np.mean(errors))
    assert v.overall.median_ape == pytest.approx(abs(1 / 1.1 - 1))
    assert v.overall.bias == pytest.approx(1 / 1.1 - 1)
    assert sorted(w.error for w in v.worst[:2]) == pytest.approx([-0.5, 1.0])
    assert set(v.groups["metric"]) == {"e2e_latency_s", "tpot_s"}


def test_flagged_rows_stay_apart(measured):
    v = validate_runs(runs_of(read_csv(measured))[0], "file")
    assert v.flagged["cold"].n == 6
    assert "ttft_s" not in v.groups["metric"]


def test_overflow_is_found_where_the_file_says_so(measured):
    v = validate_runs(runs_of(read_csv(measured))[0], "file")
    assert v.overflow == {"measured": 1, "found": 1, "false_alarms": 0}


def test_cross_validation_fits_each_architecture_on_the_others(measured):
    """The fit is given the others only; what it finds is what its own rows are predicted by."""
    seen = []

    def refit(known, unseen):
        assert not {r.architecture for r in known} & {r.architecture for r in unseen}
        if not known:
            return None
        seen.append(len(unseen))
        return Kernels(), Overheads(step_s=10.0)

    runs = [r for r in runs_of(read_csv(measured))[0] if "h100" in r.scenario.on]
    v = validate_runs(runs, "f", refit=refit)
    assert v.cross_validated
    assert sum(seen) == 18
    assert v.overall.bias > 10  # ten seconds a step


def test_a_rank_and_a_coverage():
    s = score(np.array([1.0, 2.0, 3.0]), np.array([1.1, 1.9, 3.9]), np.array([0.1, 0.1, 0.1]))
    assert s.spearman == pytest.approx(1.0)
    assert s.coverage == pytest.approx(2 / 3)


def test_formats_and_versions_are_read():
    fp8 = engine_settings({"engine": "vLLM", "engine_version": "0.6", "dtype": "w_fp8_kv_fp8"})
    assert fp8 == {"engine": "vllm", "engine_version": "0.6", "dtype": "fp8", "kv_dtype": "fp8"}
    assert engine_settings({"engine": "SGLang", "dtype": "awq", "tp": "2"})["dtype"] == "int4"
    assert engine_settings({"engine": "vLLM", "engine_version": "0.14.0"})["engine"] == "vllm"
    gptq = engine_settings({"engine": "transformers", "dtype": "gptq-int8"})
    assert gptq["dtype"] == "w8a16"


def test_an_unknown_metric_says_the_line(tmp_path):
    path = file_of(tmp_path, [next(rows()).replace("e2e_latency_s", "speed")])
    with pytest.raises(SpecError, match=r"line 2.*speed"):
        runs_of(read_csv(path))


def test_an_unknown_engine_says_which_there_are(tmp_path):
    path = file_of(tmp_path, [next(rows()).replace("vLLM,0.10", "nonesuch,1")])
    with pytest.raises(SpecError, match=r"line 2.*nonesuch") as raised:
        runs_of(read_csv(path))
    assert "sglang" in raised.value.hint


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("engine,gpu\nvLLM,H100\n")
    with pytest.raises(SpecError, match="model"):
        runs_of(read_csv(path))


def test_kernels_are_scored_by_operator(tmp_path):
    path = tmp_path / "kernels.csv"
    path.write_text(
        "op,gpu,dtype,time_s,m,n,k,batch,n_heads,n_kv_heads,head_dim,q_len,kv_len,tp\n"
        "gemm,A100-80GB,bfloat16,1e-4,64,4096,4096,,,,,,,1\n"
        "attn_decode,A100-80GB,bfloat16,1e-4,,,,16,32,8,128,1,1024,1\n"
        "attn_prefill,A100-80GB,bfloat16,1e-3,,,,2,32,8,128,1024,1024,1\n"
        "allreduce,A100-80GB,float16,1e-4,1000000,,,,,,,,,4\n"
        "norm,A100-80GB,float16,1e-5,512,4096,,,,,,,,1\n"
    )
    v = validate_kernels(group_kernels(read_csv(path)), "kernels")
    assert set(v.groups["model"]) == {"gemm", "attn_decode", "attn_prefill", "allreduce", "norm"}
    kernels = load_profile("a100-vllm").columns()[0]
    assert all(np.all(predicted_s(g, kernels) > 0) for g in group_kernels(read_csv(path)))


def test_vllm_bench_serve(tmp_path):
    """The keys `vllm bench serve --save-result` writes."""
    path = tmp_path / "serve.json"
    path.write_text(
        json.dumps(
            {
                "model_id": "meta-llama/Llama-3.1-8B",
                "max_concurrency": 16,
                "completed": 100,
                "total_input_tokens": 102400,
                "total_output_tokens": 12800,
                "output_throughput": 1500.0,
                "mean_ttft_ms": 90.0,
                "mean_tpot_ms": 9.0,
                "mean_itl_ms": 9.0,
            }
        )
    )
    (row,) = read_bench(path.read_text(), path, {"gpu": "h100-sxm", "engine": "vllm"}).rows
    found, unread = runs_of(Sheet.of([row], path))
    runs = {r.column: r for r in found}
    assert len(runs) == 4 and not unread
    assert runs["ttft_s"].value == pytest.approx(0.09)
    assert runs["output_tokens_per_s"].value == 1500
    w = runs["tpot_s"].scenario.workload
    assert (w.concurrency, w.input_tokens, w.output_tokens, w.n_requests) == (16, 1024, 128, 100)
    v = validate_runs(found, path.name)
    assert 0 < v.overall.mean_ape < 1


def test_vllm_bench_latency_needs_what_the_file_leaves_out(tmp_path):
    path = tmp_path / "latency.json"
    path.write_text(json.dumps({"avg_latency": 1.5, "latencies": [1.5]}))
    known = {"gpu": "h100-sxm", "engine": "vllm", "model": "llama-3.1-8b", "batch": "8"}
    with pytest.raises(SpecError, match="input tokens"):
        read_bench(path.read_text(), path, known)
    (row,) = read_bench(
        path.read_text(), path, known | {"input_tokens": "1024", "output_tokens": "128"}
    ).rows
    ((run,), _) = runs_of(Sheet.of([row], path))
    assert (run.column, run.value, run.scenario.workload.batch) == ("e2e_latency_s", 1.5, 8)


def test_a_row_without_a_version_ran_what_was_current_and_what_its_benchmark_passes():
    """Released on PyPI: vLLM 0.11.0 on 2025-10-04, 0.13.0 on 2025-12-19, 0.14.0 on 2026-01-20."""
    row = {"engine": "vllm", "dtype": "fp8"}
    said = {day: engine_settings(row | {"date": day}) for day in ("2025-10-28", "2026-02-03", "")}
    versions = {day: s["engine_version"] for day, s in said.items()}
    assert versions == {"2025-10-28": "0.11", "2026-02-03": "0.14", "": ""}
    assert (
        engine_settings(row | {"date": "2025-10-28", "engine_version": "0.10"})["engine_version"]
        == "0.10"
    )
    assert not any("async_scheduling" in s for s in said.values())
    assert passed("InferenceX: a copy", "vllm", "h200-sxm", 4, "fp8", 8) == {
        "async_scheduling": True
    }
    assert passed("InferenceX", "sglang", "mi300x", 64, "fp8", 8) == {"memory_fraction": 0.8}
    four = passed("InferenceX", "sglang", "b200", 8, "fp8", 4)
    assert (four["memory_fraction"], four["max_num_seqs"]) == (0.95, 32)
    intervals = [
        passed("InferenceX", "sglang", "b200", n, "nvfp4", 8)["recv_interval"] for n in (8, 16, 64)
    ]
    assert intervals == [10, 30, 30]
    assert passed("somebody's blog", "sglang", "b200", 4, "fp8", 8) == {}
