"""The run store: nothing lost, nothing twice, and no line of a file is ever fatal."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from planner_calibration import runs

from planner.errors import OutputError
from planner.inputs.measurement import Measurement


def row(i, **fields):
    return Measurement.of("gemm", {"m": i}, values={"median_s": 1.0 + i}, **fields)


def test_a_row_comes_back_as_it_was(tmp_path):
    store = tmp_path / "a.jsonl"
    written = row(1, engine="torch 2", machine="cpu-x", message="ünïcode\nnewline")
    assert runs.append(store, written)
    (read,) = runs.load(store).rows
    assert read == written


def test_the_same_run_is_kept_once_and_a_failed_one_may_be_tried_again(tmp_path):
    store = tmp_path / "a.jsonl"
    failed = Measurement.of("gemm", {"m": 1}, status="oom", message="no memory")
    assert runs.append(store, failed)
    assert not runs.append(store, failed)
    assert runs.done(store) == set()
    assert runs.append(store, row(1))
    assert not runs.append(store, row(1))
    loaded = runs.load(store)
    assert [r.status for r in loaded.rows] == ["ok"] and loaded.duplicates == 1
    assert runs.done(store) == {row(1).key}


def test_the_key_is_the_content_not_the_time_nor_the_result():
    one = row(1, machine="a")
    assert one.key == row(1, machine="a", seconds=9.0).key
    assert len({one.key, row(1, machine="b").key, row(2, machine="a").key}) == 3


def test_truncated_and_foreign_lines_are_named_and_skipped(tmp_path):
    store = tmp_path / "a.jsonl"
    runs.append(store, row(1))
    with store.open("ab") as file:
        file.write(b'{"hello": "world"}\n\nnot json at all\n' + row(2).line()[:40])
    loaded = runs.load(store)
    assert len(loaded.rows) == 1
    assert [s.line for s in loaded.skipped] == [2, 4, 5]
    assert "truncated" in loaded.skipped[-1].why
    assert f"{store}:2: skipped" in str(loaded.skipped[0])
    runs.append(store, row(3))  # the broken end costs only itself
    again = runs.load(store)
    assert [r.what["m"] for r in again.rows] == [1, 3] and len(again.skipped) == 3


def test_a_row_of_another_format_is_skipped(tmp_path):
    store = tmp_path / "a.jsonl"
    store.write_bytes(row(1).line().replace(b'"format":1', b'"format":2'))
    loaded = runs.load(store)
    assert not loaded.rows and "format" in loaded.skipped[0].why


def write_many(store, first):
    for i in range(40):
        runs.append(store, row(first + i))
        runs.append(store, row(1000 + i))  # both writers want these


def test_two_writers_lose_nothing_and_write_nothing_twice(tmp_path):
    store = tmp_path / "a.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(store, k)) for k in (0, 100)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    loaded = runs.load(store)
    assert not loaded.skipped and not loaded.duplicates
    assert len(loaded.rows) == 120


def test_kill_9_leaves_whole_rows(tmp_path):
    """A writer shot at any moment leaves a file that loads, and that others can go on with."""
    store = tmp_path / "a.jsonl"
    code = (
        "import sys, pathlib\nfrom planner_calibration import runs\n"
        "from planner.inputs.measurement import Measurement\n"
        "for i in range(10**6):\n"
        "    m = Measurement.of('gemm', {'m': i}, message='x' * 5000)\n"
        "    runs.append(pathlib.Path(sys.argv[1]), m)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(store)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not store.exists() or store.stat().st_size < 50_000):
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    before = runs.load(store)
    assert len(before.rows) >= 9 and len(before.skipped) <= 1
    assert runs.append(store, row(10**7))
    assert len(runs.load(store).rows) == len(before.rows) + 1


def test_a_folder_of_files_is_read_as_one(tmp_path):
    runs.append(tmp_path / "a.jsonl", row(1))
    runs.append(tmp_path / "b.jsonl", row(1))
    runs.append(tmp_path / "b.jsonl", row(2))
    loaded = runs.load(tmp_path)
    assert len(loaded.rows) == 2 and loaded.duplicates == 1


def test_a_place_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        runs.append(tmp_path / "file" / "a.jsonl", row(1))


def test_a_full_disk_keeps_as_many_rows_as_it_said(tmp_path, monkeypatch):
    """A write that takes a part and then fails leaves the store as it was."""
    store, real, taken = tmp_path / "runs.jsonl", os.write, []

    def write(handle, data):
        if len(taken) >= 5:
            raise OSError(28, "No space left on device")
        taken.append(1)
        return real(handle, data[: len(data) // 2 + 1])

    monkeypatch.setattr(os, "write", write)
    said = 0
    for i in range(9):
        try:
            said += runs.append(store, row(i))
        except OutputError as error:
            assert "No space left" in str(error) and error.hint
    kept = runs.load(store)
    assert said == len(kept.rows) < 9 and not kept.skipped


def test_a_row_written_in_the_second_it_was_made_says_when():
    row = Measurement.of("gemm", {"m": 1})
    assert json.loads(row.line())["started"].startswith(f"{row.started:%Y-%m-%dT%H:%M:%S}")
