"""`planner budget`: what a latency budget buys."""

from typing import Annotated

import typer

from planner.cli import options as o
from planner.cli import what_if as w

On = Annotated[
    str, typer.Option("--on", metavar="HARDWARE[,…]", help="Devices to consider, ids or paths.")
]
Dtypes = Annotated[str, typer.Option("--dtype", metavar="FORMAT[,…]", help="Weight formats.")]
Tps = Annotated[str, typer.Option("--tp", metavar="N[,N…]", help="Tensor-parallel degrees.")]
Itl = Annotated[
    str | None, typer.Option("--itl", metavar="TIME", help="Longest gap between two tokens.")
]
E2e = Annotated[
    str | None, typer.Option("--e2e", metavar="TIME", help="Longest time to the last token.")
]
At = Annotated[str, typer.Option("--at", help="Where limits hold: mean, p50, p90, p95, p99.")]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="RATE", help="Arrivals to serve in all: 12/s.")
]


def budget(
    model: w.Model,
    ttft: o.Ttft = None,
    tpot: o.Tpot = None,
    itl: Itl = None,
    e2e: E2e = None,
    at: At = "p99",
    rate: Rate = None,
    on: On = "a100-sxm-40gb",
    engine: o.Engine = "vllm",
    dtype: Dtypes = "bf16",
    tp: Tps = "1,2,4,8",
    input_tokens: o.InputTokens = "4096",
    output_tokens: o.OutputTokens = "1024",
    set_: w.Set = None,
    trace: w.Trace = None,
    usd_per_hour: w.UsdPerHour = None,
    prices: w.Prices = None,
    profile: o.Profile = None,
    hardware_path: o.HardwarePath = None,
    json_: o.Json = False,
    csv_: o.Csv = False,
    out: o.Out = None,
) -> None:
    """Invert it: the load each configuration carries within the limits, devices, dollars, and why.

    Example: planner budget llama-3-8b --on h100-sxm --ttft 500ms --tpot 25ms --at p99 --rate 12/s
    """
    from planner.cli.output import command_line, emit
    from planner.questions.budget.budget import budget as run
    from planner.questions.recommend.ask import wholes

    o.use_hardware_path(hardware_path)
    settings = w.settings_of(set_, on, engine, dtype, 1, input_tokens, output_tokens, "1", rate)
    wanted = settings.pop("rate", None)
    if trace:
        settings["trace"] = str(trace)
    result = run(
        model,
        ttft=ttft,
        tpot=tpot,
        itl=itl,
        e2e=e2e,
        at=at,
        on=on.split(","),
        dtypes=dtype.split(","),
        tps=wholes(tp, "--tp"),
        rate_per_s=wanted,  # type: ignore[arg-type]
        settings={k: v for k, v in settings.items() if k not in ("on", "dtype", "tp")},
        usd_per_hour=usd_per_hour,
        prices=str(prices) if prices else None,
        profile=profile,
        command=command_line(),
    )
    emit(result, json_=json_, csv_=csv_, out=out)
