"""`planner validate` takes an engine's start-up log, a file or a pipe, and compares it part by part."""

import io
import json
import sys
from pathlib import Path

import pytest

from planner.questions.validate.measured import MEMORY
from planner.results import read_result

LOGS = Path(__file__).parents[1] / "files/logs"


def test_a_log_is_compared_part_by_part(planner):
    run = planner("validate", LOGS / "vllm-0.11-moe.log")  # it names its device
    assert (run.returncode, run.stderr) == (0, "")
    assert "Log of vllm 0.11.0, model Qwen/Qwen3-30B-A3B" in run.stdout
    rows = {line.split("  ")[0]: line.split() for line in run.stdout.splitlines()}
    assert rows["weights"][1:3] == ["56.94", "GiB"] and rows["weights"][-1] == "%"
    assert rows["KV cache tokens"][3] == "156,832"
    assert "Most memory is missed in " in run.stdout


def test_its_result_reads_back_and_is_reported(planner, tmp_path):
    out = tmp_path / "result.json"
    planner("validate", LOGS / "vllm-0.19-tp4-compose.log", "--on", "h100", "--json", "--out", out)
    found = read_result(out)
    assert found.started.ranks == 4 and found.started.said["kv_dtype"] == "fp8"
    assert found.started.differs_most == "non_torch_gib"
    assert {line.metric for line in found.lines} == {*MEMORY}
    shown = planner("report", out, "--md", "-").stdout
    assert "4 ranks" in shown and "| weights |" in shown


def test_standard_input_is_read(planner, monkeypatch):
    name = LOGS / "vllm-0.8.5.log"
    wanted = json.loads(planner("validate", name, "--on", "l40s", "--json").stdout)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(name.read_bytes())))
    found = json.loads(planner("validate", "-", "--on", "l40s", "--json").stdout)
    assert found["source"] == "standard input"
    assert found["rows"] == wanted["rows"] and found["started"] == wanted["started"]


@pytest.mark.parametrize("name", ["runs.log", "runs.json", "runs"])
def test_what_a_file_is_its_contents_say(planner, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((LOGS / "vllm-0.8.5.log").read_bytes())
    assert planner("validate", path, "--on", "l40s").returncode == 0
    if name != "runs.json":
        path.write_text("gpu,engine,model,weights_gib\nh100-sxm,vllm,llama-3.1-8b,14.99\n")
        run = planner("validate", path, "--json")
        assert json.loads(run.stdout)["started"] is None


def test_a_table_that_quotes_a_log_is_a_table(planner, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(
        "gpu,engine,model,weights_gib,note\n"
        "h100-sxm,vllm,llama-3.1-8b,14.99,Model loading took 14.99 GiB memory and 3.2 seconds\n"
    )
    assert json.loads(planner("validate", path, "--json").stdout)["started"] is None


def test_flags_come_before_what_the_log_says(planner):
    argv = ["validate", LOGS / "vllm-0.8.5.log", "--on", "l40s", "--json"]
    said = json.loads(planner(*argv).stdout)["rows"]
    fp8 = json.loads(planner(*argv, "--dtype", "fp8").stdout)["rows"]
    assert fp8[0]["predicted"] < 0.7 * said[0]["predicted"]
    from_ = json.loads(planner(*argv, "--from", "vllm serve llama-3.1-8b -tp 2").stdout)["rows"]
    assert from_[0]["predicted"] == pytest.approx(said[0]["predicted"] / 2, rel=0.01)


def error_of(run):
    lines = run.stderr.splitlines()
    assert (run.returncode, run.stdout, len(lines)) == (3, "", 2), run.stderr
    return lines


def test_the_device_is_asked_for_by_its_memory(planner):
    error, hint = error_of(planner("validate", LOGS / "vllm-0.32.log"))
    assert "does not say the device" in error
    assert "79.18 GiB" in hint and "h100-sxm" in hint and "l40s" not in hint
    _, hint = error_of(planner("validate", LOGS / "vllm-0.8.5.log"))
    assert hint == "hint: give --on"


def test_a_model_that_only_the_server_knows_is_asked_for(planner, tmp_path):
    path = tmp_path / "server.log"
    text = (LOGS / "vllm-0.8.5.log").read_text().replace("meta-llama/Llama-3.1-8B-Instruct", "/m/7")
    path.write_text(text)
    error, hint = error_of(planner("validate", path, "--on", "l40s"))
    assert "/m/7" in error and "--model" in hint
    assert planner("validate", path, "--on", "l40s", "--model", "llama-3.1-8b").returncode == 0
    error, hint = error_of(planner("validate", LOGS / "tensorrt-llm-engine.log", "--on", "h100"))
    assert "does not say the model" in error and "--model" in hint


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "no rows"),
        (b"hello, world\n1,2\n", "neither measurements nor an engine's log"),
        (b"\x7fELF\x02\x01\xff\xfe\x00" * 9, "not utf-8"),
        ((LOGS / "no-engine.log").read_bytes(), "neither measurements nor an engine's log"),
    ],
)
def test_what_is_no_log_is_one_error_and_one_hint(planner, tmp_path, data, error):
    path = tmp_path / "server.log"
    path.write_bytes(data)
    lines = error_of(planner("validate", path))
    assert error in lines[0] and "log" in lines[1]


def test_a_log_without_any_part_says_how_it_ended(planner, tmp_path):
    path = tmp_path / "server.log"
    path.write_text(
        "INFO vLLM API server version 0.19.0\ntorch.OutOfMemoryError: CUDA out of memory.\n"
    )
    assert "no part of the memory: failed: out of memory" in error_of(planner("validate", path))[0]


def test_a_number_that_is_none_is_said_of_no_device(planner, tmp_path):
    """Found by a random damage: the hint that names devices of a memory read it as a number."""
    path = tmp_path / "cut.log"
    text = (LOGS / "tensorrt-llm-engine.log").read_text()
    path.write_text(text.replace("total: 79.10 GiB", "total: 0..1 GiB").replace("H100", "unknown"))
    run = planner("validate", path)
    assert run.returncode == 3 and run.stderr.count("\n") == 2
