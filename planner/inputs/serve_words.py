"""The words of a serve command: out of a shell's line, a container's list, a file of either."""

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.errors import MissingExtra, SpecError, WrongType
from planner.inputs.files import read_text as text_of
from planner.inputs.serve_flags import Flags, flag_tables

HINT = "write all of `vllm serve MODEL …`, `python -m sglang.launch_server …` or `trtllm-serve …`"
BY_FLAGS = "its flags"  # what says the engine, where nothing else does
_SHELLS = ("sh", "bash", "zsh", "dash", "ash")
_DOCKER = ("docker", "podman", "nerdctl")
_DOCKER_SWITCHES = (
    "--detach --interactive --tty --rm --init --privileged --read-only --publish-all "
    "--no-healthcheck --oom-kill-disable --sig-proxy --quiet --replace"
)
_ARGUMENT = re.compile(r"--?[A-Za-z]|[\w.-]+/[\w.-]+$")  # of a server, or its model
_YAML = re.compile(r"(---|-\s|[\"']?[\w./-]+[\"']?:(\s|$))")


@dataclass(frozen=True, slots=True)
class _Words:
    """A command's words, and what is set around it."""

    words: Sequence[str]
    image: str = ""
    around: tuple[str, ...] = ()  # variables and a container's flags


@dataclass(frozen=True, slots=True)
class Call:
    """A server's arguments."""

    flags: Flags
    program: str
    arguments: Sequence[str]
    image: str
    around: tuple[str, ...]


def calls_in(text: str | Path) -> list[Call]:
    """Return the servers that a text starts, or the file it names.

    Raises:
        SpecError: quotes that do not end, no JSON or YAML, a file that cannot be read.
        MissingExtra: it is YAML, and PyYAML is not installed.

    """
    return [call for words in _commands(_content(text)) for call in _calls(words)]


def _content(text: str | Path) -> str:
    """Return the text, or what the file holds that it names."""
    if not isinstance(text, str | Path):
        raise WrongType.of("serve command", text, "text or a Path", hint=HINT)
    if isinstance(text, Path) or os.path.exists(text):  # noqa: PTH110 - a long text is no path
        return text_of(text, hint=HINT)
    alone = len(text.split()) == 1 and not text.lstrip().startswith(("[", "{"))
    return text_of(text, hint=HINT) if alone else text


def _commands(text: str) -> Iterator[_Words]:
    """Yield the commands of a text: of a shell, of a container, of several."""
    text = text.strip()
    if text.startswith(("[", "{")):
        try:
            yield from _containers(json.loads(text))
            return
        except json.JSONDecodeError:
            if text.startswith("{"):
                raise SpecError("--from: neither a command nor JSON", hint=HINT) from None
    if text.startswith("[") or _YAML.match(re.sub(r"^(\s*(#.*)?\n)+", "", text)):
        yield from _containers(_yaml(text))
    else:
        yield from _statements(text)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra.of("PyYAML", extra="yaml") from None
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        where = f"line {line}: " if line else ""
        what = getattr(error, "problem", None) or "no document"
        raise SpecError(f"--from: not YAML: {where}{what}", hint=HINT) from None


def _containers(data: Any) -> Iterator[_Words]:
    """Yield the command of every container, wherever it stands; a list of words is one."""
    if isinstance(data, list) and data and all(isinstance(x, str | int | float) for x in data):
        yield _Words(_listed(data))
    elif isinstance(data, list):
        for part in data:
            yield from _containers(part)
    elif isinstance(data, dict) and any(data.get(k) for k in ("command", "args", "entrypoint")):
        words = [w for k in ("entrypoint", "command", "args") for w in _listed(data.get(k))]
        set_ = data.get("environment") or data.get("env") or ()
        names = [e.get("name", "") if isinstance(e, dict) else e for e in set_]
        around = tuple(str(n).partition("=")[0] for n in names)
        yield _Words(words, str(data.get("image") or ""), around)
    elif isinstance(data, dict):
        for part in data.values():
            yield from _containers(part)


def _listed(words: Any) -> list[str]:
    """Return a container's words: a list, or a text as a shell reads it."""
    if isinstance(words, str):
        return [w for s in _statements(words) for w in s.words]
    found = []
    for word in words or ():
        text = str(word).lower() if isinstance(word, bool) else str(word)
        flag, space, value = text.partition(" ")
        apart = space and re.fullmatch(r"--[\w.-]+", flag)  # a flag and its value in one item
        found += [flag, value.strip().strip("'\"")] if apart else [text]
    return found


def _statements(text: str) -> Iterator[_Words]:
    """Yield a shell text's commands, each with the variables set before it put in.

    Raises:
        SpecError: a quote does not end.

    """
    text = re.sub(r"\\[ \t]*\r?\n", " ", text)
    text = "\n".join(map(_without_comment, text.splitlines()))
    text = re.sub(r"(?<=\s)[12](?=>)", "", text)  # which output goes elsewhere
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        parts = list(lexer)
    except ValueError as error:
        what = f"--from: {str(error).lower()}"
        raise SpecError(what, hint="end every quote; a file needs no quotes around it") from None
    known: dict[str, str] = {}
    words: list[str] = []
    for part in [*parts, "\n"]:
        if part.strip(";<>|&\n"):
            words.append(_filled(part, known))
            continue
        if words:
            yield _Words(words)
        for word in words:
            if assigned := re.fullmatch(r"(\w+)=(.*)", word, re.DOTALL):
                known[assigned[1]] = assigned[2]
        words = []


def _without_comment(line: str) -> str:
    before, mark, _ = line.partition("#")
    starts = not before or before[-1].isspace()
    return before if mark and starts and not any(before.count(q) % 2 for q in "'\"") else line


def _filled(word: str, known: Mapping[str, str]) -> str:
    """Put variables in: those set in the text, or what it says for where they are not."""

    def value(m: re.Match[str]) -> str:
        return known.get(m[1] or m[3], m[2] or m[0])

    return re.sub(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)", value, word)


def _calls(given: _Words) -> Iterator[Call]:
    """Yield the server that a command starts: itself, in a shell, in a container; or nothing."""
    words, image, around = list(given.words), given.image, list(given.around)
    run = next((i for i, word in enumerate(words) if _base(word) in _DOCKER), None)
    if run is not None and "run" in words[run:]:
        at, flags = _image(words, words.index("run", run) + 1)
        image, around = "".join(words[at : at + 1]), [*around, *_set(words[:run]), *flags]
        words = words[at + 1 :]
    for i, word in enumerate(words[:-2]):
        if _base(word) in _SHELLS and re.fullmatch(r"-\w*c", words[i + 1]):
            for inner in _statements(words[i + 2]):
                yield from _calls(_Words(inner.words, image, (*around, *_set(words[:i]))))
            return
    found = [
        (i, -len(program), program, table)
        for table in flag_tables().values()
        for program in table.programs
        if (i := _find(words, program.split())) >= 0
    ]
    if found:
        i, _, program, flags_of = min(found, key=lambda f: f[:2])
        arguments = words[i + len(program.split()) :]
        yield Call(flags_of, program, arguments, image, (*around, *_set(words[:i])))
    elif words and _ARGUMENT.match(words[0]) and (own := _by_image(image) or _by_flags(words)):
        yield Call(own, image or BY_FLAGS, words, image, tuple(around))


def _base(word: str) -> str:
    return word.rpartition("/")[2]


def _set(words: Sequence[str]) -> list[str]:
    """Return the variables that words set."""
    return [m[1] for w in words if (m := re.match(r"(\w+)=", w))]


def _image(words: Sequence[str], start: int) -> tuple[int, list[str]]:
    """Return where a container's image stands, and the flags and variables before it."""
    around, i = [], start
    while i < len(words) and words[i].startswith("-"):
        flag, equals, value = words[i].partition("=")
        alone = flag in _DOCKER_SWITCHES.split() or re.fullmatch("-[ditPq]+", flag)
        i += 1 if equals or alone else 2
        value = value or "".join([] if alone else words[i - 1 : i])
        variable = flag in ("-e", "--env")
        around.append(value.partition("=")[0] if variable else flag)
    return i, around


def _find(words: Sequence[str], program: Sequence[str]) -> int:
    """Return where a program is started; -1 where it is not."""

    def same(word: str, part: str) -> bool:
        if "." in part:  # a module, or its file
            return word == part or word.replace("/", ".").endswith(f"{part}.py")
        return _base(word) == part

    n = len(program)
    starts = range(len(words) - n + 1)
    found = (i for i in starts if all(map(same, words[i : i + n], program)))
    return next(found, -1)


def _by_image(image: str) -> Flags | None:
    name = image.partition("@")[0].lower()
    found = (f for f in flag_tables().values() if any(i in name for i in (*f.images, f.engine)))
    return next(found, None)


def _by_flags(words: Sequence[str]) -> Flags | None:
    """Return the engine most of whose flags are there, one of them for a model or an option."""

    def known(f: Flags) -> tuple[bool, int]:
        names = {f.named(w.partition("=")[0])[0] for w in words if w.startswith("--")} - {""}
        telling = (*f.model, *f.used.whole, *f.used.share)
        return any(n in telling for n in names), len(names)

    best = max(flag_tables().values(), key=known)
    return best if known(best)[0] else None
