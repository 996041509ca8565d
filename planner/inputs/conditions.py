"""Everything of a scenario but the model: what one model, or the many of a search, is judged under."""

from pydantic import Field

from planner.inputs.deployment import DeploymentSpec
from planner.inputs.engine import EngineSpec
from planner.inputs.training import TrainingSpec
from planner.inputs.workload import WorkloadSpec


class Conditions(DeploymentSpec, TrainingSpec):
    """A deployment and a training, flat; the engine and the workload."""

    engine: EngineSpec = Field(default_factory=EngineSpec)
    workload: WorkloadSpec = WorkloadSpec()
