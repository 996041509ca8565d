"""`planner budget`: what a latency budget buys."""

from typing import Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, Model, takes
from planner.cli.what_if import Set
from planner.inputs.deployment import DEFAULT_DEVICE

Ttft = Annotated[
    str | None, typer.Option("--ttft", metavar="TIME", help="Longest time to first token: 300ms.")
]
Tpot = Annotated[
    str | None,
    typer.Option("--tpot", metavar="TIME", help="Longest mean time per output token: 20ms."),
]
Itl = Annotated[
    str | None, typer.Option("--itl", metavar="TIME", help="Longest gap between two tokens.")
]
E2e = Annotated[
    str | None, typer.Option("--e2e", metavar="TIME", help="Longest time to the last token.")
]
At = Annotated[str, typer.Option("--at", help="Where limits hold: mean, p50, p90, p95, p99.")]
On = Annotated[
    str, typer.Option("--on", metavar="HARDWARE[,…]", help="Devices to consider, ids or paths.")
]
Dtypes = Annotated[str, typer.Option("--dtype", metavar="FORMAT[,…]", help="Weight formats.")]
Tps = Annotated[str, typer.Option("--tp", metavar="N[,N…]", help="Tensor-parallel degrees.")]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="RATE", help="Arrivals to serve in all: 12/s.")
]


OWN = ("on", "dtype", "tp", "rate", "batch", "concurrency", "burst", "requests")


@takes(*SERVING, form=("json_", "csv_", "out"), without=OWN)
def budget(
    form: Form, model: Model,
    ttft: Ttft = None, tpot: Tpot = None, itl: Itl = None, e2e: E2e = None, at: At = "p99",
    rate: Rate = None, on: On = DEFAULT_DEVICE, dtype: Dtypes = "bf16", tp: Tps = "1,2,4,8",
    set_: Set = None, **settings: Any,
) -> None:  # fmt: skip
    """Invert it: the load each configuration carries within the limits, devices, dollars, and why.

    Example: planner budget llama-3-8b --on h100-sxm --ttft 500ms --tpot 25ms --at p99 --rate 12/s
    """
    from planner.cli.output import command_line
    from planner.questions.budget.budget import budget as run
    from planner.scenario.options import read_set
    from planner.units import whole

    limits: dict[str, Any] = {"ttft": ttft, "tpot": tpot, "itl": itl, "e2e": e2e, "at": at}
    tps = [whole(degree, "--tp") for degree in tp.split(",")]
    grid: dict[str, Any] = {"on": on.split(","), "dtypes": dtype.split(","), "tps": tps}
    settings |= read_set(set_ or [])
    form.show(run(model, rate=rate, command=command_line(), **limits, **grid, **settings))
