"""`planner law ask`: the questions a pre-training lead asks of a loss law."""

from typing import Annotated, Any

import typer

from planner.cli import law_budget
from planner.cli.options import Law, Tokens

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Planning questions: best N and D, what a shape costs, which of two is better.",
)
app.command()(law_budget.optimum)
app.command()(law_budget.serve)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model preset or a config.json.")]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="The model to compare with.")]


def _shapes(model: str, tokens: str, law: str | None) -> tuple[Any, Any, str, Any]:
    from planner.inputs.loading import load_model
    from planner.units import count

    arch = load_model(model).arch()
    from planner.cost.params import n_params_non_embedding

    spec, why = law_budget.law_for(law, float(n_params_non_embedding(arch)))
    return spec, spec.shapes(arch, count(tokens)), why, arch


@app.command()
def shape(model: Model, tokens: Tokens = "100B", law: Law = None) -> None:
    """What a shape gives away against the law's best, in nats, tokens and FLOPs.

    Example: planner law ask shape llama-3.2-1b --tokens 100B
    """
    import numpy as np

    from planner.cli.output import write
    from planner.law.ask import shape_cost

    spec, s, why, arch = _shapes(model, tokens, law)
    cost = shape_cost(spec.columns(), s)
    more = (
        "no amount of"
        if not np.isfinite(cost.tokens_factor)
        else f"{max(cost.tokens_factor - 1, 0.0):.0%} more"
    )
    lines = [
        why,
        f"{model}: d_model/sqrt(N) {float(s.x):.4f}, MLP/attention {float(s.r):.2f}",
        f"{cost.nats:+.4f} nats against the best shape of the same size",
        f"made good by {more} training tokens (and FLOPs) at the same N",
        f"or: the best shape reaches this loss with {cost.params_factor:.0%} of the parameters",
    ]
    lines += [f"warning: {w.message}" for w in spec.warnings(arch, s.n_tokens)]
    write("\n".join(lines), None)


@app.command()
def better(model: Model, other: Other, tokens: Tokens = "100B", law: Law = None) -> None:
    """How sure are we that MODEL ends at a lower loss than OTHER.

    Example: planner law ask better surefire-3b llama-3.2-3b
    """
    from planner.cli.output import write
    from planner.law.ask import sure

    spec, a, why, arch = _shapes(model, tokens, law)
    _, b, _, arch_b = _shapes(other, tokens, law or spec.name)
    c = sure(spec.columns(), a, b)
    verdict = "a tie at this evidence" if c.tie else ("better" if c.p_better > 0.5 else "worse")
    lines = [
        why,
        f"{model} less {other}: {c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}] nats",
        f"P({model} is lower) = {c.p_better:.2f}: {verdict}",
    ]
    seen = {w.code: w.message for x in (arch, arch_b) for w in spec.warnings(x, a.n_tokens)}
    write("\n".join(lines + [f"warning: {m}" for m in seen.values()]), None)


@app.command()
def settle(
    model: Model,
    other: Other,
    tokens: Tokens = "100B",
    law: Law = None,
    share: Annotated[
        float,
        typer.Option(
            min=0.01, max=1.0, help="Smallest runs to consider, as a share of the target."
        ),
    ] = 0.3333,
) -> None:
    """Which three training runs would tell most about MODEL against OTHER.

    Example: planner law ask settle panda-3b llama-3.2-3b
    """
    from planner_calibration.plan.settle import describe_runs, runs_that_settle

    from planner.cli.output import write

    spec, a, why, _ = _shapes(model, tokens, law)
    _, b, _, _ = _shapes(other, tokens, law or spec.name)
    runs = runs_that_settle(spec.columns(), a, b, size_share=share)
    lines = [why, *(f"{i}. {line}" for i, line in enumerate(describe_runs(runs), start=1))]
    if runs[0].n > 1.01 * share * float(a.n):
        lines.append(
            f"runs at {share:.0%} of the size would tell little: the law knows those sizes already, "
            "or its shape coefficients drift too much between them and the target"
        )
    floor = spec.noise_sd * 2**0.5
    lines.append(f"run noise alone leaves {floor:.4f} nats between two models, however many runs")
    if runs[0].sd_before < floor:
        lines.append("the law is already surer than that: training both would not settle it either")
    write("\n".join(lines), None)


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
) -> None:
    """What a loss means in zero-shot accuracy: nine tasks on average, and six by name.

    Example: planner law ask accuracy --loss 2.61
    """
    import numpy as np

    from planner.cli.output import write
    from planner.law.accuracy import (
        NINE_TASKS,
        RESOLVED_ACCURACY,
        TASKS,
        accuracy,
        accuracy_draws,
    )

    lines = []
    for name, link in {"nine tasks": NINE_TASKS, **TASKS}.items():
        draws = accuracy_draws(link, np.full((4000, 1), loss), other_data=other_data)
        low, high = 100 * np.quantile(draws, [0.1, 0.9])
        lines.append(f"{name:14} {100 * accuracy(link, loss):5.1f} % [{low:.1f}, {high:.1f}]")
    if against is not None:
        pair = accuracy_draws(
            NINE_TASKS, np.tile([loss, against], (4000, 1)), other_data=other_data
        )
        gap = float(accuracy(NINE_TASKS, loss) - accuracy(NINE_TASKS, against))
        low, high = np.quantile(pair[:, 0] - pair[:, 1], [0.1, 0.9])
        real = ""
        if abs(gap) < RESOLVED_ACCURACY:
            real = ": under half a point, not resolved"
        elif low < 0 < high:
            real = ": within the scatter of single models, not resolved"
        lines.append(
            f"against a loss of {against:g}: {100 * gap:+.1f} points "
            f"[{100 * low:+.1f}, {100 * high:+.1f}]{real}"
        )
    write("\n".join(lines), None)
