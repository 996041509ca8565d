"""`planner recommend` for several places, and for a training budget."""

import json

import pytest

ASK = ["recommend", "--params", "1e9", "--tokens", "1e11", "--align", "512", "-q"]


def test_options_with_commas_are_scenarios_and_every_medium_says_so(planner, tmp_path):
    out = tmp_path / "mix.json"
    planner(*ASK, "--on", "a100-sxm-80gb,h100-sxm", "--concurrency", "8", "--json", "--out", out)
    data = json.loads(out.read_text())
    assert data["kind"] == "mix" and list(data["weights"]) == ["a100-sxm-80gb", "h100-sxm"]
    assert data["inputs"]["workload"]["concurrency"] == 8
    text = planner("report", out, "--md", "-").stdout
    page = tmp_path / "mix.html"
    planner("report", out, "--html", page)
    for said in (text, page.read_text()):
        assert "drives the choice" in said and "Regret" in said


@pytest.mark.parametrize(
    "more, code, word",
    [
        (["--scenarios", "/no/such.toml"], 3, "no/such"),
        (["--on", "a100-sxm-80gb,h900"], 3, "h900"),
        (["--on", "a100-sxm-80gb,h100-sxm", "--why-not", "d_ff=1"], 3, "--why-not"),
        (["--serve-tokens", "1e12"], 3, "--train-flops"),
        (["--train-flops", "1e22"], 3, "--params"),
    ],
)
def test_what_cannot_be_is_one_error(planner, more, code, word):
    run = planner(*ASK, *more)
    assert run.returncode == code and word in run.stderr and run.stderr.startswith("error:")


def test_a_size_or_a_budget_must_be_given(planner):
    run = planner("recommend")
    assert run.returncode == 2 and "--tokens" in run.stderr
    run = planner("recommend", "--train-flops", "1e3")
    assert run.returncode == 1 and "buys no model" in run.stderr
