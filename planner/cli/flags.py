"""Flags of a command, made from the options its question takes: the same words everywhere."""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from planner.inputs.serve_command import ServeCommand
    from planner.scenario.options import Group, Option

On = Annotated[
    str | None, typer.Option("--on", metavar="HARDWARE", help="Device, by name or TOML path.")
]
Tokens = Annotated[
    str, typer.Option("--tokens", metavar="COUNT", help="Training tokens, e.g. 100B or 1e11.")
]
Law = Annotated[
    str | None,
    typer.Option("--law", metavar="LAW", help="Loss law; default: published ones, averaged."),
]
HardwarePath = Annotated[
    Path | None, typer.Option("--hardware-path", help="Folder searched for hardware files first.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write to FILE instead of stdout.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw front and operating curves too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Model = Annotated[
    str | None,
    typer.Argument(
        help="Preset or hub id, TOML, config.json or its folder; may be left to --from."
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="COMMAND",
        help="Serve command of vLLM, SGLang or TensorRT-LLM, container args, or a file of either.",
    ),
]
SERVING: "tuple[Group, ...]" = ("deployment", "engine", "workload")


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is shown: each field is a flag."""

    json_: Json = False
    csv_: Csv = False
    plot: Plot = False
    out: Out = None
    quiet: Quiet = False

    def require_one(self) -> None:
        """Refuse two forms at once, before anything is computed.

        Raises:
            SpecError: JSON and CSV are both asked for.

        """
        if self.json_ and self.csv_:
            from planner.errors import SpecError

            raise SpecError(
                "--json and --csv: one answer has one form", hint="leave one of them out"
            )

    def show(
        self,
        result: Any,
        top: int | None = None,
        serve: "ServeCommand | None" = None,
        *,
        details: bool = False,
    ) -> None:
        """Write a result as the flags ask; raises as `planner.cli.output.emit` does.

        Raises:
            SpecError: it is asked for in two forms.

        """
        from planner.cli.output import emit

        emit(
            result,
            json_=self.json_,
            csv_=self.csv_,
            out=self.out,
            plot=self.plot,
            top=top,
            serve=serve,
            details=details,
        )


def group(words: str) -> typer.Typer:
    """Return a command that is made of commands."""
    return typer.Typer(
        no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=words
    )


def takes(
    *groups: "Group", form: Sequence[str], without: Sequence[str] = (), lacking: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every option of `groups`; it gets those that were given by name.

    Its first parameter is a `Form`, of which it has the fields named; they follow its own flags.
    Options of `lacking` may be left out, though their question needs them.
    """
    from planner.scenario.options import ASKED, OPTIONS

    known = ASKED | OPTIONS | ASKED if "question" in groups else OPTIONS  # its own come first
    options = [o for o in known.values() if o.group in groups and o.name not in without]

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        _, *own, _ = inspect.signature(command).parameters.values()  # between form and settings

        def run(hardware_path: Path | None = None, **flags: Any) -> None:
            settings = {o.name: flags.pop(o.name) for o in options}
            shown = Form(**{name: flags.pop(name) for name in form})
            shown.require_one()
            use_hardware_path(hardware_path)
            command(shown, **flags, **{n: v for n, v in settings.items() if v is not None})

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        keyword += [_keyword(f.name, f.type, f.default) for f in fields(Form) if f.name in form]
        keyword += [_parameter(o, needed=o.name not in lacking) for o in options]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        signature = inspect.Signature([*keyword, _keyword("hardware_path", HardwarePath, None)])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
        return run

    return wrap


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _parameter(o: "Option", *, needed: bool = True) -> inspect.Parameter:
    """Return an option as a parameter that typer makes a flag of; its text is read by the library."""
    from planner.inputs.engine import EngineLimits
    from planner.scenario.options import METAVARS

    usual = "the engine's" if o.field in EngineLimits.model_fields else _shown(o.default)
    shown = f" [default: {usual}]" if o.default not in (None, ()) else ""
    if o.name == "engine_version" and {"-h", "--help"} & {*sys.argv}:
        shown = f" Known: {_versions()}."
    no = f"{o.flag}/--no-{o.flag[2:]}"
    made: Any = typer.Option(
        *([no] if o.kind == "flag" else [o.flag, *("--" + a.replace("_", "-") for a in o.aliases)]),
        metavar=METAVARS[o.kind] or None,
        help=o.help + shown,
        show_default=False,
    )
    kind: Any = bool | None if o.kind == "flag" else str | None
    must = needed and o.group == "question" and o.required
    default = inspect.Parameter.empty if must else None
    return _keyword(o.name, Annotated[kind, made], default)


def _versions() -> str:
    from planner.inputs.engine import engines

    return "; ".join(
        f"{n} from {', '.join(v.since for v in e.versions)}" for n, e in engines().items()
    )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{v:g}" for v in default)
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


def use_hardware_path(folder: Path | None) -> None:
    """Look for hardware files in `folder` before every other place.

    Raises:
        SpecError: it is no folder.

    """
    if folder is None:
        return
    from planner.data import is_folder, look_first
    from planner.errors import SpecError

    if not is_folder(folder):
        raise SpecError(f"--hardware-path: {folder} is no folder", hint="name a folder of TOML")
    look_first("hardware", folder)
