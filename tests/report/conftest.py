"""Results the tests of reports share, made once by the library itself."""

import json

import pytest

from planner.inputs.question import Question
from planner.questions.budget.budget import budget
from planner.questions.predict import predict
from planner.questions.recommend.edits import edits
from planner.questions.recommend.mix import recommend_mix
from planner.questions.recommend.recommend import recommend
from planner.questions.what_if import what_if
from planner.results import Fit, Line, Score, Validation, Worst, check_result


@pytest.fixture(scope="session")
def recommended():
    """Return the paper's 1B question, answered."""
    question = Question(params=1e9, tokens=1e11)
    command = "planner recommend --params 1e9 --tokens 1e11 --json"
    return recommend(question, command=command)


@pytest.fixture(scope="session")
def predicted():
    """Return one model predicted."""
    return predict("llama-3.2-1b", command="planner predict llama-3.2-1b --json")


EVIL = '<img src=x onerror="alert(1)">&<script>alert(2)</script>|`*'
SCORE = Score(n=3, refused=1, mean_ape=0.1, median_ape=0.05, bias=0.0, spearman=None, coverage=0.8)
WORST = Worst(
    gpu="h100", engine="vllm", model="Tiny", metric="tpot_s", setting="batch 1",
    measured=1.0, predicted=2.0, error=1.0,
)  # fmt: skip
VALIDATED = Validation(
    source="runs.csv",
    overall=SCORE,
    groups={"gpu": {"h100": SCORE, "a100": SCORE.model_copy(update={"coverage": None})}},
    flagged={"odd": SCORE},
    basis={"speed": "h100-vllm"},
    worst=(WORST,),
    lines=(Line(row=2, metric="tpot_s", measured=1.0, predicted=2.0, low=1.8, high=2.2),
           Line(row=3, metric="tpot_s", measured=1.0, refused="--tp 3 cannot cut it")),
    overflow={"measured": 3, "found": 2, "false_alarms": 1},
    profiles=("h100-vllm",),
)  # fmt: skip
FIT = Fit(
    profile="mine.toml",
    before={"decode": {"n": 3, "mean_ape": 0.3}},
    held_out={"decode": {"n": 3, "mean_ape": 0.1}},
    fitted={"decode": {"n": 3, "mean_ape": 0.05}},
    constants={"launch_s": 5e-6},
    ln_sd={"launch_s": 0.1},
    shrinkage={"launch_s": 0.7},
)


@pytest.fixture(scope="session")
def varied():
    """Return a what-if with a setting that may not be asked."""
    vary = {"concurrency": [1, 2, 4], "tp": [1, 3]}
    return what_if("llama-3.2-1b", vary, command="planner what-if x", usd_per_hour=2.0)


@pytest.fixture(scope="session")
def budgeted():
    """Return what a latency budget buys."""
    asked = {"ttft": "500ms", "tpot": "25ms", "rate": "12/s", "tps": [1]}
    return budget("llama-3.2-1b", input_tokens=500, output_tokens=50, usd_per_hour=2.0, **asked)


@pytest.fixture(scope="session")
def mixed():
    """Return one shape for two places."""
    places = {"a": {"on": "a100-sxm-80gb", "batch": 16}, "b": {"on": "l4", "concurrency": 2}}
    return recommend_mix(1e9, 1e11, places, align=256)


@pytest.fixture(scope="session")
def edited():
    """Return the edits of a model."""
    return edits("llama-3.2-1b", "100B")


@pytest.fixture(scope="session")
def samples(recommended, mixed, edited, predicted, varied, budgeted):
    """Return one result of every kind."""
    every = (recommended, mixed, edited, predicted, varied, budgeted, VALIDATED, FIT)
    return {r.kind: r for r in every}


@pytest.fixture(scope="session")
def spoiled():
    """Return a function that puts markup wherever a user or a file chooses the text."""
    free = ("name", "command", "why", "speed", "configuration", "source", "message", "setting")

    def spoil(value):
        if isinstance(value, dict):
            texts = {k for k in free if isinstance(value.get(k), str)}
            if "max_num_seqs" in value:  # an engine's name is checked against a list
                texts.discard("name")
            result = {k: EVIL if k in texts else spoil(v) for k, v in value.items()}
            warned = {"warnings": [{"code": "evil", "message": EVIL}]}
            return result | (warned if "schema" in value else {})
        return [spoil(v) for v in value] if isinstance(value, list) else value

    return lambda result: check_result(spoil(json.loads(json.dumps(result.to_dict()))))
