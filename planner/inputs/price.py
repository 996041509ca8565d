"""Prices of devices by the hour: a dated file that anyone can replace."""

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field

from planner.data import bundled
from planner.inputs.fields import Spec, load_toml


class PricesSpec(Spec):
    """A price list."""

    currency: str = "USD"
    source: str
    checked: date
    notes: str = ""
    sources: dict[str, str] = Field(default_factory=dict)  # of devices priced by another list
    usd_per_hour: dict[str, Annotated[float, Field(gt=0)]]

    def basis(self, device: str = "") -> str:
        """Where a device's price is from and when, in words."""
        return f"list prices of {self.sources.get(device) or f'{self.source}, {self.checked}'}"


def load_prices(path: str | Path | None = None) -> PricesSpec:
    """Load a price list; ours where no `path` is given.

    Raises:
        SpecError: the file cannot be read or is malformed.

    """
    return load_toml(PricesSpec, Path(path) if path else bundled("presets") / "prices.toml")
