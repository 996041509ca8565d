"""What is asked of the engine: how long requests are, and how they come."""

from typing import Literal, Self

from pydantic import Field, model_validator

from planner.inputs.fields import Spec

WorkloadKind = Literal["batch", "concurrency", "burst", "rate", "trace"]


class WorkloadSpec(Spec):
    """Requests: how long, how they come, and what the cache already holds.

    By itself an offline `batch`. `concurrency` keeps so many in flight; `burst` sends so many at
    once; with `rate_per_s` or `trace` they arrive whether or not others have ended. A trace's
    arrivals are scaled to `rate_per_s` where both are given.
    """

    input_tokens: int = Field(default=4096, ge=1, le=100_000_000)
    output_tokens: int = Field(default=1024, ge=1, le=100_000_000)
    batch: int = Field(default=64, ge=1, le=100_000_000)
    concurrency: int | None = Field(default=None, ge=1, le=100_000_000)
    burst: int | None = Field(default=None, ge=1, le=100_000_000)
    rate_per_s: float | None = Field(default=None, gt=0, le=1e9)  # arrivals, mean
    trace: str | None = None  # CSV of arrivals and lengths
    n_requests: int | None = Field(default=None, ge=1, le=100_000_000)  # of the whole run

    burstiness: float = Field(default=1.0, gt=0, le=1e6)  # gamma shape of gaps: 1 Poisson
    input_cv: float = Field(default=0.0, ge=0, le=10)  # lognormal lengths: sd over mean; 0 fixed
    output_cv: float = Field(default=0.0, ge=0, le=10)
    prefix_hit: float = Field(default=0.0, ge=0, lt=1)  # share of a prompt already cached
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        ways = [n for n in ("concurrency", "burst", "rate_per_s", "trace") if getattr(self, n)]
        if len(ways) > 1 and ways != ["rate_per_s", "trace"]:
            raise ValueError(f"{' and '.join(ways)} are two ways for requests to come: keep one")
        if self.trace and (self.input_cv or self.output_cv):
            raise ValueError("a trace has lengths of its own: input_cv and output_cv must be 0")
        if self.n_requests and self.kind in ("batch", "burst"):
            raise ValueError(f"a {self.kind} is its own number of requests: leave n_requests out")
        return self

    @property
    def kind(self) -> WorkloadKind:
        """How requests come; see `planner.serving.kinds`."""
        if self.trace:
            return "trace"
        if self.rate_per_s is not None:
            return "rate"
        if self.burst is not None:
            return "burst"
        return "batch" if self.concurrency is None else "concurrency"
