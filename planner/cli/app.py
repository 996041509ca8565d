"""The `planner` command: a command's module is imported when that command is asked for."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# What the list of commands says of each. A test holds the words to the docstrings.
COMMANDS = {
    "recommend": "Choose the shape to train: accurate, fast to serve, and how sure.",
    "predict": "Predict speed, memory, loss and accuracy of one model, operator by operator.",
    "pareto": "List the Pareto front of loss against throughput.",
    "what-if": "Ask one model under many settings: latency, throughput, what binds, dollars and "
    "joules.",
    "budget": "Invert it: the load each configuration carries within the limits, devices, dollars, "
    "and why.",
    "explain": "Show the derivation of a number, one named step a line, with values and shares.",
    "report": "Turn a result file into a page to show: HTML, Markdown or a picture.",
    "ui": "Turn the questions into sliders; needs the extra `ui`.",
    "mcp": "Serve the questions as tools to agents, over stdio; needs the extra `mcp`.",
    "validate": "Score predictions against measured runs or kernels, a benchmark result, or an engine's "
    "start-up log.",
    "calibrate": "Measure this machine with real kernels, engines and trainings; correct the "
    "planner with it.",
    "law": "Browse, fit, compare, check and export loss laws; ask them planning questions.",
    "hardware": "Browse and check hardware files.",
    "models": "Browse model presets, or look at any Hugging Face config.json.",
}
HOMES = {"pareto": "recommend"}  # modules of commands that share one; the others have their own


class Lazy(TyperGroup):
    """A group that knows its commands by name and imports one when it is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return every command's name."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and build one command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        attribute = cmd_name.replace("-", "_")
        home = import_module(f"planner.cli.{HOMES.get(cmd_name, attribute)}")
        found = getattr(home, "app", None)  # where it has commands of its own
        if found is None:
            alone = typer.Typer(rich_markup_mode=None, context_settings=HELP, add_completion=False)
            alone.command(cmd_name)(getattr(home, attribute))
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        _in_our_words(command)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what click would make an exit code of its own reaches the boundary."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from planner.errors import ReaderGone

            raise ReaderGone("") from None
        except EOFError as error:
            raise RuntimeError(f"EOFError: {error}") from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


# What a flag takes, in the words of all others, where it says nothing itself.
METAVARS = {"int": "COUNT", "int range": "COUNT", "float": "NUMBER", "float range": "NUMBER",
            "str": "TEXT", "path": "PATH"}  # fmt: skip


def _in_our_words(command: Any) -> None:
    """Name what each flag of a command, and of those below it, takes."""
    for parameter in command.params:
        if (
            parameter.param_type_name == "option"
            and not parameter.metavar
            and not parameter.is_flag
        ):
            parameter.metavar = METAVARS.get(parameter.type.name)
    for below in getattr(command, "commands", {}).values():
        _in_our_words(below)


HELP = {"help_option_names": ["-h", "--help"]}
CODES = (
    "Exit codes: 0 answered, 1 no answer within the limits, 2 a flag that cannot be read, 3 a value, file "
    "or name that cannot be, 4 an extra is not installed, 5 what cannot be written, 70 a fault of planner's "
    "own."
)
app = typer.Typer(
    name="planner",
    cls=Lazy,
    help="Which language-model shape to train: accurate, cheap to serve, and how sure we are.",
    epilog=CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)

# typer carries its own copy of click and shows no more of it than this.
UsageError: Any = typer.BadParameter.__base__


def _version(wanted: bool) -> None:
    if wanted:
        from planner import __version__

        typer.echo(f"planner {__version__}")
        raise typer.Exit


def _limits(texts: list[str] | None) -> None:
    if not texts:
        return
    from planner import limits
    from planner.errors import SpecError

    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits.use(**{name: float(value)})
        except ValueError as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"--limit: {text!r} is none", hint="write e.g. points=1e6") from None


LIMIT = "What a command may take, changed: bytes, points, events, seconds, memory. Repeatable."


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="NAME=VALUE", help=LIMIT)
    ] = None,
) -> None:
    _limits(limit)


LONG = ("calibrate", "mcp", "ui")  # measure or serve as long as they like, and with all cores


def main() -> None:
    """Run the command; whatever happens ends as an `error:` line, a `hint:` line and an exit code."""
    from planner.cli.boundary import guarded

    asked = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    alone = asked not in LONG
    guarded(
        lambda: app(prog_name="planner", standalone_mode=False),
        threads=not alone,
        process=alone,
        long=asked in ("law", "validate"),
    )
