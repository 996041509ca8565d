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
from planner.inputs.names import slug
from planner.questions.predict import predict
from planner.questions.what_if import what_if

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
    "mi325x",
    "mi355x",
    "gb200",
    "b300",
    "gb300",
    "rtx-3090",
    "rtx-5090",
    "a10g",
    "t4",
    "v100-sxm-16gb",
    "v100-sxm-32gb",
    "a800-sxm",
    "h800-sxm",
    "l40",
    "mi210",
    "mi250",
    "a30",
    "rtx-a6000",
    "rtx-6000-ada",
    "rtx-pro-6000",
    "l20",
    "gb10",
]


# As people and their tools write devices: nvidia-smi, rocm-smi, clouds, benchmark files.
WRITTEN = {
    "t4": "Tesla T4, NVIDIA T4",
    "v100-sxm-32gb": "Tesla V100-SXM2-32GB",
    "v100-sxm-16gb": "Tesla V100-SXM2-16GB, V100",
    "a800-sxm": "NVIDIA A800-SXM4-80GB",
    "h800-sxm": "NVIDIA H800",
    "mi250": "AMD Instinct MI250",
    "a100-sxm-40gb": "A100-SXM4-40GB, NVIDIA A100-SXM4-40GB, A100 40GB, nvidia-tesla-a100",
    "a100-sxm-80gb": "a100, A100-80GB, NVIDIA A100-SXM4-80GB, A100 80GB, a100_sxm_80gb, A100 SXM",
    "a100-pcie-80gb": "NVIDIA A100 80GB PCIe, A100 PCIe",
    "a100-pcie-40gb": "NVIDIA A100-PCIE-40GB",
    "h100-sxm": "H100, h100, NVIDIA H100 80GB HBM3, H100-SXM5-80GB, H100 80 GB, nvidia-h100-80gb, "
    "nvidia_h100_80gb_hbm3, NVIDIA H100 Tensor Core GPU, HGX H100",
    "h100-pcie": "NVIDIA H100 PCIe, H100_PCIE",
    "h100-nvl": "NVIDIA H100 NVL, H100-NVL-94GB",
    "h200-sxm": "H200, NVIDIA H200, H200-SXM-141GB, nvidia-h200-141gb",
    "gh200": "GH200, NVIDIA GH200 480GB",
    "b200": "B200, NVIDIA B200, b200_sxm",
    "gb200": "NVIDIA GB200, GB200 NVL72",
    "b300": "B300, NVIDIA B300 SXM6 AC",
    "gb300": "NVIDIA GB300",
    "h20": "NVIDIA H20",
    "a10": "NVIDIA A10, A10",
    "a10g": "A10G, NVIDIA A10G",
    "a40": "NVIDIA A40",
    "l4": "L4, NVIDIA L4, nvidia-l4",
    "l40s": "l40s, L40S, NVIDIA L40S",
    "rtx-3090": "RTX 3090, NVIDIA GeForce RTX 3090, rtx3090",
    "rtx-4090": "RTX4090, NVIDIA GeForce RTX 4090, GeForce RTX 4090, RTX_4090",
    "rtx-5090": "RTX 5090, NVIDIA GeForce RTX 5090, 5090",
    "mi250x": "AMD Instinct MI250X, MI250X",
    "mi300x": "MI300X, AMD Instinct MI300X, AMD_Instinct_MI300X_OAM, amd instinct mi300x 192gb hbm3",
    "mi325x": "AMD Instinct MI325X, MI325X",
    "mi355x": "MI355X, AMD Instinct MI355X, AMD Instinct MI355X 288GB HBM3e",
}


@pytest.mark.parametrize("known", WRITTEN)
def test_devices_are_known_by_the_names_people_write(known):
    for text in WRITTEN[known].split(", "):
        assert device_named(text) == known, text


@pytest.mark.parametrize("text", ["unknown", "24 GB card", "NVIDIA", "80GB", "", "H100 96GB"])
def test_what_is_no_device_is_not_read_as_one(text):
    with pytest.raises(UnknownName):
        device_named(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8xH100", "did you mean 'h100'?"),
        ("RTX 5091", "5090"),
        ("Trainium2", "hardware list"),
        ("a31", "another card"),
        ("RTX A7000", "hardware new"),
    ],
)
def test_an_unknown_device_gets_the_nearest(text, hint):
    with pytest.raises(UnknownName) as caught:
        load_device(text)
    assert hint in caught.value.hint


def test_a_node_by_its_name_is_still_a_node():
    with pytest.raises(SpecError, match="is a node of 8"):
        load_device("DGX H100")


def test_no_name_means_two_devices():
    names = [slug(n) for d in device_names() for n in (d, *load_device(d).aliases)]
    assert len(names) == len(set(names))


def test_an_answer_says_which_device_a_name_was_read_as():
    asked = {"model": "llama-3.1-8b", "concurrency": 4}
    plain, loose = (predict(**asked, on=on) for on in ("h100-sxm", "H100"))
    assert loose.basis["names"] == "H100 read as h100-sxm" and "names" not in plain.basis
    assert loose.candidate.metrics == plain.candidate.metrics
    varied = what_if("llama-3.1-8b", vary={"on": ["H100", "l4", "A100 80GB"]})
    assert varied.basis["names"] == "H100 read as h100-sxm; A100 80GB read as a100-sxm-80gb"
    cost = [p.metrics["usd_per_output_mtok"] for p in varied.points]
    assert all(c is not None for c in cost)  # the price list knows them too


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
    """Halving the bits doubles the rate.

    But GeForce accumulates bf16 at half rate, so int8 is 4×; Blackwell Ultra has next to no int8.
    """
    rates = load_device(name).dense_flops_per_s
    half = rates.get("bf16", rates["fp16"])  # before ampere there is none
    assert half == rates["fp16"]
    geforce, ultra = {"int8": 4, "fp4": 8}, {"int8": 1 / 15, "fp4": 6}
    steps = {
        "rtx-3090": geforce,
        "rtx-4090": geforce,
        "rtx-5090": geforce,
        **{card: {"int8": 1} for card in ("mi210", "mi250", "mi250x")},
        "b300": ultra,
        "gb300": ultra,
    }.get(name, {})
    for narrow, usual in {"fp8": 2, "int8": 2, "fp4": 4}.items():
        if narrow not in rates:
            continue
        expected = steps.get(narrow, usual)
        assert rates[narrow] / half == pytest.approx(expected, rel=0.03)


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


def test_fp8_on_ampere_is_weights_alone():
    """VLLM runs FP8 checkpoints there by unpacking weights (Marlin): half the bytes, no faster products."""
    plain, narrow = (
        predict("llama-3.1-8b", on="a100-sxm-80gb", dtype=dtype, batch=1, input_tokens=4000,
                output_tokens=100).candidate.metrics
        for dtype in ("bf16", "fp8")
    )  # fmt: skip
    assert narrow["weight_bytes"].value < 0.6 * plain["weight_bytes"].value
    assert narrow["idle_ttft_s"].value >= 0.98 * plain["idle_ttft_s"].value
    assert narrow["tpot_s"].value < plain["tpot_s"].value
