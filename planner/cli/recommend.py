"""`planner recommend` and `planner pareto`: which shape to train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, takes

if TYPE_CHECKING:
    from planner.inputs.mix import MixSpec
    from planner.results import Mix, Recommendation, Split

Top = Annotated[int, typer.Option("--top", min=1, help="Rows of the front to print.")]
Details = Annotated[
    bool, typer.Option("--details", help="Print all there is, more than one screen.")
]
ExportHf = Annotated[
    Path | None, typer.Option("--export-hf", metavar="DIR", help="Write each pick's config.json.")
]
ASKED = "Which limits a shape breaks: d_model=3840,n_heads=16,…, or a model. Repeatable."
WhyNot = Annotated[list[str] | None, typer.Option("--why-not", metavar="SHAPE", help=ASKED)]
asking = takes("question", *SERVING, "training", form=("json_", "csv_", "plot", "out", "quiet"))


Scenarios = Annotated[
    Path | None,
    typer.Option("--scenarios", metavar="FILE", help="TOML of the places it will serve, weighed."),
]
TrainFlops = Annotated[
    str | None,
    typer.Option(
        "--train-flops", metavar="FLOP", help="Training budget: chooses --params and --tokens too."
    ),
]
ServeTokens = Annotated[
    str | None,
    typer.Option("--serve-tokens", metavar="COUNT", help="Tokens served after a --train-flops."),
]
SIZE = ("tokens", "params")
CROSSED = ("on", "dtype", "concurrency", "batch", "tp", "input_tokens", "output_tokens")


@takes(
    "question", *SERVING, "training", form=("json_", "csv_", "plot", "out", "quiet"), lacking=SIZE
)
def recommend(
    form: Form,
    top: Top = 5,
    details: Details = False,
    why_not: WhyNot = None,
    export_hf: ExportHf = None,
    scenarios: Scenarios = None,
    train_flops: TrainFlops = None,
    serve_tokens: ServeTokens = None,
    **settings: Any,
) -> None:
    """Choose the shape to train: accurate, fast to serve, and how sure.

    With --scenarios, or several values with commas (--on a100-sxm-80gb,h100-sxm), one for all of them.

    Example: planner recommend --params 3e9 --tokens 1e11
    """
    from planner.inputs.mix import crossed, read_mix

    split = _sized(settings, train_flops, serve_tokens)
    mix = read_mix(scenarios) if scenarios else crossed(settings, CROSSED)
    if mix is not None:
        found = _mixed(
            settings, mix, form.quiet, beside={"--why-not": why_not, "--details": details}
        )
        if export_hf:
            from planner.inputs.hf import export_hf as write

            write(found.pick.model, export_hf / "mix")
        return form.show(found.model_copy(update={"split": split}), top)
    result = _search(settings, why_not or [], form.quiet).model_copy(update={"split": split})
    if export_hf:
        export(result, export_hf)
    form.show(result, top, details=details)


@asking
def pareto(form: Form, top: Top = 1000, **settings: Any) -> None:
    """List the Pareto front of loss against throughput.

    Example: planner pareto --params 1e9 --tokens 1e11 --csv --out front.csv
    """
    form.show(_search(settings, [], form.quiet).model_copy(update={"kind": "pareto"}), top)


def _search(settings: dict[str, Any], why_not: list[str], quiet: bool) -> "Recommendation":
    from planner.allocator import keep_freed_memory
    from planner.cli.output import command_line, counting
    from planner.questions.recommend.recommend import recommend

    keep_freed_memory()
    with counting("shapes", quiet=quiet) as progress:
        return recommend(**settings, why_not=why_not, command=command_line(), progress=progress)


def _sized(
    settings: dict[str, Any], train_flops: str | None, serve_tokens: str | None
) -> "Split | None":
    """Take the size from a training budget, where one is given; else it must be given."""
    from planner.cli.app import UsageError
    from planner.errors import SpecError

    if train_flops is None:
        for name in SIZE:
            if name not in settings:
                raise UsageError(f"Missing option '--{name}'.")
        if serve_tokens is not None:
            raise SpecError("--serve-tokens is of a budget", hint="give --train-flops too")
        return None
    if given := [f"--{name}" for name in SIZE if name in settings]:
        raise SpecError(
            f"--train-flops chooses {' and '.join(given)}", hint="leave one of them out"
        )
    from planner.questions.recommend.budgeted import split

    found = split(train_flops, serve_tokens or 0.0, settings.get("law"))
    settings |= {"params": found.n_params, "tokens": found.n_tokens}
    return found


def _mixed(settings: dict[str, Any], mix: "MixSpec", quiet: bool, beside: dict[str, Any]) -> "Mix":
    from planner.allocator import keep_freed_memory
    from planner.cli.output import command_line, counting
    from planner.errors import SpecError
    from planner.questions.recommend.mix import recommend_mix

    for flag, value in beside.items():
        if value:
            raise SpecError(f"{flag} is of one scenario", hint="ask without --scenarios and commas")
    given = {*settings} & {name for own in mix.scenarios.values() for name in own}
    shared = {name: value for name, value in settings.items() if name not in given}
    keep_freed_memory()
    with counting("rows", quiet=quiet) as progress:
        asked = shared.pop("params"), shared.pop("tokens")
        return recommend_mix(*asked, mix, command=command_line(), progress=progress, **shared)


def export(result: "Recommendation", folder: Path) -> None:
    """Write the baseline's and each pick's config.json, a folder each."""
    from planner.inputs.hf import export_hf

    for name, c in {"baseline": result.baseline, **result.picks}.items():
        if c is not None:
            export_hf(c.model, folder / name)
