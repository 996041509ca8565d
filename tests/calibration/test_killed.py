"""Whatever ends a measuring command, however: rows that were whole stay, none comes twice, nothing runs on.

Each command is ended at random moments by SIGKILL, SIGTERM and SIGINT, and started again until it is done.
The engine of `serve` is a stand-in that starts a process of its own, as vLLM does.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from planner_calibration import runs

MOMENTS = int(os.environ.get("PLANNER_MEASURED_MOMENTS", "0"))  # ten were tried: calibration/LOG.md
FAKE = """
import multiprocessing, time
__version__ = "9.9"
class SamplingParams:
    def __init__(self, max_tokens, **_): self.max_tokens = max_tokens
class Out:
    def __init__(self, n): self.outputs = [self]; self.token_ids = [0] * n
class LLM:
    def __init__(self, model, **flags):
        self.core = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        self.core.daemon = True
        self.core.start()
    def generate(self, prompts, sampling, use_tqdm):
        time.sleep(0.03)
        return [Out(sampling.max_tokens) for _ in prompts]
"""
SERVE = ["serve", "--engine", "vllm", "--near", "1e5", "--layers", "2", "--head-dim", "16", "--gqa", "1",
         "--x", "0.2,0.3", "--r", "1,2", "--vocab-size", "256", "--batch", "1,2", "--input-tokens", "8",
         "--output-tokens", "1,4", "--dtype", "float32"]  # fmt: skip
COMMANDS = {
    "serve": (SERVE, 12),
    "kernels": (["kernels", "--size", "small", "--threads", "1", "--device", "cpu"], 35),
    "train": (["train", "--near", "2e4", "--layers", "1", "--head-dim", "8", "--gqa", "1", "--x", "0.3,0.4",
               "--r", "1,2", "--vocab-size", "300", "--tokens", "20k", "--batch", "8", "--length", "32",
               "--seeds", "2", "--device", "cpu"], 6),
}  # fmt: skip
SIGNS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PAIRS = (
    list(itertools.product(COMMANDS, SIGNS)) if MOMENTS else list(zip(COMMANDS, SIGNS, strict=True))
)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Put a stand-in for vLLM where every Python finds it."""
    site = tmp_path / "site"
    (site / "vllm").mkdir(parents=True)
    (site / "vllm" / "__init__.py").write_text(FAKE)
    (site / "vllm" / "inputs.py").write_text("def TokensPrompt(prompt_token_ids):\n    return 0\n")
    info = site / "vllm-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 9.9\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PLANNER_TEST_MARK", str(tmp_path))  # children have it too
    text = tmp_path / "text"
    text.mkdir()
    for i in range(40):
        (text / f"{i}.txt").write_text(f"{i} and so on, and on. " * 300)
    return text


def heeding():
    """Let SIGINT end it also where these tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def left_over(mark):
    """Return processes that a command started and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            own = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = f"PLANNER_TEST_MARK={mark}".encode() in own and int(folder.name) != os.getpid()
        if ours and state != "Z":
            found.append(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(("name", "sign"), PAIRS)
def test_no_row_is_lost_or_doubled_and_nothing_runs_on(name, sign, engine, tmp_path):
    argv, n_rows = COMMANDS[name]
    store = tmp_path / "runs.jsonl"
    own = [sys.executable, "-m", "planner", "calibrate", *argv, "--runs", str(store)]
    own += ["--python", sys.executable] if name == "serve" else []
    own += ["--data", str(engine)] if name == "train" else []
    pick = random.Random(f"{name} {sign}")
    kept = 0
    for _ in range(MOMENTS or 1):
        child = subprocess.Popen(
            own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=heeding,  # noqa: PLW1509 - this process has one thread
        )
        time.sleep(pick.uniform(1.0, 9.0))
        child.send_signal(sign)
        child.wait(90)
        deadline = time.monotonic() + 10
        while left_over(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left_over(tmp_path)
        loaded = runs.load(store)
        assert len(loaded.rows) >= kept and not loaded.duplicates
        assert len(loaded.skipped) <= (sign == signal.SIGKILL)
        kept = len(loaded.rows)
    done = subprocess.run(own, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    loaded = runs.load(store)
    assert [r.status for r in loaded.rows] == ["ok"] * n_rows and not loaded.duplicates
