"""One shape for several scenarios: what must hold of any mix, and what is refused."""

import itertools

import numpy as np
import pytest

from planner.errors import Infeasible, PlannerError, SpecError
from planner.inputs.mix import crossed, mix_of, read_mix
from planner.questions.recommend.mix import recommend_mix
from planner.questions.recommend.recommend import recommend
from planner.results import check_result
from planner.scenario.evaluate import evaluate
from planner.scenario.legal import NO_ROOM, REFUSED
from planner.scenario.scenario import Scenario, conditions

BATCH = {"on": "a100-sxm-80gb", "batch": 256, "input_tokens": 1024, "output_tokens": 512}
CHAT = {"on": "h100-sxm", "concurrency": 8, "input_tokens": 512, "output_tokens": 256}
EDGE = {"on": "l4", "concurrency": 2, "input_tokens": 2048, "output_tokens": 128}
ASKED = (1e9, 1e11)


def mixed(scenarios, **more):
    return recommend_mix(*ASKED, scenarios, **{"align": 256, **more})


def shape(choice):
    return next(iter(choice.scenarios.values())).shape


@pytest.mark.parametrize("own", [BATCH, CHAT, {**BATCH, "dtype": "int8", "tp": 2}])
def test_a_mix_of_one_scenario_is_that_scenario(own):
    alone = recommend(*ASKED, align=256, **own).picks["recommended"]
    m = mixed({"only": own})
    assert shape(m.pick) == alone.shape and m.pick.regret == {"only": 0.0} and not m.drives
    assert m.pick.p_within_margin == alone.p_within_margin
    found = m.pick.scenarios["only"].output_tokens_per_s.value
    assert np.isclose(found, alone.output_tokens_per_s.value, rtol=1e-12)


@pytest.mark.slow
def test_weights_times_a_number_and_equal_weights_for_none_change_nothing():
    plain = mixed({"a": BATCH, "b": CHAT})
    for w in (1e-3, 7e5):
        same = mixed({"a": {**BATCH, "weight": w}, "b": {**CHAT, "weight": w}})
        assert [shape(c) for c in same.choices] == [shape(c) for c in plain.choices]
        assert np.isclose(same.pick.price, plain.pick.price, rtol=1e-12)
        assert same.weights == plain.weights


@pytest.mark.slow
def test_the_order_of_scenarios_changes_nothing():
    named = {"a": {**BATCH, "weight": 5}, "b": {**CHAT, "weight": 2}, "c": {**EDGE, "weight": 3}}
    found = [mixed(dict(order)) for order in itertools.permutations(named.items())][::3]
    for m in found[1:]:
        assert shape(m.pick) == shape(found[0].pick)
        assert np.isclose(m.pick.price, found[0].pick.price, rtol=1e-12)
        assert {c.name: shape(c) for c in m.choices} == {c.name: shape(c) for c in found[0].choices}
        assert [d.scenario for d in m.drives] == [d.scenario for d in found[0].drives]


@pytest.mark.parametrize("weight, share", [(0.1, "tokens"), (100.0, "tokens"), (3.0, "money")])
def test_a_scenario_added_never_lowers_what_the_pick_costs_the_others(weight, share):
    small = {"on": "h100-sxm", "batch": 8, "input_tokens": 512, "output_tokens": 256}
    two = {"a": {**BATCH, "weight": 2}, "b": {**small, "weight": 1}}
    before = recommend_mix(*ASKED, mix_of(two, share=share), align=256, any_shape=True)
    three = two | {"c": {**EDGE, "weight": weight}}  # the others are closed forms, as ranked by
    after = recommend_mix(*ASKED, mix_of(three, share=share), align=256, any_shape=True)

    def price(m):
        c = [3600 * m.pick.scenarios[n].output_tokens_per_s.value for n in ("a", "b")]
        usd = [m.pick.scenarios[n].metrics["usd_per_hour"] for n in ("a", "b")]
        each, w = np.array(usd) / np.array(c), np.array([2, 1]) / 3
        return float(1 / np.sum(w / each) if share == "money" else np.sum(w * each))

    assert price(after) >= price(before) * (1 - 1e-9)


def test_regret_is_never_below_nothing_and_nothing_where_a_scenario_chose():
    m = mixed({"a": BATCH, "b": CHAT, "c": EDGE})
    for choice in m.choices[:-1]:
        assert min(r for n, r in choice.regret.items() if choice.meets[n]) >= -1e-12
        if choice.name in choice.regret:
            assert choice.regret[choice.name] == 0.0
    assert min(d.regret for d in m.drives) >= -1e-12


def test_more_shapes_are_never_worse():
    fewer = mixed({"a": BATCH, "b": CHAT}, any_shape=True, gqa="1,2,4", align=512)
    more = mixed({"a": BATCH, "b": CHAT}, any_shape=True, gqa="1,2,3,4,8", align=256)
    assert more.pick.price <= fewer.pick.price * (1 + 1e-12)


@pytest.mark.slow
def test_a_limit_holds_in_its_scenario_and_the_speed_of_a_mix_needs_no_price():
    free = mixed({"a": BATCH, "b": CHAT})
    tpot = free.pick.scenarios["a"].tpot_s.value
    fast = mixed({"a": {**BATCH, "tpot": 0.98 * tpot}, "b": CHAT})
    assert fast.pick.scenarios["a"].tpot_s.value <= 0.98 * tpot and fast.pick.meets["a"]
    by_speed = recommend_mix(*ASKED, mix_of({"a": BATCH, "b": CHAT}, objective="speed"), align=256)
    assert by_speed.objective == "speed" and by_speed.pick.price < 1


def test_a_result_comes_back_and_its_rows_are_flat():
    m = mixed({"a": BATCH, "b": CHAT})
    assert check_result(m.to_dict()) == m
    rows = m.rows()
    assert len(rows) == 4 * 2 and {"shape", "scenario", "regret", "d_model"} <= set(rows[0])


def test_flags_that_list_values_are_crossed():
    m = crossed(
        {"on": "a100-sxm-80gb, h100-sxm", "dtype": "bf16,fp8", "tp": "1"}, ("on", "dtype", "tp")
    )
    assert list(m.scenarios) == [
        "a100-sxm-80gb bf16",
        "a100-sxm-80gb fp8",
        "h100-sxm bf16",
        "h100-sxm fp8",
    ]
    assert crossed({"on": "h100-sxm"}, ("on",)) is None


@pytest.mark.parametrize(
    "text, word, hint",
    [
        ('[scenarios.a]\non="h100-sxm"\nweight=0', "sum to nothing", "above 0"),
        ('[scenarios.a]\non="h100-sxm"\nweight=-1', "weight of a", "0 or more"),
        ('[scenarios.a]\nweight=nan', "weight of a", "0 or more"),
        ('[scenarios.a]\nweight=1\n[scenarios.b]\non="l4"', "no weight for b", "or none"),
        ("x = 1", "x: no such key", "scenarios"),
        ('objective = "fame"\n[scenarios.a]', "fame", ""),
        ("", "no scenarios", "[scenarios"),
        ("scenarios = 3", "no scenarios", "[scenarios"),
        ("[scenarios]\na = 3", "no table", "[scenarios"),
        ('[scenarios.a]\nconcurency = 8', "concurency", "concurrency"),
        ('[scenarios.a]\nparams = 3', "params", ""),
        ('[scenarios.a]\non = "h900"', "scenario a", ""),
        ('[scenarios.a]\nbatch = "many"', "scenario a", ""),
        ('[scenarios.a]\ndevices = "two"', "devices of a", "1 to 256"),
        ('[scenarios.a]\ndevices = 0', "devices of a", "1 to 256"),
        ('[scenarios.a]\ntp = 4\ndevices = 2', "takes more than its devices", "raise devices"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_error(tmp_path, text, word, hint):
    path = tmp_path / "mix.toml"
    path.write_text(text)
    with pytest.raises(PlannerError) as caught:
        recommend_mix(*ASKED, read_mix(path), align=512)
    assert word in str(caught.value) and hint in str(caught.value.hint)


def brute(choice, own, most):
    """Every arrangement of at most so many devices, one by one: devices, price of a token, legal."""
    tries = [
        {"tp": tp, "pp": pp, "replicas": copies}
        for tp in (1, 2, 4, 8)
        for pp in (1, 2, 4, 8)
        for copies in range(1, most + 1)
        if tp * pp * copies <= most
    ]
    options = {k: v for k, v in own.items() if k not in ("devices", "tpot")}
    asked = [Scenario.of(choice.model, conditions(**options, **t)) for t in tries]
    found = evaluate(asked)
    limit = own.get("tpot", np.inf)
    for row, t in enumerate(tries):
        fits = found.table["bound"][row] not in (NO_ROOM, REFUSED)
        met = fits and found.table["tpot_s"][row] <= limit
        n, price = t["tp"] * t["pp"] * t["replicas"], found.table["usd_per_generated_mtok"][row]
        yield n, float(price), bool(met), t


def test_devices_are_arranged_for_the_least_money_as_by_trying_every_way():
    chat = {**EDGE, "tpot": 0.0055, "devices": 4}
    places = {"chat": chat, "batch": {**BATCH, "devices": 4}}
    m = mixed(places, align=512)
    for choice in m.choices[:-1]:
        for name, own in places.items():
            served = [x for x in brute(choice, own, 4) if x[2]]
            assert bool(served) == choice.meets[name]
            if served:
                n, price, _, how = min(served, key=lambda x: x[1])
                laid = choice.layouts[name].model_dump()
                assert np.isclose(choice.prices[name], price, rtol=1e-9)
                assert laid == how | {"n_devices": n}
    assert m.pick.layouts["chat"].n_devices > 1, "one device is too slow"


def test_where_one_device_is_not_enough_the_fewest_are_taken():
    chat = {**EDGE, "tpot": 0.0055}
    m = mixed({"chat": chat, "batch": BATCH}, align=512)
    assert m.pick.layouts["batch"].n_devices == 1
    (n,) = {c.layouts["chat"].n_devices for c in m.choices}
    ways = [x for c in m.choices for x in brute(c, chat, n)]
    assert n > 1 and any(met for k, _, met, _ in ways if k == n)
    assert not any(met for k, _, met, _ in ways if k < n)
    served = {"on": "l4", "rate": 40.0, "input_tokens": 512, "output_tokens": 128}
    all_served = mixed({"chat": served}, align=512).pick
    assert all_served.layouts["chat"].n_devices > 1
    assert all_served.scenarios["chat"].metrics["saturation_per_s"].value > 40.0


def test_where_the_parallelism_is_stated_it_stays_and_the_speed_of_devices_is_used():
    m = mixed({"a": {**BATCH, "tp": 2}}, align=512)
    assert m.pick.layouts["a"].model_dump() == {"tp": 2, "pp": 1, "replicas": 1, "n_devices": 2}
    asked = mix_of({"a": {**CHAT, "replicas": 1, "devices": 4}}, objective="speed")
    fast = recommend_mix(*ASKED, asked, align=512).pick
    assert fast.layouts["a"].replicas == 1 and fast.layouts["a"].n_devices == 4


def test_what_is_ranked_by_stands_beside_what_is_simulated_and_has_one_name():
    m = mixed({"a": BATCH, "b": CHAT}, align=512)
    assert "a" not in m.pick.closed, "a batch is told by its closed form"
    ranked, seen = m.pick.closed["b"], m.pick.scenarios["b"].metrics
    assert np.isclose(
        ranked["output_tokens_per_s"].value, seen["output_tokens_per_s"].value, rtol=0.1
    )
    usd = seen["usd_per_hour"] / 3600 * 1e6
    assert np.isclose(m.pick.prices["b"], usd / ranked["output_tokens_per_s"].value, rtol=1e-9)
    whole = seen["usd_per_generated_mtok"]
    assert np.isclose(whole, usd / seen["output_tokens_per_s"].value, rtol=1e-9)
    parts = seen["usd_per_input_mtok"] * CHAT["input_tokens"] / CHAT["output_tokens"]
    assert np.isclose(whole, seen["usd_per_output_mtok"] + parts, rtol=1e-9)
    assert m.pick.scenarios["b"].serve.startswith("vllm serve ./mix")


def test_a_scenario_that_nothing_fits_is_named_with_the_nearest():
    with pytest.raises(Infeasible) as caught:
        mixed({"a": BATCH, "hasty": {**CHAT, "tpot": "0.1ms"}})
    assert "hasty" in str(caught.value) and "nearest feasible value is --tpot" in caught.value.hint
    with pytest.raises(SpecError, match="no price"):
        other = mix_of({"a": {"on": "mi300x"}, "b": CHAT}, objective="cost")
        recommend_mix(*ASKED, other, align=512, prices=None)
