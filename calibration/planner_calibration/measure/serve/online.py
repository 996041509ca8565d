"""Requests at a rate: vLLM's own server, loaded by vLLM's own client (`vllm bench serve`)."""

import json
import math
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from planner.inputs.hf_export import export_hf
from planner.inputs.measurement import Measurement
from planner.inputs.model import ModelSpec
from planner_calibration.measure.machine import Machine, free_port
from planner_calibration.measure.serve import process
from planner_calibration.measure.serve.offline import (
    Load,
    Options,
    Point,
    engine_flags,
    engine_name,
    environment,
    settings,
)

LOCAL = ("--host", "127.0.0.1")  # nobody else is to be served
CLI = Path(__file__).with_name("vllm_cli.py")
RESULTS = ("mean", "median", "p99")


def serve(spec: ModelSpec, load: Load, options: Options, on: Machine) -> Measurement:
    """Start a server on `spec`, send it `load` and return the row; a failure is a row too."""
    point = Point(min(load.requests, 256), load.input_tokens, load.output_tokens)
    flags = engine_flags(options, [point], on)
    what = settings(spec, load, options, flags) | {"threads": options.threads}
    if math.isinf(load.requests_per_s):
        what["requests_per_s"] = "inf"  # JSON has no infinity
    common: dict[str, Any] = {"engine": engine_name(options), "machine": on.id}
    common["environment"] = on.environment
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planner-online-") as name:
        folder = Path(name)
        model = export_hf(spec, folder / "model").parent
        write_tokenizer(model, spec.vocab_size)
        status, message, found = _run(model, flags, load, options, on, folder)
    common["seconds"] = round(time.monotonic() - start, 2)
    if not found:
        return Measurement.of("serve_online", what, status=status, message=message, **common)
    return Measurement.of("serve_online", what, values=values(found), **common)


def _run(
    model: Path, flags: dict[str, Any], load: Load, options: Options, on: Machine, folder: Path
) -> tuple[str, str, dict[str, Any]]:
    port, log = free_port(), folder / "server.txt"
    env = environment(on, options.threads)
    env.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)  # a server's engine has a process of its own
    deadline = time.monotonic() + options.limit_s
    base = [options.python, str(CLI)]
    server_flags = {
        k: v for k, v in flags.items() if k not in ("disable_log_stats", "skip_tokenizer_init")
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*base, "serve", str(model), *LOCAL, "--port", str(port), *command_flags(server_flags)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        try:
            while not _healthy(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    ended = process.diagnose(server.poll(), log, options.limit_s, 0.0)
                    return ended.status, ended.message, {}
                time.sleep(0.5)
            bench = process.run(
                [*base, "bench", "serve", *_bench_flags(model, port, load, folder)],
                limit_s=max(1.0, deadline - time.monotonic()),
                log=folder / "bench.txt",
                env=env,
            )
        finally:
            process.end_family(server)
    result = folder / "result.json"
    if bench.status != "ok" or not result.is_file():
        return bench.status if bench.status != "ok" else "failed", bench.message, {}
    return "ok", "", json.loads(result.read_text())


def _bench_flags(model: Path, port: int, load: Load, folder: Path) -> list[str]:
    chosen = {
        "backend": "openai",
        "endpoint": "/v1/completions",
        "host": "127.0.0.1",
        "port": port,
        "model": model,
        "dataset-name": "random",
        "random-input-len": load.input_tokens,
        "random-output-len": load.output_tokens,
        "num-prompts": load.requests,
        "request-rate": load.requests_per_s,
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": 99,
        "seed": 0,
        "result-dir": folder,
        "result-filename": "result.json",
    }
    pairs = [text for k, v in chosen.items() for text in (f"--{k}", str(v))]
    return [*pairs, "--ignore-eos", "--save-result", "--disable-tqdm"]


def values(found: dict[str, Any]) -> dict[str, float]:
    """Return vLLM's report in our words: seconds, from its milliseconds."""
    out = {
        "output_tokens_per_s": float(found["output_throughput"]),
        "completed": float(found["completed"]),
        "duration_s": float(found["duration"]),
    }
    for theirs, ours in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2el", "e2e")):
        for statistic in RESULTS:
            if (value := found.get(f"{statistic}_{theirs}_ms")) is not None:
                out[f"{ours}_{statistic}_s"] = float(value) * 1e-3
    return out


def command_flags(flags: dict[str, Any]) -> list[str]:
    """Return keyword arguments of `LLM` as flags of `vllm serve`."""
    out = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if value is True or value is False:
            out.append(f"--{'' if value else 'no-'}{flag}")
        else:
            out += [f"--{flag}", str(value)]
    return out


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write a tokenizer of `vocab_size` words beside a config: vLLM's client makes its prompts with one."""
    words = {f"w{i}": i for i in range(vocab_size)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w0", "eos_token": "w1"}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
