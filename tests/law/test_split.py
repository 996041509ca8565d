"""A training budget split between size and tokens, with served tokens in the balance."""

import numpy as np
import pytest

from planner.errors import Infeasible, SpecError
from planner.inputs.law import default_law
from planner.law.ask import compute_optimal, inference_aware, split
from planner.law.terms.reference import reference_loss
from planner.questions.recommend.budgeted import split as budgeted

LAW = default_law()[0].columns()


@pytest.mark.parametrize("flops", [1e19, 1e22, 1e25])
@pytest.mark.parametrize("served", [0.0, 1e11, 1e13])
def test_no_other_size_of_that_loss_takes_less_in_all(flops, served):
    """Brute force over sizes; and the budget is spent, and the loss is the law's."""
    s = split(LAW, flops, served)
    assert np.isclose(6 * s.n * s.n_tokens, flops, rtol=1e-9)
    assert np.isclose(s.loss, reference_loss(LAW, s.n, s.n_tokens), rtol=1e-12)
    n = s.n * np.geomspace(0.2, 5, 20_001)
    left = s.loss - LAW.E - LAW.A / n**LAW.alpha
    with np.errstate(invalid="ignore", divide="ignore"):
        tokens = np.where(left > 0, (LAW.B / left) ** (1 / LAW.beta), np.inf)
        total = 6 * n * tokens + 2 * n * served
    assert np.nanmin(total) >= s.total_flops * (1 - 1e-9)
    flat = n[total <= 1.01 * s.total_flops]
    assert np.isclose(flat.min(), s.low_n, rtol=1e-3) and np.isclose(
        flat.max(), s.high_n, rtol=1e-3
    )


def test_it_is_the_compute_optimum_without_service_and_sardanas_with_it():
    alone = split(LAW, 1e22, 0.0)
    assert np.allclose((alone.n, alone.n_tokens), compute_optimal(LAW, 1e22), rtol=1e-9)
    served = split(LAW, 1e22, 1e12)
    assert np.allclose(
        (served.n, served.n_tokens), inference_aware(LAW, served.loss, 1e12), rtol=1e-6
    )
    assert served.n < alone.n and served.loss > alone.loss == served.training_loss


def test_more_served_tokens_make_it_smaller():
    sizes = [split(LAW, 1e22, t).n for t in (0.0, 1e10, 1e11, 1e12, 1e13)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    "flops, served, error, word",
    [
        ("1e9", 0.0, Infeasible, "buys no model"),
        ("1e40", 0.0, Infeasible, "buys no model"),
        ("1e15", "1e18", Infeasible, "served tokens"),
        ("many", 0.0, SpecError, "--train-flops"),
        ("-3", 0.0, SpecError, "--train-flops"),
        ("1e22", "some", SpecError, "--serve-tokens"),
    ],
)
def test_a_budget_that_buys_nothing_is_refused(flops, served, error, word):
    with pytest.raises(error, match=word):
        budgeted(flops, served)
