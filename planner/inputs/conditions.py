"""Everything of a scenario but the model: what one model, or the many of a search, is judged under."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from planner.cost.memory import GIB_PER_GB
from planner.data import search_path
from planner.errors import PlannerError
from planner.inputs.deployment import DeploymentSpec
from planner.inputs.device import DeviceSpec, load_device
from planner.inputs.engine import EngineSpec
from planner.inputs.training import TrainingSpec
from planner.inputs.workload import WorkloadSpec


class Conditions(DeploymentSpec, TrainingSpec):
    """A deployment and a training, flat; the engine and the workload."""

    engine: EngineSpec = Field(default_factory=EngineSpec)
    workload: WorkloadSpec = WorkloadSpec()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, in which the engine chooses again what nobody stated."""
        copied = super().model_copy(update=update, deep=deep)
        copied._choose_limits()
        return copied

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        self._choose_limits()
        return self

    def _choose_limits(self) -> None:
        """Let the engine choose the limits that nobody states by the device it finds."""
        if device := _device(self.on, search_path("hardware")):
            offered = device.hbm_bytes * GIB_PER_GB * device.hbm_offered
            offline = self.workload.kind == "batch"
            engine = self.engine.for_device(device.name, offered, offline=offline)
            object.__setattr__(self, "engine", engine)  # frozen once it is made


@functools.lru_cache(maxsize=256)
def _device(name: str, places: tuple[Path, ...]) -> DeviceSpec | None:
    try:
        return load_device(name)
    except PlannerError:
        return None  # whoever looks it up to answer says what is wrong
