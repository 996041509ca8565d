"""A speculative head goes with its target: alone it is refused, in words that say how."""

import json
from pathlib import Path

HEAD = Path(__file__).parent.parent / "files" / "c02_dflash_head"


def test_a_draft_alone_is_refused(planner):
    run = planner("predict", HEAD, "--on", "h100-sxm")
    assert run.returncode == 3
    assert "error: c02_dflash_head is a draft" in run.stderr
    assert "--draft" in run.stderr.splitlines()[-1]


def test_a_draft_goes_with_its_target(planner):
    ask = ("predict", "llama-3.1-8b", "--on", "h100-sxm", "--json")
    plain = json.loads(planner(*ask).stdout)
    for head in (HEAD, HEAD / "config.json"):
        run = planner(*ask, "--draft", head, "--acceptance", "0.7")
        assert run.returncode == 0, run.stderr
        drafted = json.loads(run.stdout)
        assert drafted["tpot_s"] != plain["tpot_s"]
        # Cache makes room for 2.1 GB of weights and for 20 kB a token beside the target's 131 kB.
        room = plain["max_concurrency"] * plain["kv_bytes_per_token"]
        left = (room - 2.1e9 / (4096 + 1024)) / (plain["kv_bytes_per_token"] + 20_480)
        assert abs(drafted["max_concurrency"] - left) <= 4


def test_a_draft_is_shown(planner):
    run = planner("models", "show", HEAD)
    assert "1,048,626,432" in run.stdout
