"""What vLLM's own benchmarks write, as measured runs.

`vllm bench serve --save-result` says the model, the concurrency and the tokens, but not the machine;
`vllm bench latency` and `throughput --output-json` say only times. The caller adds the rest.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.questions.validate.measured import Run, row_of

_SERVE = {
    "ttft_s": "mean_ttft_ms",
    "tpot_s": "mean_tpot_ms",
    "itl_s": "mean_itl_ms",
    "output_tokens_per_s": "output_throughput",
}


def read_bench(
    path: Path,
    *,
    on: str,
    engine: EngineSpec,
    model: str = "",
    batch: float = 0.0,
    input_tokens: float = 0.0,
    output_tokens: float = 0.0,
) -> list[Run]:
    """Read one JSON file of `vllm bench`.

    Args:
        path: the file.
        on: hardware id of the machine it ran on.
        engine: the engine and its settings.
        model: a preset or path; default, what the file names.
        batch: sequences at once (latency) or requests (throughput), where the file does not say.
        input_tokens: of a request, where the file does not say.
        output_tokens: of a request, where the file does not say.

    Raises:
        SpecError: the file is not of `vllm bench`, or something it leaves out was not given.
        UnknownName: no such model.

    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: {error}", hint="name a JSON file of `vllm bench`") from None
    if not isinstance(data, dict):
        raise SpecError(f"{path}: not an object", hint="name a JSON file of `vllm bench`")
    spec = load_model(model or str(data.get("model_id", "")).rpartition("/")[2].lower() or "?")
    if "mean_ttft_ms" in data:
        return _serve(data, spec, on, engine)
    needed = {"batch": batch, "input-tokens": input_tokens, "output-tokens": output_tokens}
    if missing := [name for name, value in needed.items() if value <= 0]:
        raise SpecError(f"{path}: does not say its {missing[0]}", hint=f"add --{missing[0]}")
    if "avg_latency" in data:
        value = float(data["avg_latency"])
    elif "elapsed_time" in data:
        value, batch = float(data["elapsed_time"]), float(data.get("num_requests", batch))
    else:
        raise SpecError(
            f"{path}: no times in it", hint="write it with --save-result or --output-json"
        )
    return [_run(spec, on, engine, "e2e_latency_s", value, batch, input_tokens, output_tokens)]


def _serve(data: Mapping[str, Any], spec: ModelSpec, on: str, engine: EngineSpec) -> list[Run]:
    done = float(data["completed"])
    concurrency = data.get("max_concurrency")
    if not concurrency:
        raise SpecError(
            "the benchmark ran without --max-concurrency",
            hint="requests then arrive at a rate: that is not a steady concurrency",
        )
    requests = {"n_requests": str(data.get("num_prompts") or data["completed"])}
    lengths = float(data["total_input_tokens"]) / done, float(data["total_output_tokens"]) / done
    runs = []
    for metric, key in _SERVE.items():
        if data.get(key):
            value = float(data[key]) / (1.0 if key == "output_throughput" else 1e3)
            run = _run(spec, on, engine, metric, value, float(concurrency), *lengths)
            runs.append(replace(run, row={**run.row, **requests}))
    return runs


def _run(
    spec: ModelSpec,
    on: str,
    engine: EngineSpec,
    metric: str,
    value: float,
    batch: float,
    input_tokens: float,
    output_tokens: float,
) -> Run:
    return Run(
        model=spec.name,
        gpu=on,
        engine=engine.name,
        device_id=on,
        setup=engine,
        metric=metric,
        value=value,
        batch=batch,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        flag="",
        overflow="",
        row=row_of(spec.arch()),
    )
