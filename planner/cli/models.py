"""`planner models`: browse the presets, or look at any config.json."""

from typing import Annotated

import typer

from planner.cli.flags import group

app = group("Browse model presets, or look at any Hugging Face config.json.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print names, hub ids, counts and sources.")]


@app.command("list")
def list_models(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Print every preset with its shape and parameter count.

    Example: planner models list --csv
    """
    from planner.cli import output
    from planner.errors import SpecError
    from planner.inputs.loading import load_model, model_names
    from planner.report.models import models_rows, models_table

    if as_json and as_csv:
        raise SpecError("--json and --csv: one answer has one form", hint="leave one of them out")
    specs = {name: load_model(name) for name in model_names()}
    if as_json:
        found = {name: spec.summary() for name, spec in specs.items()}
        output.write(output.as_json(found), None, plain=True)
    elif as_csv:
        output.write(output.as_csv(models_rows(specs)), None, plain=True)
    else:
        output.write(output.as_text(models_table(specs)), None)


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(help="A preset or hub id, a TOML, a config.json or its folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Print one model: its shape, what follows from it, and where it comes from."""
    from planner.cli import output
    from planner.inputs.loading import load_model
    from planner.report.models import model_text

    spec = load_model(model)
    shown = output.as_json(spec.summary()) if as_json else model_text(spec)
    output.write(shown, None, plain=as_json)
