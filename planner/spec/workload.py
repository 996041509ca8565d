"""What is asked of the engine."""

from pydantic import Field

from planner.columns import Workload
from planner.spec.fields import Spec


class WorkloadSpec(Spec):
    """`batch` requests of fixed lengths, all there at the start."""

    input_tokens: int = Field(default=4096, ge=1)
    output_tokens: int = Field(default=1024, ge=1)
    batch: int = Field(default=64, ge=1)

    def columns(self) -> Workload:
        """Return the workload as columns."""
        return Workload(
            input_tokens=float(self.input_tokens),
            output_tokens=float(self.output_tokens),
            batch=float(self.batch),
        )
