"""`planner budget`: what a latency budget buys."""

from typing import Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, From, Model, takes
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
    list[str] | None,
    typer.Option(
        "--on",
        metavar="HARDWARE[,…]",
        help=f"Devices to consider, ids or paths; repeatable; all: every one. [default: {DEFAULT_DEVICE}]",
        show_default=False,
    ),
]
COPIES = "how many copies it takes is the answer"
DTYPES, TPS = "bf16", "1,2,4,8"
Dtypes = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="FORMAT[,…]",
        help=f"Weight formats [default: {DTYPES}]",
        show_default=False,
    ),
]
Tps = Annotated[
    str | None,
    typer.Option(
        "--tp",
        metavar="N[,N…]",
        help=f"Tensor-parallel degrees [default: {TPS}]",
        show_default=False,
    ),
]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="RATE", help="Arrivals to serve in all: 12/s.")
]


OWN = ("on", "dtype", "tp", "rate", "batch", "concurrency", "burst", "requests")


@takes(*SERVING, form=("json_", "csv_", "out", "quiet"), without=OWN)
def budget(
    form: Form, model: Model = None, from_: From = None,
    ttft: Ttft = None, tpot: Tpot = None, itl: Itl = None, e2e: E2e = None, at: At = "p99",
    rate: Rate = None, on: On = None, dtype: Dtypes = None, tp: Tps = None,
    set_: Set = None, **settings: Any,
) -> None:  # fmt: skip
    """Invert it: the load each configuration carries within the limits, devices, dollars, and why.

    Example: planner budget llama-3-8b --on h100-sxm --ttft 500ms --tpot 25ms --at p99 --rate 12/s
    """
    from planner.cli.output import command_line, counting
    from planner.cli.serve import served
    from planner.inputs.loading import load_model
    from planner.questions.budget.budget import budget as run
    from planner.scenario.options import read_set
    from planner.units import whole

    limits: dict[str, Any] = {"ttft": ttft, "tpot": tpot, "itl": itl, "e2e": e2e, "at": at}
    own = {"dtype": dtype, "tp": tp}
    given = settings | read_set(set_ or []) | {n: v for n, v in own.items() if v is not None}
    model, given, serve = served(from_, model, given, without={"replicas": COPIES})
    stored = load_model(model).weights_format or DTYPES
    formats, degrees = str(given.pop("dtype", stored)), str(given.pop("tp", TPS))
    grid: dict[str, Any] = {
        "on": ",".join([given.pop("on")] if "on" in given else on or [DEFAULT_DEVICE]).split(","),
        "dtypes": formats.split(","),
        "tps": [whole(degree, "--tp") for degree in degrees.split(",")],
    }
    rate = given.pop("rate", rate)
    with counting("configurations", quiet=form.quiet) as progress:
        asked = limits | grid | given
        found = run(model, rate=rate, command=command_line(), progress=progress, **asked)
    form.show(found, serve=serve)
