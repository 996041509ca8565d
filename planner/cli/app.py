"""The `planner` command. Command modules import only typer at the top; bodies import what they run."""

import os
import sys
from typing import Annotated, Any

import typer

from planner.cli import (
    budget,
    calibrate,
    explain,
    hardware,
    law,
    models,
    predict,
    recommend,
    report,
    ui,
    validate,
    what_if,
)

app = typer.Typer(
    name="planner",
    help="Which language-model shape to train: accurate, cheap to serve, and how sure we are.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# typer carries its own copy of click and shows no more of it than this.
UsageError: Any = typer.BadParameter.__base__


def _version(wanted: bool) -> None:
    if wanted:
        from planner import __version__

        typer.echo(f"planner {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("recommend")(recommend.recommend)
app.command("predict")(predict.predict)
app.command("pareto")(recommend.pareto)
app.command("report")(report.report)
app.command("what-if")(what_if.what_if)
app.command("budget")(budget.budget)
app.command("explain")(explain.explain)
app.command("ui")(ui.ui)
app.command("validate")(validate.validate)
app.add_typer(hardware.app, name="hardware")
app.add_typer(models.app, name="models")
app.add_typer(law.app, name="law")
app.add_typer(calibrate.app, name="calibrate")


def main() -> None:
    """Run the command; an expected error becomes an `error:` line, a `hint:` line and an exit code."""
    from planner.errors import PlannerError

    try:
        sys.exit(app(prog_name="planner", standalone_mode=False) or 0)
    except PlannerError as error:
        _complain(str(error), error.hint)
        sys.exit(error.exit_code)
    except UsageError as error:  # a flag or argument the command line could not read
        command = error.ctx.command_path if error.ctx else "planner"
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
        else:
            _complain(error.format_message(), f"see `{command} --help`")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _complain(message: str, hint: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
