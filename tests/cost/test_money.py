"""Dollars and joules: bills add up, and published figures come out."""

import numpy as np
import pytest

from planner.cost import energy, money


def test_input_and_output_tokens_together_are_the_request():
    b = money.Bill(3.6, 4.0, 2.0, 1000.0, 200.0, 0.3)
    request = money.usd_per_request(b)
    assert request == pytest.approx(3.6 / 3600 * 4 / 2)
    tokens = money.usd_per_input_mtok(b) * 1000 + money.usd_per_output_mtok(b) * 200
    assert tokens / 1e6 == pytest.approx(request)


def test_training_flops_of_llama_3_1_405b():
    """3.8e25 FLOPs, arXiv 2407.21783 section 3: 405B weights on 15.6T tokens."""
    m = money.Life(405e9, 15.6e12, 989e12, 0.4, 2.0, 0.0, 0.0)
    assert money.train_flops(m) == pytest.approx(3.8e25, rel=0.01)


def test_a_model_that_serves_more_is_worth_training_smaller():
    """Sardana et al., arXiv 2401.00448: with demand, the cheapest of equally good models shrinks."""
    n = np.array([1e9, 2e9, 4e9])
    tokens = np.array([400e9, 120e9, 60e9])  # of about the same loss
    per_request = np.array([1e-5, 1.7e-5, 3e-5])
    cheapest = []
    for served in (0.0, 1e9):
        m = money.Life(n, tokens, 312e12, 0.4, 2.0, served, per_request)
        cheapest.append(int(np.argmin(money.lifetime_usd(m))))
    assert cheapest[1] < cheapest[0]


def test_power_lies_between_idle_and_tdp():
    for busy in (0.0, 0.4, 1.0, 1.7):
        d = energy.Draw(700.0, energy.IDLE_SHARE, 2.0, busy, busy / 2, 1000.0)
        assert 2 * 700 * energy.IDLE_SHARE <= energy.watts(d) <= 1400
        assert energy.joules_per_token(d) == pytest.approx(energy.watts(d) / 1000)
