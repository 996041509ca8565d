"""Commands to copy: lines that a shell takes as one, none wider than there is room for."""

import shlex
from collections.abc import Mapping

from planner.report.parts import Section

BUILD = "./NAME is what --export-hf . writes for the pick, its weights trained."
WIDTH = 72  # of commands on a page, where pictures are as wide


def lines(code: str, width: int) -> list[str]:
    """Return commands, a line each, in lines of at most `width` where their words allow.

    All but a command's last line end in a backslash; its comment stands below it.
    """
    return [part for command in code.splitlines() for part in _broken(command, width)]


def serving(title: str, commands: Mapping[str, str | None], text: str = "") -> Section:
    """Return the section of commands that start servers, each under what it is; without, an empty one."""
    lines = [line for what, c in commands.items() if c for line in (f"# {what}" * bool(what), c)]
    return Section(
        "serve", title, (text,) * bool(text and lines), code="\n".join(filter(None, lines))
    )


def shown(s: Section) -> str:
    """Return a section's code as a page shows it."""
    return "\n".join(lines(s.code, WIDTH)) if s.name == "serve" else s.code


def _broken(command: str, width: int) -> list[str]:
    if command.startswith("#"):
        return [command]
    command, hash_, comment = command.partition("  # ")
    words = [shlex.quote(w) for w in shlex.split(command)]
    pieces: list[str] = []  # a flag with its values stays on a line
    for word in words:
        if pieces and not word.startswith("-") and pieces[-1].startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) + 3 > width:
            lines[-1] += " \\"
            lines.append("  " + piece)
        else:
            lines[-1] = f"{lines[-1]} {piece}" if lines[-1] else piece
    return [*lines, f"# {comment}"] if hash_ else lines
