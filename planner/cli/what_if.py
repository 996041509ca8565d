"""`planner what-if`: the same question under many settings."""

from typing import Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, From, Model, takes

VARIED = "What to vary: concurrency=1..256, tp=1,2,4, dtype=bf16,fp8, d_ff=0.5x,1x. Repeatable."
Vary = Annotated[list[str] | None, typer.Option("--vary", metavar="OPTION=VALUES", help=VARIED)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="An option that stays put. Repeatable."),
]
Memory = Annotated[
    bool, typer.Option("--memory", help="Show memory part by part, as the engine's log would.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Rows to print.")]
CURVE = "concurrency=1..256"  # what is varied where nobody says how requests come


@takes(*SERVING, form=("json_", "csv_", "out", "quiet"))
def what_if(
    form: Form,
    model: Model = None,
    from_: From = None,
    vary: Vary = None,
    set_: Set = None,
    memory: Memory = False,
    top: Top = 64,
    **settings: Any,
) -> None:
    """Ask one model under many settings: latency, throughput, what binds, dollars and joules.

    --vary and --set take every option below, and of the model: d_model, d_ff, n_layers, n_heads, gqa,
    vocab_size, window, n_experts and what else `planner models show` names; --on all: every device.

    Example: planner what-if llama-3-8b --on h100-sxm --vary concurrency=1..256 --vary dtype=bf16,fp8
    """
    from planner.cli.output import command_line
    from planner.cli.serve import served
    from planner.metrics import LOG
    from planner.questions.what_if import what_if as run
    from planner.scenario.options import ALL, LOADS, read_set, read_vary

    settings |= read_set(set_ or [])
    if settings.get("on") == ALL:
        vary = [f"on={settings.pop('on')}", *(vary or [])]
    model, settings, serve = served(from_, model, settings, beside=read_vary(vary or []))
    curve = [] if any(name in settings for name in LOADS) else [CURVE]
    found = run(model, vary or curve, command=command_line(), **settings)
    found = found.model_copy(update={"shown": LOG}) if memory else found
    form.show(found, top, serve)
