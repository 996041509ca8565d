"""A serve command as planner's options: vLLM, SGLang, TensorRT-LLM, in a shell or a container.

Nothing of a command is dropped without a word: each flag sets an option, may matter and cannot be
followed, changes no answer, or is unknown.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from planner.errors import SpecError, UnknownName
from planner.inputs.fields import Spec
from planner.inputs.formats import format_named
from planner.inputs.serve_flags import Flags
from planner.inputs.serve_words import HINT, Call, calls_in

NO_MODEL = "write the model in the command, or as MODEL beside --from"
NO_DRAFT = "it names no draft model"


class ServeCommand(Spec):
    """What a serve command sets of planner's options, flag by flag, and what it says besides."""

    used: dict[str, dict[str, Any]]  # what each part of the command sets, by option
    not_used: dict[str, str] = Field(
        default_factory=dict
    )  # it may change the answer, planner cannot follow it: why
    ignored: tuple[str, ...] = ()  # it changes no answer of planner's
    unknown: dict[str, str] = Field(
        default_factory=dict
    )  # no flag that we know, and the nearest that is one
    overruled: dict[str, dict[str, Any]] = Field(
        default_factory=dict
    )  # what flags given beside it replaced

    @property
    def settings(self) -> dict[str, Any]:
        """Everything it sets, by option; the model among it."""
        return {name: value for sets in self.used.values() for name, value in sets.items()}

    @property
    def model(self) -> str:
        """The model it names."""
        return str(self.settings.get("model", ""))

    @property
    def engine(self) -> str:
        """The engine's id."""
        return str(self.settings.get("engine", ""))

    @property
    def engine_version(self) -> str:
        """The version that its container's tag says; "" where nothing does."""
        return str(self.settings.get("engine_version", ""))

    @property
    def options(self) -> dict[str, Any]:
        """What every question takes: ``predict(c.model, **c.options)``."""
        return {n: v for n, v in self.settings.items() if n != "model"}

    def beside(self, given: Collection[str]) -> "ServeCommand":
        """Return what is left of it where options are given beside it: those win."""
        kept, gone = self._split({*given, *(["engine_version"] if "engine" in given else [])})
        return self.model_copy(update={"used": kept, "overruled": self.overruled | gone})

    def without(self, names: Collection[str], why: str) -> "ServeCommand":
        """Return it without what it sets of some options, and say why."""
        kept, gone = self._split(names)
        more = dict.fromkeys(gone, why)
        return self.model_copy(update={"used": kept, "not_used": self.not_used | more})

    def _split(self, names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what sets other options, and what sets those."""
        parts = [
            {f: {n: v for n, v in sets.items() if (n in names) is inside}
             for f, sets in self.used.items()}
            for inside in (False, True)
        ]  # fmt: skip
        rest, own = ({f: sets for f, sets in part.items() if sets} for part in parts)
        return rest, own


@dataclass(frozen=True, slots=True)
class _Given:
    """A flag as it was given."""

    typed: str
    name: str
    value: str
    off: bool


@dataclass(slots=True)
class _Said:
    """What has been read so far; see `ServeCommand`."""

    used: dict[str, dict[str, Any]] = field(default_factory=dict)
    not_used: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)


def read_serve_command(text: str | Path, *, model: str = "") -> ServeCommand:
    """Return what a serve command sets.

    Args:
        text: the command line of vLLM, SGLang or TensorRT-LLM, with whatever stands before it
            (variables, ``docker run … IMAGE``); a container's `command` and `args` as JSON or YAML, by
            themselves or within a compose file or a Kubernetes manifest; or a file that holds one.
        model: the model, where the command does not say it or another is meant.

    Raises:
        SpecError: no command that we know, or more than one; no model; quotes that do not end.
        MissingExtra: it is YAML, and PyYAML is not installed.

    """
    calls = calls_in(text)
    if not calls:
        shown = " ".join(str(text).split())
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        raise SpecError(f"--from: no serve command in {shown!r}", hint=HINT)
    if len(calls) > 1:
        programs = " and ".join(dict.fromkeys(c.program for c in calls))
        found = f"--from: {len(calls)} serve commands ({programs})"
        raise SpecError(found, hint="keep the one that you ask about")
    read = _read(calls[0])
    if model:
        rest = read.beside(["model"])
        return rest.model_copy(update={"used": {"MODEL": {"model": model}} | rest.used})
    if not read.model:
        raise SpecError(f"--from: `{calls[0].program}` names no model", hint=NO_MODEL)
    if "$" in read.model:
        raise SpecError(f"--from: its model is {read.model}, which is not set", hint=NO_MODEL)
    return read


def _version(flags: Flags, image: str) -> str:
    """Return the version that a container's tag says, where its tags are versions."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    found = re.match(r"v?(\d+(?:\.\d+)+)", tag)
    return found[1] if found and any(name.endswith(i) for i in flags.images) else ""


def _given(words: Sequence[str], flags: Flags) -> tuple[list[_Given], list[str]]:
    """Return the flags that words give, and the words that belong to none."""
    given, loose, i = [], [], 0

    def another() -> bool:
        return i < len(words) and not _is_flag(words[i])

    while i < len(words):
        word = words[i]
        i += 1
        if not _is_flag(word):
            loose.append(word)
            continue
        typed, equals, value = word.partition("=")
        name, off = flags.named(typed)
        kind = flags.kinds.get(name)
        if kind == "switches":
            if not equals:
                value = "true"
                if another() and words[i].lower() in ("true", "false"):
                    value, i = words[i], i + 1
            off ^= value.lower() == "false"
        elif not equals:
            values: list[str] = []
            while another() and (not values or kind == "lists"):
                values.append(words[i])
                i += 1
            value = " ".join(values) or typed[2:] * typed.startswith("-O")
        given.append(_Given(typed, name, value, off))
    return given, loose


def _is_flag(word: str) -> bool:
    return bool(re.match(r"--?[A-Za-z]", word))


def _read(call: Call) -> ServeCommand:
    flags, said = call.flags, _Said()
    engine = {"engine": flags.engine}
    version = _version(flags, call.image)
    if call.program != call.image or not version:
        said.used[call.program] = engine
    if version:
        said.used[call.image] = engine | {"engine_version": version}
    for name in dict.fromkeys(call.around):
        if name in flags.whys and not name.startswith("-"):
            said.not_used[name] = flags.whys[name]
        elif name:
            said.ignored.append(name)
    given, loose = _given(call.arguments, flags)
    _model(flags, given, loose, said)
    _options(flags, [g for g in given if g.name and g.name not in flags.model], said)
    at = {g.typed: i for i, g in enumerate(given)}
    said.unknown |= {g.typed: flags.nearest(g.typed) for g in given if not g.name}
    return ServeCommand(
        used=said.used,
        not_used=dict(sorted(said.not_used.items(), key=lambda x: at.get(x[0].split()[0], -1))),
        ignored=tuple(dict.fromkeys(said.ignored)),
        unknown=said.unknown,
    )


def _model(flags: Flags, given: Sequence[_Given], loose: Sequence[str], said: _Said) -> None:
    named = [g for g in given if g.name in flags.model and g.value]
    words = list(loose)
    if named:
        said.used[named[-1].typed] = {"model": named[-1].value}
    elif words:
        said.used["MODEL"] = {"model": words.pop(0)}
    said.unknown |= dict.fromkeys(words, "")


def _options(flags: Flags, given: Sequence[_Given], said: _Said) -> None:
    """Sort what is given into what sets an option, what may matter, and what does not."""
    last = {(g.name, _path(g.typed)): g for g in given}  # what is given twice holds as given last
    rank = {n: i for i, n in enumerate(_rules(flags))}
    sets: dict[str, dict[str, Any]] = {}  # by what was typed
    taken: dict[str, str] = {}  # by whom
    for g in sorted(last.values(), key=lambda g: rank.get(g.name, len(rank))):
        other = flags.beside.get(g.name)
        if other and any(x.name == other.flag and not x.off for x in given):
            said.not_used[g.typed] = other.why
            continue
        found = _set_by(flags, g, said)
        for name in [n for n in found if n in taken]:
            said.not_used[g.typed] = f"{taken[name]} says it"
            del found[name]
        taken |= dict.fromkeys(found, g.typed)
        sets[g.typed] = found
    for typed in [t for t, s in sets.items() if "draft_tokens" in s and "draft" not in taken]:
        del sets[typed]["draft_tokens"]
        said.not_used.setdefault(typed, NO_DRAFT)
    values = {n: v for s in sets.values() for n, v in s.items()}
    for g in last.values():
        found = sets.get(g.typed, {})
        if found:  # an option may be as another is: experts are cut as far as layers are
            like = g.name in flags.used.switch
            is_like = {n: values.get(v, 1) if isinstance(v, str) else v for n, v in found.items()}
            said.used[g.typed] = is_like if like else found
        elif g.typed not in said.not_used:
            said.ignored.append(g.typed)


def _path(typed: str) -> str:
    return typed.partition(".")[2].replace("-", "_")


def _rules(flags: Flags) -> dict[str, tuple[Callable[[Flags, str], Any], str]]:
    """Return how the value of a flag is read that sets one option, and which."""
    u = flags.used
    kinds = ((_whole, u.whole), (_share, u.share), (_format, u.format), (_text, u.name))
    return {name: (read, option) for read, part in kinds for name, option in part.items()}


def _set_by(flags: Flags, g: _Given, said: _Said) -> dict[str, Any]:
    """Return what a flag sets; where it should and does not, say why."""
    if g.name in flags.whys:
        said.not_used[g.typed] = flags.whys[g.name]
        return {}
    try:
        if rule := _rules(flags).get(g.name):
            read, option = rule
            value = read(flags, g.value)
            return {} if value is None else {option: value}
        if options := flags.used.switch.get(g.name):
            turned = {n: not v if g.off and isinstance(v, bool) else v for n, v in options.items()}
            return {n: v for n, v in turned.items() if isinstance(v, bool) or not g.off}
        if keys := flags.used.json_.get(g.name):
            return _keys(g, keys, said)
    except SpecError as error:
        said.not_used[g.typed] = str(error)
    return {}


def _keys(g: _Given, keys: Mapping[str, str], said: _Said) -> dict[str, Any]:
    path = _path(g.typed)
    try:
        held = {path: g.value} if path else json.loads(g.value)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise SpecError(f"{g.value!r} is no JSON object")
    for key in held.keys() - keys.keys():
        typed = g.typed if path else f"{g.typed} {key}"
        said.not_used[typed] = f"planner reads its {' and '.join(keys)}"
    found = {option: held[key] for key, option in keys.items() if held.get(key) is not None}
    return {n: _whole(None, str(v)) if n.endswith("_tokens") else str(v) for n, v in found.items()}


def _whole(_: Flags | None, text: str) -> int:
    """Read a count: 8k is 8,000 and 8K 8,192, as vLLM has it."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgKMG]?)", text.replace("_", ""))
    n = 0
    if found:
        power = "kmg".find(found[2].lower() or "-") + 1
        n = round(float(found[1]) * (1000 if found[2].islower() else 1024) ** power)
    if n <= 0:
        raise SpecError(f"{text!r} is no count above 0")
    return n


def _share(_: Flags, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecError(f"{text!r} is no number") from None


def _format(flags: Flags, text: str) -> str | None:
    if text.lower() == "auto":
        return None
    try:
        return format_named(text).name
    except UnknownName:
        known = flags.formats.get(text.lower().replace("_", "-"))
        if known is None:
            raise SpecError(f"{text!r} is no number format of planner's") from None
        return known


def _text(_: Flags, text: str) -> str | None:
    return text or None
