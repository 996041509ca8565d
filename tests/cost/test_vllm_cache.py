"""How vLLM lays out its cache: what it says of each case today is what is written down.

`vllm_cache_answers.json` are its plans for GPUs of published models, made without one;
`vllm_starts.json` is what it logged when it started on a CPU, where blocks are larger.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
VLLM = os.environ.get("PLANNER_VLLM_PYTHON")
CASES, ANSWERS = HERE / "vllm_cache_cases.json", HERE / "vllm_cache_answers.json"
STARTS = json.loads((HERE / "vllm_starts.json").read_text())["starts"]
LOGGED = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for .*: ([\d.]+)x")
NO_VLLM = pytest.mark.skipif(not VLLM, reason="PLANNER_VLLM_PYTHON names no Python with vLLM")


def run(script: str, asked: str) -> str:
    done = subprocess.run(
        [VLLM, HERE / script], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_case_has_its_answer():
    cases, answers = json.loads(CASES.read_text()), json.loads(ANSWERS.read_text())["answers"]
    assert list(cases["cases"]) == list(answers)
    assert {case["model"] for case in cases["cases"].values()} == set(cases["configs"])


@pytest.mark.vllm
@NO_VLLM
def test_vllm_plans_its_cache_as_written_down():
    answers = json.loads(run("vllm_cache.py", CASES.read_text()))
    assert answers == json.loads(ANSWERS.read_text())


@pytest.mark.vllm
@NO_VLLM
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_vllm_starts_with_the_cache_written_down(start: dict[str, Any]):
    logged = LOGGED.search(run("vllm_start.py", json.dumps(start)))
    assert logged
    tokens, concurrency = int(logged[1].replace(",", "")), float(logged[2])
    assert (tokens, concurrency) == (start["tokens"], start["concurrency"])
