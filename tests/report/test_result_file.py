"""A result file that is not what a command wrote gives one clear error."""

import json

import pytest

from planner.errors import SpecError
from planner.inputs.result import read_result


def write(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def edited(result, keys, value):
    copy = json.loads(json.dumps(result))
    part = copy
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return json.dumps(copy)


def test_a_result_reads_back(tmp_path, recommended):
    assert read_result(write(tmp_path, json.dumps(recommended))) == recommended


def test_a_missing_file(tmp_path):
    with pytest.raises(SpecError, match="No such file"):
        read_result(tmp_path / "none.json")


def test_a_truncated_file(tmp_path, recommended):
    text = json.dumps(recommended)
    with pytest.raises(SpecError, match="ends before its JSON does") as error:
        read_result(write(tmp_path, text[: len(text) // 2]))
    assert "--json --out" in error.value.hint


@pytest.mark.parametrize("content", [b"\x89PNG\xff\xfe", "", "not json}", "[1, 2]", "{}"])
def test_something_else(tmp_path, content):
    with pytest.raises(SpecError):
        read_result(write(tmp_path, content))


def test_a_newer_schema(tmp_path, recommended):
    with pytest.raises(SpecError, match="schema 2 is newer") as error:
        read_result(write(tmp_path, edited(recommended, ["schema"], 2)))
    assert "--upgrade" in error.value.hint


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["kind"], "recomend", "kind"),
        (["baseline", "d_model"], "wide", "baseline.d_model"),
        (["baseline", "d_model"], -5, "baseline.d_model"),
        (["picks", "fastest", "loss", "value"], None, "picks.fastest.loss.value"),
        (["picks", "fastest", "loss", "value"], 9.0, "its own interval"),
        (["picks", "fastest", "n_kv_heads"], 5, "does not divide"),
        (["pareto"], {}, "pareto"),
        (["target_loss"], 0, "target_loss"),
    ],
)
def test_a_file_edited_by_hand_names_the_key(tmp_path, recommended, keys, value, said):
    with pytest.raises(SpecError) as error:
        read_result(write(tmp_path, edited(recommended, keys, value)))
    assert said in str(error.value)
    assert error.value.hint


def test_an_unknown_device_is_named(recommended):
    from planner.report.page import build

    copy = json.loads(edited(recommended, ["inputs", "on"], "h100sxm"))
    with pytest.raises(SpecError, match="h100sxm") as error:
        build(copy)
    assert "h100-sxm" in error.value.hint
