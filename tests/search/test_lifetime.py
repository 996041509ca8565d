"""Lifetime cost: training alone where nothing is served, and each served token at its price."""

import numpy as np
import pytest

from planner.columns import as_rows
from planner.cost.money import HOUR_S
from planner.search.evaluate import Conditions, evaluate
from planner.search.lifetime import lifetime_usd
from planner.serving.system import serve
from planner.spec.engine import EngineSpec
from planner.spec.law import default_law
from planner.spec.loading import load_model
from planner.spec.workload import WorkloadSpec


def test_training_and_serving_add_up():
    arch = as_rows(load_model("surefire-1b").arch())
    law, _ = default_law(1e9)
    served = serve("a100-sxm-40gb", EngineSpec())
    c = Conditions(served, WorkloadSpec().columns(), law, 1e11)
    table = evaluate(arch, c)
    idle = lifetime_usd(table, arch, c, served_tokens=0.0, usd_per_device_hour=2.0)
    n = load_model("surefire-1b").n_params
    assert idle[0] == pytest.approx(6 * n * 1e11 / (312e12 * 0.4) / HOUR_S * 2.0)
    busy = lifetime_usd(table, arch, c, served_tokens=1e12, usd_per_device_hour=2.0)
    each = 2.0 / HOUR_S / table["output_tokens_per_s"]
    assert busy - idle == pytest.approx(1e12 * np.asarray(each))
