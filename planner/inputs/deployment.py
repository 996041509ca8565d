"""Where a model runs: which device, how many copies of the engine, at what price."""

from pydantic import Field

from planner.inputs.fields import Spec

DEFAULT_DEVICE = "a100-sxm-40gb"  # of Bian et al., arXiv 2510.18245


class DeploymentSpec(Spec):
    """A device by its name or path, how many replicas of the engine, and what an hour of it costs."""

    on: str = Field(DEFAULT_DEVICE, description="Device, by name (h100-sxm, H100) or TOML path.")
    replicas: int = Field(1, ge=1, le=100_000, description="Copies of the engine.")
    prefill_replicas: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Further copies that compute prompts; decoding is the others'.",
    )
    profile: str | None = Field(None, description="Speed profile, name or path; default: nearest.")
    usd_per_hour: float | None = Field(
        None, gt=0, le=1e6, description="Price of one device hour; default: the price list."
    )
    prices: str | None = Field(None, description="Price list, TOML; default: ours.")
