"""Where a model runs: which device, how many copies of the engine, at what price."""

from pydantic import Field

from planner.inputs.fields import Spec

DEFAULT_DEVICE = "a100-sxm-40gb"  # of Bian et al., arXiv 2510.18245


class DeploymentSpec(Spec):
    """A device by its id or path, how many replicas of the engine, and what an hour of it costs."""

    on: str = DEFAULT_DEVICE
    replicas: int = Field(default=1, ge=1, le=100_000)
    # above 0: prompts are these replicas' business, and decoding that of `replicas`
    prefill_replicas: int = Field(default=0, ge=0, le=100_000)
    profile: str | None = None  # None: the nearest there is
    usd_per_hour: float | None = Field(default=None, gt=0)  # of one device; None: the price list
    prices: str | None = None  # path of a price list; None: ours
