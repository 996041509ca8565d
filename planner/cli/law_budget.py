"""`planner law ask optimum` and `serve`: which size and how many tokens."""

from typing import Annotated, Any

import typer

from planner.cli.options import Law


def law_for(name: str | None, n: float) -> tuple[Any, str]:
    """Return the law of that name, or the default at `n` parameters, and a line saying which."""
    from planner.inputs.law import default_law, load_law

    if name is None:
        return default_law(n)
    return load_law(name), f"law {name}"


def optimum(
    flops: Annotated[
        str, typer.Option("--flops", metavar="COUNT", help="Training FLOP, e.g. 1e21.")
    ],
    law: Law = None,
) -> None:
    """Which N and D make the most of a training budget (6 N D FLOP), with 80 % intervals.

    Example: planner law ask optimum --flops 1e21
    """
    import numpy as np

    from planner.cli.output import write
    from planner.law.ask import compute_optimal
    from planner.law.posterior import draw_law
    from planner.law.terms.reference import reference_loss
    from planner.units import count, show

    budget = count(flops)
    spec, why = law_for(law, (budget / 120) ** 0.5)
    columns = spec.columns()
    n, tokens = compute_optimal(columns, budget)
    drawn = draw_law(columns, n, 2000)
    many_n, many_d = compute_optimal(drawn, budget)
    best = np.quantile(reference_loss(drawn, many_n, many_d), [0.1, 0.9])
    lines = [
        why,
        f"N ({spec.n_definition})  {show(n)}  [{_span(many_n)}]",
        f"tokens  {show(tokens)}  [{_span(many_d)}]",
        f"tokens per parameter  {tokens / n:.0f}",
        f"loss  {reference_loss(columns, n, tokens):.3f}  [{best[0]:.3f}, {best[1]:.3f}] nats",
        "the optimum is flat: half or twice this N costs "
        + ", ".join(
            f"{reference_loss(columns, n * f, tokens / f) - reference_loss(columns, n, tokens):.3f}"
            for f in (0.5, 2.0)
        )
        + " nats",
    ]
    lines += _beyond(spec, n, tokens)
    write("\n".join(lines), None)


def _beyond(spec: Any, n: float, tokens: float) -> list[str]:
    """Return a warning line for each way in which a best shape of `n` leaves the evidence."""
    from planner.law.columns import Shapes
    from planner.law.evidence import domain_warnings

    c = spec.columns()
    found = domain_warnings(c, Shapes(n=n, n_tokens=tokens, x=c.x_opt, r=c.r_opt, gqa=c.gqa))
    lines = [f"warning: {w.message}" for w in found if w.code in ("size", "tokens-per-param")]
    if lines and spec.basis == "derived":
        lines.append(
            "warning: this law's exponents are priors, not fitted: where to spend a budget rests on "
            "them; compare --law besiroglu-2024, hoffmann-2022, or a fit of your own"
        )
    return lines


def _span(draws: Any) -> str:
    import numpy as np

    from planner.units import show

    low, high = np.quantile(draws, [0.1, 0.9])
    return f"{show(float(low))}, {show(float(high))}"


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
    from planner.law.ask import inference_aware
    from planner.units import count, show

    served = count(inference_tokens)
    spec, why = law_for(law, 1e9)
    columns = spec.columns()
    n, tokens = inference_aware(columns, loss, served)
    n0, tokens0 = inference_aware(columns, loss, 0.0)
    spent, alone = 6 * n * tokens + 2 * n * served, 6 * n0 * tokens0 + 2 * n0 * served
    lines = [
        why,
        f"N ({spec.n_definition})  {show(n)}, tokens  {show(tokens)} ({tokens / n:.0f} per parameter)",
        f"training-optimal instead: N {show(n0)}, tokens {show(tokens0)}",
        f"total {spent:.3g} FLOP, {1 - spent / alone:.0%} less than the training-optimal model's",
    ]
    lines += _beyond(spec, n, tokens)
    write("\n".join(lines), None)
