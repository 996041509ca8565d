"""A command that planner writes says what the scenario has: read back, and by vLLM's own parser."""

import json
import os
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.inputs.serve_command import read_serve_command
from planner.inputs.serve_flags import flag_tables
from planner.inputs.serve_written import _MAY, _SWITCHED, ALWAYS, _untold, serve_command
from planner.questions.recommend.recommend import recommend
from planner.report.shell import lines
from planner.scenario.scenario import Scenario, conditions

VLLM = os.environ.get("PLANNER_VLLM_PYTHON")
settings_drawn = st.fixed_dictionaries(
    {},
    optional={
        "tp": st.sampled_from([1, 2, 4, 8]),
        "pp": st.sampled_from([1, 2]),
        "dtype": st.sampled_from(["bf16", "fp16", "fp8", "int4", "nf4"]),
        "kv_dtype": st.sampled_from(["fp8", "int8"]),
        "max_num_seqs": st.integers(1, 4096),
        "max_batched_tokens": st.integers(1, 10**6),
        "memory_fraction": st.integers(1, 99).map(lambda n: n / 100),
        "block_tokens": st.sampled_from([16, 32, 64]),
        "kv_cache_bytes": st.integers(10**8, 10**11),
        "max_model_len": st.integers(5120, 10**6),
        "enforce_eager": st.booleans(),
        "chunked_prefill": st.booleans(),
        "prefix_caching": st.booleans(),
        "async_scheduling": st.booleans(),
        "draft": st.just("llama-3.2-1b"),
        "prefill_replicas": st.just(2),
        "input_cv": st.just(0.5),
    },
)


def scenario(engine: str, **settings: object) -> Scenario:
    return Scenario.of("llama-3.1-8b", conditions(engine=engine, on="h100-sxm", **settings))


@given(st.sampled_from([*flag_tables(), "vllm==0.6.3"]), settings_drawn)
def test_what_is_written_is_read_back_or_said_not_to_be_there(engine, settings):
    s = scenario(engine, **settings)
    command = serve_command(s.model, s)
    read, e = read_serve_command(command), s.engine
    assert read.model == "meta-llama/Llama-3.1-8B" and not read.unknown
    comment = command.partition("  # ")[2]
    usual = {"pp": 1, "ep": 1, "kv_dtype": None, "kv_cache_bytes": None}
    usual |= {n: _untold(e, n) for n in _SWITCHED} | {"block_tokens": e.release.block_tokens}
    for name in (*ALWAYS, *_MAY, *_SWITCHED):
        here = getattr(e, name)
        if name == "max_model_len" and here is None:
            here = None if "input_cv" in settings else 5120
        if name not in comment:
            assert read.options.get(name, usual.get(name)) == here, (name, command)
    stored = read.options.get("dtype", "bf16")
    assert stored == e.dtype or f"a checkpoint in {e.dtype}" in comment


@given(st.sampled_from([*flag_tables()]), settings_drawn, st.integers(40, 120))
def test_a_command_in_lines_is_the_same_command(engine, settings, width):
    s = scenario(engine, **settings)
    command = serve_command(s.model, s)
    broken = lines(command, width)
    joined = "\n".join(broken).replace("\\\n", "")  # as a shell does
    assert shlex.split(joined, comments=True) == shlex.split(command, comments=True)
    flags = [
        part for line in broken for part in [line.removesuffix("\\").strip()] if "#" not in part
    ]
    assert all(len(line) <= width or line.strip().count(" --") == 0 for line in flags)


def test_an_engine_without_a_server_has_no_command():
    s = scenario("transformers")
    assert serve_command(s.model, s) == ""


def test_a_stored_format_needs_no_flag_and_cannot_be_undone():
    c = conditions(engine="vllm", on="h100-sxm", tp=8)
    s = Scenario.of("deepseek-v3", c)
    assert s.engine.dtype == "fp8" and "quantization" not in serve_command(s.model, s)
    s = Scenario.of("deepseek-v3", conditions(on="h100-sxm", tp=8, dtype="bf16"))
    assert "a checkpoint in bf16" in serve_command(s.model, s)


# What vLLM's own parser and its own reader of configs make of commands and of folders.
ASK = """
import json, sys
try:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
except ImportError:
    from vllm.entrypoints.openai.cli_args import make_arg_parser
try:
    from vllm.utils.argparse_utils import FlexibleArgumentParser
except ImportError:
    from vllm.utils import FlexibleArgumentParser
from vllm.config import ModelConfig
asked = json.loads(sys.stdin.read())
parser = make_arg_parser(FlexibleArgumentParser())
read = [vars(parser.parse_args(words)) for words in asked["commands"]]
models = []
for folder in asked["folders"]:
    c = ModelConfig(model=folder, skip_tokenizer_init=True, dtype="bfloat16")
    t = c.hf_text_config
    models.append([t.num_hidden_layers, c.get_hidden_size(), t.num_attention_heads,
                   c.get_total_num_kv_heads(), c.get_head_size(), t.intermediate_size])
print(json.dumps([read, models], default=str))
"""
TAKEN = {
    "tp": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "max_num_seqs": "max_num_seqs",
    "max_batched_tokens": "max_num_batched_tokens",
    "memory_fraction": "gpu_memory_utilization",
    "kv_cache_bytes": "kv_cache_memory_bytes",
    "kv_dtype": "kv_cache_dtype",
    "dtype": "quantization",
    "chunked_prefill": "enable_chunked_prefill",
    "prefix_caching": "enable_prefix_caching",
    "async_scheduling": "async_scheduling",
    "enforce_eager": "enforce_eager",
}
ASKED = (
    {},
    {
        "tp": 2,
        "pp": 2,
        "dtype": "fp8",
        "kv_dtype": "fp8",
        "max_num_seqs": 64,
        "enforce_eager": True,
    },
    {"chunked_prefill": False, "prefix_caching": False, "async_scheduling": False},
    {"kv_cache_bytes": 8 * 10**9, "max_batched_tokens": 2048, "memory_fraction": 0.85},
)


@pytest.mark.vllm
@pytest.mark.skipif(not VLLM, reason="PLANNER_VLLM_PYTHON names no Python with vLLM")
def test_vllm_takes_every_command_and_every_picks_config(tmp_path):
    answer = recommend("1e9", "1e11", on="h100-sxm")
    shapes = answer.shapes
    commands, folders = [], []
    for c in shapes.values():
        (folder := tmp_path / c.name).mkdir()
        (folder / "config.json").write_text(json.dumps(c.config))
        folders.append(str(folder))
        commands.append(c.serve)
    scenarios = [scenario("vllm", **settings) for settings in ASKED]
    commands += [serve_command(s.model, s) for s in scenarios]
    commands.append(serve_command(scenarios[0].model, scenario("vllm", draft="llama-3.2-1b")))
    words = [shlex.split(c, comments=True)[2:] for c in commands]
    asked = json.dumps({"commands": words, "folders": folders})
    run = subprocess.run([VLLM, "-c", ASK], input=asked, capture_output=True, text=True, check=True)
    read, models = json.loads(run.stdout.splitlines()[-1])
    keys = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff")
    for c, theirs in zip(shapes.values(), models, strict=True):
        assert theirs == [getattr(c.model, k) for k in keys], c.name
    assert [r["model_tag"] for r in read[: len(shapes)]] == [f"./{n}" for n in shapes]
    for settings, theirs in zip(ASKED, read[len(shapes) :], strict=False):
        assert settings == {name: theirs[TAKEN[name]] for name in settings}
    print(f"vLLM takes {len(read)} commands and {len(models)} configs")
