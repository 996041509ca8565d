"""Models that are known by name: one table, `presets/models/models.csv`, a row a model.

A row has the preset's name, the model's on the hub (ids, and other names people give it), the
parameters its makers state, and the fields of a model TOML, with the page they were read from.
"""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.data import bundled
from planner.errors import SpecError
from planner.inputs.fields import validate
from planner.inputs.files import read_csv
from planner.inputs.formats import WORDS, formats_in
from planner.inputs.model import ModelSpec
from planner.inputs.names import slug

_TEXT = ("name", "family", "source")  # other cells are JSON
_TUNED = {"instruct", "chat", "base", "it", "hf"}  # what sets a hub id apart, and not a shape
_STORED = {"quantized", "gguf", "bnb", "4bit", "8bit", *WORDS}


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of the table."""

    hub: tuple[str, ...]  # ids, the one its source is of first, and further names
    published: str  # parameters as its makers state them: exact, or in as many digits as printed
    spec: ModelSpec


def presets() -> dict[str, Preset]:
    """Return every preset we ship by its name."""
    return _read(bundled("presets/models") / "models.csv")


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> dict[str, Preset]:
    found = {}
    for row in read_csv(path).rows:
        name, hub, published = (row.pop(k) for k in ("preset", "hub", "published"))
        values: dict[str, Any] = {
            k: cell if k in _TEXT else json.loads(cell) for k, cell in row.items() if cell
        }
        spec = validate(ModelSpec, values, f"{path}: {name}")
        found[name] = Preset(tuple(hub.split()), published, spec)
    return found


@functools.lru_cache(maxsize=4)
def _names(path: Path) -> dict[str, str]:
    names = {}
    for name, preset in _read(path).items():
        for other in (name, preset.spec.name, *preset.hub):
            names[slug(other)] = name
            names.setdefault(slug(bare(other)), name)
    return names | {slug(name): name for name in _read(path)}


def bare(text: str) -> str:
    """Return a hub id without its organisation, however the two are joined."""
    return re.split(r"/|--", text.strip().rstrip("/"))[-1]


def _parted(text: str) -> tuple[list[str], list[str]]:
    """Return the parts of a name that say which model, and those that say how it is stored."""
    parts = slug(bare(re.sub(r"\(.*?\)", "", text))).split("-")
    stored = (i for i, part in enumerate(parts) if i and part.partition(".")[0] in _STORED)
    cut = next(stored, len(parts))
    return parts[:cut], parts[cut:]


def preset_named(text: str) -> str | None:
    """Return the preset that a hub id, or a model's name as people write it, speaks of.

    Organisation, what is in brackets, how weights are stored (``-FP8``, ``-quantized.w8a8``) and
    tuning (``-Instruct``, ``-it``) make no difference where no preset has them in its name.
    """
    names = _names(bundled("presets/models") / "models.csv")
    shape, stored = _parted(text)
    untuned = [part for part in shape if part not in _TUNED]
    for tried in (text, "-".join([*shape, *stored]), "-".join(shape), "-".join(untuned)):
        if slug(tried) in names:
            return names[slug(tried)]
    return None


def format_in_name(text: str) -> str:
    """Return the number format that a model's name says its weights are in: "" where it says none."""
    stored = "-".join(_parted(text)[1]).removeprefix("quantized.")
    try:
        return formats_in(stored)[0] if stored else ""
    except SpecError:  # gguf
        return ""
