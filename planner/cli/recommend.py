"""`planner recommend` and `planner pareto`: which shape to train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, takes

if TYPE_CHECKING:
    from planner.inputs.mix import MixSpec
    from planner.results import Edits, Mix, Recommendation

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
Like = Annotated[
    str | None,
    typer.Option(
        "--like", metavar="MODEL", help="A model there is: its smallest edits, N and depth kept."
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        "--devices",
        metavar="COUNT",
        min=1,
        max=256,
        help="Most devices of a scenario: tp, pp and replicas that are not given are chosen.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Search over a Ray cluster: auto, HOST:PORT."),
]
Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal", metavar="FILE", help="Keep what is searched there, and go on from it."
    ),
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
    devices: Devices = None,
    train_flops: TrainFlops = None,
    serve_tokens: ServeTokens = None,
    ray: Ray = None,
    journal: Journal = None,
    like: Like = None,
    **settings: Any,
) -> None:
    """Choose the shape to train: accurate, fast to serve, and how sure.

    With --scenarios, or several values with commas (--on a100-sxm-80gb,h100-sxm), one for all of them.
    With --like, the smallest edits of a model there is, in place of a choice.

    Example: planner recommend --params 3e9 --tokens 1e11
    """
    from planner.inputs.mix import crossed, read_mix

    if like is not None:
        others = {
            "--why-not": why_not, "--scenarios": scenarios, "--train-flops": train_flops,
            "--serve-tokens": serve_tokens, "--details": details, "--devices": devices,
            "--ray": ray, "--journal": journal,
        }  # fmt: skip
        found = _edits(like, settings, others)
        if export_hf:
            export(found, export_hf)
        return form.show(found)
    require_size(settings, train_flops)
    settings |= {"train_flops": train_flops, "serve_tokens": serve_tokens}
    settings |= {"ray": ray, "journal": journal}
    mix = read_mix(scenarios) if scenarios else crossed(settings, CROSSED, devices)
    if mix is None:
        result = _search(settings, why_not or [], form.quiet)
    else:
        of_one = {"--why-not": why_not, "--details": details}
        result = _mixed(settings | {"devices": devices}, mix, form.quiet, of_one)
    if export_hf:
        export(result, export_hf)
    form.show(result, top, details=details)


@asking
def pareto(form: Form, top: Top = 1000, **settings: Any) -> None:
    """List the Pareto front of loss against throughput.

    Example: planner pareto --params 1e9 --tokens 1e11 --csv --out front.csv
    """
    form.show(_search(settings, [], form.quiet).model_copy(update={"kind": "pareto"}), top)


def _search(settings: dict[str, Any], why_not: list[str], quiet: bool) -> "Recommendation | Mix":
    from planner.allocator import keep_freed_memory
    from planner.cli.output import command_line, counting
    from planner.questions.recommend.recommend import recommend

    keep_freed_memory()
    with counting("shapes", quiet=quiet) as progress:
        return recommend(**settings, why_not=why_not, command=command_line(), progress=progress)


def require_size(settings: dict[str, Any], train_flops: str | None) -> None:
    """Refuse a command that says no size and no budget.

    Raises:
        UsageError: names the option that is missing.

    """
    from planner.cli.app import UsageError

    for name in SIZE:
        if train_flops is None and name not in settings:
            raise UsageError(f"Missing option '--{name}'.")


def _edits(like: str, settings: dict[str, Any], others: dict[str, Any]) -> "Edits":
    from planner.cli.app import UsageError
    from planner.cli.output import command_line
    from planner.errors import SpecError
    from planner.questions.recommend.edits import edits

    for flag, value in others.items():
        if value:
            raise SpecError(f"{flag} is of a choice, --like of one model", hint=f"leave {flag} out")
    if "tokens" not in settings:
        raise UsageError("Missing option '--tokens'.")
    return edits(like, **settings, command=command_line())


def _mixed(settings: dict[str, Any], mix: "MixSpec", quiet: bool, of_one: dict[str, Any]) -> "Mix":
    from planner.allocator import keep_freed_memory
    from planner.cli.output import command_line, counting
    from planner.errors import SpecError
    from planner.questions.recommend.mix import recommend_mix

    for flag, value in of_one.items():
        if value:
            raise SpecError(f"{flag} is of one scenario", hint="ask without --scenarios and commas")
    asked = dict.fromkeys(SIZE) | settings
    keep_freed_memory()
    with counting("rows", quiet=quiet) as progress:
        return recommend_mix(scenarios=mix, command=command_line(), progress=progress, **asked)


def export(result: "Recommendation | Mix | Edits", folder: Path) -> None:
    """Write the config.json of every shape that has a name, a folder each."""
    from planner.inputs.hf import export_hf

    for name, c in result.shapes.items():
        export_hf(c.model, folder / name)
