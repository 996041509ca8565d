"""What version 0.1 answered twice, and differently: one test an item, each failed then."""

import ast
import inspect
import json
import os
from pathlib import Path

import numpy as np
import pytest

import planner as pl
from planner.cost.step import OPERATORS
from planner.equation import EQUATIONS, equation
from planner.errors import Infeasible, SpecError
from planner.metrics import METRICS
from planner.picks import PICKS
from planner.report.asked import evaluations, models, resolved
from planner.results import check_result
from planner.serving.percentiles import Slo, met

ROOT = Path(__file__).parents[2]


def why(call, *args, **kwargs):
    with pytest.raises((Infeasible, SpecError)) as error:
        call(*args, **kwargs)
    return str(error.value), error.value.hint


LIMITS = {
    "max_num_seqs": 256,
    "max_batched_tokens": 8192,
}  # else a server and an offline batch differ


@pytest.mark.parametrize(
    ("model", "settings", "short"),
    [
        ("llama-3.3-70b", {"on": "h200-sxm", **LIMITS}, "GiB short"),
        ("qwen3-32b", {"on": "h100-sxm", "input_tokens": 38000, **LIMITS}, "GiB short"),
    ],
)
def test_1_what_does_not_fit_lacks_the_same_memory_everywhere(model, settings, short):
    said = why(pl.predict, model, **settings)
    assert short in said[0]
    assert said == why(pl.what_if, model, {"concurrency": [1]}, **settings)


@pytest.mark.parametrize("engine", [{"tp": 3}, {"tp": 5}, {"tp": 16}, {"ep": 64}])
def test_2_what_may_be_asked_is_the_same_everywhere(engine):
    said = why(pl.predict, "llama-3.2-3b", **engine)
    assert said == why(pl.what_if, "llama-3.2-3b", {"batch": [1]}, **engine)
    if "tp" in engine:
        assert said == why(pl.budget, "llama-3.2-3b", tpot=0.05, tps=[engine["tp"]])


def test_2_key_value_heads_are_copied_where_there_are_fewer_than_devices():
    assert pl.predict("llama-3-8b", tp=16, on="h100-sxm").candidate


def test_3_a_price_a_token_has_one_formula():
    asked = {"on": "h100-sxm", "usd_per_hour": 2.0}
    plan = pl.budget("llama-3-8b", e2e=500.0, tps=[1], rate=4.0, **asked | {"on": ["h100-sxm"]})
    (cheapest,) = plan.plans
    seen = pl.what_if("llama-3-8b", {"replicas": [cheapest.replicas]}, rate=4.0, **asked)
    one, other = (x.metrics["usd_per_output_mtok"] for x in (cheapest, seen.points[0]))
    assert one == other


def test_3_the_tpot_of_a_batch_is_not_the_time_of_a_step():
    kept = pl.what_if("llama-3-8b", {"concurrency": [64]}, on="h100-sxm").points[0].metrics
    batch = pl.predict("llama-3-8b", batch=64, on="h100-sxm").candidate.metrics
    assert kept["decode_step_s"].value == pytest.approx(batch["decode_step_s"].value, rel=0.02)
    assert kept["tpot_s"].value > kept["decode_step_s"].value


def test_4_every_metric_names_its_spread_and_only_there():
    kept = pl.what_if("llama-3-8b", {"concurrency": [1, 256]}, on="h100-sxm")
    alone, queued = (p.metrics["ttft_s"] for p in kept.points)
    from planner.inputs.profile import load_profile

    spread = load_profile("h100-vllm").spread
    for name in ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s"):
        assert getattr(spread, METRICS[name].spread) > 0
    assert METRICS["ttft_s"].spread == "ttft"
    assert queued.value > 10 * alone.value and queued.high / queued.value > 1.2


def test_5_nothing_that_is_said_is_ignored():
    plain = pl.predict("llama-3-8b", on="h100-sxm", rate=0.5).candidate.metrics
    hit = pl.predict("llama-3-8b", on="h100-sxm", rate=0.5, prefix_hit=0.9).candidate.metrics
    assert hit["ttft_s"].value < 0.5 * plain["ttft_s"].value
    assert len(pl.what_if("llama-3-8b", on="h100-sxm", rate="10/s").points) == 1
    (row,) = pl.what_if("llama-3-8b", on="h100-sxm", concurrency=32).points
    assert row.metrics["in_flight"] == pytest.approx(32, rel=0.01)
    size = {"params": 1e9, "tokens": 1e11}
    said = why(pl.recommend, **size, ttft="1s")
    assert "--ttft 1.00 s in the workload asked for" in said[0]
    assert pl.recommend(**size, ttft="1s", batch=1).picks["fastest"]


def test_5_goodput_looks_at_the_gap_between_tokens():
    seen = {n: np.array([0.1, 0.1]) for n in ("ttft_s", "tpot_s", "e2e_s")}
    limits = Slo(itl_s=0.05)
    assert met(limits, seen | {"itl_s": np.array([0.04, 0.06])}).tolist() == [True, False]


def test_6_results_keep_what_they_were_asked_and_come_back_equal():
    found = pl.recommend("1B", "100B", layers="auto")
    again = check_result(json.loads(json.dumps(found.to_dict())))
    assert again == found and again.inputs.search_depth
    for name, seen in evaluations(models(again), resolved(again)).items():
        loss = again.shapes[name].metrics["loss"].value
        assert float(seen["loss"]) == pytest.approx(loss, rel=1e-9)
    assert all(w.code and w.message for w in found.warnings)
    tied = pl.predict("llama-3.2-1b")
    assert check_result(json.loads(json.dumps(tied.to_dict()))).candidate.model.tied_embeddings


def test_7_the_weights_of_attention_and_the_loss_are_written_once():
    """Nobody but the equations multiplies heads by their width, or raises N to alpha."""
    found = []
    for path in (ROOT / "planner").rglob("*.py"):
        room = path.relative_to(ROOT / "planner").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                text = ast.unparse(node.right)
                if text.endswith(("alpha", "beta")) and room != "law":
                    found.append(f"{path}:{node.lineno}")
    assert not found


def test_8_whatever_is_shown_has_words():
    for operator in OPERATORS:
        assert operator.words and operator.words != operator.name and operator.cause
    assert {"recommended", "lowest_loss", "fastest", "cheapest"} <= set(PICKS)
    for pick in PICKS.values():
        assert all(getattr(pick, f) for f in pick.__dataclass_fields__)
    for metric in METRICS.values():
        assert metric.words and metric.title


def test_9_an_equation_is_never_overwritten():
    def tpot_s(step: float) -> float:
        return step

    tpot_s.__name__ = next(iter(EQUATIONS))
    with pytest.raises(ValueError, match=tpot_s.__name__):
        equation(tpot_s)


def test_9_a_library_call_leaves_the_process_as_it_was(tmp_path):
    before = dict(os.environ)
    pl.recommend("1B", "100B")
    assert dict(os.environ) == before
    for name in ("questions", "report", "scenario"):
        for path in (ROOT / "planner" / name).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "environ[" not in text and "get_terminal_size" not in text, path
            assert "mallopt" not in text and "keep_freed_memory" not in text, path


def test_10_claims_name_what_they_are_of():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for figure in ("4.5 %", "4.6 %"):
        at = readme.find(figure)
        assert at < 0 or "0.6" in readme[max(0, at - 400) : at + 400]
    assert inspect.getdoc(pl)


def test_pools_share_their_work_among_all_their_devices():
    """Once 1.19 of three devices' arithmetic: 2 N FLOPs a prompt token, attention on top, over three."""
    point = pl.what_if(
        "llama-3.2-1b", {"concurrency": [64]}, on="a100-sxm-40gb", prefill_replicas=2,
        input_tokens=4096, output_tokens=1,
    ).points[0]  # fmt: skip
    per_s = point.metrics["output_tokens_per_s"].value
    products = per_s * 4096 * 2 * 0.973e9 / (3 * 312e12)
    assert products < point.metrics["mfu"] < 1.3 * products
