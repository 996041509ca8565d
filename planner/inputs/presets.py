"""Models that are known by name: one table, `presets/models/models.csv`, a row a model.

A row has the preset's name, the model's on the hub (ids, and other names people give it), the
parameters its makers state, and the fields of a model TOML or what its config.json says beyond its
type's defaults, with the page they were read from.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from planner.data import bundled
from planner.errors import SpecError
from planner.inputs.fields import validate
from planner.inputs.files import read_csv
from planner.inputs.formats import WORDS, formats_in
from planner.inputs.hf import from_config
from planner.inputs.model import ModelSpec
from planner.inputs.names import slug

_OWN = ("preset", "hub", "published")  # of the table; the other columns are fields of a model
_TEXT = ("name", "family", "source", "weights_format")  # other cells are JSON
_TUNED = {"instruct", "chat", "base", "it", "hf"}  # what sets a hub id apart, and not a shape
_STORED = {"quantized", "gguf", "bnb", "4bit", "8bit", *WORDS}


@dataclass(frozen=True)
class Preset:
    """One row of the table."""

    row: Mapping[str, str]

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.row["name"]

    @property
    def hub(self) -> tuple[str, ...]:
        """Its ids, the one its source is of first, and further names."""
        return tuple(self.row["hub"].split())

    @property
    def published(self) -> str:
        """Parameters as its makers state them: exact, or in as many digits as printed."""
        return self.row["published"]

    @cached_property
    def spec(self) -> ModelSpec:
        """Its shape: of the cells, or of what its config.json says."""
        where = f"models.csv: {self.row['preset']}"
        stated = {k: v for k, v in self.row.items() if v and k not in _OWN}
        if config := stated.pop("config", ""):
            spec = from_config(json.loads(config), where=where, name=self.name)
            beside = {k: json.loads(v) for k, v in stated.items() if k.startswith("tower_")}
            return spec.model_copy(update={"source": self.row["source"]} | beside)
        values = {k: cell if k in _TEXT else json.loads(cell) for k, cell in stated.items()}
        return validate(ModelSpec, values, where)


def presets() -> dict[str, Preset]:
    """Return every preset we ship by its name."""
    return _read(bundled("presets/models") / "models.csv")


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> dict[str, Preset]:
    return {row["preset"]: Preset(row) for row in read_csv(path).rows}


@functools.lru_cache(maxsize=4)
def _names(path: Path) -> dict[str, str]:
    names = {}
    for name, preset in _read(path).items():
        for other in (name, preset.name, *preset.hub):
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
