"""`planner what-if` and `planner budget` as a shell sees them."""

import csv
import io
import json

import pytest

SHORT = ["--input-tokens", "500", "--output-tokens", "100"]


def test_a_table_with_what_was_varied_first(planner):
    run = planner("what-if", "llama-3.2-1b", "--vary", "concurrency=1..4", *SHORT)
    assert run.returncode == 0, run.stderr
    head = next(x for x in run.stdout.splitlines() if x.startswith("concurrency")).split()
    assert head[:4] == ["concurrency", "tok/s", "TTFT", "TPOT"] and "3 points" in run.stdout


def test_json_csv_and_out(planner, tmp_path):
    ask = ["what-if", "llama-3.2-1b", "--vary", "tp=1,2", *SHORT]
    data = json.loads(planner(*ask, "--json").stdout)
    assert data["kind"] == "what-if" and [p["tp"] for p in data["points"]] == [1, 2]
    rows = list(csv.DictReader(io.StringIO(planner(*ask, "--csv").stdout)))
    assert float(rows[0]["tpot_s"]) == pytest.approx(data["points"][0]["tpot_s"]["value"])
    out = tmp_path / "rows.csv"
    assert planner(*ask, "--csv", "--out", out).stdout == ""
    assert list(csv.DictReader(io.StringIO(out.read_text()))) == rows


def test_a_trace_is_replayed(planner, tmp_path):
    trace = tmp_path / "t.csv"
    rows = "".join(f"{i / 4},300,{20 + i}\n" for i in range(40))
    trace.write_text("arrival_s,input_tokens,output_tokens\n" + rows)
    run = planner("what-if", "llama-3.2-1b", "--vary", "tp=1", "--trace", trace, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["points"][0]["ttft_s_p99"]["value"] > 0


def test_budget_answers_with_plans_reasons_and_changes(planner):
    run = planner(
        "budget", "llama-3.2-1b", "--ttft", "300ms", "--tpot", "20ms", "--tp", "1",
        "--on", "a100-sxm-80gb", "--rate", "40/s", *SHORT,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for said in ("Fewest GPUs", "cheapest", "Relaxing", "Where the time goes", "win them back"):
        assert said in run.stdout


@pytest.mark.parametrize(
    ("argv", "code", "error", "hint"),
    [
        (["what-if", "llama-3.2-1b", "--vary", "tpp=2"], 3, "tpp", "'tp'"),
        (["what-if", "llama-3.2-1b", "--set", "tp=1,2"], 3, "2 values", "--vary tp"),
        (["what-if", "llama-3.2-1b", "--rate", "fast"], 3, "--rate", "12/s"),
        (["what-if", "llama-3-70b"], 1, "GiB short", "smallest change"),
        (["what-if", "llama-3.2-1b", "--prices", "/no/such.toml"], 3, "no/such", ""),
        (["what-if", "llama-3.2-1b", "--trace", "/no/such.csv"], 3, "no/such.csv", "CSV"),
        (["budget", "llama-3.2-1b"], 3, "no limit", "--ttft"),
        (["budget", "llama-3.2-1b", "--tpot", "10us"], 1, "speed of light", "--tp"),
        (["budget", "llama-3.2-1b", "--tpot", "20"], 3, "--tpot", "300ms"),
        (["budget", "llama-3.2-1b", "--tpot", "20ms", "--at", "p42"], 3, "p42", "p99"),
        (["budget", "llama-3.2-1b", "--tpot", "20ms", "--on", "h100sxm"], 3, "h100sxm", "h100-sxm"),
    ],
)
def test_bad_input_gets_an_error_a_hint_and_the_exit_code(planner, argv, code, error, hint):
    run = planner(*argv)
    lines = run.stderr.strip().splitlines()
    assert run.returncode == code, run.stderr
    assert len(lines) == 2, run.stderr
    assert lines[0].startswith("error: ") and error in lines[0]
    assert lines[1].startswith("hint: ") and hint in lines[1]


def test_a_malformed_trace_row_is_named(planner, tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n0,5,5\n1,five,5\n")
    run = planner("what-if", "llama-3.2-1b", "--vary", "tp=1", "--trace", trace)
    assert run.returncode == 0 and "line 3, column input_tokens" in " ".join(run.stdout.split())
