"""report, explain, ui and --plot on the command line: answers, one error line and one hint."""

import sys

import pytest


@pytest.fixture
def result(planner, tmp_path):
    path = tmp_path / "r.json"
    ask = ["recommend", "--params", "1e9", "--tokens", "1e11", "--json", "--out", path]
    assert planner(*ask).returncode == 0
    return path


@pytest.mark.slow
def test_report_writes_each_form(planner, result, tmp_path):
    html, md = tmp_path / "r.html", tmp_path / "r.md"
    assert planner("report", result, "--html", html, "--md", md).returncode == 0
    assert html.read_text().startswith("<!doctype html>")
    assert md.read_text().startswith("# Which shape to train")
    assert planner("report", result).stdout == md.read_text()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["report", "none.json"], 3, "No such file"),
        (["report", "{cut}"], 3, "ends before its JSON does"),
        (["report", "{result}", "--html", "nowhere/r.html"], 5, "nowhere/r.html"),
        (["explain", "tpott_s"], 3, "no quantity called"),
        (["explain", "tpot_s", "--at", "{cut}"], 3, "ends before its JSON does"),
        (["explain", "tpot_s", "--at", "{result}", "--of", "slowest"], 3, "no shape called"),
        (["explain", "--compare", "llama-3.2-1b", "nosuch"], 3, "no model called"),
        (["explain"], 2, "name a quantity"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(planner, result, tmp_path, argv, code, said):
    cut = tmp_path / "cut.json"
    cut.write_text(result.read_text()[:3000])
    run = planner(*(str(a).format(cut=cut, result=result) for a in argv))
    assert run.returncode == code and said in run.stderr
    assert run.stderr.count("error:") == 1 and run.stderr.count("hint:") == 1
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_png_without_a_browser_says_what_to_install(planner, result, tmp_path):
    env = {"PATH": str(tmp_path)}
    run = planner("report", result, "--png", tmp_path / "r.png", env=env)
    assert run.returncode == 4 and "Chromium" in run.stderr and "--html" in run.stderr
    assert not (tmp_path / "r.png").exists()


def test_plots_have_no_colour_when_piped(planner):
    pytest.importorskip("plotext")
    run = planner("recommend", "--params", "1e9", "--tokens", "1e11", "--plot")
    assert run.returncode == 0 and "\x1b" not in run.stdout
    assert "lower right is better" in run.stdout and "fastest" in run.stdout


def test_plots_without_plotext_name_the_extra(planner, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotext", None)
    run = planner("predict", "llama-3.2-1b", "--plot")
    assert run.returncode == 4 and "pip install '.[plot]'" in run.stderr


def test_ui_without_streamlit_names_the_extra(planner, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "streamlit" else found(n, *a)
    )
    run = planner("ui")
    assert run.returncode == 4 and "pip install '.[ui]'" in run.stderr


def test_explain_lists_every_quantity(planner):
    out = planner("explain", "--list").stdout
    assert "tpot_s" in out and "ridge_point" in out


def test_explain_prints_latex_and_json(planner, result):
    import json

    assert planner("explain", "loss", "--latex").stdout.startswith("\\begin{align*}")
    plain = json.loads(planner("explain", "loss", "--at", result, "--json").stdout)
    assert plain["steps"][0]["name"] == "loss"
    assert "0.5" in planner("explain", "--compare", "surefire-1b", "llama-3.2-1b").stdout
