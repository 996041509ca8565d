"""A result file that is not what a command wrote gives one clear error."""

import json

import pytest

from planner.errors import SpecError
from planner.results import KINDS, check_result, json_schema, read_result


def write(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def edited(result, keys, value):
    copy = json.loads(json.dumps(result.to_dict()))
    part = copy
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return json.dumps(copy)


def test_every_result_reads_back_equal(tmp_path, samples):
    for result in samples.values():
        text = json.dumps(result.to_dict(), allow_nan=False)
        back = read_result(write(tmp_path, text))
        assert back == result and type(back) is type(result)
        assert json.dumps(back.to_dict()) == text


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_file_fits_the_schema_made_of_its_record(kind, samples):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    plain = samples[kind.replace("pareto", "recommend")].to_dict() | {"kind": kind}
    jsonschema.validate(plain, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain | {"basis": 3}, schema)


def test_a_schema_names_the_metrics(samples):
    own = json_schema("predict")["properties"]
    assert "[s]" in own["ttft_s"]["description"] and "candidate" not in own
    assert set(samples["predict"].to_dict()) <= set(own)


def test_a_missing_file(tmp_path):
    with pytest.raises(SpecError, match="No such file"):
        read_result(tmp_path / "none.json")


def test_a_truncated_file(tmp_path, recommended):
    text = json.dumps(recommended.to_dict())
    with pytest.raises(SpecError, match="ends before its JSON does") as error:
        read_result(write(tmp_path, text[: len(text) // 2]))
    assert "--json --out" in error.value.hint


@pytest.mark.parametrize("content", [b"\x89PNG\xff\xfe", "", "not json}", "[1, 2]", "{}"])
def test_something_else(tmp_path, content):
    with pytest.raises(SpecError):
        read_result(write(tmp_path, content))


def test_a_newer_schema(tmp_path, recommended):
    with pytest.raises(SpecError, match="schema 3 is newer") as error:
        read_result(write(tmp_path, edited(recommended, ["schema"], 3)))
    assert "git pull" in error.value.hint


def test_an_older_schema_says_how_to_make_it_anew(tmp_path, recommended):
    with pytest.raises(SpecError, match=r"schema 1 of planner 0\.1") as error:
        read_result(write(tmp_path, edited(recommended, ["schema"], 1)))
    assert error.value.hint == f"run again: `{recommended.command}`"


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["kind"], "recomend", "kind"),
        (["kind"], {"a": 1}, "kind"),
        (["baseline", "d_model"], "wide", "baseline.d_model"),
        (["baseline", "d_model"], -5, "baseline: d_model is -5"),
        (["picks", "fastest", "loss", "value"], None, "picks.fastest.loss.value"),
        (
            ["picks", "fastest", "loss", "value"],
            9.0,
            "fastest.loss: the value lies outside its own",
        ),
        (["picks", "fastest", "n_kv_heads"], 5, "n_kv_heads is 5, and 3 in its model"),
        (["picks", "fastest", "model", "n_kv_heads"], 5, "picks.fastest.model"),
        (["picks", "fastest", "tpot_s"], "slow", "picks.fastest.tpot_s: neither a number nor"),
        (["picks", "fastest", "tpot"], 1.0, "picks.fastest.tpot: no such key"),
        (["inputs", "engine", "dtype"], "bf15", "inputs.engine.dtype"),
        (["pareto"], {}, "pareto"),
        (["target_loss"], 0, "target_loss"),
        (["baseline", "model"], None, "baseline.model"),
    ],
)
def test_a_file_edited_by_hand_names_the_key(tmp_path, recommended, keys, value, said):
    with pytest.raises(SpecError) as error:
        read_result(write(tmp_path, edited(recommended, keys, value)))
    assert said in str(error.value) and "\n" not in str(error.value)
    assert error.value.hint


def test_an_unknown_device_is_named(recommended):
    from planner.report.page import build

    copy = json.loads(edited(recommended, ["inputs", "on"], "h100sxm"))
    with pytest.raises(SpecError, match="h100sxm") as error:
        build(check_result(copy))
    assert "h100-sxm" in error.value.hint
