"""vLLM's own plans of its cache: what it says of each case today is what is written down."""

import json
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VLLM = os.environ.get("PLANNER_VLLM_PYTHON")
CASES, ANSWERS = HERE / "vllm_cache_cases.json", HERE / "vllm_cache_answers.json"


def test_every_case_has_its_answer():
    cases, answers = json.loads(CASES.read_text()), json.loads(ANSWERS.read_text())["answers"]
    assert list(cases["cases"]) == list(answers)
    assert {case["model"] for case in cases["cases"].values()} == set(cases["configs"])


@pytest.mark.vllm
@pytest.mark.skipif(not VLLM, reason="PLANNER_VLLM_PYTHON names no Python with vLLM")
def test_vllm_plans_its_cache_as_written_down():
    done = subprocess.run(
        [VLLM, HERE / "vllm_cache.py"], input=CASES.read_text(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(ANSWERS.read_text())
