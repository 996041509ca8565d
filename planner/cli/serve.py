"""`--from`: a serve command beside a command's own flags, which win."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from planner.cli.app import UsageError
from planner.inputs.loading import load_model
from planner.inputs.serve_command import ServeCommand, read_serve_command


def served(
    text: str | None,
    model: str | None,
    settings: Mapping[str, Any],
    beside: Collection[str] = (),
    without: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, dict[str, Any], ServeCommand | None]:
    """Return the model, the settings, and what a serve command had to do with them.

    Args:
        text: the serve command, or a file of it; None where there is none.
        model: the model, where it is given apart.
        settings: options given by flags.
        beside: more options that are given.
        without: options that this command does not take from a serve command, and why.

    Raises:
        UsageError: no model.
        SpecError: no serve command that we know.

    """
    if text is None:
        if not model:
            raise UsageError("Missing argument 'MODEL', or a serve command by --from.")
        return model, dict(settings), None
    found = read_serve_command(text, model=model or "").beside({*settings, *beside})
    for name, why in without.items():
        found = found.without([name], why)
    if "dtype" in found.settings and (held := load_model(found.model).weights_format):
        found = found.without(["dtype"], f"the checkpoint is stored in {held}")
    return found.model, {**found.options, **settings}, found
