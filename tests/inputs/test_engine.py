"""Engines are found by any name people write, and run as their version does."""

import pytest

from planner.data import look_first
from planner.errors import SpecError
from planner.inputs.engine import EngineSpec, engine_named, engines
from planner.scenario.options import settings_of
from planner.scenario.scenario import conditions, resolve


@pytest.mark.parametrize(
    ("text", "version", "known"),
    [
        ("vllm", "", ("vllm", "")),
        ("vLLM", "0.6.3.post1", ("vllm", "0.6.3")),
        ("vllm==0.6.3", "", ("vllm", "0.6.3")),
        ("vllm-0.6", "", ("vllm", "0.6")),
        ("vLLM v0.10.1", "", ("vllm", "0.10.1")),
        ("SGLang", "lmsysorg/sglang:v0.5.6-cu129-amd64", ("sglang", "0.5.6")),
        ("TensorRT-LLM", "unpinned", ("tensorrt-llm", "unpinned")),
        ("trtllm", "1.2.0rc1", ("tensorrt-llm", "1.2.0")),
        ("Deepspeed-MII", "", ("deepspeed-mii", "")),
        ("TRT-LLM", "v1.0.0", ("tensorrt-llm", "1.0.0")),
        ("TensorRT_LLM", "1.2.0rc6.post3", ("tensorrt-llm", "1.2.0")),
        ("trtllm", "nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc14", ("tensorrt-llm", "1.3.0")),
        ("vllm 0.15.1", "", ("vllm", "0.15.1")),
        ("vllm/vllm-openai:v0.10.1", "", ("vllm", "0.10.1")),
        ("vllm/vllm-openai:latest", "", ("vllm", "")),
        ("vllm>=0.11.0.dev12+gabcdef0", "", ("vllm", "0.11.0")),
        ("vllm", "~0.11", ("vllm", "0.11")),
        ("vllm", "0.9.x", ("vllm", "0.9")),
        ("sglang 0.5.3rc1", "", ("sglang", "0.5.3")),
        ("sglang", "sglang 0.5.12", ("sglang", "0.5.12")),
        ("sglang", "lmsysorg/sglang:v0.5.5.post3-rocm700-mi30x", ("sglang", "0.5.5")),
        ("sglang", "lmsysorg/sglang:dev-cu13", ("sglang", "")),
    ],
)
def test_an_engine_is_known_by_the_names_people_write(text, version, known):
    assert engine_named(text, version) == known


@pytest.mark.parametrize(
    ("text", "version", "known", "generation"),
    [
        ("vLLM V1", "", "", "vllm"),
        ("vLLM V0", "", "v0", "vllm-0.6"),
        ("vllm", "0.8.3 (V0)", "0.8.3-v0", "vllm-0.6"),
        ("vllm", "0.7.0 (V1)", "0.7.0-v1", "vllm"),
        ("vllm", "0.8.5 (V1)", "0.8.5", "vllm"),
        ("vllm", "0.6.4+ (V0)", "0.6.4", "vllm-0.6"),
    ],
)
def test_an_older_engine_within_a_release_is_read(text, version, known, generation):
    assert engine_named(text, version) == ("vllm", known)
    assert engine_named("vllm", known) == ("vllm", known)
    assert EngineSpec(name="vllm", version=known).generation == generation


@pytest.mark.parametrize(
    ("name", "generation", "chunked_prefill", "max_batched_tokens", "graphs"),
    [
        ("vllm", "vllm", True, 8192, True),
        ("vllm==0.7.3", "vllm-0.6", False, 8192, True),
        ("vllm==0.8.0", "vllm", True, 8192, True),
        ("vllm==0.10", "vllm", True, 8192, True),
        ("sglang", "sglang-0.5.5", False, 8192, True),
        ("tensorrt-llm==0.12", "tensorrt-llm", False, 8192, True),
        ("deepspeed-mii", "deepspeed-mii", True, 2048, True),
        ("transformers", "transformers", False, 16384, False),
        ("fastertransformer", "fastertransformer", False, 16384, True),
        ("torch", "torch", True, 8192, False),
    ],
)
def test_engines_run_as_version_0_1_of_planner_had_them(
    name, generation, chunked_prefill, max_batched_tokens, graphs
):
    e = EngineSpec(name=name)
    assert (e.generation, e.release.graphs) == (generation, graphs)
    assert (e.chunked_prefill, e.max_batched_tokens) == (chunked_prefill, max_batched_tokens)
    fraction = {"vllm": 0.92, "sglang": 0.88}.get(name, 0.9)  # since: vLLM 0.32's, SGLang's own
    seqs = {"sglang": 2048}.get(name, 256)  # max_running_requests, since its scheduler was read
    assert (e.max_num_seqs, e.memory_fraction, e.block_tokens) == (seqs, fraction, 16)


def test_what_is_said_wins_over_the_engines_file_and_survives_json():
    e = EngineSpec(name="vllm-0.6", chunked_prefill=True)
    assert e.chunked_prefill
    assert EngineSpec.model_validate_json(e.model_dump_json()) == e


def test_another_engine_does_not_inherit_the_habits_of_the_first():
    said = settings_of(EngineSpec(name="fastertransformer", max_num_seqs=32))
    asked = conditions(**said | {"engine": "vllm"}).engine
    assert (asked.max_batched_tokens, asked.max_num_seqs) == (8192, 32)


def test_an_unknown_engine_says_which_there_are():
    with pytest.raises(SpecError, match="nonesuch") as raised:
        conditions(engine="nonesuch")
    assert "sglang" in raised.value.hint
    with pytest.raises(SpecError) as raised:
        conditions(engine="vlm")
    assert "vllm" in raised.value.hint


FILE = """
name = "Mine"
aliases = ["my-engine"]

[[versions]]
since = "0"
generation = "vllm"
source = "https://example.com/scheduler"
written = 2026-11-27

[[versions]]
since = "2.1"
generation = "mine"
max_batched_tokens = 4096
source = "https://example.com/scheduler"
written = 2026-11-27
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANNER_HARDWARE_PATH", str(tmp_path))
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


@pytest.mark.parametrize(
    ("on", "tp", "reserved_mib"),
    [
        # 512 + 1.5 of each token of a chunk + 2 of each sequence captured + 128 of each device
        ("h100-sxm", 1, 512 + 12288 + 2 * 256 + 128),
        ("h100-sxm", 8, 512 + 12288 + 2 * 512 + 1024),
        ("b200", 8, 512 + 24576 + 2 * 512 + 1024),
        ("a100-sxm-40gb", 1, 512 + 6144 + 2 * 32 + 128),
    ],
)
def test_sglang_works_its_fraction_out_from_the_card(on, tp, reserved_mib):
    """python/sglang/srt/server_args.py of 0.5.3, by hand."""
    device = resolve(conditions(on=on)).device
    offered_mib = device.hbm_bytes * 1.073741824 * device.hbm_offered / 2**20
    e = conditions(on=on, engine="sglang==0.5.6", tp=tp).engine
    assert e.memory_fraction == pytest.approx(1 - reserved_mib / offered_mib, abs=6e-4)
    said = conditions(on=on, engine="sglang==0.5.6", tp=tp, memory_fraction=0.7).engine
    assert said.memory_fraction == 0.7
    assert conditions(on=on, engine="sglang==0.4.6", tp=tp).engine.memory_fraction == 0.88


def test_a_reserve_as_large_as_the_card_leaves_no_room():
    e = conditions(on="h100-sxm", engine="sglang", max_batched_tokens=131072).engine
    assert e.memory_fraction == 0.01


def test_an_engine_is_one_file(folder):
    (folder / "mine.toml").write_text(FILE)
    new = conditions(engine="My Engine 3").engine
    assert (new.name, new.version, new.max_batched_tokens) == ("mine", "3", 4096)
    old = conditions(engine="mine==2.0.9", on="a100-sxm-40gb")
    assert old.engine.max_batched_tokens == 8192
    assert "engine constants" not in resolve(old).basis  # as vLLM, says the file


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ("max_batched_tokens = 4096", "max_batch_tokens = 4096", "max_batch_tokens: no such key"),
        ("max_batched_tokens = 4096", "max_batched_tokens = 0", "greater than or equal to 1"),
        ('since = "0"', 'since = "3"', "oldest first"),
        ('since = "0"', 'since = "first"', "oldest first"),
    ],
)
def test_a_wrong_file_says_where(folder, was, becomes, why):
    (folder / "mine.toml").write_text(FILE.replace(was, becomes))
    with pytest.raises(SpecError, match=why) as raised:
        engines()
    assert "mine.toml" in str(raised.value)


def test_what_was_found_is_kept_for_its_own_search_path_only(folder):
    look_first("hardware", folder.parent)
    assert "mine" not in engines()
