"""Start-up logs: what every engine and version says is read, whatever stands around it."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.data import catalogue
from planner.errors import SpecError
from planner.inputs.engine_log import COLUMNS, LogLines, engine_log_in, read_engine_log
from planner.inputs.fields import load_toml
from planner.questions.validate.measured import runs_of

LOGS = Path(__file__).parents[1] / "files/logs"
# Of each log what its lines say, beside what every log of its engine says.
SAID = {
    "vllm-0.6.4": {
        "engine": "vllm", "engine_version": "0.6.4.post1", "outcome": "ran",
        "model": "meta-llama/Llama-3.1-8B-Instruct", "tp": 1, "dtype": "bfloat16",
        "gpu_memory_utilization": 0.9, "max_model_len": 8192, "max_num_seqs": 256, "block_size": 16,
        "device_gib": 79.14, "weights_gib": 14.9888, "activation_gib": 16.21 - 14.9888,
        "non_torch_gib": 0.61, "cuda_graph_gib": 0.24, "kv_cache_gib": 54.40,
        "kv_cache_tokens": 27852 * 16, "max_concurrency": 54.40,
    },
    "vllm-0.7.3-tp2": {  # of two workers the one with less cache
        "engine_version": "0.7.3 (V0)", "tp": 2, "n_gpus": 2, "enforce_eager": "True",
        "device_gib": 47.43, "weights_gib": 30.7098, "activation_gib": 2.96, "non_torch_gib": 0.53,
        "kv_cache_gib": 10.86, "kv_cache_tokens": 5560 * 16, "max_concurrency": 2.71,
    },
    "vllm-0.8.5": {
        "engine_version": "0.8.5", "max_num_batched_tokens": 2048, "weights_gib": 14.9889,
        "kv_cache_tokens": 158656, "max_concurrency": 4.84, "cuda_graph_gib": 0.52, "kv_cache_gib": "",
    },
    "vllm-0.11-moe": {
        "gpu": "NVIDIA_H100_80GB_HBM3", "gpu_memory_utilization": 0.92, "max_num_seqs": 64,
        "max_num_batched_tokens": 8192, "device_gib": 79.19, "weights_gib": 56.9395,
        "activation_gib": 1.34, "non_torch_gib": 0.2, "cuda_graph_gib": 0.59, "kv_cache_gib": 14.36,
        "kv_cache_tokens": 156832,
    },
    "vllm-0.19-tp4-compose": {
        "tp": 4, "n_gpus": 4, "kv_dtype": "fp8", "max_num_batched_tokens": 4096,
        "kv_cache_gib": 35.33, "kv_cache_tokens": 926144, "kv_bytes_per_token": 40960,
        "cuda_graph_gib": 0.91, "non_torch_gib": 0.94,
    },
    "vllm-0.32": {  # weights and non-torch memory in one number
        "engine_version": "0.32.0", "max_model_len": 40960, "weights_gib": 15.27,
        "non_torch_gib": 15.62 - 15.27, "activation_gib": 2.37, "cuda_graph_gib": 0.41,
        "kv_cache_gib": 52.91, "kv_cache_tokens": 385280, "max_concurrency": 9.41,
    },
    "vllm-failed": {
        "outcome": "failed: the KV cache does not hold one request of max_model_len",
        "max_model_len": 131072, "weights_gib": 14.99, "kv_cache_gib": 5.82, "kv_cache_tokens": "",
    },
    "vllm-out-of-memory": {"outcome": "failed: out of memory", "device_gib": 44.39},
    "sglang-0.5-tp2": {
        "engine": "sglang", "model": "Qwen/Qwen2.5-14B-Instruct", "tp": 2, "weights_gib": 13.90,
        "gpu_memory_utilization": 0.83, "max_num_batched_tokens": 8192, "max_num_seqs": 4096,
        "max_model_len": 32768, "cuda_graph_gib": 1.0, "kv_cache_gib": 49.08, "kv_cache_tokens": 536112,
    },
    "tensorrt-llm-engine": {
        "engine": "tensorrt-llm", "engine_version": "0.15.0", "device_gib": 79.10,
        "weights_gib": 15326 / 1024, "activation_gib": 1264 / 1024, "kv_cache_gib": 55.56,
        "kv_cache_tokens": 455168, "block_size": 64, "max_num_seqs": 256, "max_model_len": 8192,
    },
    "tensorrt-llm-pytorch": {  # not the cache of its first, small try
        "model": "meta-llama/Llama-3.1-8B-Instruct", "gpu_memory_utilization": 0.9,
        "device_gib": 79.18, "weights_gib": 15.21, "activation_gib": 0.85, "kv_cache_gib": 55.34,
        "kv_cache_tokens": 453344, "max_model_len": 131072, "outcome": "ran",
    },
}  # fmt: skip
RANKS = {"vllm-0.7.3-tp2": 2, "vllm-0.19-tp4-compose": 4, "sglang-0.5-tp2": 2}
TEXTS = {name: (LOGS / f"{name}.log").read_text(encoding="utf-8") for name in SAID}


@pytest.mark.parametrize("name", SAID)
def test_what_a_log_says_is_read(name):
    log = read_engine_log(LOGS / f"{name}.log")
    assert [*log.said] == COLUMNS
    for column, value in SAID[name].items():
        found = log.said[column]
        same = value if isinstance(value, str) else pytest.approx(value, rel=1e-5)
        assert (found if isinstance(value, str) else float(found)) == same, column
    assert log.ranks == RANKS.get(name, 1)


@pytest.mark.parametrize("name", [n for n in SAID if n != "vllm-out-of-memory"])
def test_a_log_is_a_row_of_measured_runs(name):
    sheet = read_engine_log(LOGS / f"{name}.log").sheet(Path(name))
    runs, unread = runs_of(sheet.filled({"gpu": "h100-sxm", "model": "llama-3.1-8b"}))
    assert "weights_gib" in {r.column for r in runs} and not unread


PREFIXES = [
    "", "\x1b[36mvllm-1  |\x1b[0m ", "2026-03-14T10:00:00.123456789Z stdout F ", "[pod/llm-0/server] ",
    "Nov 28 03:47:58 node7 vllm[812]: ", "\x1b[1;32m", '{"log":"',
]  # fmt: skip
AROUND = [
    'INFO:     10.0.0.7:51234 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    "Loading safetensors checkpoint shards:  56% Completed | 5/9 [00:13<00:11,  2.87s/it]",
    "node7:105927:106732 [0] NCCL INFO Using network Socket",
    "INFO 03-14 10:02:00 [loggers.py:127] Engine 000: GPU KV cache usage: 12.3%, Running: 4 reqs",
    "/usr/lib/python3.12/site-packages/torch/cuda/__init__.py:61: FutureWarning: model=None",
    "",
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TEXTS)),
    st.sampled_from(PREFIXES),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(AROUND) | st.text(max_size=30)), max_size=8
    ),
)
def test_what_stands_around_it_changes_nothing(name, prefix, end, more):
    lines = TEXTS[name].splitlines()
    for at, line in more:
        lines[at:at] = line.splitlines()
    text = end.join(prefix + line for line in lines)
    assert engine_log_in(text) == engine_log_in(TEXTS[name])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(RANKS)), st.randoms(use_true_random=False))
def test_ranks_may_come_in_any_order(name, random):
    head, *lines = TEXTS[name].splitlines()
    whose = [m[0] if (m := re.search(r"TP\d|pid=448", line)) else "" for line in lines]
    parts = {who: iter([x for x, w in zip(lines, whose, strict=True) if w == who]) for who in whose}
    random.shuffle(whose)
    mixed = "\n".join([head, *(next(parts[who]) for who in whose)])
    assert engine_log_in(mixed) == engine_log_in(TEXTS[name])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_a_log_with_damaged_numbers_is_read_as_far_as_it_goes(name, data):
    text = TEXTS[name]
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from([m.start() for m in re.finditer(r"\d", text)]))
        text = (
            text[:at]
            + data.draw(st.sampled_from([".", "..", "0", "-", "9" * 400, ",", ""]))
            + text[at + 1 :]
        )
    read = engine_log_in(text)
    assert read is None or [*read.said] == COLUMNS


def test_no_cache_at_all_is_no_number_a_token():
    text = TEXTS["vllm-0.11-moe"].replace("156,832 tokens", "0 tokens")
    assert engine_log_in(text).said["kv_bytes_per_token"] == ""


def test_of_several_starts_the_last_counts():
    text = TEXTS["vllm-failed"] + TEXTS["vllm-0.32"]
    assert engine_log_in(text) == engine_log_in(TEXTS["vllm-0.32"])


def test_a_log_may_be_cut_off_at_any_line():
    for name, text in TEXTS.items():
        lines = text.splitlines(keepends=True)
        whole = engine_log_in(text)
        for n in range(len(lines)):
            part = engine_log_in("".join(lines[:n]))
            assert part is None or set(part.said) == set(whole.said), name
    early = engine_log_in("".join(TEXTS["vllm-0.32"].splitlines(keepends=True)[:9]))
    assert early.said["weights_gib"] == "15.27" and early.said["outcome"] == ""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_log_that_windows_wrote(tmp_path, encoding):
    path = tmp_path / "server.log"
    path.write_text(TEXTS["vllm-0.8.5"].replace("\n", "\r\n"), encoding=encoding, newline="")
    assert read_engine_log(path) == engine_log_in(TEXTS["vllm-0.8.5"])


def test_a_character_cut_in_two_is_passed_over(tmp_path):
    path = tmp_path / "server.log"
    path.write_bytes(TEXTS["sglang-0.5-tp2"].encode() + "█".encode()[:2])
    assert read_engine_log(path) == engine_log_in(TEXTS["sglang-0.5-tp2"])


def test_a_quantised_checkpoint_is_what_it_stores():
    text = TEXTS["vllm-0.8.5"]
    awq = engine_log_in(text.replace("quantization=None", "quantization=awq_marlin"))
    assert (awq.said["quantization"], awq.said["dtype"]) == ("int4", "bfloat16")
    stored = engine_log_in(text.replace("quantization=None", "quantization=compressed-tensors"))
    assert (stored.said["quantization"], stored.said["dtype"]) == ("", "")


def test_sglang_once_said_only_what_is_free():
    text = (
        TEXTS["sglang-0.5-tp2"]
        .replace(", mem usage=13.90 GB", "")
        .replace(", mem usage=13.89 GB", "")
    )
    assert float(engine_log_in(text).said["weights_gib"]) == pytest.approx(77.30 - 63.41)


def test_a_draft_model_is_not_the_target():
    draft = "[2025-11-10 19:58:18 TP{0}] {1}\n"
    lines = [
        "Load weight end. type=LlamaForCausalLMEagle3, dtype=torch.bfloat16, avail mem=9.00 GB, mem usage=0.80 GB.",
        "KV Cache is allocated. #tokens: 536112, K size: 0.51 GB, V size: 0.51 GB",
    ]
    more = "".join(draft.format(rank, line) for line in lines for rank in (1, 0))
    assert engine_log_in(TEXTS["sglang-0.5-tp2"] + more) == engine_log_in(TEXTS["sglang-0.5-tp2"])


def test_a_pasted_command_says_what_the_log_does_not():
    command = (
        "$ vllm serve Qwen/Qwen3-8B \\\n  --gpu-memory-utilization 0.8 --max-num-seqs 32 -tp 2\n"
    )
    said = engine_log_in(command + TEXTS["vllm-0.8.5"]).said
    assert (said["gpu_memory_utilization"], said["max_num_seqs"]) == ("0.8", "32")
    assert (said["model"], said["tp"]) == ("meta-llama/Llama-3.1-8B-Instruct", "1")


def test_a_path_of_the_hub_cache_is_the_model():
    path = "/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/0123abcd"
    said = engine_log_in(TEXTS["vllm-0.32"].replace("Qwen/Qwen3-8B", path)).said
    assert said["model"] == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    "text", ["", "hello\n", (LOGS / "no-engine.log").read_text(), "\0\1\2" * 99]
)
def test_what_no_engine_wrote_is_none(text, tmp_path):
    path = tmp_path / "server.log"
    path.write_text(text)
    with pytest.raises(SpecError, match="no line of an engine's log") as raised:
        read_engine_log(path)
    assert "start-up log" in raised.value.hint


def test_every_line_of_the_tables_names_columns_and_every_table_has_a_log():
    own = {
        "gpu_blocks", "peak_torch_gib", "consumed_gib", "generation", "free_before_gib",
        "free_after_gib",
    }  # fmt: skip
    engines = {said["engine"] for said in SAID.values() if "engine" in said}
    for path in catalogue("presets/log_lines").values():
        table = load_toml(LogLines, path)
        names = {name for line in table.lines for name in line.reads.groupindex}
        names |= set(table.columns.values())
        plain = {re.sub(r"(__\w+|_mib|_bytes)$", "", name) for name in names}
        assert not {n for n in plain if n not in own and not {n, f"{n}_gib"} & {*COLUMNS}}
        assert table.engine in engines
