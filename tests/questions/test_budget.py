"""Budget: what is promised holds when simulated again, and what cannot be is said with its reason."""

import json

import pytest

from planner.data import bundled
from planner.errors import Infeasible, SpecError
from planner.questions.budget.budget import budget
from planner.questions.what_if import what_if
from planner.serving.percentiles import Slo

MODEL = "llama-3.2-1b"
SHORT = {"input_tokens": 1000, "output_tokens": 200}
ASK = {"on": ["a100-sxm-80gb"], "tps": (1, 2), **SHORT}


@pytest.fixture(scope="module")
def answer():
    return budget(MODEL, Slo(ttft_s=0.2, tpot_s=0.008), rate=60.0, **ASK)


@pytest.mark.slow
def test_plans_keep_the_limits_at_the_load_they_carry(answer):
    for plan in answer.plans:
        assert plan["ttft_s"].value <= 0.2 and plan["tpot_s"].value <= 0.008
        assert plan["rate_per_s"] > 0 and 0 < plan["share_of_saturation"] <= 1
        assert plan["replicas"] * plan["rate_per_s"] >= 60.0
        assert (plan["replicas"] - 1) * plan["rate_per_s"] < 60.0
        assert plan["n_devices"] == plan["replicas"] * plan["tp"]


@pytest.mark.slow
def test_a_fifth_more_load_breaks_what_binds(answer):
    plan = next(p for p in answer.plans if p["binds"] != "saturation")
    more = what_if(
        MODEL,
        [f"rate={plan['rate_per_s'] * 1.2}"],
        **SHORT,
        on=plan["on"],
        tp=plan["tp"],
    ).points[0]
    limit = {"ttft_s": 0.2, "tpot_s": 0.008}[plan["binds"]]
    assert more["bound"] == "saturated" or more[f"{plan['binds']}_p99"].value > limit


def test_fewest_gpus_and_cheapest_are_of_the_plans(answer):
    able = [p for p in answer.plans if p["rate_per_s"] > 0]
    assert answer.fewest_gpus["n_devices"] == min(p["n_devices"] for p in able)
    assert answer.cheapest["usd_per_hour"] == min(p["usd_per_hour"] for p in able)


def test_a_looser_limit_never_carries_less(answer):
    best = answer.plans[0]["rate_per_s"]
    assert all(r["rate_per_s"] >= best * (1 - 1e-9) for r in answer.relax)
    assert any(r["gain"] > 0 for r in answer.relax)


def test_the_milliseconds_add_up(answer):
    *parts, mean = answer.operators
    for name in ("ttft_s", "tpot_s"):
        assert sum(p[name] for p in parts) == pytest.approx(mean[name])
    assert mean["tpot_s"] < 0.008 and all(p["tpot_s"] >= 0 for p in parts[:-1])


def test_changes_are_sorted_by_what_they_win_back(answer):
    saved = [c["tpot_s_saved"] for c in answer.changes]
    assert saved == sorted(saved, reverse=True) and saved[0] > 0
    assert {"half the vocabulary", "an fp8 cache"} <= {c["change"] for c in answer.changes}


def test_the_json_holds_no_nan(answer):
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert data["schema"] == 2 and data["kind"] == "budget"
    assert data["inputs"]["slo"] == {"ttft_s": 0.2, "tpot_s": 0.008, "at": "p99"}


def test_below_the_speed_of_light_names_the_bound():
    with pytest.raises(Infeasible, match=r"below the speed of light .* reads .* TB/s"):
        budget("llama-3-8b", Slo(tpot_s=0.0005), **ASK)
    with pytest.raises(Infeasible, match=r"below the speed of light .* TFLOP/s"):
        budget("llama-3-8b", Slo(ttft_s=0.001), **ASK)


def test_above_it_but_never_met_says_what_comes_nearest():
    with pytest.raises(Infeasible, match=r"even when idle; .* comes nearest") as error:
        budget(MODEL, Slo(tpot_s=0.0015), **ASK)
    assert "nearest feasible value" in error.value.hint


def test_no_limit_and_no_statistic_are_refused():
    with pytest.raises(SpecError, match="no limit"):
        budget(MODEL, Slo(), **ASK)
    with pytest.raises(SpecError, match="p98"):
        budget(MODEL, Slo(tpot_s=1.0, at="p98"), **ASK)


def test_limits_as_text_are_the_same_limits(answer):
    words = budget(MODEL, ttft="200ms", tpot="8ms", **{**ASK, "tps": (2,)})
    assert words.inputs["slo"] == answer.inputs["slo"]
    (plan,) = words.plans
    same = next(p for p in answer.plans if p["configuration"] == plan["configuration"])
    assert same["rate_per_s"] == plan["rate_per_s"]


def test_a_format_no_device_has_is_refused_and_one_that_some_have_is_not(tmp_path):
    device = tmp_path / "mine.toml"
    text = (bundled("hardware") / "devices" / "nvidia" / "a100-sxm-80gb.toml").read_text()
    device.write_text("\n".join(x for x in text.splitlines() if not x.startswith("int8 =")))
    with pytest.raises(SpecError, match="int8"):
        budget(MODEL, Slo(tpot_s=0.1), on=[str(device)], dtypes=["int8"])
