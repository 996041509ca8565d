"""`planner recommend` and `planner pareto`: which shape to train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.flags import SERVING, Form, takes

if TYPE_CHECKING:
    from planner.results import Recommendation

Top = Annotated[int, typer.Option("--top", min=1, help="Rows of the front to print.")]
ExportHf = Annotated[
    Path | None, typer.Option("--export-hf", metavar="DIR", help="Write each pick's config.json.")
]
ASKED = "Which limits a shape breaks: d_model=3840,n_heads=16,…, or a model. Repeatable."
WhyNot = Annotated[list[str] | None, typer.Option("--why-not", metavar="SHAPE", help=ASKED)]
asking = takes("question", *SERVING, "training", form=("json_", "csv_", "plot", "out", "quiet"))


@asking
def recommend(
    form: Form, top: Top = 5, why_not: WhyNot = None, export_hf: ExportHf = None, **settings: Any
) -> None:
    """Choose the shape to train: accurate, fast to serve, and how sure.

    Example: planner recommend --params 3e9 --tokens 1e11
    """
    result = _search(settings, why_not or [], form.quiet)
    if export_hf:
        export(result, export_hf)
    form.show(result, top)


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


def export(result: "Recommendation", folder: Path) -> None:
    """Write the baseline's and each pick's config.json, a folder each."""
    from planner.inputs.hf import export_hf

    for name, c in {"baseline": result.baseline, **result.picks}.items():
        if c is not None:
            export_hf(c.model, folder / name)
