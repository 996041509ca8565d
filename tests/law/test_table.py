"""Tables of training runs are read as people have them."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from planner_calibration.fit.law.data import load_runs
from planner_calibration.fit.law.run import fit_csv

from planner.errors import SpecError

FILES = Path(__file__).parents[1] / "files"
RUN = {"N": 1e8, "D": 1e10, "loss": 3.5, "layers": 12, "hidden": 768}


def write(tmp_path, rows, name="runs.csv"):
    path = tmp_path / name
    if isinstance(rows, str):
        path.write_text(rows)
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    "head",
    [
        "n_params_non_embedding,n_tokens,loss,n_layers,d_model",
        "non_embedding_params,Training Tokens,Val Loss,num_hidden_layers,hidden_size",
        "N_nonembed,D,final_val_loss,n_layer,n_embd",
        "model/non-embedding-params,data.train_tokens,eval/loss,config.depth,config.width",
        "params_non_embedding\tTokens_Seen\tvalidation_loss\tlayers\thidden_dim",
    ],
)
def test_one_run_under_many_names(tmp_path, head):
    cells = "1e8\t1e10\t3.5\t12\t768"
    row = cells if "\t" in head else cells.replace("\t", ",")
    runs = load_runs(write(tmp_path, f"{head}\n{row}\n"))
    found = (runs.n[0], runs.n_tokens[0], runs.loss[0], runs.n_layers[0], runs.d_model[0])
    assert found == (1e8, 1e10, 3.5, 12, 768) and runs.n_definition == "non-embedding"


@pytest.mark.parametrize("nested", [False, True])
def test_records_and_exports(tmp_path, nested):
    flat = {"name": "a", "parameter_count": 1e8, "tokens": 1e10, "val_loss": 3.5, "n_layer": 12}
    deep = {
        "name": "a",
        "summary": {"eval": {"loss": 3.5}, "total_tokens": 1e10},
        "config": {"model": {"num_layers": {"value": 12}}, "parameter_count": {"value": 1e8}},
    }
    one = deep if nested else flat
    for text in (
        json.dumps([one]),
        json.dumps(one) + "\n" + json.dumps(one | {"name": "b"}) + "\n",
    ):
        runs = load_runs(write(tmp_path, text, "runs.json"))
        assert (runs.n[0], runs.n_tokens[0], runs.loss[0], runs.n_layers[0]) == (1e8, 1e10, 3.5, 12)
        assert runs.n_definition == "total"


def test_an_export_offers_its_candidates_and_takes_the_one_named():
    path = FILES / "l03_wandb_export.csv"
    with pytest.raises(SpecError, match="no column loss") as error:
        load_runs(path)
    assert "--column loss=eval/paloma/macro_loss" in error.value.hint
    runs = load_runs(path, columns={"loss": "eval/paloma/macro_loss"})
    found = (runs.n[0], runs.n_tokens[0], runs.loss[0], runs.d_model[0], runs.n_layers[0])
    assert found == (669160448, 7787380736, 3.5068, 1280, 13) and runs.n_definition == "total"
    with pytest.raises(SpecError, match="no column absent"):
        load_runs(path, columns={"loss": "absent"})
    with pytest.raises(SpecError, match="no role 'speed'"):
        load_runs(path, columns={"speed": "Name"})


def test_a_bare_n_is_asked_for_once():
    path = FILES / "l04_c_n_d.csv"
    with pytest.raises(SpecError, match="may count embeddings or not") as error:
        load_runs(path)
    assert "--n total" in error.value.hint
    for wanted in ("total", "non-embedding"):
        runs = load_runs(path, n_definition=wanted)
        assert runs.n_definition == wanted and runs.n[0] == 73824672


@pytest.mark.parametrize(("tied", "tables"), [("true", 1), ("false", 2)])
def test_total_n_is_converted_where_the_embeddings_are_known(tmp_path, tied, tables):
    text = f"N,D,loss,d_model,vocab_size,tie_word_embeddings\n1e8,1e10,3.5,512,32000,{tied}\n"
    runs = load_runs(write(tmp_path, text), n_definition="total")
    assert runs.n_definition == "non-embedding" and runs.n[0] == 1e8 - tables * 512 * 32000


def test_a_table_without_shapes_is_not_compared_with_a_choice_of_shape(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (n, n * r, 1.7 + 400 / n**0.33 + 400 / (n * r) ** 0.28 + rng.normal(0, 0.002))
        for n in (3e7, 1e8, 3e8, 1e9)
        for r in (5, 20, 80)
    ]
    text = "n_params,n_tokens,loss\n" + "\n".join(",".join(map(repr, row)) for row in rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        said = fit_csv(write(tmp_path, text), n_starts=4, n_draws=50).text()
    assert "nan" not in said and "the shape that won last" not in said
