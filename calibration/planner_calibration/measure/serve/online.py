"""Requests as users send them: vLLM's own server, loaded by vLLM's own client (`vllm bench serve`).

One server answers all loads of a model. On a CPU the engine has the last cores to itself, and its front end
and the client share the others, as where they run on machines of their own.
"""

import json
import math
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from planner.inputs.hf_export import export_hf
from planner.inputs.measurement import Measurement, content_key
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
# On a CPU vLLM's scheduler spins while it waits for the kernels. Where it shares a core with the front end,
# tokens then reach their client when the last one is made, unless it gives way.
SPINS = "VLLM::EngineCor"
SEQUENCES = 256  # at once, at most: what the server is started with
DIGITS = 6  # of a second, kept of each request


class Failed(Exception):  # noqa: N818 - a result, recorded as a row
    """A server or a client that ended early; `status` as a row has it."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, and how it was started."""

    spec: ModelSpec
    options: Options
    on: Machine
    flags: dict[str, Any]
    folder: Path
    port: int
    start_s: float
    child: "subprocess.Popen[bytes]"

    def metrics(self) -> str:
        """Return what it publishes at /metrics, in Prometheus' text."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        """Return what it has printed."""
        return (self.folder / "server.txt").read_text(errors="replace")

    def measure(self, load: Load, limit_s: float) -> Measurement:
        """Send it a load and return the row; a failure is a row too."""
        what = _what(self.spec, load, self.options, self.flags)
        start = time.monotonic()
        common: dict[str, Any] = {
            "engine": engine_name(self.options),
            "machine": self.on.id,
            "environment": {
                **self.on.environment,
                "start_s": round(self.start_s, 1),
                **self.facts(),
            },
        }
        try:
            found = self._bench(load, limit_s)
        except Failed as failed:
            told: dict[str, Any] = {"status": failed.status, "message": str(failed)}
        else:
            told = {"values": values(found), "samples": samples(found)}
        seconds = round(time.monotonic() - start, 2)
        return Measurement.of("serve_online", what, seconds=seconds, **told, **common)

    def facts(self) -> dict[str, Any]:
        """Return what it settled on: limits, blocks and how it schedules."""
        told = {
            k: self.flags[k] for k in ("max_num_seqs", "max_num_batched_tokens") if k in self.flags
        }
        return {f"engine_{k}": v for k, v in told.items()}

    def _bench(self, load: Load, limit_s: float) -> dict[str, Any]:
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        bench = process.run(
            [self.options.python, str(CLI), "bench", "serve", *_bench_flags(self, load)],
            limit_s=limit_s,
            log=self.folder / "bench.txt",
            env=environment(self.on, served(self.options)),
        )
        if self.child.poll() is not None:
            raise Failed("crash", "the server ended: " + self.log().strip()[-200:])
        if bench.status != "ok" or not result.is_file():
            raise Failed(bench.status if bench.status != "ok" else "failed", bench.message)
        return dict(json.loads(result.read_text()))


def served(options: Options) -> Options:
    """Return options of an engine in a server's processes."""
    return replace(options, as_served=True)


def server_flags(options: Options, loads: Sequence[Load], on: Machine) -> dict[str, Any]:
    """Return what a server is started with; its limits do not depend on the loads, but for the longest."""
    longest = [Point(SEQUENCES, n.longest_input, n.longest_output) for n in loads]
    flags = engine_flags(served(options), longest, on)
    return {k: v for k, v in flags.items() if k not in ("disable_log_stats", "skip_tokenizer_init")}


def keys(spec: ModelSpec, loads: Sequence[Load], options: Options, on: Machine) -> list[str]:
    """Return each load's key on record."""
    flags, engine = server_flags(options, loads, on), engine_name(options)
    return [
        content_key("serve_online", _what(spec, n, options, flags), on.id, engine) for n in loads
    ]


def serve(
    spec: ModelSpec,
    loads: Sequence[Load],
    options: Options,
    on: Machine,
    recorded: Container[str] = (),
) -> Iterator[Measurement]:
    """Start one server on `spec`, send it every load not `recorded` and yield a row each, as it ends."""
    known = zip(loads, keys(spec, loads, options, on), strict=True)
    left = [load for load, key in known if key not in recorded]
    if not left:
        return
    flags, deadline = server_flags(options, loads, on), time.monotonic() + options.limit_s
    try:
        with started(spec, flags, options, on, options.limit_s) as server:
            for load in left:
                yield server.measure(load, max(1.0, deadline - time.monotonic()))
    except Failed as failed:
        for load in left:
            yield Measurement.of(
                "serve_online",
                _what(spec, load, options, flags),
                status=failed.status,
                message=str(failed),
                engine=engine_name(options),
                machine=on.id,
                environment=on.environment,
            )


@contextmanager
def started(
    spec: ModelSpec, flags: dict[str, Any], options: Options, on: Machine, limit_s: float
) -> Iterator[Server]:
    """Run a server on `spec` and end its whole family with the block.

    Raises:
        Failed: it ended, or was not ready in time.

    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planner-online-") as name:
        folder, port = Path(name), free_port()
        model = export_hf(spec, folder / "model").parent
        write_tokenizer(model, spec.vocab_size)
        log = folder / "server.txt"
        env = environment(on, served(options))
        base = [options.python, str(CLI), "serve", str(model), *LOCAL, "--port", str(port)]
        with log.open("wb") as output:
            child = subprocess.Popen(
                [*base, *command_flags(flags)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
            try:
                while not _healthy(port):
                    took = time.monotonic() - start
                    if child.poll() is not None or took > limit_s:
                        ended = process.diagnose(child.poll(), log, limit_s, took)
                        raise Failed(ended.status, ended.message)
                    time.sleep(0.5)
                took = time.monotonic() - start
                if "PLANNER_CORES" in env:
                    process.give_way(child, SPINS)
                yield Server(spec, options, on, flags, folder, port, took, child)
            finally:
                process.end_family(child)


def _what(spec: ModelSpec, load: Load, options: Options, flags: dict[str, Any]) -> dict[str, Any]:
    what = settings(spec, load, options, flags) | {"threads": options.threads}
    if math.isinf(load.requests_per_s):
        what["requests_per_s"] = "inf"  # JSON has no infinity
    return what


def _bench_flags(server: Server, load: Load) -> list[str]:
    chosen = {
        "backend": "openai",
        "endpoint": "/v1/completions",
        "host": "127.0.0.1",
        "port": server.port,
        "model": server.folder / "model",
        "dataset-name": "random",
        "random-input-len": load.input_tokens,
        "random-output-len": load.output_tokens,
        "num-prompts": load.requests,
        "request-rate": load.requests_per_s,
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": 99,
        "seed": 0,
        "result-dir": server.folder,
        "result-filename": "result.json",
    }
    if load.concurrency is not None:
        chosen["max-concurrency"] = load.concurrency
    if load.length_range:
        chosen["random-range-ratio"] = load.length_range
    pairs = [text for k, v in chosen.items() for text in (f"--{k}", str(v))]
    return [*pairs, "--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]


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


def samples(found: dict[str, Any]) -> dict[str, list[float]]:
    """Return what happened to each request, in the order they were sent; nothing where it is not told."""
    starts, ttfts = found.get("start_times") or [], found.get("ttfts") or []
    gaps, n_in, n_out = (found.get(k) or [] for k in ("itls", "input_lens", "output_lens"))
    if not starts or len({*map(len, (starts, ttfts, gaps, n_in, n_out))}) != 1:
        return {}
    first = min(starts)
    rows = sorted(zip(starts, ttfts, gaps, n_in, n_out, strict=True), key=lambda r: float(r[0]))
    done = [r for r in rows if r[1] > 0 and r[4] > 0]
    return {
        "start_s": [round(r[0] - first, DIGITS) for r in done],
        "ttft_s": [round(r[1], DIGITS) for r in done],
        "e2e_s": [round(r[1] + sum(r[2]), DIGITS) for r in done],
        "input_tokens": [float(r[3]) for r in done],
        "output_tokens": [float(r[4]) for r in done],
    }


def command_flags(flags: dict[str, Any]) -> list[str]:
    """Return keyword arguments of `LLM` as flags of `vllm serve`."""
    out = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if value is True or value is False:
            out.append(f"--{'' if value else 'no-'}{flag}")
        elif isinstance(value, dict | list):
            out += [f"--{flag}", json.dumps(value)]
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
