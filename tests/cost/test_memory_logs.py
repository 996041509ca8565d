"""Memory against single figures of published start-up logs: weights, activation peak, cache tokens.

vLLM 0.19 and 0.17 on H100: llm-d-incubation/llm-d-planner#205; 0.11: llm-d/llm-d-benchmark#622.
"""

import pytest

from planner.cost import memory
from planner.scenario.scenario import Scenario, conditions, resolve

GIB = 2.0**30
# model, engine, tp, settings: weights and activation peak in GiB of a device, cache tokens (None: not logged)
LOGS = [
    ("llama-3.1-8b", "0.19.0", 1, {}, 14.99, 1.89, 476_016),
    ("llama-3.1-8b", "0.19.0", 2, {}, 7.51, 1.89, 1_044_688),
    ("deepseek-v2-lite", "0.19.0", 1, {}, 29.43, 1.93, 1_505_552),
    ("qwen3-30b-a3b", "0.19.0", 1, {}, 56.88, 2.68, 168_288),
    ("mixtral-8x7b", "0.19.0", 2, {}, 43.51, 1.21, 465_936),
    ("gemma-2-27b", "0.19.0", 1, {}, 50.72, 3.66, 58_672),
    ("gemma-3-12b", "0.19.0", 1, {}, 23.31, 3.94, 130_304),
    ("llama-4-scout", "0.19.0", 4, {}, 53.12, 3.19, 365_968),
    ("mistral-small-3.1-24b", "0.19.0", 1, {}, 44.76, 2.03, 184_752),
    ("qwen2.5-7b", "0.19.0", 1, {"kv_dtype": "fp8"}, 14.25, 2.21, 2_192_000),
    ("llama-3.3-70b", "0.19.0", 2, {"dtype": "int8"}, 33.88, 1.96, 244_304),
    ("qwen3-14b", "0.17.0", 1, {}, 27.52, 2.23, 297_152),
    ("qwen3-32b", "0.11", 2, {"memory_fraction": 0.9}, 30.59, 5.64, None),
    ("gpt-oss-20b", "0.11", 1, {"memory_fraction": 0.9}, 13.47, 7.38, None),
]
SERVER = {"max_num_seqs": 1024, "max_batched_tokens": 8192, "max_model_len": 8192, "concurrency": 1}


def started(model, version, **settings):
    of = conditions(on="h100-sxm", engine=f"vllm=={version}", **SERVER | settings)
    s = Scenario.of(model, of)
    return resolve(s).system(s.model.arch())


@pytest.mark.parametrize(
    ("model", "version", "tp", "settings", "weights", "peak", "tokens"), LOGS, ids=str
)
def test_what_the_log_says(model, version, tp, settings, weights, peak, tokens):
    s = started(model, version, tp=tp, **{"memory_fraction": 0.95} | settings)
    assert float(memory.weight_bytes(s)) / GIB == pytest.approx(weights, rel=0.01)
    assert float(memory.activation_peak_bytes(s)) / GIB == pytest.approx(peak, rel=0.05)
    if tokens:
        assert float(memory.kv_capacity_tokens(s)) == pytest.approx(tokens, rel=0.01)


def test_graphs_come_on_top_until_0_20_and_off_the_cache_from_0_21():
    before, since = (started("qwen3-8b", v) for v in ("0.20", "0.21"))
    graphs = float(memory.graphs_bytes(since))
    assert graphs == float(memory.graphs_bytes(before)) > 0
    same = conditions(on="h100-sxm", engine="vllm==0.20", memory_fraction=0.92, **SERVER)
    room = [float(memory.kv_room_bytes(s)) for s in (resolve(same).system(before.arch), since)]
    assert room[0] - room[1] == pytest.approx(graphs)


def test_the_limits_a_server_chooses_are_vllms():
    """[vllm/engine/arg_utils.py: get_batch_defaults, 0.32]"""
    chosen = {}
    for on in ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200", "mi300x", "l40s", "a10"):
        for kind in ("concurrency", "batch"):
            e = conditions(on=on, engine="vllm", **{kind: 8}).engine
            chosen[on, kind] = (e.max_num_seqs, e.max_batched_tokens)
    small = {"concurrency": (256, 2048), "batch": (256, 8192)}
    large = {"concurrency": (1024, 8192), "batch": (1024, 16384)}
    largest = dict.fromkeys(small, (1024, 16384))
    kinds = {"a100-sxm-80gb": small, "l40s": small, "a10": small, "h100-sxm": large,
             "h200-sxm": large, "b200": largest, "mi300x": largest}  # fmt: skip
    assert chosen == {(on, kind): v for on, of in kinds.items() for kind, v in of.items()}


def test_what_is_said_stays_whatever_the_device():
    c = conditions(on="a10", engine="vllm", max_num_seqs=7)
    assert c.model_copy(update={"on": "h100-sxm"}).engine.max_num_seqs == 7
    assert c.model_copy(update={"on": "h100-sxm"}).engine.max_batched_tokens == 16384


def test_the_largest_pipeline_stage_decides():
    """Llama-3.1-8B over four stages: 4.26 GiB with the head's table, 3.25 without."""
    s = started("llama-3.1-8b", "0.19.0", pp=4)
    assert float(memory.weight_bytes(s)) / GIB == pytest.approx(4.26, rel=0.01)


def test_latent_projections_are_on_every_device():
    """DeepSeek-V3 under tp 8: 22.0M weights of attention a layer and device, not an eighth of 187M."""
    a, b = (started("deepseek-v3", "0.19.0", tp=tp, dtype="fp8") for tp in (1, 8))
    layers = [float(memory.layer_weight_bytes(s)) for s in (a, b)]
    whole = 61 * 7168 * (1536 + 576) + 58 * 7168 * 256  # bytes in 8 bits; routers are whole, too
    assert layers[1] - layers[0] / 8 == pytest.approx(whole * 7 / 8, rel=1e-3)
