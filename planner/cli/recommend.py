"""`planner recommend` and `planner pareto`: which shape to train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.flags import SERVING, Csv, Json, Out, Plot, Quiet, takes

if TYPE_CHECKING:
    from planner.results import Recommendation

Top = Annotated[int, typer.Option("--top", min=1, help="Rows of the front to print.")]
ExportHf = Annotated[
    Path | None, typer.Option("--export-hf", metavar="DIR", help="Write each pick's config.json.")
]
WhyNot = Annotated[
    list[str] | None,
    typer.Option(
        "--why-not",
        metavar="SHAPE",
        help="Which limits a shape breaks: d_model=3840,n_heads=16,…, or a model. Repeatable.",
    ),
]
asking = takes("question", *SERVING, "training")


@asking
def recommend(
    top: Top = 5,
    why_not: WhyNot = None,
    export_hf: ExportHf = None,
    json_: Json = False,
    csv_: Csv = False,
    plot: Plot = False,
    out: Out = None,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Choose the shape to train: accurate, fast to serve, and how sure.

    Example: planner recommend --params 3e9 --tokens 1e11
    """
    from planner.cli.output import emit

    result = _search(settings, why_not or [], quiet)
    if export_hf:
        export(result, export_hf)
    emit(result, json_=json_, csv_=csv_, out=out, plot=plot, top=top)


@asking
def pareto(
    top: Top = 1000,
    json_: Json = False,
    csv_: Csv = False,
    plot: Plot = False,
    out: Out = None,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """List the Pareto front of loss against throughput.

    Example: planner pareto --params 1e9 --tokens 1e11 --csv --out front.csv
    """
    from planner.cli.output import emit

    result = _search(settings, [], quiet).model_copy(update={"kind": "pareto"})
    emit(result, json_=json_, csv_=csv_, out=out, plot=plot, top=top)


def _search(settings: dict[str, Any], why_not: list[str], quiet: bool) -> "Recommendation":
    from planner.allocator import keep_freed_memory
    from planner.cli.output import command_line, counting
    from planner.questions.recommend.recommend import recommend

    keep_freed_memory()
    with counting("shapes", quiet=quiet) as progress:
        return recommend(**settings, why_not=why_not, command=command_line(), progress=progress)


def export(result: "Recommendation", folder: Path) -> None:
    """Write the baseline's and each pick's config.json, a folder each."""
    from planner.inputs.hf import export_hf

    for name, c in {"baseline": result.baseline, **result.picks}.items():
        if c is not None:
            export_hf(c.model, folder / name)
