"""`planner law ask`: the questions a pre-training lead asks of a loss law."""

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.flags import Law, Tokens, group

app = group("Planning questions: best N and D, what a shape costs, which of two is better.")
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model preset or a config.json.")]
SMALLEST = "Smallest runs to consider, as a share of the target."
Other = Annotated[str, typer.Argument(metavar="OTHER", help="The model to compare with.")]


def _say(text: str) -> None:
    from planner.cli.output import write

    write(text, None)


@app.command()
def optimum(
    flops: Annotated[
        str, typer.Option("--flops", metavar="COUNT", help="Training FLOP, e.g. 1e21.")
    ],
    law: Law = None,
) -> None:
    """Which N and D make the most of a training budget (6 N D FLOP), with 80 % intervals.

    Example: planner law ask optimum --flops 1e21
    """
    from planner.inputs.law import law_for
    from planner.law import ask
    from planner.report.law import optimum_text
    from planner.units import count

    budget = count(flops)
    spec, why = law_for(law)
    _say(optimum_text(spec, why, ask.optimum(spec.columns(), budget)))


@app.command()
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
    from planner.inputs.law import law_for
    from planner.law import ask
    from planner.report.law import served_text
    from planner.units import count

    spec, why = law_for(law)
    found = ask.serve(spec.columns(), loss, count(inference_tokens))
    _say(served_text(spec, why, found))


def _asked(models: tuple[str, ...], tokens: str, law: str | None) -> tuple[Any, str, list[Any]]:
    """Return the law, a line saying which, and what it needs to know of each model."""
    from planner.inputs.law import law_for
    from planner.inputs.loading import load_model
    from planner.law.law import shapes
    from planner.units import count

    specs = [load_model(model) for model in models]
    spec, why = law_for(law)
    return spec, why, [shapes(spec.columns(), s.arch(), count(tokens)) for s in specs]


@app.command()
def shape(model: Model, tokens: Tokens = "100B", law: Law = None) -> None:
    """What a shape gives away against the law's best, in nats, tokens and FLOPs.

    Example: planner law ask shape llama-3.2-1b --tokens 100B
    """
    from planner.law.ask import shape_cost
    from planner.report.law import shape_text

    spec, why, (s,) = _asked((model,), tokens, law)
    _say(shape_text(spec.columns(), why, model, s, shape_cost(spec.columns(), s)))


@app.command()
def better(model: Model, other: Other, tokens: Tokens = "100B", law: Law = None) -> None:
    """How sure are we that MODEL ends at a lower loss than OTHER.

    Example: planner law ask better surefire-3b llama-3.2-3b
    """
    from planner.law.ask import sure
    from planner.report.law import better_text

    spec, why, (a, b) = _asked((model, other), tokens, law)
    found = sure(spec.columns(), a, b)
    _say(better_text(spec.columns(), why, (model, other), (a, b), found))


@app.command()
def settle(
    model: Model,
    other: Other,
    tokens: Tokens = "100B",
    law: Law = None,
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help=SMALLEST)] = 0.3333,
) -> None:
    """Which three training runs would tell most about MODEL against OTHER.

    Example: planner law ask settle panda-3b llama-3.2-3b
    """
    from planner_calibration.plan.settle import runs_that_settle, settle_text

    spec, why, (a, b) = _asked((model, other), tokens, law)
    runs = runs_that_settle(spec.columns(), a, b, size_share=share)
    _say("\n".join([why, *settle_text(runs, float(a.n), share, spec.noise_sd)]))


@app.command("accuracy")
def accuracy_of(
    loss: Annotated[float, typer.Option("--loss", help="Loss, nats per token.")],
    against: Annotated[
        float | None, typer.Option("--against", help="Another loss, for the difference.")
    ] = None,
    other_data: Annotated[
        bool,
        typer.Option("--other-data", help="Corpus or tokenizer are not Dolma's and Llama-3's."),
    ] = False,
    own: Annotated[
        Path | None,
        typer.Option(help="CSV of a few models of your own, columns loss and acc: mends the bias."),
    ] = None,
) -> None:
    """What a loss means in zero-shot accuracy: nine tasks on average, and six by name.

    Example: planner law ask accuracy --loss 2.61
    """
    from planner.law.accuracy import NINE_TASKS
    from planner.law.ask import accuracy_gap, task_accuracies
    from planner.report.law import accuracy_text

    nine = NINE_TASKS
    if own is not None:
        from planner_calibration.fit.law.accuracy import load_downstream, update_link

        seen = load_downstream(own)
        nine = update_link(nine, seen.loss, seen.values["acc"])
    asked: Any = {"other_data": other_data and own is None, "nine": nine}
    gap = None if against is None else accuracy_gap(loss, against, **asked)
    found = task_accuracies(loss, **asked)
    _say(accuracy_text(found, gap, against))
