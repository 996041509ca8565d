"""Results the tests of reports share, made once by the library itself."""

import json

import pytest

from planner.inputs.question import Question
from planner.questions.predict import predict
from planner.questions.recommend.recommend import recommend


@pytest.fixture(scope="session")
def recommended():
    """Return the paper's 1B question, answered."""
    question = Question(params=1e9, tokens=1e11)
    command = "planner recommend --params 1e9 --tokens 1e11 --json"
    return json.loads(json.dumps(recommend(question, command=command).to_dict()))


@pytest.fixture(scope="session")
def predicted():
    """Return one model predicted."""
    result = predict("llama-3.2-1b", command="planner predict llama-3.2-1b --json")
    return json.loads(json.dumps(result.to_dict()))


EVIL = '<img src=x onerror="alert(1)">&<script>alert(2)</script>|`*'
WHAT_IF = {
    "schema": 1,
    "kind": "what-if",
    "command": "planner what-if x",
    "inputs": {"model": {"name": "Tiny"}},
    "basis": {"speed": "class default"},
    "warnings": ["careful"],
    "vary": ["concurrency", "dtype"],
    "points": [
        {
            "concurrency": c,
            "dtype": d,
            "output_tokens_per_s": {"value": 100.0 * c, "low": 90.0 * c, "high": 110.0 * c},
            "tpot_s": {"value": 0.01 * c, "low": 0.009 * c, "high": 0.011 * c},
        }
        for c in (1, 2, 4)
        for d in ("bf16", "fp8")
    ],
}
BUDGET = {
    "schema": 1,
    "kind": "budget",
    "inputs": {"model": {"name": "Tiny"}},
    "plans": [
        {"configuration": "h100 tp 1", "rate_per_s_per_device": 3.0, "usd_per_output_mtok": 0.2}
    ],
    "cheapest": {"configuration": "h100 tp 1", "binds": "ttft"},
}
SCORE = {"n": 3, "mean_ape": 0.1, "median_ape": 0.05, "bias": 0.0, "coverage": 0.8}
VALIDATE = {
    "schema": 1,
    "kind": "validate",
    "source": "runs.csv",
    "overall": SCORE,
    "groups": {"gpu": {"h100": SCORE, "a100": SCORE | {"coverage": None}}},
    "basis": ["h100-vllm"],
    "worst": [{"model": "Tiny", "measured": 1.0, "predicted": 2.0}],
}
FIT = {
    "schema": 1,
    "kind": "fit",
    "profile": "mine.toml",
    "before": {"decode": {"n": 3, "mean_ape": 0.3}},
    "held_out": {"decode": {"n": 3, "mean_ape": 0.1}},
    "fitted": {"decode": {"n": 3, "mean_ape": 0.05}},
    "constants": {"launch_s": 5e-6},
    "ln_sd": {"launch_s": 0.1},
    "shrinkage": {"launch_s": 0.7},
}


@pytest.fixture(scope="session")
def samples(recommended, predicted):
    """Return one result of every kind."""
    small = {r["kind"]: r for r in (WHAT_IF, BUDGET, VALIDATE, FIT)}
    return {"recommend": recommended, "predict": predicted} | small


@pytest.fixture(scope="session")
def spoiled():
    """Return a function that puts markup wherever a user or a file chooses the text."""
    free = ("name", "command", "why", "speed", "configuration", "source")

    def spoil(value):
        if isinstance(value, dict):
            texts = {k for k in free if isinstance(value.get(k), str)}
            if "max_num_seqs" in value:  # an engine's name is checked against a list
                texts.discard("name")
            result = {k: EVIL if k in texts else spoil(v) for k, v in value.items()}
            return result | ({"warnings": [EVIL]} if "schema" in value else {})
        return [spoil(v) for v in value] if isinstance(value, list) else value

    return spoil
