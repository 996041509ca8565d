"""Fitted constants of a device and an engine, with their spread and the data they came from."""

import dataclasses
import functools
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from planner.columns import Footprint, Kernels, Overheads
from planner.data import catalogue, find, is_own
from planner.errors import SpecError
from planner.inputs.device import DeviceSpec
from planner.inputs.engine import EngineFile, engines
from planner.inputs.fields import Spec, load_toml
from planner.inputs.front_end import FrontEndVersion, LoadSpread

BORROWED_DEVICE = 1.5  # how much wider intervals get for a device of the same architecture
BORROWED_ENGINE = 1.5  # and with constants of another engine, or of another generation of it


class Spread(Spec):
    """Standard deviation of ln(measured / predicted) on data not fitted, by what is predicted.

    Tails are heavier than a normal's, so it is taken from the 80 % of rows that err least:
    80 % intervals are to cover 80 %.
    """

    prefill: float = Field(gt=0)
    decode: float = Field(gt=0)
    throughput: float = Field(gt=0)
    layers: float = Field(default=0.25, gt=0)  # at least, of models with layers it has not seen
    ttft: float = Field(default=0.2, gt=0)  # under load; no published rows to take it from
    gain: float = Field(gt=0)  # of the ratio of two shapes on one system: shared errors cancel


class HeldOut(Spec):
    """How well rows were predicted that the fit had not seen."""

    how: str
    n: int = Field(ge=1)
    mean_ape: float = Field(ge=0)  # absolute percentage error, as a share
    median_ape: float = Field(ge=0)
    bias: float  # median of predicted / measured, less 1
    coverage: float = Field(ge=0, le=1)  # of 80 % intervals


class Posterior(Spec):
    """What the fit left open: standard deviations and correlations of the logarithms."""

    constants: tuple[str, ...]
    ln_sd: tuple[float, ...]
    correlation: tuple[tuple[float, ...], ...]  # below the diagonal, row by row

    @model_validator(mode="after")
    def _fits_together(self) -> "Posterior":
        n = len(self.constants)
        shape = [len(row) for row in self.correlation]
        if len(self.ln_sd) != n or shape != list(range(1, n)):
            raise ValueError(f"ln_sd and correlation have to be of the {n} constants")
        return self

    def covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the logarithms, in the order of `constants`."""
        r = np.eye(len(self.constants))
        for i, row in enumerate(self.correlation, start=1):
            r[i, :i] = r[:i, i] = row
        sd = np.array(self.ln_sd)
        return np.asarray(r * sd[:, None] * sd[None, :])


class ProfileSpec(Spec):
    """One profile: `calibration/fits/NAME.toml`."""

    name: str
    architecture: str  # the device generation it was fitted on; "any" for the class default
    devices: tuple[str, ...] = ()  # hardware ids it was fitted on
    engine: str
    engine_version: str = ""
    fitted: date
    data: str  # what it was fitted on, with commit and licence
    layers: tuple[str, ...] = ()  # kinds among its runs' models: `ModelSpec.layer_kinds`
    borrowed: str = ""  # what it took from other fits, for want of measurements of its own
    wider: float = Field(default=1.0, ge=1)  # times the spread, for what is borrowed
    kernels: dict[str, float]
    benchmark: dict[str, float] = Field(
        default_factory=dict
    )  # kernels timed alone, where whole runs insist on others
    overheads: dict[str, float]
    # Overheads that are others where a server answers requests, whose processes share the host's CPU.
    served: dict[str, float] = Field(default_factory=dict)
    # What start-up logs say of the engine's footprint here, by `columns.Footprint`, in place of its file.
    memory: dict[str, float] = Field(default_factory=dict)
    # What a server adds to the engine here, and how sure loads are told, in place of the shipped ones.
    front_end: FrontEndVersion | None = None
    load_spread: LoadSpread | None = None
    spread: Spread
    held_out: HeldOut | None = None
    posterior: Posterior | None = None

    @model_validator(mode="after")
    def _within_physics(self) -> Self:
        parts = {
            "kernels": Kernels,
            "benchmark": Kernels,
            "overheads": Overheads,
            "served": Overheads,
        }
        for part, cls in (parts | {"memory": Footprint}).items():
            known = {f.name for f in dataclasses.fields(cls)}
            for name, value in getattr(self, part).items():
                if name not in known:
                    raise ValueError(f"{part}.{name}: no such constant")
                if value < 0 or (name.endswith("_eff") and not 0 < value <= 1):
                    raise ValueError(f"{part}.{name}: {value:g} is outside physics")
        return self

    def columns(self) -> tuple[Kernels, Overheads]:
        """Return the constants as columns."""
        return Kernels(**self.kernels), Overheads(**self.overheads)

    def serving(self) -> Overheads:
        """Return the overheads where a server answers requests."""
        return Overheads(**(self.overheads | self.served))

    def alone(self) -> Kernels:
        """Return the kernels as a benchmark of single ones sees them."""
        return Kernels(**(self.kernels | self.benchmark))


@functools.lru_cache(maxsize=256)
def _read(path: Path, modified: float) -> ProfileSpec:
    return load_toml(ProfileSpec, path)


def load_profile(name: str) -> ProfileSpec:
    """Load a profile by name or path.

    Raises:
        UnknownName: there is none; the nearest is suggested.

    """
    path = find("calibration", "profile", name, see="see `planner calibrate show`")
    return _read(path, path.stat().st_mtime)


def _generations(engine: EngineFile) -> list[str]:
    """Return the names under which fits know an engine's versions, oldest first."""
    return list(dict.fromkeys(v.generation for v in engine.versions))


def profile_for(
    device_id: str, device: DeviceSpec, engine: str, *, own: bool = True
) -> tuple[ProfileSpec, float, str]:
    """Return the nearest profile, how much wider its spread becomes here, and the basis in words.

    Nearest: fitted on this device, then on its architecture, then the class default; among those, of
    this generation of the engine, of the one nearest to it in time, then of vLLM. The user's own go
    before ours, the newest first; without `own` they are left out. One that cannot be read is named.
    """
    profiles: list[ProfileSpec] = []
    users: set[str] = set()
    unread: list[str] = []
    for path in catalogue("calibration").values():
        users_file = is_own("calibration", path)
        if users_file and not own:
            continue
        try:
            profiles.append(_read(path, path.stat().st_mtime))
        except SpecError as error:
            if not users_file:
                raise
            # Of an older planner, perhaps: it is no reason to answer nothing.
            unread.append(f"not read: {error}")
            continue
        users |= {profiles[-1].name} if users_file else set()
    of_engine = next(
        filter(lambda names: engine in names, map(_generations, engines().values())), [engine]
    )

    def distance(p: ProfileSpec) -> tuple[int, int, int, bool, int]:
        near = 0 if device_id in p.devices else 1 if p.architecture == device.architecture else 2
        here = of_engine.index(engine)
        apart = [abs(i - here) for i, own in enumerate(of_engine) if own == p.engine]
        other = min(apart, default=len(of_engine))
        near = near if p.architecture != "any" else 2
        return near, other, p.engine != "vllm", p.name not in users, -p.fitted.toordinal()

    best = min((p for p in profiles if distance(p)[0] < 2 or p.architecture == "any"), key=distance)
    near, other_engine, *_ = distance(best)
    if best.architecture == "any":
        words = f"class default {best.name}: not calibrated on {device.name}"
        return best, 1.0, ", ".join([words, *unread])
    wider = best.wider * (1.0, BORROWED_DEVICE)[near] * (BORROWED_ENGINE if other_engine else 1.0)
    notes = ["your own measurements"] if best.name in users else []
    notes += [f"borrowed for {device.name}"] if near else []
    notes += [f"engine constants of {best.engine}"] if other_engine else []
    notes += [best.borrowed] if best.borrowed else []
    return best, wider, ", ".join([f"calibrated {best.name} ({best.fitted})", *notes, *unread])
