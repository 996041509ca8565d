"""Plan for a device of your own: one TOML on the search path, and its name works everywhere."""

import os
import tempfile
from pathlib import Path

import planner as pl

MINE = """
name = "Imagined accelerator"
vendor = "mine"
architecture = "mine"
form_factor = "card"
hbm_bytes = "64 GB"
hbm_bytes_per_s = "2.4 TB/s"
l2_bytes = "48 MB"
n_sms = 96
boost_clock_hz = "1.6 GHz"
link_bytes_per_s = "128 GB/s"
link_kind = "pcie"
tdp_w = "350 W"
source = "https://example.com/datasheet"
checked = 2026-11-22

[dense_flops_per_s]
bf16 = "400 TFLOP/s"
fp16 = "400 TFLOP/s"
"""

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "mine.toml").write_text(MINE)
    os.environ["PLANNER_HARDWARE_PATH"] = folder
    result = pl.recommend(params="1B", tokens="100B", on="mine")
    print(result.basis["speed"])
    print(f"{result.picks['recommended'].output_tokens_per_s.value:,.0f} output tokens/s")
