"""A model by its name or by a path: a preset, a TOML, or a Hugging Face config.json."""

from pathlib import Path

from planner.data import catalogue, find
from planner.errors import SpecError
from planner.inputs.fields import load_toml
from planner.inputs.hf import from_hf
from planner.inputs.model import ModelSpec

SEE = "see `planner models list`, or give a path to a TOML or a config.json"


def model_names() -> list[str]:
    """Return the ids of every preset on the search path."""
    return list(catalogue("presets/models"))


def load_model(name_or_path: "str | Path | ModelSpec") -> ModelSpec:
    """Load a preset (``llama-3.1-8b``), a TOML, a config.json or a folder that holds one.

    A name is a preset, even where a file is called the same; a path has a slash or a suffix,
    or exists.

    Raises:
        UnknownName: no such preset; the nearest is suggested.
        SpecError: the file is missing, malformed, or of an unsupported family.

    """
    if isinstance(name_or_path, ModelSpec):
        return name_or_path
    text, path = str(name_or_path), Path(name_or_path)
    if text in catalogue("presets/models"):
        return load_toml(ModelSpec, find("presets/models", "model", text))
    if path.suffix == ".toml" and path.is_file():
        return load_toml(ModelSpec, path)
    if path.is_dir() or path.suffix == ".json":
        return from_hf(path)
    if isinstance(name_or_path, Path) or path.suffix == ".toml" or len(path.parts) > 1:
        raise SpecError(f"{text}: no such file", hint=SEE)
    return load_toml(ModelSpec, find("presets/models", "model", text, see=SEE))
