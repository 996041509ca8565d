"""What each flag of a serving engine is to planner: tables, `presets/serve_flags/*.toml`."""

import difflib
import functools
import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from planner.data import catalogue, search_path
from planner.inputs.fields import Spec, load_toml

Kind = Literal["values", "lists", "switches"]  # a flag takes one value, several, none


class Named(Spec):
    """Flags that set nothing, and why."""

    why: str
    values: str = ""  # names, apart by white space
    lists: str = ""
    switches: str = ""
    environment: str = ""


class Used(Spec):
    """Flags that set an option, by what is read from their value."""

    whole: dict[str, str] = Field(default_factory=dict)
    share: dict[str, str] = Field(default_factory=dict)
    format: dict[str, str] = Field(default_factory=dict)
    name: dict[str, str] = Field(default_factory=dict)
    json_: dict[str, dict[str, str]] = Field(
        default_factory=dict, alias="json"
    )  # flag: key: option
    # Option: what it becomes, a text being another option's value.
    switch: dict[str, dict[str, bool | str]] = Field(default_factory=dict)


class Beside(Spec):
    """A flag that sets nothing beside another."""

    flag: str
    why: str


class Writes(Spec):
    """What a command that planner writes needs beside the flags it reads."""

    program: str  # what starts the server
    model: str = ""  # flag that names the model; "": the first word
    off: str = ""  # what stands before a switch that is turned off; "": no switch can be
    dtype: dict[str, dict[str, str]] = Field(
        default_factory=dict
    )  # planner's format: flags that make it of a checkpoint of 16 bits
    kv_dtype: dict[str, str] = Field(default_factory=dict)  # planner's format: the engine's word
    draft: str = ""  # flag that takes a draft
    draft_with: dict[str, str] = Field(default_factory=dict)  # flags that go with it


class Flags(Spec):
    """An engine's flags, without their dashes: `presets/serve_flags/NAME.toml`.

    Where two set one option, the one listed first does.
    """

    engine: str
    version: str  # whose flags these are; older ones' are among them
    source: str = Field(pattern="^https://")
    written: date
    programs: tuple[str, ...]  # words that start it; a module where there is a dot
    images: tuple[str, ...]  # containers whose tag is the engine's version
    model: tuple[str, ...]  # flags that name the model; else it is the first word
    aliases: dict[str, str] = Field(default_factory=dict)
    formats: dict[str, str] = Field(default_factory=dict)
    used: Used
    writes: Writes
    beside: dict[str, Beside] = Field(default_factory=dict)
    not_used: tuple[Named, ...]
    ignored: tuple[Named, ...]

    @functools.cached_property
    def kinds(self) -> dict[str, Kind]:
        """What every flag takes."""
        u = self.used
        valued = (*self.model, *u.whole, *u.share, *u.format, *u.name, *u.json_)
        found: dict[str, Kind] = dict.fromkeys(valued, "values")
        found |= dict.fromkeys(u.switch, "switches")
        for part in (*self.not_used, *self.ignored):
            found |= dict.fromkeys(part.values.split(), "values")
            found |= dict.fromkeys(part.lists.split(), "lists")
            found |= dict.fromkeys(part.switches.split(), "switches")
        return found

    @functools.cached_property
    def whys(self) -> dict[str, str]:
        """Why a flag or a variable of the environment, which may matter, is not used."""
        return {
            name: part.why
            for part in self.not_used
            for text in (part.values, part.lists, part.switches, part.environment)
            for name in text.split()
        }

    def named(self, typed: str) -> tuple[str, bool]:
        """Return the flag that is meant, "" for none, and whether it is switched off."""
        name = typed.lstrip("-").partition(".")[0].replace("_", "-")
        if re.fullmatch(r"-O\d?", typed.partition(".")[0]):
            name = "O"
        name = self.aliases.get(name, name)
        positive = self.aliases.get(name[3:], name[3:]) if name.startswith("no-") else ""
        if name not in self.kinds and self.kinds.get(positive) == "switches":
            return positive, True
        if name not in self.kinds and typed.startswith("--"):  # argparse takes a beginning
            near = [n for n in (*self.kinds, *self.aliases) if n.startswith(name)]
            meant = {self.aliases.get(n, n) for n in near}
            name = meant.pop() if len(meant) == 1 else name
        return (name if name in self.kinds else ""), False

    def nearest(self, typed: str) -> str:
        """Return the known flag that is most like one that is none; "" where none is."""
        name = typed.lstrip("-").replace("_", "-")
        close = difflib.get_close_matches(name, [*self.kinds, *self.aliases], n=1)
        return f"--{close[0]}" if close else ""


@functools.lru_cache(maxsize=16)
def _tables(places: tuple[Path, ...]) -> dict[str, Flags]:
    found = [load_toml(Flags, path) for path in catalogue("presets/serve_flags").values()]
    return {f.engine: f for f in sorted(found, key=lambda f: f.engine != "vllm")}


def flag_tables() -> dict[str, Flags]:
    """Return the flags of every engine whose commands are read, by the engine's id."""
    return _tables(search_path("presets/serve_flags"))
