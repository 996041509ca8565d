"""Put together what a step time depends on: model, device, engine, profile."""

from dataclasses import dataclass, replace

from planner.columns import Arch, System
from planner.inputs.device import DeviceSpec, NodeSpec, load_device
from planner.inputs.engine import EngineSpec
from planner.inputs.profile import ProfileSpec, load_profile, profile_for


@dataclass(frozen=True, slots=True)
class Served:
    """A device and an engine with the profile that describes them; lacks only the model."""

    device_id: str
    device: DeviceSpec
    engine: EngineSpec
    profile: ProfileSpec
    wider: float  # the profile's spread is multiplied by this here
    basis: str
    node: NodeSpec | None = None

    def system(self, arch: Arch) -> System:
        """Return the columns for `arch`, which may hold one shape or many."""
        kernels, overheads = self.profile.columns()
        return System(
            arch=arch,
            precision=self.engine.precision(),
            device=self.device.columns(self.engine.dtype, self.node),
            parallel=self.engine.parallel(),
            kernels=kernels,
            overheads=overheads,
            limits=self.engine.limits(),
        )

    def with_engine(self, engine: EngineSpec) -> "Served":
        """Return the same device and profile under other engine settings."""
        return replace(self, engine=engine)


def serve(
    device: str, engine: EngineSpec, *, profile: str | None = None, node: NodeSpec | None = None
) -> Served:
    """Look up `device` and the profile that fits it, or the `profile` asked for.

    Raises:
        UnknownName: no such device or profile.
        SpecError: the device does not compute in the engine's dtype, or a file is malformed.

    """
    spec = load_device(device)
    if profile:
        chosen, wider, basis = load_profile(profile), 1.0, f"profile {profile}, as asked"
    else:
        chosen, wider, basis = profile_for(device, spec, engine.name)
    return Served(device, spec, engine, chosen, wider, basis, node)
