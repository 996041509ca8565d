"""What is asked of the engine: how long requests are, and how they come."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from planner.inputs.fields import Spec

MOST = 100_000_000  # tokens or requests: beyond any run
WorkloadKind = Literal["batch", "concurrency", "burst", "rate", "trace"]
LENGTHS = r"fixed|lognormal|sharegpt|uniform:(0(\.\d+)?|1(\.0+)?)"
CHAT_CV = 1.0  # of lognormal lengths, where nobody says; chat traffic has a cv near 1


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
    trace: str | None = Field(None, description="Trace to replay: arrivals, lengths.")
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
    lengths: str | None = Field(
        None,
        description="How lengths spread: fixed, uniform:0.8, lognormal, sharegpt, or a CSV of them.",
    )
    endpoint: Literal["completions", "chat"] = Field(
        "completions", description="How clients ask: a prompt (completions), or messages (chat)."
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
        if self.trace and (self.input_cv or self.output_cv or self.lengths):
            raise ValueError("a trace has lengths of its own: leave lengths and their cv out")
        if self.listed and not self.listed.endswith((".csv", ".csv.gz")):
            raise ValueError(
                f"lengths: {self.lengths!r} is none: fixed, uniform:0.8 (from 0.8 of the longest), "
                "lognormal, sharegpt, or a CSV with input_tokens and output_tokens"
            )
        if self.lengths not in (None, "lognormal") and (self.input_cv or self.output_cv):
            raise ValueError(f"lengths {self.lengths} have a spread of their own: leave the cv out")
        if self.n_requests and self.kind in ("batch", "burst"):
            raise ValueError(f"a {self.kind} is its own number of requests: leave n_requests out")
        return self

    @property
    def listed(self) -> str:
        """The file that lists its lengths; empty where they follow a distribution."""
        return "" if re.fullmatch(LENGTHS, self.lengths or "fixed") else str(self.lengths)

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
