"""The wheel adds exactly two names to site-packages, and carries its data."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    # Built from the sdist, as a release is.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_the_wheel_owns_two_names(names):
    tops = {n.partition("/")[0] for n in names if ".dist-info/" not in n}
    assert tops == {"planner", "planner_calibration"}


def test_the_wheel_carries_hardware_profiles_models_and_laws(names):
    for path in (
        "planner/_data/hardware/devices/nvidia/h100-sxm.toml",
        "planner/_data/calibration/class-default.toml",
        "planner/presets/models/models.csv",
        "planner/presets/laws/bian-1b.toml",
        "planner/py.typed",
    ):
        assert path in names


def test_the_wheel_carries_no_raw_runs_tests_or_docs(names):
    assert not [n for n in names if "/runs/" in n or n.startswith(("tests/", "docs/"))]
