"""What a user measured is found by name, goes before what ships, and is said in the basis; so are formats."""

import pytest

from planner.data import catalogue
from planner.errors import SpecError
from planner.inputs.profile import load_profile
from planner.questions.predict import predict
from planner.scenario.scenario import conditions, resolve

CPU = """
name = "Some CPU, 1 cores"
vendor = "amd"
architecture = "cpu-some-1c"
form_factor = "socket"
hbm_bytes = "20 GB"
hbm_offered = 1.0
hbm_bytes_per_s = "25 GB/s"
n_sms = 1
source = "measured: planner calibrate kernels"
checked = 2026-11-28
[dense_flops_per_s]
bf16 = "200 GFLOP/s"
fp32 = "90 GFLOP/s"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a function that puts a copy of a shipped profile in the user's own folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def put(name, of="h100-vllm", **changed):
        text = catalogue("calibration")[of].read_text()
        for key, (old, new) in {"name": (f'"{of}"', f'"{name}"'), **changed}.items():
            assert f"{key} = {old}" in text
            text = text.replace(f"{key} = {old}", f"{key} = {new}", 1)
        path = tmp_path / "planner" / "calibration" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


def test_a_profile_of_the_user_is_taken_without_being_named(own):
    shipped = resolve(conditions(on="h100-sxm", engine="vllm"))
    own("mine")
    found = resolve(conditions(on="h100-sxm", engine="vllm"))
    assert shipped.profile.name == "h100-vllm" and found.profile.name == "mine"
    assert "your own measurements" in found.basis and found.spread_factor == 1.0
    assert "own" not in shipped.basis
    # Of another engine, ours that was measured there is nearer.
    assert resolve(conditions(on="h100-sxm", engine="sglang")).profile.name != "mine"
    assert resolve(conditions(on="a100-80gb", engine="vllm")).profile.name != "mine"


def test_the_newest_of_the_users_profiles_counts(own):
    fitted = str(load_profile("h100-vllm").fitted)
    own("zz-new", fitted=(fitted, "2027-01-01"))
    own("aa-old")
    assert resolve(conditions(on="h100-sxm", engine="vllm")).profile.name == "zz-new"


def test_a_profile_that_cannot_be_read_is_named_and_stops_nobody(own):
    own("mine").write_text('name = "mine"')
    found = resolve(conditions(on="h100-sxm", engine="vllm"))
    assert found.profile.name == "h100-vllm" and "not read" in found.basis and "mine" in found.basis


def test_a_cpu_computes_in_fp32_where_asked_and_never_instead(tmp_path):
    path = tmp_path / "some-cpu.toml"
    path.write_text(CPU)
    half, whole = (resolve(conditions(on=str(path), dtype=d)) for d in ("bf16", "fp32"))
    rates = [d.device.columns(d.engine.dtype) for d in (half, whole)]
    assert [(r.flops_per_s, r.attention_flops_per_s) for r in rates] == [(200e9,) * 2, (90e9,) * 2]
    held = whole.engine.precision()
    assert {held.weight_bytes, held.embedding_bytes, held.kv_bytes, held.activation_bytes} == {4.0}
    assert whole.engine.model_copy(update={"kv_dtype": "fp8"}).precision().kv_bytes == 1.0
    with pytest.raises(SpecError, match="no int8 rate"):
        predict("llama-3.2-1b", on=str(path), dtype="int8")
