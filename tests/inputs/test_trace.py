"""Traces are read as published, and a malformed row is left out and named by line and column."""

import gzip
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from planner.errors import SpecError
from planner.inputs.trace import read_trace
from planner.inputs.workload import WorkloadSpec
from planner.scenario.scenario import prefix_hit_of
from planner.scenario.simulated import requests_of

FILES = Path(__file__).parents[1] / "files"

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
    r = read_trace(write(tmp_path, AZURE)).requests
    assert r.arrival_s[:2] == pytest.approx([0.0, 0.052], abs=1e-6)
    assert r.input_tokens.tolist() == [4808, 3180, 2162] and r.output_tokens.tolist() == [10, 8, 5]


def test_burst_gpt_in_which_some_answers_are_empty(tmp_path):
    r = read_trace(write(tmp_path, BURST_GPT)).requests
    assert r.arrival_s.tolist() == [0, 40] and r.output_tokens.tolist() == [18, 0]


def test_ours_in_any_order_of_rows_and_columns(tmp_path):
    r = read_trace(
        write(tmp_path, "output_tokens,arrival_s,input_tokens\n7,2.5,30\n5,1.5,20\n")
    ).requests
    assert r.arrival_s.tolist() == [0, 1] and r.input_tokens.tolist() == [20, 30]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,10,20", "line 3, column arrival_s: 'x' is not a time"),
        ("1,ten,20", "line 3, column input_tokens: 'ten' is not a whole number"),
        ("1,10,2.5", "line 3, column output_tokens: '2.5' is not a whole number"),
        ("1,0,20", "line 3, column input_tokens: 0 is out of range"),
        ("1,10,-1", "line 3, column output_tokens: -1 is out of range"),
        ("nan,10,1", "line 3, column arrival_s: 'nan' is not a time"),
        ("1,10", "line 3, column output_tokens: '' is not a whole number"),
    ],
)
def test_a_malformed_row_is_left_out_and_counted(tmp_path, row, said):
    head = "arrival_s,input_tokens,output_tokens\n"
    found = read_trace(write(tmp_path, f"{head}0,5,5\n{row}\n2,5,5\n"))
    assert (len(found.requests), found.left_out, found.why) == (2, 1, said)
    assert f"1 row left out, the first: {said}" in found.words
    with pytest.raises(SpecError) as error:
        read_trace(path := write(tmp_path, f"{head}\n{row}\n"))
    assert str(error.value) == f"{path}: {said}" and error.value.hint


PUBLIC = {  # an excerpt of each, in its own columns: arrivals in seconds from the first, lengths
    "Azure 2024": (("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n"
                   "2024-05-10 00:00:00.509930+00:00,2399,6\n"), [0, 0.5], [2162, 2399], [5, 6]),
    "BurstGPT, 8 columns": (
        ("Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,1,2.5,ChatGPT,472,18,490,Conversation log\n45,2,3,GPT-4,1087,0,1087,API log\n"),
        [0, 40], [472, 1087], [18, 0]),
    "Mooncake": (('{"timestamp": 1000, "input_length": 1030, "output_length": 52, "hash_ids": [1, 2, 3]}\n'
                 '{"timestamp": 4000, "input_length": 1030, "output_length": 26, "hash_ids": [1, 2, 9]}\n'),
                 [0, 3], [1030, 1030], [52, 26]),
    "Qwen": (('{"chat_id": 1, "parent_chat_id": -1, "timestamp": 1.5, "input_length": 20, '
             '"output_length": 5, "type": "text", "turn": 1, "hash_ids": [7, 8]}\n'),
             [0], [20], [5]),
    "Vidur": ("arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,374,44\n4.5,396,109\n",
              [0, 4], [374, 396], [44, 109]),
    "Splitwise": (("request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,"
                  "token_size\n0,2,0,1.5,1,4096,32\n1,2,0,2.0,1,2048,8\n"), [0, 0.5], [4096, 2048], [32, 8]),
    "LLMServingSim": ("input_toks\toutput_toks\tarrival_time_ns\n10\t20\t5000000\n11\t21\t6000000\n",
                      [0, 0.001], [10, 11], [20, 21]),
    "a log of requests": (('{"created": 1787267980, "usage": {"prompt_tokens": 9, "completion_tokens": 4}}\n'
                          '{"created": 1787267982, "usage": {"prompt_tokens": 8, "completion_tokens": 3}}\n'),
                          [0, 2], [9, 8], [4, 3]),
    "since 1970 in ms": ("Start_Time;Prompt Tokens;completion-tokens\n1787267980000;9;4\n1787267980250;8;3\n",
                         [0, 0.25], [9, 8], [4, 3]),
    "a list": ('[{"arrival": 0, "isl": 9, "osl": 4}, {"arrival": 1, "isl": 8, "osl": 3}]',
               [0, 1], [9, 8], [4, 3]),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", PUBLIC)
def test_public_traces(tmp_path, name, packed):
    text, arrival, given, made = PUBLIC[name]
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    r = read_trace(path).requests
    assert r.arrival_s == pytest.approx(arrival, abs=1e-6)
    assert (r.input_tokens.tolist(), r.output_tokens.tolist()) == (given, made)


def test_shared_prefix_blocks_are_what_the_cache_holds(tmp_path):
    found = read_trace(path := write(tmp_path, PUBLIC["Mooncake"][0]))
    assert found.prefix_hit == pytest.approx(2 * 512 / 2060)
    assert prefix_hit_of(WorkloadSpec(trace=str(path))) == found.prefix_hit
    assert prefix_hit_of(WorkloadSpec(trace=str(path), prefix_hit=0.1)) == 0.1
    assert read_trace(FILES / "t03_mooncake.jsonl").prefix_hit == pytest.approx(512 / (6758 + 7322))


def test_lengths_without_arrivals_ask_for_a_rate(tmp_path):
    with pytest.raises(SpecError, match="no arrivals") as error:
        read_trace(FILES / "t05_lengths_only.csv")
    assert "--rate" in error.value.hint
    many = write(tmp_path, "num_prefill_tokens,num_decode_tokens\n" + "10,20\n" * 2000)
    spec = WorkloadSpec(trace=str(many), rate_per_s=4.0)
    gaps = np.diff(requests_of(spec).arrival_s)
    assert 1 / gaps.mean() == pytest.approx(4, rel=1e-6) and gaps.std() == pytest.approx(
        0.25, rel=0.1
    )


def test_text_without_counts_says_so(tmp_path):
    with pytest.raises(SpecError, match="nothing counts its tokens"):
        read_trace(write(tmp_path, '{"timestamp": 1, "prompt": "Hello"}\n'))


@pytest.mark.parametrize(
    ("name", "arrival", "given", "made"),
    [
        ("t02_zero_prompt.csv", [0, 40], [472, 1087], [18, 230]),
        ("t03_mooncake.jsonl", [0, 3], [6758, 7322], [500, 490]),
        ("t04_vidur.csv", [0, 4.3], [374, 396], [44, 109]),
        ("t06_request_log.jsonl", [0, 0.27], [2358, 1034], [531, 769]),
        ("t07_splitwise.csv", [0, 2], [4096, 2048], [32, 8]),
    ],
)
def test_files_people_have(name, arrival, given, made):
    r = read_trace(FILES / name).requests
    assert r.arrival_s == pytest.approx(arrival, abs=1e-4)
    assert (r.input_tokens.tolist(), r.output_tokens.tolist()) == (given, made)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * (1 << 22),
        gzip.compress(bytes(1 << 24)),
        b"a,b\n" * 10,
        b"[" * 100_000,
        b'{"timestamp": ' * 1000,
        gzip.compress(b"arrival_s,input_tokens,output_tokens\n1,2,3\n")[:-9],
        b"\xff\xfe\x00\x01" * 100,
        b"arrival_s,input_tokens,output_tokens\n" + b'"' * (1 << 21),
    ],
    ids=["zeros", "bomb", "no roles", "deep", "cut", "cut gzip", "binary", "one quote"],
)
def test_what_is_hostile_is_refused_within_a_second(tmp_path, data):
    (path := tmp_path / "trace").write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(SpecError):
        read_trace(path)
    assert time.perf_counter() - started < 1


def test_a_large_file_takes_the_memory_of_its_numbers(tmp_path):
    """30 MB of log lines, of which a request keeps 24 bytes."""
    line = (
        '{"arrival_time": %d, "input_toks": 10, "output_toks": 20, "note": "' + "x" * 3000 + '"}\n'
    )
    with (path := tmp_path / "log.jsonl").open("w") as file:
        file.writelines(line % i for i in range(10_000))
    tracemalloc.start()
    try:
        assert len(read_trace(path).requests) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


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
