"""`planner validate`: predictions against measurements."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import options as o

if TYPE_CHECKING:
    from planner.questions.validate.validate import Refit

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="CSV of runs or kernels, or a vllm bench JSON.")
]
Cv = Annotated[
    bool, typer.Option("--cv", help="Predict every architecture by a fit on the others.")
]
Model = Annotated[str, typer.Option(help="For vllm bench: the model, where the file has none.")]
Batch = Annotated[float, typer.Option(help="For vllm bench: sequences at once.")]
Tokens = Annotated[float, typer.Option(help="For vllm bench: tokens of a request.")]
Worst = Annotated[int, typer.Option(help="How many of the worst rows to show.")]


def validate(
    data: Data,
    cv: Cv = False,
    on: o.On = "a100-sxm-40gb",
    engine: o.Engine = "vllm",
    dtype: o.Dtype = "bf16",
    tp: o.Tp = 1,
    model: Model = "",
    batch: Batch = 0.0,
    input_tokens: Tokens = 0.0,
    output_tokens: Tokens = 0.0,
    worst: Worst = 10,
    json_: o.Json = False,
    out: o.Out = None,
) -> None:
    """Score predictions against measured runs, measured kernels, or a result of `vllm bench`.

    A CSV of runs needs the columns engine, gpu, model, n_layers, d_model, n_heads, n_kv_heads,
    head_dim, d_ff, vocab, batch, input_len, output_len, metric, value; it may have engine_version,
    dtype, tp, pp, ep, mlp_gated, tied_embeddings, n_experts, n_active_experts, n_shared_experts,
    flag, kv_overflow. Metrics: e2e_latency_s, prefill_s and output_tok_s of one batch; ttft_s,
    tpot_s, itl_s and output_tokens_per_s at a steady concurrency, which `batch` then is, of
    n_requests in the run (10 for each place). A CSV of kernels has op, gpu, dtype, time_s and the
    operator's shape.

    Example: planner validate runs.csv --cv
    """
    from planner.cli.output import as_text, emit, write
    from planner.questions.validate import validate as v
    from planner.questions.validate.kernel_rows import group_kernels
    from planner.questions.validate.measured import read_rows, runs_of
    from planner.report.validation import validation_text

    if data.suffix == ".json":
        from planner.inputs.bench_results import read_bench
        from planner.questions.recommend.ask import engine_spec

        spec = engine_spec(engine, dtype=dtype, kv_dtype=None, tp=tp)
        lengths = {"batch": batch, "input_tokens": input_tokens, "output_tokens": output_tokens}
        runs = read_bench(data, on=on, engine=spec, model=model, **lengths)
        result = v.validate_runs(runs, data.name, worst=worst)
    else:
        rows = read_rows(data)
        if "op" in rows[0]:
            result = v.validate_kernels(group_kernels(rows, data), data.name, worst=worst)
        else:
            result = v.validate_runs(
                runs_of(rows, data), data.name, refit=_refit() if cv else None, worst=worst
            )
    if json_:
        emit(result, json_=True, out=out, kind="validate")
    else:
        write(as_text(validation_text(result)), out)


def _refit() -> "Refit":
    from planner_calibration.fit.speed.refit import refit

    return refit
