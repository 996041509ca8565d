"""What is asked of the engine."""

from typing import Self

from pydantic import Field, model_validator

from planner.columns import Workload
from planner.inputs.fields import Spec


class WorkloadSpec(Spec):
    """Requests: how long, how many together or how often, and what the cache already holds.

    By itself, `batch` requests that are all there at the start. With `n_requests`, a closed loop
    that keeps `batch` of them in flight. With `rate_per_s` or `trace`, an open loop: requests
    arrive whether or not others have ended.
    """

    input_tokens: int = Field(default=4096, ge=1)
    output_tokens: int = Field(default=1024, ge=1)
    batch: int = Field(default=64, ge=1)

    n_requests: int | None = Field(default=None, ge=1)  # of the whole run
    rate_per_s: float | None = Field(default=None, gt=0)  # arrivals, mean
    burstiness: float = Field(default=1.0, gt=0)  # gamma shape of gaps: 1 Poisson, below 1 bursty
    input_cv: float = Field(default=0.0, ge=0, le=10)  # lognormal lengths: sd over mean; 0 fixed
    output_cv: float = Field(default=0.0, ge=0, le=10)
    prefix_hit: float = Field(default=0.0, ge=0, lt=1)  # share of a prompt already cached
    trace: str | None = None  # CSV of arrivals and lengths; replaces both
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.trace and (self.input_cv or self.output_cv):
            raise ValueError("a trace has lengths of its own: input_cv and output_cv must be 0")
        return self

    @property
    def open_loop(self) -> bool:
        """Whether requests arrive by the clock."""
        return self.rate_per_s is not None or self.trace is not None

    def columns(self) -> Workload:
        """Return the workload as columns."""
        endless = float("inf")
        return Workload(
            input_tokens=float(self.input_tokens),
            output_tokens=float(self.output_tokens),
            batch=float(self.batch),
            n_requests=endless if self.n_requests is None else float(self.n_requests),
            prefix_hit=self.prefix_hit,
        )
