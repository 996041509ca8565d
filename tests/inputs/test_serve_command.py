"""Serve commands as people write them: what is used, what is not, what is unknown, what is refused."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from planner.errors import MissingExtra, SpecError
from planner.inputs.serve_command import ServeCommand, read_serve_command
from planner.inputs.serve_flags import flag_tables
from planner.scenario.options import OPTIONS

VLLM = os.environ.get("PLANNER_VLLM_PYTHON")
COMPOSE = """
services:
  proxy:
    image: nginx:1.29
    command: ["nginx", "-g", "daemon off;"]
  llm:
    image: vllm/vllm-openai:v0.10.2
    environment: {HF_TOKEN: secret}
    healthcheck: {test: ["CMD", "curl", "localhost"]}
    command: >
      --model Qwen/Qwen3-8B --tensor-parallel-size 2
      --gpu-memory-utilization 0.95
"""
POD = """
# a deployment
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: vllm
          image: registry.local:5000/vllm/vllm-openai:v0.11.0@sha256:0123
          command: ["/bin/sh", "-c"]
          args:
            - vllm serve mistral-7b-v0.3 --trust-remote-code --max_num_batched_tokens 2048
          env:
            - {name: HUGGING_FACE_HUB_TOKEN, value: secret}
          livenessProbe: {exec: {command: ["curl", "localhost"]}}
"""
SCRIPT = """#!/bin/bash
export MODEL=llama-3.1-8b   # the small one, don't ask
TP=4
pip install vllm && \\
vllm serve "$MODEL" \\
    --tensor-parallel-size ${TP} \\
    --max-num-seqs ${SEQS:-64} \\
    --host 0.0.0.0 > server.log 2>&1 &
tail -f server.log
"""
LONG = "Qwen/Qwen3-30B-A3B"
V, S, T = {"engine": "vllm"}, {"engine": "sglang"}, {"engine": "tensorrt-llm"}


@pytest.mark.parametrize(
    ("text", "model", "options"),
    [
        ("vllm serve m", "m", V),
        ("vllm serve meta-llama/Llama-3.1-8B-Instruct -tp 2 --max-num-seqs 128",
         "meta-llama/Llama-3.1-8B-Instruct", V | {"tp": 2, "max_num_seqs": 128}),
        ("$ vllm serve --tensor_parallel_size=4 -pp=2 m -dp 3", "m",
         V | {"tp": 4, "pp": 2, "replicas": 3}),
        ("VLLM_USE_V1=1 CUDA_VISIBLE_DEVICES=0,1 /opt/venv/bin/vllm serve m --block-size 32", "m",
         V | {"block_tokens": 32}),
        ("nohup python3 -m vllm.entrypoints.openai.api_server --model m --port 8000 &", "m", V),
        ("python vllm/entrypoints/openai/api_server.py --model m --dtype half", "m",
         V | {"dtype": "fp16"}),
        ("vllm serve m --max-num-batched-tokens 8k --gpu-memory-utilization .95", "m",
         V | {"max_batched_tokens": 8000, "memory_fraction": 0.95}),
        ("vllm serve m --max-num-batched-tokens=8K", "m", V | {"max_batched_tokens": 8192}),
        ("vllm serve m --enforce-eager --no-enable-chunked-prefill", "m",
         V | {"chunked_prefill": False, "enforce_eager": True}),
        ("vllm serve m --enable-chunked-prefill=False", "m", V | {"chunked_prefill": False}),
        ("vllm serve m --enable-chunked-prefill true --max-num-seqs 1 --max-num-seqs 2", "m",
         V | {"chunked_prefill": True, "max_num_seqs": 2}),
        ("vllm serve m --quantization awq_marlin --dtype half --kv-cache-dtype fp8_e4m3", "m",
         V | {"dtype": "int4", "kv_dtype": "fp8"}),
        ("vllm serve m --dtype auto --kv-cache-dtype auto", "m", V),
        (f"vllm serve {LONG} -tp 8 --enable-expert-parallel", LONG, V | {"tp": 8, "ep": 8}),
        (f"vllm serve {LONG} -tp 2 -dp 4 --enable-expert-parallel", LONG, V | {"tp": 2, "ep": 2}),
        ("""vllm serve m --speculative-config '{"model": "d", "num_speculative_tokens": 5}'""",
         "m", V | {"draft": "d", "draft_tokens": 5}),
        ("vllm serve m --speculative-config.model d -sc.num-speculative-tokens 5", "m",
         V | {"draft": "d", "draft_tokens": 5}),
        ("vllm serve m --spec-model d --spec-tokens 3", "m", V | {"draft": "d", "draft_tokens": 3}),
        ("vllm serve m --speculative-model d --num-speculative-tokens 3", "m",
         V | {"draft": "d", "draft_tokens": 3}),
        ("""vllm serve m --speculative-config '{"method": "ngram", "num_speculative_tokens": 5}'""",
         "m", V),
        ("vllm serve m --served-model-name a b --api-key x --middleware y", "m", V),
        (SCRIPT, "llama-3.1-8b", V | {"tp": 4, "max_num_seqs": 64}),
        (SCRIPT.replace("\n", "\r\n"), "llama-3.1-8b", V | {"tp": 4, "max_num_seqs": 64}),
        ("""docker run --runtime nvidia --gpus '"device=0,1"' --name vllm -it --rm \\
              -v ~/.cache/huggingface:/root/.cache/huggingface --env "HF_TOKEN=secret" \\
              -p 8000:8000 --ipc=host vllm/vllm-openai:v0.11.0-cu129 --model m -tp 2""",
         "m", V | {"engine_version": "0.11.0", "tp": 2}),
        ("sudo docker run --gpus=all vllm/vllm-openai:latest Qwen/Qwen3-8B", "Qwen/Qwen3-8B", V),
        ("podman run rocm/vllm:rocm7_vllm0.10 vllm serve m -tp 8", "m", V | {"tp": 8}),
        ("""docker run --shm-size 32g lmsysorg/sglang:v0.5.3-cu126 bash -c \
              'python3 -m sglang.launch_server --model-path m --tp 8'""", "m",
         S | {"engine_version": "0.5.3", "tp": 8}),
        ("""python -m sglang.launch_server --model-path m --tp-size 2 --dp 4 --mem-fraction-static 0.8 \
              --max-running-requests 64 --chunked-prefill-size 4096 --max-prefill-tokens 16384""", "m",
         S | {"tp": 2, "replicas": 4, "memory_fraction": 0.8, "max_num_seqs": 64,
              "max_batched_tokens": 4096}),
        ("sglang serve --model-path m --chunked-prefill-size -1 --page-size 64 --ep 8 --tp 8", "m",
         S | {"block_tokens": 64, "ep": 8, "tp": 8}),
        ("python -m sglang.launch_server --model m --tp 8 --dp 8 --enable-dp-attention", "m",
         S | {"tp": 8}),
        ("""python -m sglang.launch_server --model m --speculative-algorithm EAGLE3 \
              --speculative-draft-model-path d --speculative-num-steps 3 --speculative-eagle-topk 1 \
              --speculative-num-draft-tokens 4 --quantization w8a8_int8 --enable-mixed-chunk""", "m",
         S | {"draft": "d", "draft_tokens": 3, "dtype": "int8", "chunked_prefill": True}),
        ("""trtllm-serve m --tp_size 8 --ep_size 8 --max_batch_size 256 --max_num_tokens 8192 \
              --kv_cache_free_gpu_memory_fraction 0.9 --extra_llm_api_options extra.yaml""", "m",
         T | {"tp": 8, "ep": 8, "max_num_seqs": 256, "max_batched_tokens": 8192,
              "memory_fraction": 0.9}),
        ("mpirun -n 8 trtllm-llmapi-launch trtllm-serve serve m --pp_size 2 --backend pytorch",
         "m", T | {"pp": 2}),
        ("docker run --gpus all nvcr.io/nvidia/tensorrt-llm/release:1.2.0 trtllm-serve m", "m",
         T | {"engine_version": "1.2.0"}),
        ('["--model", "m", "--tensor-parallel-size", "2"]', "m", V | {"tp": 2}),
        ('["--model-path", "m", "--mem-fraction-static", "0.8"]', "m", S | {"memory_fraction": 0.8}),
        ('{"image": "vllm/vllm-openai:v0.9.1", "args": ["--model=m", "--max-num-seqs=32"]}', "m",
         V | {"engine_version": "0.9.1", "max_num_seqs": 32}),
        ("- vllm\n- serve\n- m\n- --max-num-seqs\n- 32\n- --tensor-parallel-size 2", "m",
         V | {"max_num_seqs": 32, "tp": 2}),
        ("command: [vllm, serve, m, --speculative-config, '{\"model\": \"d\"}']", "m",
         V | {"draft": "d"}),
        (COMPOSE, "Qwen/Qwen3-8B",
         V | {"engine_version": "0.10.2", "tp": 2, "memory_fraction": 0.95}),
        (POD, "mistral-7b-v0.3", V | {"engine_version": "0.11.0", "max_batched_tokens": 2048}),
    ],
)  # fmt: skip
def test_a_command_sets_what_it_says(text, model, options):
    found = read_serve_command(text)
    assert (found.model, found.options) == (model, options)
    assert found.unknown == {}
    assert "secret" not in found.model_dump_json()


def test_what_is_not_used_and_what_is_ignored_is_named():
    found = read_serve_command(
        "HF_TOKEN=secret VLLM_USE_V1=0 vllm serve m --max-model-len 8192 --port 8000 --enforce-eager "
        "--no-enable-prefix-caching -tp 2 --swap-space 4 --dtype nvfp17 --max-num-seqs many"
    )
    assert found.used == {
        "vllm serve": {"engine": "vllm"}, "MODEL": {"model": "m"}, "-tp": {"tp": 2},
        "--max-model-len": {"max_model_len": 8192}, "--enforce-eager": {"enforce_eager": True},
        "--no-enable-prefix-caching": {"prefix_caching": False},
    }  # fmt: skip
    assert found.ignored == ("HF_TOKEN", "--port")
    assert [*found.not_used] == ["VLLM_USE_V1", "--swap-space", "--dtype", "--max-num-seqs"]
    assert "nvfp17" in found.not_used["--dtype"]


def test_an_unknown_flag_is_named_with_the_nearest_and_its_value_is_no_model():
    found = read_serve_command("vllm serve m --max-num-sequence 128 --qqqq --port 1 stray")
    assert found.unknown == {"stray": "", "--max-num-sequence": "--max-num-seqs", "--qqqq": ""}
    assert found.model == "m"


def test_what_stands_beside_it_wins_and_is_said():
    found = read_serve_command("vllm serve m -tp 2 --max-num-seqs 128", model="other")
    assert found.model == "other" and found.overruled == {"MODEL": {"model": "m"}}
    rest = found.beside({"tp", "engine"})
    assert rest.options == {"max_num_seqs": 128}
    assert rest.overruled == {
        "MODEL": {"model": "m"}, "vllm serve": {"engine": "vllm"}, "-tp": {"tp": 2}
    }  # fmt: skip
    assert ServeCommand.model_validate_json(rest.model_dump_json()) == rest


def test_a_file_is_read_like_its_text(tmp_path):
    path = tmp_path / "serve it.sh"
    path.write_text(SCRIPT)
    assert read_serve_command(path) == read_serve_command(str(path)) == read_serve_command(SCRIPT)


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("echo hello", "no serve command", "vllm serve"),
        ("vllm bench serve --model m", "no serve command", "vllm serve"),
        ("", "no serve command", "vllm serve"),
        ('["nginx", "-g", "daemon off;"]', "no serve command", "vllm serve"),
        ("vllm serve --port 8000", "names no model", "MODEL"),
        ("vllm serve $MODEL", "$MODEL", "MODEL"),
        ("vllm serve 'm --port 8000", "no closing quotation", "quote"),
        ("docker run --rm -v", "no serve command", "vllm serve"),
        ("vllm serve a && vllm serve b", "2 serve commands", "keep"),
        ("no-such-file.sh", "no-such-file.sh", "vllm serve"),
        ("{'a'", "JSON", "vllm serve"),
        ("args: [", "YAML", "vllm serve"),
    ],
)
def test_what_cannot_be_understood_is_refused(text, error, hint):
    with pytest.raises(SpecError) as caught:
        read_serve_command(text)
    assert error in str(caught.value) and hint in caught.value.hint


def test_yaml_without_its_reader_names_the_extra_and_json_does_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra) as caught:
        read_serve_command(COMPOSE)
    assert "[yaml]" in caught.value.hint
    assert read_serve_command('{"command": ["vllm", "serve", "m"]}').model == "m"


@pytest.mark.parametrize("flags", flag_tables().values(), ids=lambda f: f.engine)
def test_a_table_names_each_flag_once_and_only_options_there_are(flags):
    u = flags.used
    plain = (u.whole, u.share, u.format, u.name, *u.json_.values())
    options = {o for of in plain for o in of.values()} | {o for of in u.switch.values() for o in of}
    assert options <= OPTIONS.keys()
    assert options >= {"tp", "pp", "max_num_seqs", "max_batched_tokens", "memory_fraction"}
    named = Counter(
        name
        for part in (*flags.not_used, *flags.ignored)
        for text in (part.values, part.lists, part.switches)
        for name in text.split()
    )
    named.update([*u.whole, *u.share, *u.format, *u.name, *u.json_, *u.switch, *flags.model])
    assert [name for name, n in named.items() if n > 1] == []
    assert flags.aliases.keys() & named.keys() == set()
    assert {*flags.aliases.values()} <= {*named}
    assert {*flags.beside} <= {*named} >= {b.flag for b in flags.beside.values()}


# Every flag of vLLM's own parser with how many values it takes, and what it reads of commands.
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
parser = make_arg_parser(FlexibleArgumentParser())
flags = {o: a.nargs for a in parser._actions for o in a.option_strings}
read = [vars(parser.parse_args(words)) for words in json.loads(sys.argv[1])]
print(json.dumps([flags, read], default=str))
"""
COMMANDS = [
    "m -tp 2 --pipeline_parallel_size=4 -dp 3 --max-num-seqs 64 --max-num-batched-tokens 8k",
    "m --max-num-batched-tokens 8K --gpu-memory-utilization 0.8 --block-size 32 --max-num-seqs=7",
    "--enforce-eager m -O3 --no-enable-chunked-prefill --served-model-name a b --port 1 -tp=4",
    "m --max-num-seqs 1 --max-num-seqs 2 --enable-chunked-prefill --spec-model d --spec-tokens 3",
]
DESTINATIONS = {
    "enforce_eager": "enforce_eager",
    "prefix_caching": "enable_prefix_caching",
    "max_model_len": "max_model_len",
    "kv_cache_bytes": "kv_cache_memory_bytes",
    "tp": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "replicas": "data_parallel_size",
    "max_num_seqs": "max_num_seqs",
    "max_batched_tokens": "max_num_batched_tokens",
    "memory_fraction": "gpu_memory_utilization",
    "block_tokens": "block_size",
    "chunked_prefill": "enable_chunked_prefill",
    "draft": "spec_model",
    "draft_tokens": "spec_tokens",
    "model": "model_tag",
}


@pytest.mark.vllm
@pytest.mark.skipif(not VLLM, reason="PLANNER_VLLM_PYTHON names no Python with vLLM")
def test_vllms_own_parser_has_no_flag_that_we_do_not_know_and_reads_as_we_do():
    words = json.dumps([c.split() for c in COMMANDS])
    run = subprocess.run([VLLM, "-c", ASK, words], capture_output=True, text=True, check=True)
    own, read = json.loads(run.stdout.splitlines()[-1])
    flags = flag_tables()["vllm"]
    kinds = {None: "values", 0: "switches", "+": "lists", "*": "lists", "?": "values"}
    strange, missing = {}, []
    for option, nargs in own.items():
        name = option.lstrip("-")
        name = flags.aliases.get(name, name)
        off = name.removeprefix("no-")
        name = name if name in flags.kinds else flags.aliases.get(off, off)
        if name not in flags.kinds:
            missing.append(option)
        elif flags.kinds[name] != kinds[nargs]:
            strange[option] = flags.kinds[name]
    print(f"{len(own) - len(missing)} of {len(own)} flags of vLLM's parser are in the table")
    assert (missing, strange) == ([], {})
    for text, theirs in zip(COMMANDS, read, strict=True):
        ours = read_serve_command(f"vllm serve {text}").settings
        del ours["engine"]
        assert ours == {name: theirs[DESTINATIONS[name]] for name in ours}, text
