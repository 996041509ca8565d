"""`planner models` prints shapes, as text and as JSON, and refuses in one line."""

import json

import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import SpecError, UnknownName
from planner.inputs.hf import export_hf
from planner.inputs.loading import load_model, model_names

run = CliRunner().invoke


def test_list_has_every_preset():
    lines = run(app, ["models", "list"]).output.splitlines()
    assert lines.pop().startswith("left out for width: ")
    assert [line.split()[0] for line in lines[1:]] == model_names()
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_list_as_json():
    models = json.loads(run(app, ["models", "list", "--json"]).output)
    assert models["llama-3.1-8b"]["n_params"] == 8_030_261_248


def test_show_says_what_follows_and_where_from():
    text = run(app, ["models", "show", "surefire-1b"]).output
    assert "1,293,109,760" in text
    assert "arxiv.org/abs/2510.18245" in text


def test_show_reads_a_config_json(tmp_path):
    export_hf(load_model("qwen3-8b"), tmp_path)
    shown = json.loads(run(app, ["models", "show", str(tmp_path), "--json"]).output)
    assert shown["n_params"] == 8_190_735_360


@pytest.mark.parametrize(
    ("model", "error"), [("qwen3-8", UnknownName), ("no/such/config.json", SpecError)]
)
def test_what_cannot_be_shown_is_our_own_error(model, error):
    assert isinstance(run(app, ["models", "show", model]).exception, error)
