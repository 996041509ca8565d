"""What is asked of the engine: how long requests are, and how they come."""

from typing import Literal, Self

from pydantic import Field, model_validator

from planner.inputs.fields import Spec

MOST = 100_000_000  # tokens or requests: beyond any run
WorkloadKind = Literal["batch", "concurrency", "burst", "rate", "trace"]


class WorkloadSpec(Spec):
    """Requests: how long, how they come, and what the cache already holds.

    By itself an offline `batch`. `concurrency` keeps so many in flight; `burst` sends so many at
    once; with `rate_per_s` or `trace` they arrive whether or not others have ended. A trace's
    arrivals are scaled to `rate_per_s` where both are given.
    """

    input_tokens: int = Field(4096, ge=1, le=MOST, description="Prompt tokens a request.")
    output_tokens: int = Field(1024, ge=1, le=MOST, description="Generated tokens a request.")
    batch: int = Field(64, ge=1, le=MOST, description="Requests of an offline batch.")
    concurrency: int | None = Field(
        None, ge=1, le=MOST, description="Requests kept in flight, instead of a batch."
    )
    burst: int | None = Field(None, ge=1, le=MOST, description="Requests that arrive at once.")
    rate_per_s: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="Arrivals a second, instead: 12/s.",
        json_schema_extra={"option": "rate"},
    )
    trace: str | None = Field(None, description="CSV of arrivals and lengths to replay.")
    n_requests: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Requests of the whole run; default: no end.",
        json_schema_extra={"option": "requests"},
    )

    burstiness: float = Field(
        1.0, gt=0, le=1e6, description="Gamma shape of the gaps between arrivals: 1 Poisson."
    )
    input_cv: float = Field(
        0.0, ge=0, le=10, description="Spread of prompt lengths, sd over mean; lognormal."
    )
    output_cv: float = Field(
        0.0, ge=0, le=10, description="Spread of output lengths, sd over mean; lognormal."
    )
    prefix_hit: float = Field(
        0.0, ge=0, lt=1, description="Share of a prompt that the prefix cache holds."
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Of what is drawn.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        ways = [n for n in ("concurrency", "burst", "rate_per_s", "trace") if getattr(self, n)]
        if ways and self.batch != type(self).model_fields["batch"].default:
            ways.append("batch")
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
