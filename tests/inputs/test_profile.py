"""A profile's constants are named and within physics, ours and a user's."""

import pytest

from planner.data import bundled
from planner.errors import SpecError
from planner.inputs.profile import load_profile
from planner.questions.predict import predict

NAMES = sorted(p.stem for p in bundled("calibration").glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_profile_loads_and_names_its_data(name):
    profile = load_profile(name)
    assert profile.data and profile.columns()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gemm_hbm_eff", "gemm_hbm_ef", "no such constant"),
        ("gemm_hbm_eff = ", "gemm_hbm_eff = -", "outside physics"),
        ("gemm_hbm_eff = 0.", "gemm_hbm_eff = 1.", "outside physics"),
    ],
)
def test_a_profile_outside_physics_is_refused_by_file_and_key(tmp_path, old, new, message):
    text = (bundled("calibration") / "class-default.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecError, match=message) as caught:
        predict("llama-3.2-1b", profile=str(path))
    assert str(path) in str(caught.value)
