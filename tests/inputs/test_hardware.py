"""Every hardware file we ship loads, cites its source, and lies within physics."""

import re

import pytest

from planner.data import bundled, catalogue
from planner.errors import SpecError, UnknownName
from planner.inputs.device import (
    check_hardware,
    device_named,
    device_names,
    load_device,
    load_node,
    node_names,
)
from planner.inputs.engine import engines

FILES = sorted(bundled("hardware").rglob("*.toml"))
PROMISED = [
    "a100-sxm-40gb",
    "a100-sxm-80gb",
    "a100-pcie-40gb",
    "a100-pcie-80gb",
    "h100-sxm",
    "h100-pcie",
    "h100-nvl",
    "h200-sxm",
    "gh200",
    "h20",
    "b200",
    "l40s",
    "l4",
    "a10",
    "a40",
    "rtx-4090",
    "mi250x",
    "mi300x",
]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("A100-SXM4-40GB", "a100-sxm-40gb"),
        ("A100-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("H100-SXM5-80GB", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("H200", "h200-sxm"),
        ("l40s", "l40s"),
    ],
)
def test_devices_are_known_by_the_names_people_write(text, known):
    assert device_named(text) == known


def test_an_engine_is_no_device():
    assert not set(engines()) & set(device_names())
    with pytest.raises(SpecError, match="an engine"):
        load_device("vllm")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_shipped_file_passes_the_users_own_check(path):
    spec = check_hardware(path)
    for said in getattr(spec, "versions", (spec,)):
        assert said.source.startswith("https://")


def test_the_promised_devices_are_there():
    assert set(PROMISED) <= set(device_names())


@pytest.mark.parametrize("name", PROMISED)
def test_no_sparse_number_slipped_in(name):
    """Halving the bits doubles the rate; GeForce accumulates bf16 at half rate, so int8 is 4×."""
    rates = load_device(name).dense_flops_per_s
    assert rates["bf16"] == rates["fp16"]
    steps = {"rtx-4090": {"fp8": 2, "int8": 4}, "mi250x": {"int8": 1}}.get(name, {})
    for narrow in {"fp8", "int8"} & set(rates):
        expected = steps.get(narrow, 2)
        assert rates[narrow] / rates["bf16"] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", node_names())
def test_a_node_holds_a_device_we_have(name):
    node = load_node(name)
    assert node.link_bytes_per_s == load_device(node.device).link_bytes_per_s


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Put one H100 file, changed as asked, on the user's search path."""
    monkeypatch.setenv("PLANNER_HARDWARE_PATH", str(tmp_path))
    original = next(p for p in FILES if p.stem == "h100-sxm").read_text()

    def write(pattern, replacement):
        text, n = re.subn(pattern, replacement, original, flags=re.MULTILINE)
        assert n == 1
        path = tmp_path / "h100-sxm.toml"
        path.write_text(text)
        return path

    return write


def test_a_users_file_comes_first(mine):
    path = mine(r'"3\.35 TB/s"', '"3.0 TB/s"')
    assert load_device("h100-sxm").hbm_bytes_per_s == 3.0e12
    assert catalogue("hardware")["h100-sxm"] == path


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^hbm_bytes =", "hbm_byte =", "hbm_bytes: Field required|hbm_byte: no such key"),
        (r'"3\.35 TB/s"', "3350", "hbm_bytes_per_s: 3350 is not a quantity in byte/s"),
        (r'"3\.35 TB/s"', '"nan TB/s"', "hbm_bytes_per_s"),
        (r"^n_sms = 132", "n_sms = -1", "n_sms"),
        (r"^n_sms = 132", "n_sms = [", "not TOML"),
        (r'"80 GB"', '"80 GB/s"', "hbm_bytes: '80 GB/s' is not a quantity in byte"),
    ],
)
def test_a_wrong_file_names_the_file_and_the_key(mine, pattern, replacement, message):
    path = mine(pattern, replacement)
    with pytest.raises(SpecError, match=message) as caught:
        check_hardware(path)
    assert str(path) in str(caught.value) and caught.value.hint


def test_a_misspelt_key_is_told_the_keys_there_are(mine):
    path = mine(r"^tdp_w =", 'tdp_watts = "1 W"\ntdp_w =')
    with pytest.raises(SpecError, match="tdp_watts: no such key") as caught:
        check_hardware(path)
    assert "tdp_w" in caught.value.hint or "README" in caught.value.hint


def test_an_unknown_device_is_suggested_its_neighbour():
    with pytest.raises(UnknownName) as caught:
        load_device("h100sxm")
    assert caught.value.hint == "did you mean 'h100-sxm'?"


def test_an_absent_dtype_is_unsupported_never_extrapolated():
    with pytest.raises(SpecError, match="no fp8 rate"):
        load_device("a100-sxm-40gb").flops_per_s("fp8")
