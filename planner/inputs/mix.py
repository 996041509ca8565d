"""The places a shape is chosen for: named scenarios with their weights, from a file or from flags."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from planner.errors import SpecError
from planner.inputs.fields import Spec
from planner.inputs.files import read_toml

HINT = 'write e.g. [scenarios.chat] with on = "h100-sxm", concurrency = 8, weight = 0.3'
MOST = 24  # scenarios: each is computed for every shape
MOST_DEVICES = 256  # of a scenario, where they are arranged by the search
Objective = Literal["cost", "speed"]
Share = Literal["tokens", "money"]


class MixSpec(Spec):
    """Scenarios by name: options as `recommend` takes them, and what of the whole each is."""

    objective: Objective | None = Field(
        None,
        description="cost: dollars a token; speed: tokens a second. Default: cost where priced.",
    )
    share: Share = Field("tokens", description="What weights are shares of: tokens or money.")
    scenarios: dict[str, dict[str, Any]]
    weights: dict[str, float]

    devices: dict[str, int] = Field(
        default_factory=dict
    )  # the most a scenario may take, where it says so

    @property
    def shares(self) -> dict[str, float]:
        """The weights, of which the sum is one."""
        total = sum(self.weights.values())
        return {name: w / total for name, w in self.weights.items()}


def read_mix(path: str | Path) -> MixSpec:
    """Read scenarios from a TOML file.

    Raises:
        SpecError: the file, a key or a weight is wrong; says which.

    """
    data = read_toml(path, hint=HINT)
    known = ("objective", "share", "scenarios")
    for key in data:
        if key not in known:
            raise SpecError(f"{path}: {key}: no such key", hint=f"keys are {', '.join(known)}")
    for key, choices in (("objective", ("cost", "speed")), ("share", ("tokens", "money"))):
        if key in data and data[key] not in choices:
            raise SpecError(f"{path}: {key}: {data[key]!r} is none of {', '.join(choices)}")
    found = data.get("scenarios")
    if not isinstance(found, Mapping) or not found:
        raise SpecError(f"{path}: no scenarios", hint=HINT)
    for name, own in found.items():
        if not isinstance(own, Mapping):
            raise SpecError(f"{path}: scenarios.{name} is no table", hint=HINT)
    return mix_of(found, data.get("objective"), data.get("share", "tokens"), str(path))


def mix_of(
    scenarios: Mapping[str, Mapping[str, Any]],
    objective: Objective | None = None,
    share: Share = "tokens",
    where: str = "scenarios",
) -> MixSpec:
    """Return a mix of scenarios, each a table of options and perhaps a weight; equal where none has.

    Raises:
        SpecError: weights that are negative, sum to nothing, or that only some state.

    """
    if len(scenarios) > MOST:
        raise SpecError(
            f"{where}: {len(scenarios)} scenarios, of at most {MOST}", hint="leave some out"
        )
    stated = {name: own["weight"] for name, own in scenarios.items() if "weight" in own}
    for name, weight in stated.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise SpecError(f"{where}: weight of {name}: {weight!r}", hint="write 0 or more")
    if stated and len(stated) < len(scenarios):
        lacking = ", ".join(n for n in scenarios if n not in stated)
        raise SpecError(
            f"{where}: no weight for {lacking}", hint="give every scenario a weight, or none"
        )
    weights = {n: float(stated.get(n, 1.0)) for n in scenarios}
    if not sum(weights.values()) > 0:
        raise SpecError(f"{where}: the weights sum to nothing", hint="give one a weight above 0")
    devices = {n: own["devices"] for n, own in scenarios.items() if "devices" in own}
    for name, most in devices.items():
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_DEVICES:
            raise SpecError(
                f"{where}: devices of {name}: {most!r}",
                hint=f"write a whole number, the most it may take: 1 to {MOST_DEVICES}",
            )
    apart = ("weight", "devices")
    options = {n: {k: v for k, v in own.items() if k not in apart} for n, own in scenarios.items()}
    return MixSpec(
        objective=objective, share=share, scenarios=options, weights=weights, devices=devices
    )


def crossed(
    settings: Mapping[str, Any], names: Sequence[str], devices: int | None = None
) -> MixSpec | None:
    """Return the mix of every combination of options that list several values; None where none does.

    Args:
        settings: options as they were given; text with commas lists values.
        names: options that may list.
        devices: the most to choose an arrangement of; with it one scenario is a mix, too.

    """
    listed = {
        n: [part.strip() for part in v.split(",")]
        for n in names
        if isinstance(v := settings.get(n), str) and "," in v
    }
    if not listed:
        return (
            None if devices is None else mix_of({settings.get("on", "served"): {}}, where="flags")
        )
    scenarios = {}
    for values in itertools.product(*listed.values()):
        own = dict(zip(listed, values, strict=True))
        scenarios[" ".join(_short(n, v) for n, v in own.items())] = own
    return mix_of(scenarios, where="flags")


def _short(name: str, value: str) -> str:
    return value if name in ("on", "dtype") else f"{name} {value}"
