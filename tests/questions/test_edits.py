"""The smallest edits of a model: judged by predictions of what they make, and by what they may not touch."""

import pytest

import planner as pl
from planner.errors import Infeasible, SpecError
from planner.results import check_result
from planner.scenario.legal import ready_for

ASKED = {"tokens": "100B", "on": "h100-sxm", "batch": 32}


@pytest.fixture(scope="module")
def found():
    return pl.edits("llama-3.2-3b", **ASKED)


def every(found):
    return (*found.faster, *found.lower_loss)


def test_an_edit_keeps_size_depth_and_how_far_heads_are_cut(found):
    own = found.like.model
    for e in every(found):
        m = e.candidate.model
        assert m.n_params_non_embedding == pytest.approx(own.n_params_non_embedding, rel=0.0101)
        assert (m.n_layers, m.head_dim, m.vocab_size) == (
            own.n_layers,
            own.head_dim,
            own.vocab_size,
        )
        assert ready_for(m.n_heads, m.n_kv_heads) >= ready_for(own.n_heads, own.n_kv_heads)
        differ = {k for k in type(m).model_fields if getattr(m, k) != getattr(own, k)} - {"name"}
        assert differ == set(e.changes)
        assert all((getattr(own, k), getattr(m, k)) == v for k, v in e.changes.items())


def test_gains_are_those_of_predictions(found):
    base = pl.predict("llama-3.2-3b", **ASKED).candidate
    for e in (found.faster[0], found.lower_loss[0], *found.unsaid):
        other = pl.predict(e.candidate.model, **ASKED).candidate
        ratio = other.output_tokens_per_s.value / base.output_tokens_per_s.value
        assert e.candidate.gain.value == pytest.approx(ratio, rel=1e-6)
        assert e.gain_an_edit == pytest.approx(ratio ** (1 / len(e.changes)) - 1, rel=1e-6)
    for e in every(found):
        other = pl.predict(e.candidate.model, **ASKED).candidate
        assert e.candidate.loss.value == pytest.approx(other.loss.value, abs=1e-9)


def test_what_is_advised_is_sure_and_faster_and_no_line_is_spared_by_a_shorter_one(found):
    assert found.faster[0].sure and found.faster[0].candidate.p_within_margin >= 0.8
    assert all(e.candidate.gain.value > 1.01 for e in found.faster)
    assert all(e.candidate.loss.value < found.like.loss.value for e in found.lower_loss)
    for e in found.faster:
        for less in found.faster:
            if set(less.changes) < set(e.changes) and less.sure >= e.sure:
                assert e.candidate.gain.value > less.candidate.gain.value
    each = [e.gain_an_edit for e in found.faster if e.sure]
    assert each == sorted(each, reverse=True)


def test_of_vocabulary_and_window_nothing_is_said_of_loss(found):
    assert [set(e.changes) for e in found.unsaid] == [{"vocab_size"}, {"window"}]
    for e in found.unsaid:
        assert "loss" not in e.candidate.metrics and e.certainty is None and not e.sure


def test_it_goes_to_json_and_back(found):
    assert check_result(found.to_dict()) == found
    assert {row["for"] for row in found.rows()} == {"faster", "lower loss", "unsaid"}


@pytest.mark.parametrize(
    ("model", "settings", "error"),
    [
        ("llama-3.2-3b", {"params": "3B"}, SpecError),
        ("llama-3.2-3b", {"layers": 12}, SpecError),
        ("deepseek-v2-lite", {}, SpecError),
        ("llama-3.2-3b", {"tpot": "1us"}, Infeasible),
        ("llama-3.1-70b", {}, Infeasible),
    ],
)
def test_what_cannot_be_is_refused(model, settings, error):
    with pytest.raises(error):
        pl.edits(model, **ASKED, **settings)


def test_where_requests_arrive_the_simulation_speaks():
    asked = {"tokens": "100B", "on": "h100-sxm", "concurrency": 2, "output_tokens": 32}
    found = pl.edits("llama-3.2-1b", **asked)
    e = found.faster[0]
    other = pl.predict(e.candidate.model, **asked).candidate
    assert e.candidate.tpot_s.value == pytest.approx(other.tpot_s.value, rel=1e-9)
