"""Devices as nvidia-smi, rocm-smi and peers describe them become files of ours, once filled in."""

import json
from pathlib import Path

import pytest

from planner.errors import SpecError
from planner.inputs.device import check_hardware, load_device
from planner.inputs.device_found import found_in

A10 = """
==============NVSMI LOG==============

Driver Version                            : 535.104.05
Attached GPUs                             : 2
GPU 00000000:00:1E.0
    Product Name                          : NVIDIA A10
    Product Brand                         : NVIDIA
    Product Architecture                  : Ampere
    FB Memory Usage
        Total                             : 23028 MiB
        Reserved                          : 329 MiB
        Used                              : 0 MiB
    BAR1 Memory Usage
        Total                             : 32768 MiB
    Power Readings
        Power Draw                        : 15.80 W
        Default Power Limit               : 150.00 W
        Max Power Limit                   : 150.00 W
    Clocks
        SM                                : 210 MHz
    Max Clocks
        Graphics                          : 1695 MHz
        SM                                : 1695 MHz
GPU 00000000:00:1F.0
    Product Name                          : NVIDIA Other
"""
H100 = """name, memory.total [MiB], power.max_limit [W], clocks.max.sm [MHz]
NVIDIA H100 80GB HBM3, 81559 MiB, 700.00 W, 1980 MHz
NVIDIA H100 80GB HBM3, 81559 MiB, 700.00 W, 1980 MHz
"""
MI300X = """============================ ROCm System Management Interface ============================
GPU[0]\t\t: VRAM Total Memory (B): 206141652992
GPU[0]\t\t: VRAM Total Used Memory (B): 283111424
GPU[0]\t\t: Max Graphics Package Power (W): 750.0
GPU[0]\t\t: Card Series: \t\tAMD Instinct MI300X OAM
GPU[0]\t\t: Card Model: \t\t0x74a1
GPU[1]\t\t: Card Series: \t\tSomething else
"""
PASTED = {"a10": A10, "h100-sxm": H100, "mi300x": MI300X}


@pytest.mark.parametrize("card", PASTED)
def test_pasted_output_is_a_file_once_filled_in(tmp_path, card):
    ours, found = load_device(card), found_in(PASTED[card], Path("pasted"))
    text = found.toml()
    for key in found.missing:
        assert f"# {key} = " in text or key == "dense_flops_per_s"
    # What is missing is filled in, from the card's own file.
    path = tmp_path / f"{card}.toml"
    filled = text.replace("[dense_flops_per_s]\n# bf16 =                    # missing\n", "")
    units = {"hbm_bytes_per_s": "B/s", "l2_bytes": "B", "boost_clock_hz": "Hz",
             "link_bytes_per_s": "B/s", "tdp_w": "W"}  # fmt: skip
    for key in found.missing:
        value = getattr(ours, key)
        if key in units:
            value = f"{value:.0f} {units[key]}"
        if key != "dense_flops_per_s":
            shown = value if key in ("n_sms", "checked") else json.dumps(value)
            filled = filled.replace(f"# {key} =                    # missing", f"{key} = {shown}")
    rates = "\n".join(f'{k} = "{v:.0f} FLOP/s"' for k, v in ours.dense_flops_per_s.items())
    path.write_text(f"{filled}[dense_flops_per_s]\n{rates}\n")
    spec = check_hardware(path)
    assert (spec.hbm_bytes, spec.tdp_w) == (ours.hbm_bytes, ours.tdp_w)
    assert spec.hbm_offered == pytest.approx(ours.hbm_offered, rel=0.02)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (A10, {"name": "NVIDIA A10", "architecture": "ampere", "hbm_bytes": "24 GB",
               "hbm_offered": f"{(23028 - 329) / 24576:.4f}", "boost_clock_hz": "1695 MHz",
               "tdp_w": "150 W"}),
        (H100, {"name": "NVIDIA H100 80GB HBM3", "hbm_bytes": "80 GB", "boost_clock_hz": "1980 MHz"}),
        (MI300X, {"name": "AMD Instinct MI300X OAM", "vendor": "amd", "hbm_bytes": "192 GB",
                  "tdp_w": "750 W"}),
        (json.dumps({"card0": {"Card Series": "AMD Instinct MI210", "Card Model": "0x740f",
                               "VRAM Total Memory (B)": "68702699520",
                               "Max Graphics Package Power (W)": "300.0"}}),
         {"name": "AMD Instinct MI210", "vendor": "amd", "hbm_bytes": "64 GB", "tdp_w": "300 W"}),
        (("| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4 |\n"
         "|   0  NVIDIA L40S                    On  |   00000000:21:00.0 Off |        0 |\n"
         "| N/A   28C    P8             33W /  350W |       1MiB /  46068MiB |      0%  Default |\n"),
         {"name": "NVIDIA L40S", "hbm_bytes": "48 GB", "tdp_w": "350 W",
          "hbm_offered": f"{46068 / 49152:.4f}"}),
    ],
)  # fmt: skip
def test_what_a_tool_says(text, values):
    found = found_in(text, Path("pasted")).values
    assert {key: found.get(key) for key in values} == values


PEERS = {
    "llm-analysis": {"name": "x", "mem_per_GPU_in_GB": 80, "hbm_bandwidth_in_GB_per_sec": 2039,
                     "intra_node_bandwidth_in_GB_per_sec": 600, "peak_fp16_TFLOPS": 312},
    "calculon": {"matrix": {"float16": {"tflops": 312, "gflops_efficiency": {"128": 0.9}}},
                 "vector": {"float32": {"tflops": 19.5}}, "mem1": {"GiB": 80, "GBps": 2039},
                 "mem2": {"GiB": 512, "GBps": 100}, "networks": [{"bandwidth": 300, "size": 8}]},
    "aiconfigurator": {"gpu": {"mem_bw": 2039e9, "mem_capacity": 85899345920, "float16_tc_flops": 312e12},
                       "node": {"num_gpus_per_node": 8, "intra_node_bw": 300e9}},
    "GenZ": {"A100_80GB": {"Flops": 312, "Memory_size": 80, "Memory_BW": 2039, "ICN": 300}},
}  # fmt: skip


@pytest.mark.parametrize("tool", PEERS)
def test_one_card_of_every_peer(tool):
    yaml = pytest.importorskip("yaml")
    for text in (json.dumps(PEERS[tool]), yaml.safe_dump(PEERS[tool])):
        found = found_in(text, Path("card.yaml" if text[0] != "{" else "card.json"))
        assert found.tool == tool
        assert {k: found.values[k] for k in ("hbm_bytes", "hbm_bytes_per_s", "link_bytes_per_s")} == {
            "hbm_bytes": "80 GB", "hbm_bytes_per_s": "2039 GB/s", "link_bytes_per_s": "300 GB/s"
        }  # fmt: skip
        assert "312 TFLOP/s" in found.rates.values()
        assert {"source", "n_sms"} <= set(found.missing) and "l2_bytes" in found.optional


SPARSE = [("h100-sxm", 2, ("bf16", "fp16")), ("a10", 2, ("bf16", "fp16", "int8")),
          ("l4", 2, ("bf16", "fp16", "fp8")), ("mi300x", 2, ("bf16", "fp16", "fp8")),
          ("l40s", 2, ("fp8",))]  # fmt: skip


@pytest.mark.parametrize(("card", "times", "rates"), SPARSE)
def test_a_sparse_rate_is_refused(tmp_path, card, times, rates):
    from planner.data import catalogue

    text = catalogue("hardware")[card].read_text()
    spec = load_device(card)
    head, _, _ = text.partition("[dense_flops_per_s]")
    dense = {k: v * (times if k in rates else 1) for k, v in spec.dense_flops_per_s.items()}
    path = tmp_path / f"{card}.toml"
    listed = "\n".join(f'{k} = "{v:.0f} FLOP/s"' for k, v in dense.items())
    path.write_text(f"{head}[dense_flops_per_s]\n{listed}\n")
    with pytest.raises(SpecError, match="sparse"):
        check_hardware(path)
