"""Bad input gets one `error:` and one `hint:` line, a documented exit code, and no half-written file."""

import json
import os
import threading

import pytest

from planner.data import bundled

ASK = ["--params", "1e9", "--tokens", "1e11"]


@pytest.mark.parametrize(
    ("argv", "code", "error", "hint"),
    [
        (["recommend", "--params", "-3e9", "--tokens", "1e11"], 3, "--params", "3B"),
        (["recommend", "--params", "nan", "--tokens", "1e11"], 3, "--params", "3B"),
        (["recommend", "--params", "3e9", "--tokens", "0"], 3, "--tokens", "100B"),
        (["recommend", "--params", "1e40", "--tokens", "1e11"], 3, "params", "1e+13"),
        (["recommend", *ASK, "--on", "h100sxm"], 3, "h100sxm", "h100-sxm"),
        (["recommend", *ASK, "--ttft", "300"], 3, "--ttft", "300ms"),
        (["recommend", *ASK, "--tpot", "1us"], 1, "--tpot", "nearest feasible"),
        (["recommend", *ASK, "--law", "no-such"], 3, "no-such", ""),
        (["recommend", *ASK, "--gqa", "0"], 3, "--gqa", ""),
        (["recommend", *ASK, "--tp", "0"], 3, "--tp", "between 1 and"),
        (["recommend", *ASK, "--hardware-path", "/no/such"], 3, "--hardware-path", "folder"),
        (["predict", "lama-3-8b"], 3, "lama-3-8b", "llama-3-8b"),
        (["predict", "llama-3.1-70b"], 1, "does not fit", "--tp 8"),
        (["predict", "/no/such/config.json"], 3, "config.json", ""),
        (["hardware", "show", "h1000"], 3, "h1000", ""),
        (["hardware", "check", "/no/such.toml"], 3, "no/such.toml", ""),
    ],
)
def test_one_error_line_one_hint_line_and_the_exit_code(planner, argv, code, error, hint):
    run = planner(*argv)
    lines = run.stderr.strip().splitlines()
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    assert len(lines) == 2, run.stderr
    assert lines[0].startswith("error: ") and error in lines[0]
    assert lines[1].startswith("hint: ") and hint in lines[1]


@pytest.mark.parametrize(
    "argv",
    [["recommend", *ASK, "--nonsense", "1"], ["recommend"]],
)
def test_a_wrong_command_line_is_usage(planner, argv):
    run = planner(*argv)
    error, hint = run.stderr.strip().splitlines()
    assert run.returncode == 2
    assert error.startswith("error: ") and hint == "hint: see `planner recommend --help`"


def test_a_pipe_or_device_is_written_to_never_replaced(planner, tmp_path):
    """A FIFO stands for /dev/null and its like."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()), daemon=True)
    reader.start()
    run = planner("recommend", *ASK, "--json", "--out", fifo)
    assert run.returncode == 0, run.stderr
    reader.join(timeout=60)
    assert json.loads(got[0])["schema"] == 2
    assert fifo.is_fifo()


def test_a_link_keeps_pointing_and_its_target_is_written(planner, tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    assert planner("recommend", *ASK, "--json", "--out", link).returncode == 0
    assert link.is_symlink() and json.loads(target.read_text())["schema"] == 2


@pytest.mark.parametrize("columns", ["abc", "", "0", "-5"])
def test_a_nonsense_width_is_ignored(planner, columns):
    run = planner("recommend", *ASK, env={"COLUMNS": columns})
    assert run.returncode == 0 and "lowest loss" in run.stdout


@pytest.mark.parametrize(
    "ask",
    [["recommend", *ASK, "--dtype", "int8"], ["what-if", "llama-3.2-1b", "--vary", "dtype=int8"]],
)
def test_a_format_the_device_has_no_rate_of_is_refused(planner, tmp_path, ask):
    device = tmp_path / "mine.toml"
    text = (bundled("hardware") / "devices" / "nvidia" / "a100-sxm-80gb.toml").read_text()
    device.write_text("\n".join(x for x in text.splitlines() if not x.startswith("int8 =")))
    run = planner(*ask, "--on", device)
    assert run.returncode == 3 and "int8" in run.stderr and "bf16" in run.stderr


def test_an_unwritable_output_leaves_nothing(planner, tmp_path):
    out = tmp_path / "missing" / "r.json"
    run = planner("recommend", *ASK, "--json", "--out", out)
    assert run.returncode == 5 and run.stderr.startswith("error: ") and "hint: " in run.stderr
    assert not out.parent.exists()


def test_an_output_that_is_a_folder_is_refused_and_nothing_is_left(planner, tmp_path):
    run = planner("recommend", *ASK, "--json", "--out", tmp_path)
    assert run.returncode == 5 and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unsupported_config_names_its_family(planner, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nosuch", "hidden_size": 8}))
    run = planner("predict", tmp_path)
    assert run.returncode == 3 and "nosuch" in run.stderr and "hint: " in run.stderr


def test_json_goes_to_stdout_whole_and_is_one_object(planner):
    run = planner("recommend", *ASK, "--json")
    result = json.loads(run.stdout)
    assert run.stderr == "" and result["schema"] == 2
    assert result["command"] == "planner " + " ".join(["recommend", *ASK, "--json"])


def test_csv_has_one_row_a_front_shape(planner):
    run = planner("pareto", *ASK, "--csv")
    head, *rows = run.stdout.strip().splitlines()
    assert head.startswith("name,n_layers,d_model") and len(rows) > 5
    assert all(len(r.split(",")) == len(head.split(",")) for r in rows)


def test_piped_text_has_no_colour_and_fits_the_width(planner):
    run = planner("recommend", *ASK)
    assert "\x1b" not in run.stdout
    assert all(len(line) <= 100 for line in run.stdout.splitlines())


def test_two_runs_print_the_same_but_for_the_time(planner):
    first, second = (json.loads(planner("recommend", *ASK, "--json").stdout) for _ in range(2))
    first.pop("elapsed_s"), second.pop("elapsed_s")
    assert first == second
