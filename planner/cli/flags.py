"""Flags of a command, made from the options its question takes: the same words everywhere."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from planner.scenario.options import Group, Option

On = Annotated[
    str | None, typer.Option("--on", metavar="HARDWARE", help="Device, by id or TOML path.")
]
Tokens = Annotated[
    str, typer.Option("--tokens", metavar="COUNT", help="Training tokens, e.g. 100B or 1e11.")
]
Law = Annotated[
    str | None, typer.Option("--law", metavar="LAW", help="Loss law; default: fitted nearest.")
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
    typer.Argument(help="Preset name, TOML, config.json, or its folder; may be left to --from."),
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


def takes(
    *groups: "Group", without: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every option of `groups`; it gets those that were given by name."""
    from planner.scenario.options import ASKED, OPTIONS

    known = ASKED | OPTIONS | ASKED if "question" in groups else OPTIONS  # its own come first
    options = [o for o in known.values() if o.group in groups and o.name not in without]

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            p
            for p in inspect.signature(command).parameters.values()
            if p.kind is not inspect.Parameter.VAR_KEYWORD
        ]

        def run(hardware_path: Path | None = None, **flags: Any) -> None:
            settings = {o.name: flags.pop(o.name) for o in options}
            use_hardware_path(hardware_path)
            command(**flags, **{n: v for n, v in settings.items() if v is not None})

        path = inspect.Parameter(
            "hardware_path", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=HardwarePath
        )
        shared = [_parameter(o) for o in options]
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        signature = inspect.Signature([*keyword, *shared, path])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
        return run

    return wrap


def _parameter(o: "Option") -> inspect.Parameter:
    """Return an option as a parameter that typer makes a flag of; its text is read by the library."""
    from planner.scenario.options import METAVARS

    shown = f" [default: {_shown(o.default)}]" if o.default not in (None, ()) else ""
    no = f"{o.flag}/--no-{o.flag[2:]}"
    made: Any = typer.Option(
        *([no] if o.kind == "flag" else [o.flag]),
        metavar=METAVARS[o.kind] or None,
        help=o.help + shown,
        show_default=False,
    )
    kind: Any = bool | None if o.kind == "flag" else str | None
    annotation = Annotated[kind, made]
    default = inspect.Parameter.empty if o.group == "question" and o.required else None
    return inspect.Parameter(
        o.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
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
    from planner.data import look_first
    from planner.errors import SpecError

    if not folder.is_dir():
        raise SpecError(f"--hardware-path: {folder} is no folder", hint="name a folder of TOML")
    look_first("hardware", folder)
