"""The jobs that people come with, walked as they would: what they need is on the screen, at 80 columns.

One screen is 40 rows. Each walk types what a newcomer types, and asserts that the answer stands there;
numbers are not pinned here, they are looked for.
"""

import json
import re

import pytest

SCREEN = 38


@pytest.fixture
def screen(planner):
    """Return a function that runs `planner ARGV…` at 80 columns, and gives its lines."""

    def run(*argv, code=0):
        ran = planner(*argv, env={"COLUMNS": "80"})
        assert ran.returncode == code, ran.stderr
        lines = (ran.stdout or ran.stderr).splitlines()
        assert not ran.stdout or max(map(len, lines)) <= 80
        return lines

    return run


def first(lines):
    """Return the headline: the lines before the first empty one, as one text."""
    return " ".join(lines[: lines.index("")])


def test_1_a_first_recommendation(screen):
    lines = screen("recommend", "--params", "1e9", "--tokens", "1e11")
    told = first(lines)
    assert len(lines) <= SCREEN
    assert re.match(
        r"Train \d+ layers, d_model \d+, d_ff \d+, \d+ query heads on \d+ KV heads", told
    )
    (sure,) = re.findall(r"(\d+)% sure to lose at most 0.01", told)
    assert int(sure) >= 80 and "× the baseline's tokens/s" in told
    (row,) = (
        line for line in lines if line.startswith("▶") and "recommended" in line and "%" in line
    )
    assert f"{sure}%" in row
    text = "\n".join(lines)
    assert all(word in text for word in ("why: ", "if: ", "to make sure: train", "lowest loss"))


def test_2_under_a_latency_limit(screen):
    asked = ("--params", "1e9", "--tokens", "1e11", "--batch", "8")
    lines = screen("recommend", *asked, "--tpot", "9ms")
    shape = next(line for line in lines if line.startswith("shape"))
    told = next(line for line in lines if line.startswith("▶") and "%" not in line)
    at = shape.index("TPOT") + len("TPOT")
    value, unit = told[:at].split()[-2:]
    assert unit == "ms" and float(value) <= 9
    refused = screen("recommend", *asked, "--tpot", "1us", code=1)
    assert refused[0].startswith("error:") and any(x.startswith("hint:") for x in refused)


def test_3_on_two_devices(screen):
    lines = screen("what-if", "llama-3.2-1b", "--vary", "on=a100-sxm-80gb,h100-sxm", "--batch", "4")
    told = first(lines)
    assert "h100-sxm" in told and "Most output tokens/s" in told
    assert {"a100-sxm-80gb", "h100-sxm"} <= {line.split()[0] for line in lines if line}


def test_4_what_if_of_a_known_model(screen):
    lines = screen("what-if", "llama-3-8b", "--vary", "concurrency=8,128", "--vary", "tp=1,2")
    told = first(lines)
    assert "Soonest:" in told and "Requests wait from concurrency 128, tp 1 on" in told
    assert sum(line.split()[:1] in (["8"], ["128"]) for line in lines) == 4


def test_5_a_budget_for_a_rate(screen):
    limits = ("--ttft", "1s", "--tpot", "40ms", "--rate", "4/s", "--tp", "1,2")
    lines = screen("budget", "llama-3.2-3b", *limits, "--on", "h100-sxm", "--usd-per-hour", "3")
    told = first(lines)
    assert re.match(r"Fewest GPUs for 4.00 requests/s: .*h100-sxm bf16 tp \d, \d+ GPU", told)
    assert re.search(r"\$\d", told) and "binds" in told


def test_6_a_trace(screen, tmp_path):
    trace = tmp_path / "trace.csv"
    rows = "\n".join(f"{i * 0.5},{500 + 10 * i},{50 + i}" for i in range(20))
    trace.write_text(f"arrival_s,input_tokens,output_tokens\n{rows}\n")
    lines = screen("predict", "llama-3.2-1b", "--trace", str(trace), "--on", "h100-sxm")
    assert "serves" in first(lines) and "First token after" in first(lines)


def test_7_ones_own_config(screen, tmp_path):
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 1024,
        "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16,
        "num_key_value_heads": 4, "vocab_size": 32000,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    lines = screen("predict", str(tmp_path), "--on", "h100-sxm", "--batch", "8")
    assert re.search(
        r"serves [\d.]+k? \([\d.]+k? to [\d.]+k?\) output tokens/s on h100-sxm", first(lines)
    )


def test_8_ones_own_runs(screen, tmp_path):
    head = "engine,gpu,model,dtype,concurrency,input_tokens,output_tokens,tp,output_tokens_per_s"
    runs = tmp_path / "runs.csv"
    runs.write_text(f"{head}\nvllm,h100-sxm,llama-3.1-8b,bf16,8,1024,256,1,900\n")
    told = first(screen("validate", str(runs)))
    assert re.match(r"Mean error [\d.]+ % on 1 row;", told)


def test_9_a_report(screen, planner, tmp_path):
    result, page = tmp_path / "r.json", tmp_path / "r.html"
    asked = ("--params", "1e9", "--tokens", "1e11")
    screen_less = planner("recommend", *asked, "--json", "--out", result)
    assert screen_less.returncode == 0
    assert planner("report", result, "--html", page).returncode == 0
    text = page.read_text()
    told = json.loads(result.read_text())["picks"]["recommended"]
    assert f"Train {told['n_layers']} layers, d_model {told['d_model']}" in text


def test_10_explain_a_surprising_number(screen, planner, tmp_path):
    result = tmp_path / "p.json"
    assert planner("predict", "llama-3.2-1b", "--json", "--out", result).returncode == 0
    told = json.loads(result.read_text())["decode_step_s"]["value"]
    lines = screen("explain", "decode_step_s", "--at", str(result))
    (value,) = re.findall(r"_step_s is ([\d.]+) ms", lines[0])
    assert float(value) == pytest.approx(1e3 * told, rel=1e-3)


def test_11_edits_of_a_model_there_is(screen, tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
                "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
                "num_key_value_heads": 32, "vocab_size": 32000, "head_dim": 64,
            }
        )
    )  # fmt: skip
    lines = screen("recommend", "--like", str(tmp_path), "--tokens", "1e11")
    told = first(lines)
    assert re.match(r"Edit .*: .*32 → \d+ KV heads", told)
    assert re.search(
        r"× its tokens/s \(.*\); loss [+-]0.\d+ nats, \d+% sure to lose at most 0.01", told
    )
    assert len(lines) <= 2 * SCREEN and any(line.startswith("▶ 32 →") for line in lines)
