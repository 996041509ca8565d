"""What `recommend` promises: legal picks, honest intervals, limits that bind by name."""

import json
import re

import numpy as np
import pytest

import planner as pl
from planner.errors import Infeasible, SpecError, UnknownName
from planner.law.law import loss as law_loss
from planner.questions.recommend.baseline import baseline, baseline_words
from planner.questions.recommend.choice import OBJECTIVES
from planner.questions.recommend.recommend import resolve_question
from planner.questions.recommend.space import space_for
from planner.scenario.evaluate import Evaluation
from planner.scenario.intervals import candidates
from planner.scenario.options import question
from planner.scenario.scenario import Resolved


@pytest.fixture(scope="module")
def answer():
    return pl.recommend(params="1B", tokens="100B")


def test_the_contract_holds(answer):
    """The keys others read."""
    result = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    top = [
        "schema",
        "inputs",
        "basis",
        "warnings",
        "baseline",
        "picks",
        "pareto",
        "n_evaluated",
        "elapsed_s",
    ]
    assert set(top) <= set(result)
    assert set(result["picks"]) == {"recommended", "lowest_loss", "fastest"}
    plain = [
        "n_layers",
        "d_model",
        "n_heads",
        "n_kv_heads",
        "head_dim",
        "d_ff",
        "vocab_size",
        "n_params",
        "n_params_non_embedding",
        "mlp_attn_ratio",
        "gqa",
        "d_over_sqrt_n",
        "bound",
        "warnings",
        "kv_bytes_per_token",
        "weight_bytes",
        "max_concurrency",
    ]
    for c in [result["baseline"], *result["picks"].values(), *result["pareto"]]:
        assert set(plain) <= set(c)
        for metric in ["loss", "accuracy", "output_tokens_per_s", "ttft_s", "tpot_s"]:
            assert c[metric]["low"] <= c[metric]["value"] <= c[metric]["high"]


def test_the_picks_are_what_their_names_say(answer):
    train, best, fastest = (answer.picks[n] for n in ("recommended", "lowest_loss", "fastest"))
    assert best.loss.value == min(c.loss.value for c in answer.pareto)
    assert fastest.p_within_margin >= 0.5 and train.p_within_margin >= 0.8
    for name, p in (("fastest", 0.5), ("recommended", 0.8)):
        sure = [c for c in answer.pareto if c.p_within_margin >= p]
        speed = answer.picks[name].output_tokens_per_s.value
        assert speed == max(c.output_tokens_per_s.value for c in sure)


def test_without_a_margin_the_fastest_is_the_papers():
    """Of those predicted to lose nothing, as likely as not."""
    answer = pl.recommend("1B", "100B", margin=0)
    fastest = answer.picks["fastest"]
    assert fastest.p_loss_at_most_target == fastest.p_within_margin >= 0.5
    sure = [c for c in answer.pareto if c.p_loss_at_most_target >= 0.5]
    speed = fastest.output_tokens_per_s.value
    assert speed == max(c.output_tokens_per_s.value for c in sure)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"concurrency": 8, "output_tokens": 64},
        {"rate": "2/s", "output_tokens": 64},
        {"confidence": 0.9},
    ],
)
def test_no_pick_is_faster_than_the_fastest(asked):
    """By the figures that are printed, the baseline's among them."""
    answer = pl.recommend("1B", "100B", on="h100-sxm", **asked)
    shown = [p for p in answer.picks.values() if p]
    speeds = [p.output_tokens_per_s.value for p in (*shown, answer.baseline)]
    fastest = answer.picks["fastest"]
    assert fastest.output_tokens_per_s.value == pytest.approx(max(speeds), rel=1e-12)
    base = answer.baseline.output_tokens_per_s.value
    for p in shown:
        assert p.gain.value == pytest.approx(p.output_tokens_per_s.value / base, rel=1e-9)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"margin": 0.002},
        {"tpot": "15ms"},
        {"on": "h100-sxm", "tp": 4},
        {"serve_requests": 1e9, "usd_per_hour": 2},
    ],
)
def test_every_pick_is_on_the_front_of_what_was_asked_for(asked):
    r = pl.recommend(1e9, 1e11, **asked)
    named = {c.name for c in r.pareto}
    assert r.lead == "recommended" and set(r.picks) >= {"recommended", "lowest_loss", "fastest"}
    for pick in r.picks.values():
        same = [c for c in r.pareto if c.shape == pick.shape]
        assert same, pick.name
        assert not any(
            c.loss.value < pick.loss.value
            and c.output_tokens_per_s.value > pick.output_tokens_per_s.value
            for c in r.pareto
        )
    assert named & set(r.picks)


def test_the_sentence_says_how_sure_and_the_losses_shown_subtract(answer):
    pick, base = answer.picks["recommended"], answer.baseline
    first, second = answer.headline()
    assert first.startswith("Train ") and f"d_model {pick.d_model}," in first
    (sure,) = re.findall(r"(\d+)% sure", second)
    assert int(sure) >= 80
    (loss,) = re.findall(r"loss (\d\.\d{3})", second)
    (by,) = re.findall(r"([+-]\d\.\d{3}) nats", second)
    assert float(loss) - float(by) == pytest.approx(round(base.loss.value, 3), abs=1e-9)
    for c in answer.pareto:
        told = c.loss_vs_baseline["difference"]
        assert told == pytest.approx(c.loss.value - base.loss.value, abs=1e-12)


def test_no_margin_leaves_less_choice_and_a_wide_one_more():
    speeds = [
        pl.recommend(1e9, 1e11, margin=m).picks["recommended"].output_tokens_per_s.value
        for m in (0.0, 0.01, 0.05)
    ]
    assert speeds == sorted(speeds) and speeds[0] < speeds[-1]


def test_the_front_is_sorted_and_no_row_beats_another(answer):
    loss = [c.loss.value for c in answer.pareto]
    speed = [c.output_tokens_per_s.value for c in answer.pareto]
    assert loss == sorted(loss) and speed == sorted(speed)
    assert any(c.name == "fastest" for c in answer.pareto)


def test_the_front_is_that_of_the_whole_space(answer):
    q = question("1B", "100B")
    r = resolve_question(q, 1e9)
    tables = [Evaluation(r, a).table(OBJECTIVES) for a in space_for(q).chunks()]
    loss = np.concatenate([t["loss"] for t in tables])
    speed = np.concatenate([t["output_tokens_per_s"] for t in tables])
    for pick in pl.recommend(params="1B", tokens="100B", any_shape=True).pareto:
        beats = (loss < pick.loss.value - 1e-12) & (
            speed > pick.output_tokens_per_s.value * (1 + 1e-12)
        )
        assert not beats.any()


def test_the_same_question_has_the_same_answer(answer):
    again = pl.recommend(params="1B", tokens="100B")
    assert again.model_copy(update={"elapsed_s": 0}) == answer.model_copy(update={"elapsed_s": 0})


def test_numbers_and_text_ask_the_same():
    assert question("3e9", "100B", ttft="300ms") == question(3e9, 1e11, ttft=0.3)


def test_more_confidence_never_makes_the_pick_faster():
    speeds = [
        pl.recommend(1e9, 1e11, confidence=c).picks["fastest"].output_tokens_per_s.value
        for c in (0.5, 0.7, 0.9)
    ]
    assert speeds == sorted(speeds, reverse=True)


def test_a_latency_limit_drops_shapes_that_miss_it():
    free = pl.recommend(1e9, 1e11)
    limit = free.picks["lowest_loss"].tpot_s.value * 0.6
    tight = pl.recommend(1e9, 1e11, tpot=limit)
    assert tight.n_feasible < free.n_feasible
    assert all(c.tpot_s.value <= limit for c in tight.pareto)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"tpot": "100us"}, "--tpot"),
        ({"ttft": "1us"}, "--ttft"),
        ({"max_loss": 1.0}, "--max-loss"),
        ({"on": "l4", "params": 1e11, "tokens": 1e12}, "short"),
        ({"on": "l4", "params": 8e9, "input_tokens": 10**6}, "fits one request"),
        ({"align": 8192, "tolerance": 1e-6}, "no legal shape"),
    ],
)
def test_an_impossible_question_names_what_binds(asked, names):
    with pytest.raises(Infeasible, match=names) as caught:
        pl.recommend(**{"params": 1e9, "tokens": 1e11} | asked)
    assert caught.value.hint


def test_the_nearest_feasible_value_is_feasible():
    with pytest.raises(Infeasible) as caught:
        pl.recommend(1e9, 1e11, tpot="1ms")
    nearest = caught.value.hint.split()[-1]
    scaled = f"{float(nearest.removesuffix('ms')) * 1.01}ms"
    assert pl.recommend(1e9, 1e11, tpot=scaled).n_feasible > 0


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"params": -1e9}, SpecError),
        ({"params": "1e30"}, SpecError),
        ({"params": float("nan")}, SpecError),
        ({"on": "h100sxm"}, UnknownName),
        ({"law": "bian"}, UnknownName),
        ({"dtype": "fp64"}, SpecError),
        ({"head_dim": 63}, SpecError),
        ({"mlp_attn_ratio": "5,0.5"}, SpecError),
        ({"ttft": "300"}, SpecError),
        ({"engine": "no-such"}, SpecError),
        ({"on": "dgx-h100"}, SpecError),  # a node is not a device
        ({"law": "hoffmann-2022"}, SpecError),  # says nothing about shape
        ({"tokens": 1e6, "vocab_size": 1000}, SpecError),  # worse than guessing
    ],
)
def test_bad_input_is_named(asked, error):
    with pytest.raises(error) as caught:
        pl.recommend(**{"params": 1e9, "tokens": 1e11} | asked)
    assert caught.value.hint and "\n" not in str(caught.value)


@pytest.mark.parametrize("vocab_size", [32_000, 1_000_000])
def test_a_total_budget_counts_embeddings_of_the_baseline_too(vocab_size):
    r = pl.recommend(3e9, 1e11, params_kind="total", vocab_size=vocab_size)
    for c in (*r.pareto, r.baseline):
        assert c.n_params == pytest.approx(3e9, rel=0.0101)
    assert all(0.04 * 0.999 <= c.d_over_sqrt_n <= 0.14 * 1.001 for c in r.pareto)


@pytest.mark.parametrize("tp", [2, 8])
def test_every_shape_can_be_cut_by_tensor_parallelism(tp):
    r = pl.recommend(3e9, 1e11, tp=tp, on="h100-sxm")
    for c in (*r.pareto, r.baseline):
        kv = c.n_kv_heads
        assert c.n_heads % tp == 0 and (kv % tp == 0 or tp % kv == 0)


@pytest.mark.parametrize("params", [1e7, 1e8, 1e9])
def test_no_pick_is_slower_than_a_baseline_that_would_do(params):
    r = pl.recommend(params, params * 100, vocab_size=32_000)
    for name in ("fastest", "recommended"):
        assert r.picks[name].gain.value >= 1 - 1e-9


def test_a_shapes_probability_does_not_depend_on_its_neighbours():
    """Own noise is integrated: widening the search leaves P(loss ≤ target) of a shape as it was."""
    narrow = pl.recommend(1e9, 1e11, layers=16)
    wide = pl.recommend(1e9, 1e11, layers=(16, 20), gqa=(1, 2, 4, 8))
    chance = {tuple(c.shape.values()): c.p_loss_at_most_target for c in narrow.pareto}
    shared = [c for c in wide.pareto if tuple(c.shape.values()) in chance]
    assert shared
    for c in shared:
        assert c.p_loss_at_most_target == pytest.approx(chance[tuple(c.shape.values())], abs=0.005)


def test_the_normal_cdf_is_scipys():
    from scipy.stats import norm

    from planner.scenario.intervals import normal_cdf

    z = np.linspace(-8, 8, 1001)
    np.testing.assert_allclose(normal_cdf(z), norm.cdf(z), atol=1e-7)


def test_depth_is_searched_on_request():
    r = pl.recommend(1e9, 1e11, layers="auto")
    assert len({c.n_layers for c in r.pareto}) > 1
    assert r.inputs.search_depth


def test_depth_always_acts_and_says_so():
    """Four layers at 1B are neither of lowest loss nor fastest at the baseline's loss."""
    r = pl.recommend(1e9, 1e11, layers=(4, 8, 16, 32))
    assert all(pick.n_layers > 8 for pick in r.picks.values())
    assert "depth-term" in [w.code for w in r.warnings]
    (bound,) = (b for b in r.binding if b.constraint.startswith("depths searched"))
    assert bound.value == 32


LARGE = [pytest.param(n, marks=pytest.mark.slow) for n in (7e9, 7e10)]


@pytest.mark.parametrize("params", [1e8, 1e9, *LARGE])
def test_no_pick_is_as_deep_as_it_is_only_because_the_search_ends(params):
    """Where an automatic search ends at its caps, the reference depth stays and that is said."""
    from planner.questions.recommend.space import space_for

    asked = {"on": "h200", "tp": 8} if params > 1e10 else {"on": "h100-sxm"}
    r = pl.recommend(params, 100 * params, layers="auto", **asked)
    caps = space_for(r.inputs).caps
    assert len(caps) >= 3
    assert all(pick is None or pick.n_layers not in caps for pick in r.picks.values())


def test_outside_the_evidence_a_warning_names_why():
    inside = pl.recommend(1e9, 1e11)
    wide = pl.recommend(1e9, 1e11, mlp_attn_ratio=(0.5, 12.0), max_loss=3.0)
    assert not any("MLP/attention" in w.message for w in inside.warnings)
    assert any("MLP/attention" in w.message for w in wide.warnings)


def test_export_gives_the_picks_as_configs(tmp_path, answer):
    from planner.cli.recommend import export
    from planner.inputs.hf import from_hf

    export(answer, tmp_path)
    pick = answer.picks["fastest"]
    spec = from_hf(tmp_path / "fastest")
    assert (spec.d_model, spec.d_ff, spec.n_params) == (pick.d_model, pick.d_ff, pick.n_params)


def test_a_stated_volume_adds_the_cheapest_over_its_life():
    r = pl.recommend(1e9, 1e11, serve_requests="1B", usd_per_hour=2.0)
    cost = {name: c.lifetime_usd for name, c in r.picks.items()}
    assert cost["cheapest"].value <= min(c.value for c in cost.values())
    assert cost["cheapest"].low < cost["cheapest"].value < cost["cheapest"].high
    # 6 N D at 40 % of an A100's 312 TFLOP/s, and a batch's devices over its requests.
    pick = r.picks["cheapest"]
    norms = (2 * pick.n_layers + 1) * pick.d_model  # multiply nothing
    train_h = 6 * (pick.n_params - norms) * 1e11 / (0.4 * 312e12) / 3600
    serve_h = 1e9 * 1024 / pick.output_tokens_per_s.value / 3600
    assert cost["cheapest"].value == pytest.approx(2.0 * (train_h + serve_h), rel=1e-9)


@pytest.mark.parametrize(("params", "tp", "on"), [(3e9, 1, "a100-sxm-40gb"), (7e9, 2, "h100-sxm")])
def test_picks_can_be_cut_by_the_degrees_people_serve_with(params, tp, on):
    """The most of 8, 4, 2, 1 that costs next to nothing; what is asked for is kept to."""
    r = pl.recommend(params, 100 * params, tp=tp, on=on)
    free = pl.recommend(params, 100 * params, tp=tp, on=on, any_shape=True)
    assert r.tp_ready >= 1 and free.tp_ready is None
    assert len(free.pareto) >= len(r.pareto)
    mine, theirs = (x.picks["recommended"] for x in (r, free))
    assert mine.output_tokens_per_s.value > 0.98 * theirs.output_tokens_per_s.value
    assert mine.loss.value < theirs.loss.value + 0.002
    (told,) = (b for b in r.binding if b.constraint.startswith("heads cut"))
    assert told.limit == r.tp_ready
    ways = [r.tp_ready, 8]
    for asked, c in [(ways[0], c) for c in r.pareto] + [
        (8, c) for c in pl.recommend(params, 100 * params, on=on, tp_ready=8).pareto
    ]:
        kv = c.n_kv_heads
        assert c.n_heads % asked == 0 and (kv % asked == 0 or asked % kv == 0)


def test_heads_that_no_kernel_has_need_any_shape():
    with pytest.raises(SpecError, match="kernels"):
        pl.recommend(1e9, 1e11, head_dim=80)
    assert pl.recommend(1e9, 1e11, head_dim=80, any_shape=True).picks["recommended"].head_dim == 80


@pytest.mark.parametrize("name", ["llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b"])
def test_the_baseline_at_a_known_size_is_that_model(name):
    m = pl.load_model(name)
    q = question(m.n_params_non_embedding, 1e12, on="h200", tp=8)
    space = space_for(q)
    found = baseline(space, q.params)
    for field in ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff"):
        assert float(np.ravel(getattr(found, field))[0]) == getattr(m, field), field
    assert baseline_words(q, q.params) == f"{m.name}'s shape"


def test_the_baseline_jumps_nowhere_between_sizes():
    """A step of 4 % in N moves its loss by less than a tie, besides what 4 % more parameters do."""
    sizes = np.geomspace(9e8, 3e10, 90)
    losses, groups = [], []
    for n in sizes:
        q = question(n, 1e12, on="h200", tp=1)
        b = baseline(space_for(q), n)
        groups.append(float(np.ravel(b.n_heads / b.n_kv_heads)[0]))
        law = resolve_question(q, n).trained.columns
        losses.append(float(np.ravel(law_loss(law, b, 1e12))[0]))
        assert float(np.ravel(b.n_heads * b.head_dim / b.d_model)[0]) == pytest.approx(1, abs=0.12)
    steps = np.diff(losses)
    assert np.max(np.abs(steps - np.median(steps))) < 0.01
    assert np.max(np.abs(np.diff(groups))) <= 1
    assert min(groups) >= 3 and max(groups) <= 8


def test_a_baseline_is_named_and_gains_are_against_it():
    r = pl.recommend(3e9, 1e11, baseline="llama-3.1-8b")
    assert (r.baseline.head_dim, r.baseline.gqa, r.baseline.n_layers) == (128, 4, 28)
    assert "Llama-3.1-8B" in r.baseline_of
    ratio = r.picks["recommended"].output_tokens_per_s.value / r.baseline.output_tokens_per_s.value
    assert r.picks["recommended"].gain.value == pytest.approx(ratio)
    with pytest.raises(SpecError, match="dense"):
        pl.recommend(3e9, 1e11, baseline="mixtral-8x7b")


def test_a_shape_that_stands_beside_others_serves_as_alone():
    """Known models on a front, and shapes asked about, are no slower for standing in one table."""
    q = question("1B", "100B", on="h100-sxm", batch=32)
    models = {n: pl.load_model(n) for n in ("llama-3.2-1b", "surefire-1b", "llama-2-7b")}
    found = candidates(models, Resolved.of(q, 1e9))
    for name, m in models.items():
        alone = pl.predict(m, tokens="100B", on="h100-sxm", batch=32).candidate
        assert found[name].output_tokens_per_s == alone.output_tokens_per_s
        assert found[name].loss.value == pytest.approx(alone.loss.value, abs=1e-12)
