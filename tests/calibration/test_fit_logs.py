"""Start-up logs correct the memory of a machine: known constants come back, and mistakes are said."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from planner_calibration.fit.memory import profile as memory
from planner_calibration.fit.memory.correct import correct
from planner_calibration.fit.memory.starts import parted, starts_in
from typer.testing import CliRunner

from planner.cli.app import app
from planner.data import catalogue
from planner.errors import PlannerError, SpecError
from planner.inputs.device import load_device
from planner.inputs.profile import load_profile, profile_for
from planner.questions.validate.measured import runs_of
from planner.questions.validate.scoring import prepare
from planner.questions.validate.validate import sheet_in

GIB = 2.0**30
DEVICE = "h100-sxm"
LOGS = Path("tests/files/logs")
MODELS = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B")
TRUE = {
    "outside_bytes": 0.32 * GIB,
    "outside_tp_bytes": 2.1 * GIB,
    "sampler_copies": 3.85,
    "graph_layer_bytes": 0.27e6,
    "graph_bytes": 0.19 * GIB,
}
SHIPPED = {"outside_bytes": 0.25 * GIB, "outside_tp_bytes": 1.85 * GIB, "sampler_copies": 3.72}
START = """\
INFO 11-20 12:00:12 [core.py:134] Initializing a V1 LLM engine (v0.32.0) with config: \
model='{model}', dtype=torch.bfloat16, max_seq_len=4096, tensor_parallel_size={tp}, \
pipeline_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto
INFO 11-20 12:00:20 [gpu_model_runner.py:5150] Model loading took {weights:.2f} GiB memory and 4 seconds
INFO 11-20 12:00:42 [gpu_worker.py:760] Available KV cache memory: {cache:.2f} GiB
INFO 11-20 12:00:42 [kv_cache_utils.py:2328] GPU KV cache size: {tokens:,.0f} tokens
INFO 11-20 12:00:50 [gpu_model_runner.py:6582] Graph capturing finished in 8 secs, took {graphs:.2f} GiB
INFO 11-20 12:00:50 [gpu_worker.py:1031] Free memory on device (78.68/79.18 GiB) on startup. Desired \
GPU memory utilization is (0.92, 72.85 GiB). Actual usage is {consumed:.2f} GiB for consumed memory \
(weights + non-torch), {activation:.2f} GiB for peak activation, and {graphs:.2f} GiB for CUDAGraph memory.
INFO:     Application startup complete.
"""
run = CliRunner().invoke


def written(folder, model, tp=1, constants=TRUE, **said):
    """Write the log of a start on a machine whose constants are known."""
    path = folder / f"{model.rpartition('/')[2]}-{tp}.log"
    parts = dict.fromkeys(("weights", "cache", "tokens", "graphs", "consumed", "activation"), 20.0)
    path.write_text(START.format(model=model, tp=tp, **parts | {"weights": 10.0}))
    runs = {r.column: r for r in runs_of(sheet_in(parted([path])[1][0], {"gpu": DEVICE})[0])[0]}
    predicted = prepare([*runs.values()]).predict(memory=constants)
    found = dict(zip(runs, map(float, predicted), strict=True))
    parts = {
        "weights": found["weights_gib"],
        "consumed": found["weights_gib"] + found["non_torch_gib"],
        "activation": found["activation_gib"],
        "graphs": found["cuda_graph_gib"],
        "cache": found["kv_cache_gib"],
        "tokens": found["kv_cache_tokens"],
    }
    path.write_text(START.format(model=model, tp=tp, **parts | said))
    return path


def corrected(paths, engine=""):
    start = profile_for(DEVICE, load_device(DEVICE), "vllm")[0]
    return correct(starts_in(parted(paths)[1], DEVICE, engine), start)


def ok(*argv):
    result = run(app, [str(a) for a in argv])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def fitted(tmp_path, *argv):
    text = ok("calibrate", "fit", *argv, "--on", DEVICE, "--name", "mine", "--to", tmp_path)
    return text, tmp_path / "mine.toml"


def test_logs_of_a_known_machine_give_its_constants_back(tmp_path):
    found = corrected([written(tmp_path, m, tp) for m in MODELS for tp in (1, 2)])
    assert found.n_models == len(MODELS)
    assert found.constants["outside_bytes"] == pytest.approx(TRUE["outside_bytes"], rel=0.04)
    assert found.constants["outside_tp_bytes"] == pytest.approx(TRUE["outside_tp_bytes"], rel=0.03)
    assert found.constants["sampler_copies"] == pytest.approx(TRUE["sampler_copies"], rel=0.01)
    for part in ("activation_gib", "non_torch_gib", "cuda_graph_gib"):
        assert found.held_out[part].mean_ape < found.before[part].mean_ape / 2
        assert found.fitted[part].mean_ape < 0.05
    for part in ("kv_cache_gib", "kv_cache_tokens"):
        assert found.held_out[part].mean_ape < found.before[part].mean_ape


def test_a_machine_as_the_file_says_stays_so_and_its_spread_narrows(tmp_path):
    found = corrected([written(tmp_path, m, constants={}) for m in MODELS])
    for name, value in found.constants.items():
        assert value == pytest.approx(found.prior[name], rel=0.02)
    for name in ("activation_sd", "graph_sd", "outside_sd"):
        assert found.spreads[name] < found.prior[name]


def test_one_log_moves_a_constant_towards_itself_and_not_beyond(tmp_path):
    found = corrected([written(tmp_path, MODELS[2], constants=TRUE)])
    for name in ("outside_bytes", "sampler_copies", "graph_layer_bytes"):
        low, high = sorted((found.prior[name], TRUE[name]))
        assert low < found.constants[name] < high * 1.01  # a log is rounded
    assert "graph_bytes" not in found.constants  # one depth
    assert "outside_tp_bytes" not in found.constants
    assert not found.held_out
    assert found.fitted["kv_cache_gib"].mean_ape < found.before["kv_cache_gib"].mean_ape


def test_one_log_of_a_machine_that_is_far_off_takes_it_most_of_the_way(tmp_path):
    far = {"outside_bytes": 2 * SHIPPED["outside_bytes"]}
    moved = corrected([written(tmp_path, MODELS[2], constants=far)]).constants["outside_bytes"]
    assert 0.5 < np.log(moved / SHIPPED["outside_bytes"]) / np.log(2) < 1


def test_a_wild_log_hardly_moves_a_constant(tmp_path):
    good = [written(tmp_path, m, constants={}) for m in MODELS[:4]]
    wild = written(tmp_path, MODELS[4], constants={}, consumed=78.0, activation=70.0, graphs=60.0)
    found = corrected([*good, wild])
    for name, value in found.constants.items():
        assert value == pytest.approx(found.prior[name], rel=0.05 if "graph" not in name else 0.3)
    assert found.constants["outside_bytes"] < 0.2 * load_device(DEVICE).hbm_bytes


def test_rows_of_another_device_engine_or_version_are_named_and_left_out(tmp_path):
    other = written(tmp_path, MODELS[0])
    other.write_text(other.read_text().replace("79.18 GiB", "44.39 GiB"))
    here = written(tmp_path, MODELS[1])
    logs = [other, here, LOGS / "sglang-0.5-tp2.log", LOGS / "vllm-0.8.5.log"]
    found = starts_in(parted(logs)[1], DEVICE, "vllm")
    assert found.n == 1 and found.versions == ["0.32.0"]
    assert sorted(str(out).rpartition("/")[2] for out in found.left_out) == [
        "Qwen3-0.6B-1.log: left out, it is of a device of 44.39 GiB",
        "sglang-0.5-tp2.log: left out, it is of sglang",
        "vllm-0.8.5.log: left out, vllm 0.8.5 takes other memory: fit it alone",
    ]
    assert starts_in(parted(logs)[1], DEVICE, "vllm==0.8.5").versions == ["0.8.5"]
    with pytest.raises(SpecError, match="starts are of sglang and vllm"):
        starts_in(parted(logs)[1], DEVICE)


def table(path, *rows):
    base = {"gpu": DEVICE, "engine": "vllm", "engine_version": "0.32.0", "model": "qwen3-8b"}
    cells = [base | row for row in rows]
    names = list(dict.fromkeys(n for row in cells for n in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(cells)
    return path


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "1e9", "a lot", "=1+1"])
def test_hostile_values_are_named_and_change_nothing(tmp_path, value):
    row = {"non_torch_gib": "0.3", "activation_gib": "2.37", "max_model_len": "4096"}
    path = table(tmp_path / "memory.csv", row, row | {"non_torch_gib": value})
    found = starts_in(parted([path])[1], DEVICE)
    assert [out.where for out in found.left_out] == [f"{path}, row 3"]
    plain = corrected([table(tmp_path / "plain.csv", row, row | {"non_torch_gib": ""})])
    assert corrected([path]).constants == pytest.approx(plain.constants)
    assert all(np.isfinite(v) and v > 0 for v in corrected([path]).memory.values())


def test_a_table_of_another_device_is_left_out_row_by_row(tmp_path):
    row = {"non_torch_gib": "0.3", "graph_gib": ""}
    found = starts_in(parted([table(tmp_path / "m.csv", row, row | {"gpu": "l40s"})])[1], DEVICE)
    assert [str(out).rpartition("/")[2] for out in found.left_out] == [
        "m.csv, row 3: left out, it is of l40s"
    ]


def test_nothing_usable_is_one_error_and_nothing_is_written(tmp_path):
    argv = ["--on", DEVICE, "--to", str(tmp_path), "--name", "mine"]
    for log in ("no-engine.log", "vllm-out-of-memory.log"):
        result = run(app, ["calibrate", "fit", str(LOGS / log), *argv])
        assert isinstance(result.exception, PlannerError)
        assert str(result.exception).startswith(
            f"no start on {DEVICE} could be used: {LOGS / log}: "
        )
        assert "\n" not in str(result.exception) and result.exception.hint
    cache = table(tmp_path / "cache.csv", {"kv_cache_gib": "50", "max_model_len": "4096"})
    result = run(app, ["calibrate", "fit", str(cache), *argv])
    assert "nothing that can be corrected" in str(result.exception)
    cache.unlink()
    result = run(app, ["calibrate", "fit", str(LOGS / "vllm-0.32.log"), "--to", str(tmp_path)])
    assert "give --on" in result.exception.hint
    result = run(app, ["calibrate", "fit", str(tmp_path / "nowhere.log"), *argv])
    assert "No such file" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_from_logs_to_a_profile_to_a_prediction(tmp_path):
    text, path = fitted(tmp_path, *sorted(LOGS.glob("*.log")), "--engine", "vllm")
    assert text.startswith("held out, 3 models, 11 parts of memory: error ")
    assert "vllm-0.7.3-tp2.log: left out, it is of a device of 47.43 GiB" in " ".join(text.split())
    assert "captured graphs" in text and "".join(text.split()).endswith("mine.toml")
    made, prior = load_profile(str(path)), load_profile("h100-vllm")
    assert made.engine_version == "0.19.0, 0.32.0"
    assert made.data.startswith("memory: 3 starts of vllm 0.19.0, 0.32.0; speed: h100-vllm")
    assert made.memory["outside_bytes"] > SHIPPED["outside_bytes"]
    assert made.memory["outside_tp_bytes"] < SHIPPED["outside_tp_bytes"]
    same = ("kernels", "benchmark", "overheads", "held_out", "posterior", "engine", "architecture")
    for name in same:
        assert getattr(made, name) == getattr(prior, name)
    asked = ("predict", "qwen3-8b", "--on", DEVICE, "--json")
    before = json.loads(ok(*asked))
    after = json.loads(ok(*asked, "--profile", path))
    assert "outside torch 0.314 GiB" in " ".join(ok(*asked[:-1], "--profile", path).split())
    assert "outside torch 0.250 GiB" in " ".join(ok(*asked[:-1]).split())
    for name in ("value", "low", "high"):  # speed and its interval stay
        assert after["tpot_s"][name] == pytest.approx(before["tpot_s"][name], rel=2e-3)


def test_one_model_says_that_nothing_could_be_held_out(tmp_path):
    text, path = fitted(tmp_path, LOGS / "vllm-0.32.log")
    assert text.startswith("vllm: nothing could be held out")
    assert "0.250 GiB" in text
    assert "0.324 GiB" in fitted(tmp_path, LOGS / "vllm-0.32.log", "--prior", path)[0]
    older = fitted(tmp_path, LOGS / "vllm-0.11-moe.log", "--prior", path)[0]
    assert "0.130 GiB" in older  # memory of another version is no prior


def test_weights_alone_tell_their_spread(tmp_path):
    text, path = fitted(tmp_path, LOGS / "vllm-failed.log")
    assert "the starts spoke of no constant" in text
    assert list(load_profile(str(path)).memory) == ["weights_sd"]


def test_a_device_of_ones_own_and_a_borrowed_profile(tmp_path):
    own = tmp_path / "own-gpu.toml"
    own.write_text(catalogue("hardware")[DEVICE].read_text())
    content = parted([LOGS / "vllm-0.32.log"])[1]
    found = memory.fit(content, str(own))
    made = memory.profile_of(found, "mine", load_profile("h100-vllm").fitted)
    near, wider, _ = profile_for("own-gpu", load_device(str(own)), "vllm")
    assert made["devices"] == ("own-gpu",) and "borrowed for" in made["borrowed"]
    assert made["spread"]["decode"] == pytest.approx(near.spread.decode * wider)


def recorded(tmp_path):
    """Write one serving run."""
    from planner_calibration import runs
    from planner_calibration.measure.shapes import near

    from planner.inputs.measurement import Measurement

    store = tmp_path / "serve.jsonl"
    shape = near(1e9, n_layers=16, x=0.08, r=1, gqa=4, head_dim=64, vocab_size=32768, multiple=64)
    what = {"batch": 8, "input_tokens": 1024, "output_tokens": 256, "dtype": "bfloat16"}
    what |= shape.settings() | {"tied_embeddings": True}
    values = {"e2e_s": 2.0, "e2e_min_s": 2.0, "e2e_iqr_s": 0.01}
    row = Measurement.of("serve_offline", what, values=values, engine="vllm 0.32.0", machine="g")
    runs.append(store, row)
    return store


def test_runs_and_logs_together_make_one_profile(tmp_path):
    found = json.loads(fitted(tmp_path, recorded(tmp_path), LOGS / "vllm-0.32.log", "--json")[0])
    assert found["memory"]["n_starts"] == 1 and found["n_shapes"] == 1
    made = load_profile(str(tmp_path / "mine.toml"))
    assert made.memory and made.engine_version == "0.32.0"
    assert "own runs: 1 serve_offline" in made.data and "memory: 1 start of vllm" in made.data


def test_runs_alone_keep_what_logs_said_of_memory(tmp_path):
    _, path = fitted(tmp_path, LOGS / "vllm-0.32.log")
    said = load_profile(str(path)).memory
    _, path = fitted(tmp_path, recorded(tmp_path), "--prior", path)
    assert said and load_profile(str(path)).memory == said


def test_a_log_as_containers_keep_it_is_a_log(tmp_path):
    lines = (LOGS / "vllm-0.32.log").read_text().splitlines()
    path = tmp_path / "container-json.log"
    path.write_text("".join(json.dumps({"log": line + "\n"}) + "\n" for line in lines))
    assert corrected([path]).memory == corrected([LOGS / "vllm-0.32.log"]).memory


def test_memory_of_another_program_is_left_out(tmp_path):
    found = starts_in(parted([written(tmp_path, MODELS[0], consumed=60.0)])[1], DEVICE)
    assert "something else ran there" in str(found.left_out[0])
    assert "non_torch_gib" not in {r.column for r in found.runs}
