"""`planner validate`: predictions against measurements."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, From, takes

if TYPE_CHECKING:
    from planner.questions.validate.predicted import Refit

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="CSV of runs or kernels, benchmark result, or start-up log; - is stdin.",
    ),
]
Cv = Annotated[
    bool, typer.Option("--cv", help="Predict every architecture by a fit on the others.")
]
Model = Annotated[
    str, typer.Option(help="The model, where the file has none, or not its usual name.")
]
By = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="What rows must share to be scored together: of gpu,engine,model,dtype,tp,arrival,lengths,metric.",
    ),
]
Worst = Annotated[int, typer.Option(help="How many of the worst rows to show.")]


@takes(*SERVING, form=("json_", "out"))
def validate(
    form: Form,
    data: Data,
    cv: Cv = False,
    model: Model = "",
    from_: From = None,
    by: By = "",
    worst: Worst = 10,
    **settings: Any,
) -> None:
    """Score predictions against measured runs or kernels, a benchmark result, or an engine's start-up log.

    A CSV of runs needs the columns engine, gpu, model, input_tokens and output_tokens (or input_len,
    output_len), and what was measured: columns such as ttft_mean_s, tpot_mean_s, output_tokens_per_s,
    duration_s, or one a row in metric and value. It may have the shape (n_layers, d_model, n_heads,
    n_kv_heads, head_dim, d_ff, vocab; else the model's name says it), engine_version, dtype, kv_dtype,
    tp, pp, ep, arrival (batch, closed, burst, rate), concurrency or batch, n_requests, rate_per_s,
    burstiness, flag, kv_overflow. A benchmark's result is what vllm bench, SGLang, trtllm-bench, aiperf,
    genai-perf, guidellm, inference-perf, llmperf or InferenceX write, or the text that vllm bench serve
    prints; flags may not contradict it. A CSV of kernels has op, gpu, dtype, time_s and the operator's shape. A log is what
    vLLM, SGLang or TensorRT-LLM says when it starts: its memory is compared part by part. The flags of
    an engine and a workload, and --from, say what a file leaves out, and come before what a log says.

    Example: planner validate runs.csv --cv
    """
    from planner.cli.output import command_line
    from planner.inputs.serve_command import read_serve_command
    from planner.questions.validate.measured import COLUMN_OF
    from planner.questions.validate.validate import validate_file

    serve = None
    if from_ is not None:
        serve = read_serve_command(from_, model=model).beside(settings)
        lacking = serve.options.keys() - COLUMN_OF.keys()
        serve = serve.without(lacking, "rows of measurements do not say it")
        model, settings = serve.model, {**serve.options, **settings}
    known = {COLUMN_OF.get(name, name): str(value) for name, value in settings.items()}
    known, refit = {"model": model, **known}, _refit() if cv else None
    command = command_line()
    together = tuple(filter(None, (name.strip() for name in by.split(","))))
    found = validate_file(data, known=known, refit=refit, by=together, worst=worst, command=command)
    form.show(found, serve=serve)


def _refit() -> "Refit":
    from planner_calibration.fit.speed.refit import refit

    return refit
