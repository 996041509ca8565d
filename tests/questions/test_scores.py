"""Scores by scipy's own ranks, and held-out intervals that learn nothing of what was held out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from planner.columns import Kernels, Overheads
from planner.inputs.files import Sheet
from planner.questions.validate.measured import runs_of
from planner.questions.validate.validate import score, validate_runs

FEW = st.sampled_from([1.0, 2.0, 3.0, 5.0])  # so that ties are common


@given(st.lists(st.tuples(FEW, FEW), min_size=3, max_size=12))
def test_ranks_share_their_ties_as_scipys_do(pairs):
    measured, predicted = np.array(pairs).T
    found = score(measured, predicted).spearman
    if np.ptp(measured) == 0 or np.ptp(predicted) == 0:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(measured, predicted).statistic)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    rows = [
        {"model": model, "gpu": "h100-sxm", "engine": "vllm", "engine_version": "0.10", "dtype": "bf16",
         "arrival": "batch", "concurrency": str(batch), "input_tokens": "512", "output_tokens": "128",
         "e2e_mean_s": str(value)}
        for model, scale in (("llama-3.1-8b", 1.0), ("qwen3-8b", 1.1), ("llama-3.2-1b", 0.3))
        for batch, value in ((1, 1.3 * scale), (8, 1.7 * scale), (64, 3.0 * scale))
    ]  # fmt: skip
    found, unread = runs_of(Sheet.of(rows, tmp_path_factory.mktemp("runs") / "runs.csv"))
    assert not unread
    return found


def level_of_others(known, unseen):
    """The plainest of fits: a step takes a hundredth of what the others' runs took."""
    return Kernels(), Overheads(step_s=float(np.mean([r.value for r in known])) / 100)


def always_one(known, unseen):
    return Kernels(), Overheads(step_s=0.01)


def poisoned(runs):
    """The same runs, those of the first model a thousand times as long."""
    name = runs[0].architecture
    return [
        dataclasses.replace(r, value=1000 * r.value) if r.architecture == name else r for r in runs
    ]


def test_absurd_rows_of_a_model_do_not_move_its_own_prediction(runs):
    """The canary: what is held out may not speak. Others do learn from it."""
    plain, absurd = (validate_runs(x, "x", refit=level_of_others) for x in (runs, poisoned(runs)))
    for r, a, b in zip(runs, plain.lines, absurd.lines, strict=True):
        if r.architecture == runs[0].architecture:
            assert b.predicted == a.predicted
        else:
            assert b.predicted > 10 * a.predicted
    assert absurd.overall.mean_ape > plain.overall.mean_ape


def test_absurd_rows_of_a_model_do_not_move_its_own_interval(runs):
    """As wide as the others' errors say, whatever its own are."""
    plain, absurd = (validate_runs(x, "x", refit=always_one) for x in (runs, poisoned(runs)))
    for r, a, b in zip(runs, plain.lines, absurd.lines, strict=True):
        if r.architecture == runs[0].architecture:
            assert (b.low, b.high) == (a.low, a.high)
        else:
            assert b.high > 10 * a.high
