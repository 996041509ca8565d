"""One command for a machine: what fits the time, what a server adds, what is written and found by name."""

import os
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from planner_calibration import runs
from planner_calibration.campaign import plan, stages, trainings
from planner_calibration.campaign.clock import Clock
from planner_calibration.campaign.command import _Campaign, run
from planner_calibration.fit import service
from planner_calibration.measure.machine import Machine, machine
from planner_calibration.measure.serve import online
from planner_calibration.measure.serve.offline import Load, Options
from planner_calibration.measure.train.data import Corpus, require_enough

from planner.columns import FrontEnd
from planner.errors import SpecError
from planner.inputs.device import load_device
from planner.inputs.engine import EngineSpec
from planner.inputs.measurement import Measurement
from planner.inputs.profile import load_profile
from planner.questions.predict import predict
from planner.scenario.scenario import conditions, resolve
from planner.serving.simulate import simulate

pytestmark = pytest.mark.torch
DEVICE = "l4"
ON = Machine("gpu-test", "cuda", "a device", 2e10)
CPU = Machine("cpu-test", "cpu", "a processor", 2e10)
TRUTH = FrontEnd(fixed_s=0.02, request_s=0.004, prompt_token_s=1e-6, token_s=1e-4, shared=1.0)
VLLM = os.environ.get("PLANNER_VLLM_PYTHON")


def load_row(load, front_end, overheads, machine="gpu-test"):
    """Return a load as a server with such a front end would be recorded."""
    spec = plan.models_for(CPU)[0]
    options = Options(engine="vllm", version="0.32.0", dtype="bfloat16")
    what = online._what(spec, load, options, online.server_flags(options, [load], ON))
    rng = np.random.default_rng(
        int(load.requests_per_s * 7) if np.isfinite(load.requests_per_s) else 0
    )
    starts = np.zeros(load.requests)
    if load.concurrency is None:
        starts = np.cumsum(rng.exponential(1 / load.requests_per_s, load.requests))
    lengths = {"input_tokens": [float(load.input_tokens)] * load.requests,
               "output_tokens": [float(load.output_tokens)] * load.requests}  # fmt: skip
    blank = {
        "start_s": starts.tolist(),
        "ttft_s": [1.0] * load.requests,
        "e2e_s": [2.0] * load.requests,
    }
    common = {"engine": "vllm 0.32.0", "machine": machine}
    row = Measurement.of("serve_online", what, samples=blank | lengths, **common)
    (asked,) = service.served([row], load_device(DEVICE))
    kernels, _ = load_profile("class-default").columns()
    system = replace(asked.system, kernels=kernels, overheads=overheads, front_end=front_end)
    sim = simulate(system, asked.requests, concurrency=load.concurrency)
    told = {"ttft_s": sim.ttft_s.tolist(), "e2e_s": sim.e2e_s.tolist()}
    values = {"completed": float(load.requests), "duration_s": sim.duration_s}
    return Measurement.of(
        "serve_online", what, samples=blank | lengths | told, values=values, **common
    )


@pytest.fixture(scope="module")
def overheads():
    return load_profile("class-default").columns()[1]


@pytest.fixture(scope="module")
def loads(overheads):
    """Return loads on a server with a front end and steps of its own; the last two are held out."""
    inf = float("inf")
    asked = [Load(inf, 20, 128, 32, concurrency=1), Load(inf, 64, 128, 32, concurrency=16),
             Load(9.0, 60, 128, 32), Load(6.0, 60, 128, 32), Load(12.0, 60, 128, 32)]  # fmt: skip
    slower = replace(overheads, step_s=3 * overheads.step_s, sequence_s=3e-4)
    return [load_row(load, TRUTH, slower) for load in asked]


@pytest.mark.slow
def test_a_known_front_end_comes_back_and_foretells_other_loads(loads, overheads):
    kernels, _ = load_profile("class-default").columns()
    away = frozenset(r.key for r in loads[3:])
    served = service.served(loads, load_device(DEVICE))
    found = service.fit_service(served, kernels, overheads, away=away, steps=service.STEPS)
    told = found.front_end
    assert told.fixed_s + told.request_s == pytest.approx(0.024, rel=0.15)
    assert found.overheads.step_s == pytest.approx(3 * overheads.step_s, rel=0.15)
    assert [e.held_out for e in found.loads] == [False] * 3 + [True] * 2
    for e in found.loads:
        assert abs(e.off("ttft_p50_s")) < 0.1 and abs(e.off("tpot_p50_s")) < 0.1


def test_a_load_is_the_requests_that_were_sent(loads):
    first, full, rate, *_ = service.served(loads, load_device(DEVICE))
    assert (first.concurrency, full.concurrency, rate.concurrency) == (1, 16, None)
    assert len(rate.requests) == 60 and rate.requests.arrival_s[-1] > 3
    assert rate.measured["ttft_p50_s"] > TRUTH.fixed_s


def test_what_is_planned_fits_the_time():
    assert plan.that_fit([10.0, 10.0, 10.0], 20.0, 65.0) == 2
    assert plan.that_fit([10.0], 20.0, 5.0) == 0
    models, points = plan.models_for(CPU), plan.points_for(CPU)
    each = plan.offline_seconds(models, points, load_device(DEVICE), DEVICE, EngineSpec(), 5)
    assert len(each) == len(models) >= 8 and all(s > 0 for s in each)
    assert len({(m.d_model, m.n_layers, m.n_heads, m.d_ff) for m in models}) == len(models)
    clock = Clock(1200.0)
    assert 0 < clock.reserve_s <= 180 and clock.smoke_s == 300.0
    assert clock.left_s < 1200 - clock.reserve_s


def test_an_hour_of_a_gpu_is_the_papers_models_and_two_dozen_trainings():
    """By the planner's own figures: seven models at batch 1, 16 and 128, and 20M × 200M tokens."""
    on = Machine("nvidia-h200", "cuda", "NVIDIA H200", 1.5e11)
    place = stages.Place(on, load_device("h200-sxm"), "h200-sxm", None, 0, "bfloat16")
    n = trainings.SEEDS * len(trainings.shapes(True))
    assert n == 24 and trainings.recipe(True).n_tokens == 200_000_000
    seconds = n * trainings.seconds_each(place)
    models, points = plan.models_for(on), plan.points_for(on)
    each = plan.offline_seconds(models, points, place.device, place.device_id, EngineSpec(), 3)
    assert {p.batch for p in points} == {1, 16, 128} and len(models) == 7
    assert 600 < seconds < 3600 and sum(each) < 1200


def test_rates_go_by_what_the_server_could_do():
    loads = plan.rated_loads(CPU, 20.0)
    assert [(r.load.requests_per_s, r.held_out) for r in loads] == [
        (4.0, False), (9.0, False), (15.0, False), (6.0, True), (12.0, True), (8.0, True),
    ]  # fmt: skip
    assert loads[-1].load.length_range == 0.5 and all(r.load.requests >= 60 for r in loads)


@pytest.mark.slow
def test_a_profile_with_its_server_is_written_and_found_by_name(
    tmp_path, monkeypatch, loads, overheads
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = stages.Place(ON, load_device(DEVICE), DEVICE, tmp_path / "rows", 0, "bfloat16")
    for row in batches(place.device):
        runs.append(place.store("serve-vllm"), row)
    for row in loads:
        runs.append(place.store("online"), row)
    before = resolve(conditions(on=DEVICE)).basis
    campaign = _Campaign(place, Clock(600.0), print, None, None)
    campaign.engines = [Options(engine="vllm", version="0.32.0", dtype="bfloat16")]
    report = campaign.finish()
    assert not report.notes and report.figures()["held_out_runs"] == 12
    assert (place.folder / "report.txt").is_file() and report.profile.is_file()
    served, batch = (resolve(conditions(on=DEVICE, **w)) for w in ({"rate": "2/s"}, {}))
    assert served.profile.name == batch.profile.name == f"{DEVICE}-vllm"
    assert "your own measurements" in served.basis and "own" not in before
    assert served.front_end.fixed_s > 0
    arch = plan.models_for(CPU)[0].arch()
    assert served.system(arch).overheads.step_s != batch.system(arch).overheads.step_s
    assert predict("llama-3.2-1b", on=DEVICE).basis["speed"] == batch.basis
    again = _Campaign(place, Clock(600.0), print, None, None)
    again.engines = campaign.engines
    assert (
        again.finish().fitted.prior.name == report.fitted.prior.name
    )  # what was fitted here counts once


def batches(device):
    """Return batches of a few models as a slower machine would record them."""
    from planner_calibration.fit.speed import rows

    blank = [
        {**{k: v for k, v in m.model_dump().items() if k in ("n_layers", "d_model", "n_heads", "n_kv_heads",
            "head_dim", "d_ff", "vocab_size")}, "batch": p.batch, "input_tokens": p.input_tokens,
         "output_tokens": p.output_tokens, "dtype": "bfloat16"}
        for m in plan.models_for(CPU)[:4] for p in plan.CPU_POINTS[:3]
    ]  # fmt: skip
    kernels, overheads = load_profile("class-default").columns()

    def row(what, t):
        values = {"e2e_s": t, "e2e_iqr_s": 0.02 * t}
        return Measurement.of(
            "serve_offline", what, values=values, engine="vllm 0.32.0", machine=ON.id
        )

    (group,) = rows.groups([row(w, 1.0) for w in blank], device)
    times = group.predict(kernels, replace(overheads, step_s=4e-3))
    return [row(w, float(t)) for w, t in zip(blank, times, strict=True)]


def test_too_little_time_is_said_at_once():
    options = {
        "vllm": None,
        "data": None,
        "device": "cpu",
        "dtype": None,
        "threads": 0,
        "folder": None,
    }
    with pytest.raises(SpecError, match="too short"):
        run("30s", say=print, **options)


def test_a_corpus_is_held_against_the_tokens():
    text = Corpus("text", 256, np.zeros(1000, np.uint16), np.zeros(10, np.uint16), 1.0)
    said = []
    require_enough(text, 3000, said.append)
    assert not said
    require_enough(text, 5000, said.append)
    assert "5.0 times" in said[0]
    with pytest.raises(SpecError, match="times the 1,000"):
        require_enough(text, 50_000, said.append)
    require_enough(text, 50_000, said.append, allowed=True)


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="PLANNER_VLLM_PYTHON names no Python with vLLM")
def test_this_machine_in_minutes_and_again_without_measuring(tmp_path, monkeypatch):
    """Real vLLM: every stage works, the profile is found by name, a second run measures nothing anew."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    options = {"vllm": VLLM, "data": None, "device": "cpu", "dtype": None, "threads": 0,
               "folder": tmp_path / "rows", "say": print}  # fmt: skip
    report = run("7m", **options)
    print(report.figures())
    assert not report.notes and report.profile and not any(t.failed for t in report.stages)
    assert report.figures()["held_out_runs"] >= 10 and report.service is not None
    assert report.spent_s < 7 * 60
    on = machine("cpu").id
    assert resolve(conditions(on=on, dtype="fp32", rate="1/s")).front_end.fixed_s > 0
    by_metrics(tmp_path, on)
    rows = len(runs.load(tmp_path / "rows").rows)
    again = run("2m", **options)
    assert len(runs.load(tmp_path / "rows").rows) == rows or again.spent_s < 120


def by_metrics(tmp_path, on):
    """Fit a profile to what the real server published while it was measured."""
    from planner_calibration.fit.metrics.command import run as from_metrics

    from planner.inputs.hf_export import export_hf

    model = export_hf(plan.models_for(CPU)[0], tmp_path / "model")
    asked = {"model": str(model), "on": on, "every": "0s", "times": 1, "logs": [], "name": "seen",
             "folder": tmp_path, "engine": "", "settings": {"dtype": "fp32"}, "say": print}  # fmt: skip
    found = from_metrics([str(tmp_path / "rows" / "metrics.txt")], **asked)
    sent = [r for r in runs.load(tmp_path / "rows" / "online.jsonl").rows if r.status == "ok"]
    (window,) = found.seen
    assert window.requests >= sum(r.values["completed"] for r in sent)
    assert (
        window.cache_tokens > 0
        and 0.5 < window.e2e_s / found.fitted.loads[0].predicted["e2e_mean_s"] < 2
    )
