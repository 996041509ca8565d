"""Serving runs survive what engines do: crash, hang, run out of memory, answer wrongly.

The engine here is a stand-in of a few lines in a process of its own; the real one has its own test.
"""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from planner_calibration import runs
from planner_calibration.measure.machine import Machine
from planner_calibration.measure.serve import offline
from planner_calibration.measure.serve import sweep as serving
from planner_calibration.measure.serve.offline import Options, Point
from planner_calibration.measure.serve.online import command_flags, values
from planner_calibration.measure.sweep import sweep

from planner.errors import SpecError
from planner.inputs.model import llama_candidate

ON = Machine("cpu-test", "cpu", "test", 1e9)
SPEC = llama_candidate(2, 64, 4, 2, 16, 96, 256)
POINTS = [Point(1, 8, 1), Point(2, 8, 4), Point(4, 8, 4)]
FAKE = """
import json, os, sys, time
__version__ = "9.9"
class SamplingParams:
    def __init__(self, max_tokens, **_): self.max_tokens = max_tokens
class Out:
    def __init__(self, n): self.outputs = [self]; self.token_ids = [0] * n
class LLM:
    def __init__(self, model, **flags):
        config = json.load(open(os.path.join(model, "config.json")))
        assert config["hidden_size"] == 64 and flags["load_format"] == "dummy"
        if MODE == "no start": raise RuntimeError("no such device")
        if MODE == "no room": raise ValueError("No available memory for the cache blocks.")
    def generate(self, prompts, sampling, use_tqdm):
        if len(prompts) == 2:
            if MODE == "crash": os._exit(3)
            if MODE == "oom": os.kill(os.getpid(), 9)
            if MODE == "hang": time.sleep(600)
        time.sleep(0.001)
        short = MODE == "short" and len(prompts) == 2
        return [Out(sampling.max_tokens - short) for _ in prompts]
"""
TORCH = """
import contextlib
__version__ = "0"
inference_mode = contextlib.nullcontext
class Ones:
    def __init__(self, *shape): pass
    def __add__(self, other): return self
    __matmul__ = __add__
ones = Ones
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for vLLM on the child's path."""

    def install(mode):
        package = tmp_path / "site" / "vllm"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"MODE = {mode!r}\n{FAKE}")
        (package / "inputs.py").write_text(
            "def TokensPrompt(prompt_token_ids):\n    return prompt_token_ids\n"
        )
        (package.parent / "torch.py").write_text(TORCH)
        info = package.parent / "vllm-9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 9.9\n")
        monkeypatch.setenv("PYTHONPATH", str(package.parent))
        return Options(python=sys.executable, dtype="float32", repeats=2, limit_s=60)

    return install


def states(options):
    return [r.status for r in offline.serve(SPEC, POINTS, options, ON)]


def test_every_point_of_a_model_becomes_a_row(fake):
    rows = list(offline.serve(SPEC, POINTS, fake("well"), ON))
    assert [r.status for r in rows] == ["ok"] * 3
    assert rows[0].engine == "vllm 9.9" and rows[0].environment["version_vllm"] == "9.9"
    assert rows[1].what["batch"] == 2 and rows[1].what["flag_load_format"] == "dummy"
    assert len(rows[1].samples["e2e_s"]) == 2 and rows[1].values["e2e_s"] > 0
    assert [r.key for r in rows] == offline.keys(SPEC, POINTS, fake_options(), ON)


def fake_options():
    return Options(python=sys.executable, dtype="float32", repeats=2)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("crash", ["ok", "crash", "failed"]),
        ("oom", ["ok", "oom", "failed"]),
        ("no start", ["crash", "failed", "failed"]),
        ("no room", ["oom", "failed", "failed"]),
        ("short", ["ok", "failed", "ok"]),
    ],
)
def test_a_failure_is_recorded_as_what_it_is(fake, mode, expected):
    assert states(fake(mode)) == expected


def test_points_that_ended_are_kept_when_the_sweep_is_interrupted_and_not_measured_again(
    fake, tmp_path
):
    """The second point hangs; whoever listens gives up after the first row. Nothing is left behind."""
    store, options = tmp_path / "runs.jsonl", fake("hang")

    def give_up(row, done, of):
        raise KeyboardInterrupt

    planned = serving.plan([SPEC], POINTS, (), serving.resolve(options), ON)
    with pytest.raises(KeyboardInterrupt):
        sweep(planned, serving.do, store, seen=give_up)
    (first,) = runs.load([store]).rows
    assert first.what["batch"] == 1 and not children()
    recorded = frozenset(runs.done(store))
    again = offline.serve(SPEC, POINTS, replace(options, limit_s=3), ON, recorded)
    assert [r.what["batch"] for r in again] == [2, 4]


def children():
    """Return processes that run the driver and are not this one's past."""
    command = ["pgrep", "-P", str(os.getpid()), "-f", "driver.py"]
    told = subprocess.run(command, check=False, capture_output=True)
    return told.stdout.split()


def test_a_hang_ends_at_the_time_limit_and_leaves_no_process(fake):
    options = fake("hang")
    quick = Options(python=options.python, dtype="float32", repeats=1, limit_s=2.5)
    rows = list(offline.serve(SPEC, POINTS, quick, ON))
    assert [r.status for r in rows] == ["ok", "timeout", "failed"]
    assert "within 2.5 s" in rows[1].message and rows[1].seconds < 10


def test_one_bad_model_does_not_end_the_sweep(fake, tmp_path):
    options = serving.resolve(fake("well"))
    bad = llama_candidate(2, 128, 4, 2, 16, 96, 256)  # the stand-in's assertion fails
    store = tmp_path / "serve.jsonl"
    jobs = serving.plan([bad, SPEC], POINTS[:2], [], options, ON)
    tally = sweep(jobs, serving.do, store)
    assert (tally.done, tally.failed) == (2, 2)
    assert sorted(r.status for r in runs.load(store).rows) == ["crash", "failed", "ok", "ok"]
    assert sweep(jobs, serving.do, store).skipped == 1  # only the bad one is tried again


def test_auto_takes_vllm_where_it_is_and_torch_elsewhere(fake):
    assert serving.resolve(Options(engine="auto")).engine == "torch"
    with pytest.raises(SpecError, match="has no vllm"):
        serving.resolve(Options(engine="vllm"))
    assert serving.resolve(Options(engine="auto", python=fake("well").python)).version == "9.9"


def test_flags_of_the_library_become_flags_of_the_server():
    flags = {"max_num_seqs": 4, "enforce_eager": True, "enable_prefix_caching": False}
    assert command_flags(flags) == [
        "--max-num-seqs", "4", "--enforce-eager", "--no-enable-prefix-caching",
    ]  # fmt: skip


def test_the_clients_milliseconds_become_seconds():
    found = {"output_throughput": 5, "completed": 3, "duration": 2, "median_ttft_ms": 12.0}
    assert values(found)["ttft_median_s"] == pytest.approx(0.012)


def test_a_model_whose_points_are_all_on_record_starts_no_engine(fake):
    options = fake("no start")
    recorded = offline.keys(SPEC, POINTS, options, ON)
    assert not list(offline.serve(SPEC, POINTS, options, ON, recorded))
