"""Traces are read as published, and a malformed row is named by file, line and column."""

import numpy as np
import pytest

from planner.errors import SpecError
from planner.inputs.trace import read_trace
from planner.inputs.workload import WorkloadSpec
from planner.scenario.simulated import requests_of

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2024-05-10 00:00:00.009930+00:00,2162,5
"""
BURST_GPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,0,1087,API log
"""


def write(tmp_path, text, name="trace.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_azure(tmp_path):
    r = read_trace(write(tmp_path, AZURE))
    assert r.arrival_s[:2] == pytest.approx([0.0, 0.052], abs=1e-6)
    assert r.input_tokens.tolist() == [4808, 3180, 2162] and r.output_tokens.tolist() == [10, 8, 5]


def test_burst_gpt_in_which_some_answers_are_empty(tmp_path):
    r = read_trace(write(tmp_path, BURST_GPT))
    assert r.arrival_s.tolist() == [0, 40] and r.output_tokens.tolist() == [18, 0]


def test_ours_in_any_order_of_rows_and_columns(tmp_path):
    r = read_trace(write(tmp_path, "output_tokens,arrival_s,input_tokens\n7,2.5,30\n5,1.5,20\n"))
    assert r.arrival_s.tolist() == [0, 1] and r.input_tokens.tolist() == [20, 30]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,10,20", "line 3, column 1 (arrival_s): 'x' is not a time"),
        ("1,ten,20", "line 3, column 2 (input_tokens): 'ten' is not a whole number"),
        ("1,10,2.5", "line 3, column 3 (output_tokens): '2.5' is not a whole number"),
        ("1,0,20", "line 3, column 2 (input_tokens): 0 is out of range"),
        ("1,10,-1", "line 3, column 3 (output_tokens): -1 is out of range"),
        ("nan,10,1", "line 3, column 1 (arrival_s): nan is out of range"),
        ("1,10", "line 3, column 3 (output_tokens): the row ends before it"),
    ],
)
def test_a_malformed_row(tmp_path, row, said):
    path = write(tmp_path, f"arrival_s,input_tokens,output_tokens\n0,5,5\n{row}\n")
    with pytest.raises(SpecError) as error:
        read_trace(path)
    assert str(error.value) == f"{path}: {said}" and error.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("a,b,c\n1,2,3\n", "line 1: no trace has the columns"),
        ("arrival_s,input_tokens,output_tokens\n", "no rows"),
    ],
)
def test_what_is_no_trace(tmp_path, text, said):
    with pytest.raises(SpecError, match=said):
        read_trace(write(tmp_path, text))
    with pytest.raises(SpecError, match="No such file"):
        read_trace(tmp_path / "absent.csv")


def test_drawn_requests_have_the_means_and_spread_asked_for():
    spec = WorkloadSpec(
        input_tokens=1000, output_tokens=300, input_cv=0.8, output_cv=1.2, rate_per_s=4.0,
        burstiness=0.5, n_requests=200_000, seed=7,
    )  # fmt: skip
    r = requests_of(spec)
    assert r.input_tokens.mean() == pytest.approx(1000, rel=0.01)
    assert r.input_tokens.std() / r.input_tokens.mean() == pytest.approx(0.8, rel=0.03)
    assert r.output_tokens.std() / r.output_tokens.mean() == pytest.approx(1.2, rel=0.05)
    gaps = np.diff(r.arrival_s)
    assert gaps.mean() == pytest.approx(0.25, rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(2**0.5, rel=0.02)
    assert np.array_equal(requests_of(spec).arrival_s, r.arrival_s)


def test_a_trace_has_lengths_of_its_own():
    with pytest.raises(ValueError, match="lengths of its own"):
        WorkloadSpec(trace="t.csv", input_cv=1.0)
