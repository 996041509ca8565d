"""`planner hardware` on files of others."""

from pathlib import Path

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
