"""`planner hardware` on files of others."""

import json
from pathlib import Path

import pytest

FILES = Path(__file__).parents[1] / "files"


def test_a_peer_s_file_is_described_by_check(planner):
    run = planner("hardware", "check", FILES / "h02_peer_device.json")
    assert run.returncode == 3
    for said in ("32 GB", "900 GB/s", "fp16 125 TFLOP/s", "missing: vendor"):
        assert said in run.stderr


def test_new_writes_what_is_pasted(planner, tmp_path):
    run = planner("hardware", "new", "--from", FILES / "h01_l4_ecc.txt")
    assert run.returncode == 0 and 'name = "NVIDIA L4"' in run.stdout
    assert planner("hardware", "new").returncode == 3
    (empty := tmp_path / "x.json").write_text('{"answer": 42}')
    refused = planner("hardware", "new", "--from", empty)
    assert refused.returncode == 3 and "no known description of a device" in refused.stderr


LEAST = """
name = "Made-up 2"
vendor = "nvidia"
architecture = "ada"
hbm_bytes = "48 GB"
hbm_bytes_per_s = "960 GB/s"
n_sms = 128
source = "https://example.com/datasheet"
checked = 2026-11-28

[dense_flops_per_s]
bf16 = "180 TFLOP/s"
"""


def test_nine_keys_make_a_device_and_what_is_taken_for_the_others_is_said(planner, tmp_path):
    (path := tmp_path / "mine.toml").write_text(LEAST)
    run = planner("hardware", "check", path)
    assert run.returncode == 0 and "all is well" in run.stdout
    assert "link_bytes_per_s is not stated: 32 GB/s, PCIe 4.0 ×16" in run.stdout
    assert "32 GB/s" in planner("hardware", "show", path).stdout
    told = planner("predict", "llama-3.1-8b", "--on", path, "--json")
    assert told.returncode == 0 and "tdp_w is not stated" in told.stdout
    assert json.loads(told.stdout).get("joules_per_token") is None
    lasting = planner("predict", "llama-3.1-8b", "--on", path)
    assert lasting.returncode == 0 and "nan" not in lasting.stdout


@pytest.mark.parametrize(
    "key", [line.split(" =")[0] for line in LEAST.splitlines() if " = " in line]
)
def test_each_of_the_nine_is_needed(planner, tmp_path, key):
    lines = [line for line in LEAST.splitlines() if not line.startswith(f"{key} = ")]
    (path := tmp_path / "mine.toml").write_text("\n".join(lines))
    run = planner("hardware", "check", path)
    assert run.returncode == 3 and (key if key != "bf16" else "no bf16") in run.stderr


def test_check_says_everything_that_is_wrong(planner, tmp_path):
    wrong = LEAST.replace("48 GB", "48 potatoes").replace("vendor =", "vendr =")
    wrong = wrong.replace("n_sms = 128", "n_sms = -1").replace("https://", "ftp://")
    (path := tmp_path / "mine.toml").write_text(wrong)
    err = planner("hardware", "check", path).stderr
    for said in ("5 faults", "vendr: no such key, did you mean vendor?", "vendor: missing",
                 "hbm_bytes: ", "n_sms: ", "source: 'ftp:"):  # fmt: skip
        assert said in err, said
    assert err.count("\n") == 2
    sparse = LEAST.replace("180 TFLOP/s", "900 TFLOP/s") + 'fp8 = "900 TFLOP/s"\n'
    path.write_text(
        sparse.replace("https://", "ftp://").replace("n_sms", 'boost_clock_hz = "2 GHz"\nn_sms')
    )
    err = planner("hardware", "check", path).stderr
    for said in ("3 faults", "no address", "fp8 over bf16 is 1", "3516 FLOP a clock"):
        assert said in err, err


@pytest.mark.parametrize("name", ["h100-sxm", "dgx-h100", "vllm"])
def test_a_file_shown_starts_another(planner, tmp_path, name):
    kind = {"dgx-h100": "nodes", "vllm": "engines"}.get(name, "")
    (folder := tmp_path / kind).mkdir(exist_ok=True)
    run = planner("hardware", "show", name, "--toml", "--out", folder / "mine.toml")
    assert run.returncode == 0
    assert "all is well" in planner("hardware", "check", folder / "mine.toml").stdout
