"""What-if: knobs are read as written, rows are what a single question would get, errors are named."""

import json
import time

import numpy as np
import pytest

from planner.errors import Infeasible, SpecError, UnknownName
from planner.inputs.loading import load_model
from planner.questions.what_if import scenario_of, what_if
from planner.scenario.evaluate import evaluate
from planner.scenario.options import Multiple, product, read_vary

MODEL = "llama-3.2-1b"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("concurrency=1..8", [1, 2, 4, 8]),
        ("concurrency=1..6", [1, 2, 4, 6]),
        ("concurrency=8..24:8", [8, 16, 24]),
        ("tp=1,2,4", [1, 2, 4]),
        ("max-num-seqs=64,2k", [64, 2000]),
        ("dtype=bf16,fp8", ["bf16", "fp8"]),
        ("rate=1/s..4/s", [1.0, 2.0, 4.0]),
        ("d_ff=0.5x,1x", [Multiple(0.5), Multiple(1.0)]),
        ("chunked_prefill=false", [False]),
        ("prefill_replicas=0,1", [0, 1]),
    ],
)
def test_values_as_written(text, values):
    assert next(iter(read_vary([text]).values())) == values


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("concurency=3", UnknownName, "did you mean 'concurrency'"),
        ("concurrency", SpecError, "concurrency=1..256"),
        ("concurrency=", SpecError, "concurrency=1..256"),
        ("concurrency=8..1", SpecError, ""),
        ("concurrency=0", SpecError, ""),
        ("concurrency=1.5", SpecError, ""),
        ("prefix_hit=2", SpecError, "between 0 and 1"),
        ("chunked_prefill=maybe", SpecError, ""),
        ("rate=3ms", SpecError, ""),
        ("dtype=bf16..fp8", SpecError, ""),
        ("n_layers=nanx", SpecError, ""),
    ],
)
def test_what_cannot_be_read(text, error, said):
    with pytest.raises(error) as raised:
        read_vary([text])
    assert said in raised.value.hint


def test_every_combination_is_there_once():
    rows = product(read_vary(["tp=1,2", "concurrency=1..4"]))
    assert len(rows) == 6 and rows[1] == {"tp": 1, "concurrency": 2}
    with pytest.raises(SpecError, match="points"):
        product(read_vary(["concurrency=1..1000:1", "input_tokens=1..1000:1"]))


def test_a_row_is_what_the_same_question_alone_would_get():
    """Columns, groups and shapes mixed: each row stands for itself."""
    model = load_model(MODEL)
    rows = product(
        read_vary(["dtype=bf16,int8", "gqa=4,8", "tp=1,2", "rate=1/s,2/s", "prefill_replicas=0,1"])
    )
    rows += product(read_vary(["concurrency=1,64", "d_ff=0.5x,1x", "max_batched_tokens=512,8192"]))
    rows = [{"concurrency": 64, "usd_per_hour": 2.0} | row for row in rows]
    rows = [row | {"concurrency": None} if "rate" in row else row for row in rows]
    scenarios = [scenario_of(model, row) for row in rows]
    together = evaluate(scenarios).table
    for i in range(0, len(rows), 5):
        alone = evaluate([scenarios[i]]).table
        for name, column in alone.items():
            if column.dtype.kind == "U":
                assert together[name][i] == column[0]
            else:
                assert together[name][i] == pytest.approx(column[0], rel=1e-6, nan_ok=True), name


def test_a_thousand_points_within_three_seconds():
    started = time.process_time()
    answer = what_if(MODEL, ["concurrency=1..250:1", "tp=1,2", "dtype=bf16,int8"])
    assert len(answer.points) == 1000 and time.process_time() - started < 3


def test_shape_knobs_change_the_shape_and_say_that_it_is_another_model():
    a = what_if(MODEL, ["vocab_size=0.5x,1x", "d_ff=0.75x,1x"], concurrency=32)
    n = [p["n_params"] for p in a.points]
    assert n[0] == min(n) and n[-1] == max(n) == 1_235_814_400
    tpot = [p["tpot_s"].value for p in a.points]
    assert tpot[0] < tpot[-1]
    assert any("another model" in w.message for w in a.warnings)


def test_models_side_by_side():
    a = what_if(MODEL, ["model=llama-3.2-1b,surefire-1b", "concurrency=128"])
    slow, fast = (p["output_tokens_per_s"].value for p in a.points)
    assert fast > 1.1 * slow and a.points[0]["n_params"] != a.points[1]["n_params"]


def test_a_simulated_point_has_a_timeline_to_plot():
    a = what_if(MODEL, ["concurrency=8"], output_tokens=64)
    (t,) = a.timelines
    assert len(t["time_s"]) == len(t["running"]) == len(t["waiting"]) == len(t["kv_utilisation"])
    assert t["time_s"] == sorted(t["time_s"]) and max(t["running"]) == 8
    assert max(t["decoding"]) == 8
    assert a.to_dict()["timelines"]


def test_a_gqa_that_does_not_divide_is_named():
    with pytest.raises(SpecError, match="does not divide 32 heads"):
        what_if(MODEL, ["gqa=5"])


def test_what_fits_nowhere_says_by_how_much_and_what_would_help():
    with pytest.raises(Infeasible, match="GiB short") as error:
        what_if("llama-3-70b", ["concurrency=1..8"], on="h100-sxm")
    assert "smallest change that makes it fit" in error.value.hint
    fix = error.value.hint.rpartition(": ")[2].split()
    found = {k.removeprefix("--"): v for k, v in zip(fix[::2], fix[1::2], strict=True)}
    assert what_if("llama-3-70b", ["concurrency=1"], on="h100-sxm", **found)


def test_rows_that_do_not_fit_are_marked_where_others_do():
    a = what_if("llama-3-70b", ["tp=1,4"], on="h100-sxm", concurrency=1)
    assert [p["bound"] == "does not fit" for p in a.points] == [True, False]
    assert a.points[0]["tpot_s"] is None and "1 of 2" in a.warnings[0].message


def test_the_json_holds_no_nan_and_replays():
    a = what_if(MODEL, ["rate=1/s,1000/s"], usd_per_hour=2.0, command="planner what-if")
    text = json.dumps(a.to_dict(), allow_nan=False)
    data = json.loads(text)
    assert data["schema"] == 2 and data["kind"] == "what-if" and data["vary"] == ["rate"]
    assert data["points"][1]["bound"] == "saturated" and data["points"][1]["ttft_s"] is None
    first = data["points"][0]["tpot_s"]
    assert first["low"] < first["value"] < first["high"]
    assert len(a.rows()) == 2 and "tpot_s_low" in a.rows()[0]


def test_prices_are_of_the_file_or_the_flag_and_never_a_guess(tmp_path):
    unknown = what_if(MODEL, ["concurrency=8"], on="mi250x")
    assert unknown.points[0]["usd_per_output_mtok"] is None
    assert any("no price known for mi250x" in w.message for w in unknown.warnings)
    path = tmp_path / "mine.toml"
    path.write_text('source = "me"\nchecked = 2026-01-01\n[usd_per_hour]\nmi250x = 2.0\n')
    mine = what_if(MODEL, ["concurrency=8"], on="mi250x", prices=str(path))
    flag = what_if(MODEL, ["concurrency=8"], on="mi250x", usd_per_hour=2.0)
    assert mine.points[0]["usd_per_output_mtok"] == flag.points[0]["usd_per_output_mtok"] > 0
    path.write_text('source = "me"\nchecked = 2026-01-01\n[usd_per_hour]\nmi250x = -2.0\n')
    with pytest.raises(SpecError, match="mi250x"):
        what_if(MODEL, ["concurrency=8"], prices=str(path))


def test_simulated_points_have_percentiles_beside_the_means():
    a = what_if(MODEL, ["rate=2/s"], input_tokens=500, output_tokens=100)
    p = a.points[0]
    assert p["ttft_s_p50"].value <= p["ttft_s_p99"].value
    assert p["tpot_s"].value == pytest.approx(p["tpot_s_p50"].value, rel=0.1)


def test_experts_windows_and_latents_are_costed_with_a_warning():
    for name in ("qwen3-30b-a3b", "gemma-2-9b", "deepseek-v2-lite"):
        a = what_if(name, ["concurrency=1,32"], on="h200-sxm")
        assert any("costed from their equations" in w.message for w in a.warnings)
        assert a.points[1]["output_tokens_per_s"].value > a.points[0]["output_tokens_per_s"].value


def test_a_batch_of_experts_covers_more_of_them_so_each_token_reads_less():
    """Qwen3-30B-A3B touches 8 of 128 experts alone, nearly all of them at 64."""
    a = what_if("qwen3-30b-a3b", ["concurrency=1,64"], on="h200-sxm")
    dense = what_if("qwen2.5-32b", ["concurrency=1,64"], on="h200-sxm")

    def slower(w):
        return w.points[1]["tpot_s"].value / w.points[0]["tpot_s"].value

    assert slower(a) > 1.5 * slower(dense)


@pytest.mark.slow
def test_more_of_anything_never_means_less_time():
    for knob in ("concurrency=1..64:7", "input_tokens=512..8192", "n_layers=0.5x,0.75x,1x"):
        tpot = [p["tpot_s"].value for p in what_if(MODEL, [knob]).points]
        assert np.all(np.diff(tpot) > 0), knob


def test_a_law_that_is_named_must_be_there():
    """Nothing that what-if prints depends on it, and yet a wrong name is no answer."""
    with pytest.raises(UnknownName, match="no law called 'nan'"):
        what_if(MODEL, {"law": ["nan"]})
