"""`planner calibrate`: from the command line to files and back into a prediction."""

import json
import subprocess
import sys

import pytest
from planner_calibration import runs
from typer.testing import CliRunner

from planner.cli.app import app

DEVICE = "a100-sxm-80gb"
run = CliRunner().invoke


def ok(*argv):
    result = run(app, [str(a) for a in argv])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def store(tmp_path):
    """Serving runs of a machine that is slower than the shipped profile says."""
    from planner_calibration.fit.speed import rows
    from planner_calibration.measure.shapes import near

    from planner.inputs.device import load_device
    from planner.inputs.measurement import Measurement
    from planner.inputs.profile import profile_for

    device = load_device(DEVICE)
    prior = profile_for(DEVICE, device, "vllm")[0]
    blank = []
    for x, r in ((0.05, 1), (0.08, 3), (0.11, 1), (0.11, 3)):
        shape = near(1e9, n_layers=16, x=x, r=r, gqa=4, head_dim=64, vocab_size=32768, multiple=64)
        for batch in (8, 64):
            what = {"batch": batch, "input_tokens": 1024, "output_tokens": 256}
            what |= shape.settings() | {"dtype": "bfloat16", "tied_embeddings": True}
            values = {"e2e_s": 1.0, "e2e_min_s": 1.0, "e2e_iqr_s": 0.01}
            blank.append(
                Measurement.of("serve_offline", what, values=values, engine="vllm 1.0", machine="g")
            )
    (group,) = rows.groups(blank, device)
    path = tmp_path / "serve.jsonl"
    for row, t in zip(blank, 1.6 * group.predict(*prior.columns()), strict=True):
        runs.append(path, row.model_copy(update={"values": row.values | {"e2e_s": float(t)}}))
    return path


@pytest.mark.slow
def test_a_fitted_profile_changes_the_prediction_and_its_interval(store, tmp_path):
    text = ok("calibrate", "fit", store, "--on", DEVICE, "--name", "mine", "--to", tmp_path)
    assert text.startswith("held out, 4 architectures, 8 runs: error")
    asked = ["predict", "llama-3.2-1b", "--on", DEVICE, "--batch", "64", "--json"]
    asked += ["--input-tokens", "1024", "--output-tokens", "256"]  # as the runs were
    before = json.loads(ok(*asked))
    after = json.loads(ok(*asked, "--profile", tmp_path / "mine.toml"))
    old, new = before["output_tokens_per_s"], after["output_tokens_per_s"]
    assert 0.5 < new["value"] / old["value"] < 0.75  # the machine is 1.6 times slower
    assert new["high"] / new["low"] != pytest.approx(old["high"] / old["low"], rel=1e-3)
    assert "mine" in json.dumps(after["basis"])


def test_show_tells_runs_residuals_failures_and_skipped_lines(store):
    with store.open("a") as file:
        file.write("garbage\n")
    text = ok("calibrate", "show", store, "--on", DEVICE)
    assert "serve_offline: 8 ok" in text and "+60 %" in text
    assert "serve.jsonl:9:skipped" in "".join(text.split())
    found = json.loads(ok("calibrate", "show", store, "--json"))
    assert len(found["runs"]) == 8 and len(found["skipped"]) == 1


def test_plan_prints_runs_and_what_they_are_worth():
    text = ok("calibrate", "plan", "--params", "1e9", "--budget", "1e20FLOP", "--runs", "3")
    assert text.startswith("3 runs,") and "nats of loss difference" in text
    found = json.loads(
        ok("calibrate", "plan", "--params", "1e9", "--budget", "1e20FLOP", "--runs", "2", "--json")
    )
    assert found["runs"][-1]["sd_after"] < found["sd_before"]


@pytest.mark.torch
def test_training_from_the_command_line_resumes_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = tmp_path / "text.py"
    text.write_text("def f(x):\n    return x + 1\n" * 2000)
    argv = [
        "calibrate", "train", "--runs", tmp_path / "t.jsonl", "--near", "2e4", "--layers", "2",
        "--x", "0.2", "--r", "1,2", "--head-dim", "8", "--vocab-size", "300", "--tokens", "3k",
        "--batch", "4", "--length", "32", "--seeds", "1", "--data", text, "--device", "cpu",
    ]  # fmt: skip
    assert "2 runs trained, 0 on record already, 0 failed" in ok(*argv)
    assert "0 runs trained, 2 on record already" in ok(*argv)
    csv = ok("calibrate", "show", tmp_path / "t.jsonl", "--csv")
    assert csv.splitlines()[0].startswith("run_id,n_params_non_embedding,n_tokens,loss")
    assert len(csv.splitlines()) == 3
    assert "nats/token" in ok("calibrate", "show", tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("argv", "message", "code"),
    [
        (["calibrate", "serve", "--engine", "warp"], "no model to measure", 3),
        (["calibrate", "serve", "llama-3.2-1b", "--engine", "warp"], "no engine called 'warp'", 3),
        (["calibrate", "plan", "--params", "1e9", "--budget", "1e10FLOP"], "cheapest run", 1),
        (["calibrate", "plan", "--params", "1e9", "--budget", "2h"], "budget of time", 3),
        (["calibrate", "fit", "nowhere.jsonl", "--on", DEVICE], "none of these runs", 3),
        (["calibrate", "fit", "nowhere.jsonl"], "finished training", 3),
        pytest.param(
            ["calibrate", "train", "--near", "1e6", "--x", "wide"], "no list of numbers", 3,
            marks=pytest.mark.torch,
        ),
        pytest.param(
            ["calibrate", "kernels", "--size", "vast"], "--size: no 'vast'", 3,
            marks=pytest.mark.torch,
        ),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_an_exit_code(argv, message, code):
    from planner.errors import PlannerError

    result = run(app, argv)
    assert isinstance(result.exception, PlannerError)
    assert message in str(result.exception) and result.exception.exit_code == code


def test_without_torch_the_commands_say_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "sys.argv = ['planner', 'calibrate', 'kernels']\n"
        "from planner.cli.app import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "error: this command needs torch" in done.stderr
    assert "repository: pip install '.[calibration]'" in done.stderr
