"""Measured throughput gains of the paper's pairs beside ours, with the class defaults.

[Bian et al., arXiv 2510.18245: vLLM on A100 40GB, 4096 in, 1024 out: Surefire-1B over the
Llama-3.2-1B shape 38-42 % at batch 128 and about 22 % at batch 16; SGLang on H200, batch not
stated: 1B +46.9 %, 3B +16.6 %.]
"""

import pytest

import planner as pl
from planner.inputs.engine import EngineSpec
from planner.inputs.workload import WorkloadSpec

PAIRS = {"1B": ("llama-3.2-1b", "surefire-1b"), "3B": ("llama-3.2-3b", "surefire-3b")}


def gain(size, on, batch, engine=None):
    """Return the gain in output tokens/s, in percent."""
    asked = {"on": on, "workload": WorkloadSpec(batch=batch), "engine": engine}
    rates = [
        pl.predict(model, **asked, profile="class-default").candidate.output_tokens_per_s.value
        for model in PAIRS[size]
    ]
    return 100 * (rates[1] / rates[0] - 1)


@pytest.mark.parametrize(
    ("batch", "low", "high", "points"),
    [(16, 22, 22, 10), (128, 38, 42, 5)],  # points: how far the class defaults may be off
)
def test_surefire_1b_on_a100(batch, low, high, points):
    ours = gain("1B", "a100-sxm-40gb", batch)
    print(f"A100 40GB, batch {batch}: measured {low}-{high} %, ours {ours:.1f} %")
    assert low - points <= ours <= high + points


@pytest.mark.parametrize(("size", "measured"), [("1B", 46.9), ("3B", 16.6)])
def test_the_h200_pairs_are_met_at_a_batch_they_may_have_used(size, measured):
    """The batch is not stated: some batch up to 1024 comes within 10 points.

    SGLang bounds requests by memory, not by 256. The measured rates (8.6k and 4.2k tokens/s for the
    Llama shapes) are lower than ours at large batches: ratios are what this compares.
    """
    sglang = EngineSpec(name="sglang", max_num_seqs=2048)
    batches = (1, 4, 16, 64, 128, 256, 512, 1024)
    ours = {batch: gain(size, "h200-sxm", batch, sglang) for batch in batches}
    print(f"H200 {size}: measured {measured} %, ours", {b: round(g, 1) for b, g in ours.items()})
    assert min(abs(g - measured) for g in ours.values()) <= 10
