"""`planner predict`: one model on one system."""

from typing import Annotated

import typer

from planner.cli import options as o

Model = Annotated[str, typer.Argument(help="Preset name, TOML, config.json, or its folder.")]
KvDtype = Annotated[str | None, typer.Option(help="KV cache format; default: 16 bits.")]


def predict(
    model: Model,
    on: o.On = "a100-sxm-40gb",
    engine: o.Engine = "vllm",
    dtype: o.Dtype = "bf16",
    kv_dtype: KvDtype = None,
    input_tokens: o.InputTokens = "4096",
    output_tokens: o.OutputTokens = "1024",
    batch: o.Batch = "64",
    tp: o.Tp = 1,
    tokens: o.Tokens = "100B",
    law: o.Law = None,
    profile: o.Profile = None,
    hardware_path: o.HardwarePath = None,
    json_: o.Json = False,
    csv_: o.Csv = False,
    plot: o.Plot = False,
    out: o.Out = None,
) -> None:
    """Predict speed, memory, loss and accuracy of one model, operator by operator.

    Example: planner predict llama-3.2-1b --on h100-sxm --batch 32
    """
    from planner.cli.output import as_text, command_line, emit, plots, write
    from planner.questions.predict import predict as run
    from planner.questions.recommend.ask import engine_spec, workload_spec
    from planner.units import count

    o.use_hardware_path(hardware_path)
    result = run(
        model,
        on=on,
        engine=engine_spec(engine, dtype=dtype, kv_dtype=kv_dtype, tp=tp),
        workload=workload_spec(input_tokens, output_tokens, batch),
        tokens=count(tokens, "--tokens"),
        law=law,
        profile=profile,
        command=command_line(),
    )
    if plot and not (json_ or csv_):
        write(as_text(result) + plots(result), out)
    else:
        emit(result, json_=json_, csv_=csv_, out=out)
