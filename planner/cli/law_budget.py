"""`planner law ask optimum` and `serve`: which size and how many tokens."""

from typing import Annotated

import typer

from planner.cli.options import Law


def optimum(
    flops: Annotated[
        str, typer.Option("--flops", metavar="COUNT", help="Training FLOP, e.g. 1e21.")
    ],
    law: Law = None,
) -> None:
    """Which N and D make the most of a training budget (6 N D FLOP), with 80 % intervals.

    Example: planner law ask optimum --flops 1e21
    """
    from planner.cli.output import write
    from planner.inputs.law import law_for
    from planner.law import ask
    from planner.report.law import optimum_text
    from planner.units import count

    budget = count(flops)
    spec, why = law_for(law, (budget / 120) ** 0.5)
    write(optimum_text(spec, why, ask.optimum(spec.columns(), budget)), None)


def serve(
    loss: Annotated[float, typer.Option("--loss", help="Loss to reach, nats per token.")],
    inference_tokens: Annotated[
        str, typer.Option("--inference-tokens", metavar="COUNT", help="Tokens to be served in all.")
    ],
    law: Law = None,
) -> None:
    """Which N and D reach a loss at least training plus inference FLOPs (Sardana et al. 2024).

    Example: planner law ask serve --loss 2.6 --inference-tokens 1T
    """
    from planner.cli.output import write
    from planner.inputs.law import law_for
    from planner.law import ask
    from planner.report.law import served_text
    from planner.units import count

    spec, why = law_for(law, 1e9)
    found = ask.serve(spec.columns(), loss, count(inference_tokens))
    write(served_text(spec, why, found), None)
