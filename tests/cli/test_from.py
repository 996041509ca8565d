"""`--from` answers as the same flags do, says what became of the command, and gives way to flags."""

import json

import pytest

from planner.results import read_result

COMMAND = (
    "vllm serve llama-3.1-8b -tp 2 --max-num-seqs 128 --port 8000 --enforce-eager --fooo 1 "
    "--swap-space 4"
)
FLAGS = ["llama-3.1-8b", "--tp", "2", "--max-num-seqs", "128", "--enforce-eager"]
ON = ["--on", "h100-sxm", "--json"]


def numbers(result, path=""):
    """Return every number of a result by where it stands."""
    if isinstance(result, dict):
        parts = ((f"{path}/{k}", v) for k, v in result.items())
    elif isinstance(result, list):
        parts = ((f"{path}/{i}", v) for i, v in enumerate(result))
    else:
        return {path: result} if isinstance(result, int | float) else {}
    return {k: v for p, value in parts for k, v in numbers(value, p).items()}


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("predict", []),
        ("what-if", ["--vary", "concurrency=1,64"]),
        pytest.param("budget", ["--ttft", "1s", "--at", "mean"], marks=pytest.mark.slow),
    ],
)
def test_a_serve_command_answers_as_its_flags_do(planner, command, more, tmp_path):
    from_, by_flags = (
        planner(command, *asked, *more, *ON) for asked in (["--from", COMMAND], FLAGS)
    )
    assert (from_.returncode, from_.stderr) == (0, "")
    found, wanted = json.loads(from_.stdout), json.loads(by_flags.stdout)
    said = found.pop("serve_command")
    assert "serve_command" not in wanted
    for result in (found, wanted):  # text or number, as it was given
        result.pop("elapsed_s", 0), result.pop("inputs")
    assert numbers(found) == pytest.approx(numbers(wanted), rel=1e-9)
    assert said["used"]["-tp"] == {"tp": 2}
    assert said["ignored"] == ["--port"] and [*said["not_used"]] == ["--swap-space"]
    assert [*said["unknown"]] == ["--fooo"]
    path = tmp_path / "result.json"
    path.write_text(from_.stdout)
    assert read_result(path).serve_command.options["tp"] == 2
    shown = planner("report", path, "--md", "-")
    assert "--swap-space" in shown.stdout


def test_a_result_holds_no_key(planner):
    line = (
        "HF_TOKEN=hf_1 docker run -e X_API_KEY='sk 2' vllm/vllm-openai:v0.11.0 --model llama-3.1-8b"
    )
    run = planner("predict", "--from", f"{line} --api-key sk-3 --hf-token=hf_4", *ON)
    assert "HF_TOKEN=…" in json.loads(run.stdout)["command"]
    assert not [key for key in ("hf_1", "sk 2", "sk-3", "hf_4") if key in run.stdout]


def test_flags_beside_it_win_and_that_is_said(planner):
    run = planner("predict", "llama-3.2-1b", "--from", COMMAND, "--tp", "1", "--on", "h100-sxm")
    lines = run.stdout.splitlines()
    assert "Llama-3.2-1B on h100-sxm" in lines
    at = lines.index("From the serve command")
    assert lines[at + 1].startswith("used: MODEL (model llama-3.2-1b), vllm serve (engine vllm)")
    assert "overruled by flags beside it: MODEL (model llama-3.1-8b), -tp (tp 2)" in lines
    assert "ignored, costing nothing: --port" in lines and "unknown: --fooo" in lines


@pytest.mark.slow
def test_what_is_varied_and_how_many_copies_are_not_the_commands(planner):
    run = planner("what-if", "--from", COMMAND, *ON, "--vary", "tp=1,2,4")
    result = json.loads(run.stdout)
    assert [p["tp"] for p in result["points"]] == [1, 2, 4]
    assert result["serve_command"]["overruled"] == {"-tp": {"tp": 2}}
    limits = ["--ttft", "1s", "--at", "mean"]
    run = planner("budget", "--from", "vllm serve llama-3.1-8b -dp 4 -tp 2", *ON, *limits)
    result = json.loads(run.stdout)
    assert [p["tp"] for p in result["plans"]] == [2]
    assert "-dp" in result["serve_command"]["not_used"]
    run = planner("budget", "--from", COMMAND, *ON, *limits, "--tp", "1,4", "--dtype", "bf16,fp8")
    assert {(p["tp"], p["dtype"]) for p in json.loads(run.stdout)["plans"]} == {
        (tp, dtype) for tp in (1, 4) for dtype in ("bf16", "fp8")
    }


def test_the_weights_of_a_quantised_checkpoint_are_what_it_stores(planner, tmp_path):
    model = {
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
        "vocab_size": 32000, "quantization_config": {"quant_method": "awq", "bits": 4},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(model))
    run = planner("predict", "--from", f"vllm serve {tmp_path} --dtype half", *ON)
    result = json.loads(run.stdout)
    assert result["inputs"]["engine"]["dtype"] == "int4"
    assert result["serve_command"]["not_used"]["--dtype"] == "the checkpoint is stored in int4"


def test_measurements_are_of_what_the_command_started(planner, tmp_path):
    data = tmp_path / "runs.csv"
    data.write_text(
        "gpu,input_tokens,output_tokens,concurrency,ttft_mean_s\nh100-sxm,1024,128,8,0.05\n"
    )
    run = planner("validate", data, "--from", COMMAND + " --no-enable-prefix-caching", "--json")
    result = json.loads(run.stdout)
    by_row = tmp_path / "whole.csv"
    by_row.write_text(
        "gpu,input_tokens,output_tokens,concurrency,ttft_mean_s,engine,model,tp,max_num_seqs,enforce_eager\n"
        "h100-sxm,1024,128,8,0.05,vllm,llama-3.1-8b,2,128,true\n"
    )
    wanted = json.loads(planner("validate", by_row, "--json").stdout)
    assert result["rows"] == wanted["rows"] and result["overall"]["n"] == 1
    assert "--no-enable-prefix-caching" in result["serve_command"]["not_used"]


@pytest.mark.parametrize(
    ("argv", "code", "error"),
    [
        (["predict"], 2, "MODEL"),
        (["predict", "--from", "vllm serve"], 3, "no model"),
        (["what-if", "--from", "make me a sandwich"], 3, "no serve command"),
        (["budget", "--from", "vllm serve 'm"], 3, "no closing quotation"),
        (["predict", "--from", "vllm serve lama-3-8b"], 3, "lama-3-8b"),
        (["predict", "--from", "vllm serve llama-3-8b --dtype fp8-w8a16"], 3, "fp8-w8a16"),
        (["validate", "no.csv", "--from", "no.sh"], 3, "no.sh"),
    ],
)
def test_what_cannot_be_understood_is_one_error_and_one_hint(planner, argv, code, error):
    run = planner(*argv)
    lines = run.stderr.splitlines()
    assert (run.returncode, run.stdout, len(lines)) == (code, "", 2), run.stderr
    assert lines[0].startswith("error: ") and error in lines[0]
    assert lines[1].startswith("hint: ")
