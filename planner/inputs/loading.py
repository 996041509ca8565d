"""A model by its name or by a path: a preset, a TOML, or a Hugging Face config.json."""

import os
from pathlib import Path

from planner.data import catalogue, is_file, is_folder
from planner.errors import SpecError, UnknownName, WrongType
from planner.inputs.fields import load_toml
from planner.inputs.hf import from_hf
from planner.inputs.model import ModelSpec
from planner.inputs.names import slug
from planner.inputs.presets import bare, format_in_name, preset_named, presets

SEE = "see `planner models list`, or give a path to a TOML or a config.json"


def is_there(path: Path) -> bool:
    """Whether anything is called so; a name no system could have is of nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def model_names() -> list[str]:
    """Return the names of every preset: the user's files, and the table of ours."""
    return sorted({*catalogue("presets/models"), *presets()})


def load_model(name_or_path: "str | Path | ModelSpec") -> ModelSpec:
    """Load a preset (``llama-3.1-8b``, or the model's hub id), a TOML, a config.json or its folder.

    A name is a preset, even where a file is called the same; a path has a slash or a suffix,
    or exists.

    Raises:
        UnknownName: no such preset; the nearest is suggested.
        SpecError: the file is missing, malformed, or of an unsupported family.

    """
    if isinstance(name_or_path, ModelSpec):
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        takes = "a preset's name, a path or a ModelSpec"
        raise WrongType.of("model", name_or_path, takes, hint='write e.g. "llama-3.1-8b"')
    text, path = str(name_or_path), Path(name_or_path)
    mine = catalogue("presets/models")
    if own := next((n for n in (text, slug(text), slug(bare(text))) if n in mine), ""):
        return load_toml(ModelSpec, mine[own])
    if text in presets():
        return presets()[text].spec
    if path.suffix == ".toml" and is_file(path):
        return load_toml(ModelSpec, path)
    if is_folder(path) or path.suffix == ".json":
        return from_hf(path)
    typed = text.startswith(("./", "../", "~"))  # /models/NAME is how servers name what they run
    if not isinstance(name_or_path, Path) and not typed and (name := preset_named(text)):
        if "gguf" in text.lower():
            raise SpecError(
                f"{text}: planner has no number format for GGUF",
                hint=f"name {name}, and the nearest format by --dtype, e.g. w4a16",
            )
        spec = load_model(name)  # a quantised copy keeps its own name: it says in which format
        stored = format_in_name(text)
        return spec.model_copy(update={"name": text, "weights_format": stored}) if stored else spec
    hub_id = len(path.parts) == 2 and path.parts[0] not in (os.sep, ".", "..", "~")
    if (
        isinstance(name_or_path, Path)
        or is_there(path)
        or path.suffix == ".toml"
        or (path.name != text and not hub_id)
    ):
        what = "is neither a TOML nor a config.json" if is_there(path) else "no such file"
        raise SpecError(f"{text}: {what}", hint=SEE)
    raise UnknownName.among("model", text, model_names(), see=SEE)
