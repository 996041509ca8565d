"""The cache's groups, pages, padding and blocks, against what vLLM's own code planned.

`vllm_cache.py` asked it; its answers are written down, and asked again where vLLM is installed
(`test_vllm_cache.py`).
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.cost import cache, memory
from planner.inputs.engine import engines
from planner.inputs.hf import from_config
from planner.inputs.loading import load_model
from planner.inputs.presets import presets
from planner.scenario.scenario import conditions, resolve

HERE = Path(__file__).parent
ASKED = json.loads((HERE / "vllm_cache_cases.json").read_text())
ANSWERS = json.loads((HERE / "vllm_cache_answers.json").read_text())["answers"]
STARTS = json.loads((HERE / "vllm_starts.json").read_text())

# What planner has no option for, or reads otherwise, and why.
NOT_ASKED = {
    "dtype": "16 bits are what is served",
    "disable_hybrid_kv_cache_manager": "no option",
    "mamba_ssm_cache_dtype": "no option; a config's own is read",
    "async_scheduling": "no option",
}
UNREAD = {
    "minicpm3-4b": "vLLM caches full heads of its latent attention",
    "step3": "no such type here",
    "gemma-4-e4b": "no config but its class's defaults",
    "longcat-flash": "two attentions a layer, of which this release keeps one cache",
    "deepseek-v3.2 kv_cache_dtype=fp8 block_size=None": "an 8-bit format of its own, 656 bytes",
}


def asked(name):
    """Return a case, with what all share."""
    return ASKED["defaults"] | ASKED["cases"][name]


def judged():
    """Return the cases that planner can be asked."""
    found = []
    for name, case in ASKED["cases"].items():
        odd = [k for k in NOT_ASKED if k in case]
        if not odd and not {name, case["model"]} & set(UNREAD) and "refused" not in ANSWERS[name]:
            found.append(name)
    return found


def system(spec, **settings):
    """Return a model's system on a device whose cache is stated."""
    of = conditions(
        **{"on": "h100-sxm", "engine": "vllm==0.32", "enforce_eager": True} | settings,
        concurrency=1,
        input_tokens=1,
        output_tokens=1,
    )
    return resolve(of).system(spec.arch())


def case_system(case):
    kv = case["kv_cache_dtype"]
    return system(
        from_config(ASKED["configs"][case["model"]], name=case["model"]),
        tp=case["tp"],
        block_tokens=case["block_size"] or 16,
        max_model_len=case["max_model_len"],
        max_batched_tokens=case["max_num_batched_tokens"],
        max_num_seqs=case["max_num_seqs"],
        kv_cache_bytes=float(case["cache_bytes"]),
        kv_dtype=None if kv == "auto" else kv,
        prefix_caching=case["enable_prefix_caching"] is not False,
    )


@pytest.mark.parametrize("name", judged())
def test_the_cache_is_planned_as_vllm_plans_it(name):
    case, answer = asked(name), ANSWERS[name]
    s = case_system(case)
    assert float(cache.block_bytes(s)) == answer["bytes_per_block"]
    assert float(memory.n_blocks(s)) == answer["num_blocks"]
    assert float(memory.kv_capacity_tokens(s)) == answer["tokens"]
    assert float(memory.longest_at_once(s)) == pytest.approx(answer["concurrency"], rel=1e-12)
    found = cache.layout(s)
    tables = sum(float(g.tables) for g in found.groups)
    assert tables == sum(g["groups"] for g in answer["groups"])
    padding = sum(float(g.tables * found.group_layers - g.layers.n_layers) for g in found.groups)
    assert padding == sum(g["groups"] * g["padding_layers"] for g in answer["groups"])
    tokens = {g["block_size"] for g in answer["groups"] if g["layers"][0]["kind"] != "mamba"}
    assert {float(g.block_tokens) for g in found.groups if not g.layers.is_state} == tokens


def test_how_many_of_vllms_plans_are_matched():
    models = {asked(name)["model"] for name in judged()}
    print(f"{len(judged())} of {len(ANSWERS)} plans of {len(models)} models judged")
    assert len(models) >= 25 and len(judged()) >= 0.85 * len(ANSWERS)


@pytest.mark.parametrize("name", STARTS["starts"])
def test_a_real_start_prints_our_tokens(name):
    """VLLM on a CPU, where blocks are larger and one step is in flight."""
    start = STARTS["starts"][name]
    words = start["words"]
    state = {k: words[k] for k in ("mamba_ssm_cache_dtype",) if k in words}
    s = system(
        from_config(start["model"] | state, name=name),
        block_tokens=start["block_size"],
        max_model_len=words["max_model_len"],
        max_batched_tokens=words["max_num_batched_tokens"],
        max_num_seqs=words["max_num_seqs"],
        kv_cache_bytes=float(words["kv_cache_memory_bytes"]),
    )
    s = replace(s, footprint=replace(s.footprint, steps_in_flight=1.0))
    assert float(memory.kv_capacity_tokens(s)) == start["tokens"]
    assert f"{float(memory.longest_at_once(s)):.2f}" == f"{start['concurrency']:.2f}"


# -- properties of all memory

MODELS = [n for n, p in presets().items() if p.spec.head == "lm"]
LENGTHS = st.integers(64, 200_000)
ENGINES = ["vllm==0.6.4", "vllm==0.8.5", "vllm==0.11", "vllm==0.19", "vllm==0.24", "vllm==0.32",
           "sglang", "tensorrt-llm"]  # fmt: skip
QUICK = settings()


@st.composite
def starts(draw):
    """Draw a model and how it is started on a device large enough for most."""
    model = load_model(draw(st.sampled_from(MODELS)))
    return model, {
        "on": draw(st.sampled_from(["h100-sxm", "a10", "b200", "mi300x"])),
        "engine": draw(st.sampled_from(ENGINES)),
        "max_model_len": draw(LENGTHS),
        "max_batched_tokens": draw(st.sampled_from([512, 2048, 8192])),
        "max_num_seqs": draw(st.sampled_from([1, 16, 256, 1024])),
        "enforce_eager": draw(st.booleans()),
    }


def tokens(s):
    return float(memory.kv_capacity_tokens(s))


@QUICK
@given(starts(), st.floats(1.0, 4.0))
def test_more_memory_is_never_fewer_tokens(start, more):
    model, settings_ = start
    s = system(model, **settings_)
    larger = replace(s, device=replace(s.device, hbm_bytes=s.device.hbm_bytes * more))
    assert tokens(larger) >= tokens(s)
    room = [float(memory.kv_room_bytes(x)) for x in (s, larger)]
    assert room[1] >= room[0]


@QUICK
@given(starts(), st.sampled_from([2, 4, 8]))
def test_tensor_parallelism_never_raises_what_a_device_holds(start, tp):
    model, settings_ = start
    alone, shared = system(model, **settings_), system(model, **settings_)
    shared = replace(shared, parallel=replace(shared.parallel, tp=float(tp)))
    for of in (memory.weight_bytes, memory.forward_bytes, memory.expert_workspace_bytes):
        assert float(of(shared)) <= float(of(alone)) * (1 + 1e-12)
    cached = [float(memory.kv_bytes_per_token(s) / s.parallel.tp) for s in (shared, alone)]
    assert cached[0] <= cached[1] * (1 + 1e-12)


@QUICK
@given(starts())
def test_an_infinite_window_is_full_attention(start):
    model, settings_ = start
    s = system(model, **settings_)

    def stretched(a, **more):
        return replace(a, window=np.inf, **more)

    def changed(**more):
        stacks = s.arch.stacks and tuple(stretched(a, **more) for a in s.arch.stacks)
        return replace(s, arch=replace(stretched(s.arch, **more), stacks=stacks))

    unended, full = changed(chunked_window=1.0), changed(local_fraction=0.0)
    assert tokens(unended) == pytest.approx(tokens(full), rel=1e-12)


@QUICK
@given(starts())
def test_the_parts_sum_to_the_device(start):
    """All that is taken, and the cache, and what the engine leaves alone: nothing else there is."""
    model, settings_ = start
    s = system(model, **settings_)
    f = s.footprint
    taken = float(memory.weight_bytes(s) + memory.outside_torch_bytes(s))
    taken += float(f.activations_in_fraction * memory.activation_peak_bytes(s))
    taken += float(f.graphs_in_fraction * memory.graphs_bytes(s))
    offered, room = float(memory.usable_bytes(s)), float(memory.kv_room_bytes(s))
    share = float(s.limits.memory_fraction)
    left = (1 - share) * ((offered - taken) if f.fraction_of_free else offered)
    assert taken + room + left == pytest.approx(offered, rel=1e-9)


@QUICK
@given(starts())
def test_running_eagerly_frees_what_graphs_take_and_nothing_else(start):
    model, settings_ = start
    lazy, eager = (system(model, **settings_ | {"enforce_eager": e}) for e in (False, True))
    saved = float(memory.kv_room_bytes(eager) - memory.kv_room_bytes(lazy))
    graphs = float(memory.graphs_bytes(lazy))
    assert float(memory.graphs_bytes(eager)) == 0
    counted = float(lazy.footprint.graphs_in_fraction)
    share = float(lazy.limits.memory_fraction) if lazy.footprint.fraction_of_free else 1.0
    assert saved == pytest.approx(counted * graphs * share, abs=1.0)
    assert tokens(eager) >= tokens(lazy)


@QUICK
@given(starts(), st.integers(1, 64))
def test_a_request_takes_no_fewer_blocks_when_it_is_longer(start, more):
    model, settings_ = start
    s = system(model, **settings_)
    length = float(settings_["max_model_len"])
    blocks = [float(cache.request_blocks(s, n)) for n in (length, length + more)]
    assert 1 <= blocks[0] <= blocks[1]


def test_an_engine_newer_than_any_known_is_the_newest_less_surely():
    newest, newer = (system(load_model("gemma-3-12b"), engine=f"vllm=={v}", max_model_len=8192)
                     for v in (engines()["vllm"].known_to, "0.99"))  # fmt: skip
    assert tokens(newer) == tokens(newest)
    assert float(memory.room_sd(newer)) == pytest.approx(2 * float(memory.room_sd(newest)))
