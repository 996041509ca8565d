"""`planner what-if`: the same question under many settings."""

from pathlib import Path
from typing import Annotated

import typer

from planner.cli import options as o

Model = Annotated[str, typer.Argument(help="Preset name, TOML, config.json, or its folder.")]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KNOB=VALUES",
        help="What to turn: concurrency=1..256, tp=1,2,4, dtype=bf16,fp8, d_ff=0.5x,1x. Repeatable.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="A knob that stays put. Repeatable."),
]
Concurrency = Annotated[
    str, typer.Option("--concurrency", metavar="COUNT", help="Requests in flight.")
]
Rate = Annotated[str | None, typer.Option("--rate", metavar="RATE", help="Arrivals instead: 12/s.")]
UsdPerHour = Annotated[
    float | None, typer.Option("--usd-per-hour", min=0, help="Price of a device by the hour.")
]
Prices = Annotated[
    Path | None, typer.Option("--prices", metavar="FILE", help="Price list, TOML; default: ours.")
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="Run each point through the scheduler: percentiles.")
]
Trace = Annotated[
    Path | None, typer.Option("--trace", metavar="CSV", help="Arrivals and lengths to replay.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Rows to print.")]


def what_if(
    model: Model,
    vary: Vary = None,
    set_: Set = None,
    on: o.On = "a100-sxm-40gb",
    engine: o.Engine = "vllm",
    dtype: o.Dtype = "bf16",
    tp: o.Tp = 1,
    input_tokens: o.InputTokens = "4096",
    output_tokens: o.OutputTokens = "1024",
    concurrency: Concurrency = "64",
    rate: Rate = None,
    trace: Trace = None,
    simulate: Simulate = False,
    usd_per_hour: UsdPerHour = None,
    prices: Prices = None,
    profile: o.Profile = None,
    hardware_path: o.HardwarePath = None,
    top: Top = 64,
    json_: o.Json = False,
    csv_: o.Csv = False,
    out: o.Out = None,
) -> None:
    """Ask one model under many settings: latency, throughput, what binds, dollars and joules.

    Example: planner what-if llama-3-8b --on h100-sxm --vary concurrency=1..256 --vary dtype=bf16,fp8
    """
    from planner.cli.output import as_text, command_line, emit, write
    from planner.questions.what_if import what_if as run
    from planner.report.what_if import what_if as render

    o.use_hardware_path(hardware_path)
    settings = settings_of(
        set_, on, engine, dtype, tp, input_tokens, output_tokens, concurrency, rate
    )
    if trace:
        settings["trace"] = str(trace)
    result = run(
        model,
        vary or ["concurrency=1..256"],
        settings=settings,
        usd_per_hour=usd_per_hour,
        prices=str(prices) if prices else None,
        simulate=simulate or trace is not None,
        profile=profile,
        command=command_line(),
    )
    if json_ or csv_:
        emit(result, json_=json_, csv_=csv_, out=out)
    else:
        write(as_text(render(result, top)), out)


def settings_of(
    set_: list[str] | None,
    on: str,
    engine: str,
    dtype: str,
    tp: int,
    input_tokens: str,
    output_tokens: str,
    concurrency: str,
    rate: str | None,
) -> dict[str, object]:
    """Return the knobs that stay as they are, by name; ``--set`` has the last word."""
    from planner.errors import SpecError
    from planner.scenario.options import read_knobs
    from planner.units import parse, whole

    settings: dict[str, object] = {
        "on": on,
        "engine": engine,
        "dtype": dtype,
        "tp": tp,
        "input_tokens": whole(input_tokens, "--input-tokens"),
        "output_tokens": whole(output_tokens, "--output-tokens"),
        "concurrency": whole(concurrency, "--concurrency"),
    }
    if rate is not None:
        try:
            settings["rate"] = parse(rate, "1/s")
        except SpecError as error:
            raise SpecError(f"--rate: {error}", hint=error.hint) from None
    for name, values in read_knobs(set_ or [], "--set").items():
        if len(values) != 1:
            raise SpecError(f"--set: {name} has {len(values)} values", hint=f"use --vary {name}=…")
        settings[name] = values[0]
    return settings
