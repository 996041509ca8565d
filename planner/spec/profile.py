"""Fitted constants of a device and an engine, with their spread and the data they came from."""

from datetime import date

from pydantic import Field

from planner.columns import Kernels, Overheads
from planner.data import catalogue, find
from planner.spec.device import DeviceSpec
from planner.spec.fields import Spec, load_toml


class Spread(Spec):
    """Standard deviation of ln(measured / predicted) on data not fitted, by what is predicted."""

    prefill: float = Field(gt=0)
    decode: float = Field(gt=0)
    throughput: float = Field(gt=0)
    gain: float = Field(gt=0)  # of the ratio of two shapes on one system: shared errors cancel


class ProfileSpec(Spec):
    """One profile: `calibration/fits/NAME.toml`."""

    name: str
    architecture: str  # the device generation it was fitted on; "any" for the class default
    devices: tuple[str, ...] = ()  # hardware ids it was fitted on
    engine: str
    engine_version: str = ""
    fitted: date
    data: str  # what it was fitted on, with commit and licence
    kernels: dict[str, float]
    overheads: dict[str, float]
    spread: Spread

    def columns(self) -> tuple[Kernels, Overheads]:
        """Return the constants as columns."""
        return Kernels(**self.kernels), Overheads(**self.overheads)


def load_profile(name: str) -> ProfileSpec:
    """Load a profile by name or path.

    Raises:
        UnknownName: there is none; the nearest is suggested.

    """
    path = find("calibration", "profile", name, see="see `planner calibrate show`")
    return load_toml(ProfileSpec, path)


def profile_for(device_id: str, device: DeviceSpec, engine: str) -> tuple[ProfileSpec, float, str]:
    """Return the nearest profile, how much wider its spread becomes here, and the basis in words.

    Nearest: fitted on this device, then on its architecture, then the class default.
    """
    profiles = [load_profile(name) for name in catalogue("calibration")]

    def distance(p: ProfileSpec) -> tuple[int, int]:
        near = 0 if device_id in p.devices else 1 if p.architecture == device.architecture else 2
        return near if p.architecture != "any" else 2, p.engine != engine

    best = min(
        (p for p in profiles if distance(p)[0] < 2 or p.architecture == "any"), key=distance
    )
    near, other_engine = distance(best)
    if best.architecture == "any":
        return best, 1.0, f"class default {best.name}: not calibrated on {device.name}"
    wider = (1.0, 1.5)[near] * (1.5 if other_engine else 1.0)
    borrowed = f", borrowed for {device.name}" if near else ""
    engine_note = f", engine constants of {best.engine}" if other_engine else ""
    return best, wider, f"calibrated {best.name} ({best.fitted}){borrowed}{engine_note}"
