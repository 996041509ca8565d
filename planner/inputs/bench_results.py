"""What vLLM's own benchmarks write, as rows of measured runs.

`vllm bench serve --save-result` says the model, the concurrency and the tokens, but not the machine;
`vllm bench latency` and `throughput --output-json` say only times. The caller adds the rest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.files import json_in

_SERVE = {  # column of measured runs: key, and what it is divided by
    "ttft_s": ("mean_ttft_ms", 1e3),
    "tpot_s": ("mean_tpot_ms", 1e3),
    "itl_s": ("mean_itl_ms", 1e3),
    "output_tokens_per_s": ("output_throughput", 1.0),
}
_NEEDED = {"batch": "batch", "input_tokens": "input-tokens", "output_tokens": "output-tokens"}


def read_bench(text: str, path: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Read one JSON of `vllm bench` as a row of measured runs.

    Args:
        text: what the file holds.
        path: the file, for errors.
        known: columns that the file leaves out (gpu, engine, dtype, tp, …) or may leave out (model,
            batch, input_tokens, output_tokens); "" or "0" says nothing.

    Raises:
        SpecError: the file is not of `vllm bench`, or something it leaves out was not given.

    """
    data = json_in(text, path, hint="name a JSON file of `vllm bench`")
    if not isinstance(data, dict):
        raise SpecError(f"{path}: not an object", hint="name a JSON file of `vllm bench`")
    row = {k: v for k, v in known.items() if v not in ("", "0", "0.0")}
    row.setdefault("model", str(data.get("model_id", "")) or "?")
    if "mean_ttft_ms" in data:
        return row | _serve(data)
    if missing := [flag for name, flag in _NEEDED.items() if name not in row]:
        raise SpecError(f"{path}: does not say its {missing[0]}", hint=f"add --{missing[0]}")
    row["arrival"] = "batch"
    if "avg_latency" in data:
        return row | {"e2e_latency_s": str(float(data["avg_latency"]))}
    if "elapsed_time" in data:
        batch = str(data.get("num_requests") or row["batch"])
        return row | {"batch": batch, "e2e_latency_s": str(float(data["elapsed_time"]))}
    raise SpecError(f"{path}: no times in it", hint="write it with --save-result or --output-json")


def _serve(data: Mapping[str, Any]) -> dict[str, str]:
    done = float(data["completed"])
    if not data.get("max_concurrency"):
        raise SpecError(
            "the benchmark ran without --max-concurrency",
            hint="requests then arrive at a rate: that is not a steady concurrency",
        )
    row = {
        "arrival": "closed",
        "concurrency": str(data["max_concurrency"]),
        "n_requests": str(data.get("num_prompts") or data["completed"]),
        "input_tokens": str(float(data["total_input_tokens"]) / done),
        "output_tokens": str(float(data["total_output_tokens"]) / done),
    }
    measured = {c: float(data[key]) / by for c, (key, by) in _SERVE.items() if data.get(key)}
    return row | {column: repr(value) for column, value in measured.items()}
