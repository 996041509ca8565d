"""What the server around an engine takes, by engine and version: `calibration/front_ends/ENGINE.toml`."""

import functools
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from planner.columns import FrontEnd
from planner.data import catalogue, search_path
from planner.inputs.engine import EngineSpec, version_numbers
from planner.inputs.fields import Spec, load_toml


class FrontEndVersion(Spec):
    """Constants from a version on, until the next one listed; `columns.FrontEnd` says what each is."""

    since: str  # "0" where nothing older was measured
    fixed_s: float = Field(0.0, ge=0, le=1)
    request_s: float = Field(0.0, ge=0, le=1)
    prompt_token_s: float = Field(0.0, ge=0, le=1e-3)
    token_s: float = Field(0.0, ge=0, le=1e-2)
    chat_fixed_s: float = Field(0.0, ge=0, le=1)  # more of it where messages come, not a prompt
    chat_request_s: float = Field(0.0, ge=0, le=1)
    shared: bool = False
    data: str  # what it was fitted on
    notes: str = ""

    def columns(self, endpoint: str) -> FrontEnd:
        """Return the numbers as columns, at the endpoint of completions or of chat."""
        chat = endpoint == "chat"
        return FrontEnd(
            fixed_s=self.fixed_s + chat * self.chat_fixed_s,
            request_s=self.request_s + chat * self.chat_request_s,
            prompt_token_s=self.prompt_token_s,
            token_s=self.token_s,
            shared=float(self.shared),
        )


class LoadSpread(Spec):
    """Standard deviation of ln(measured / predicted) of services under load, on rows not fitted.

    The step's own spread is in it. Taken from the 80 % of rows that err least.
    """

    ttft: float = Field(0.5, gt=0)
    duration: float = Field(0.2, gt=0)  # of bursts and traces, and of their throughput


class FrontEndFile(Spec):
    """One engine's front end."""

    engine: str
    fitted: date
    spread: LoadSpread = LoadSpread()
    versions: tuple[FrontEndVersion, ...] = Field(min_length=1)  # oldest first

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        since = [version_numbers(v.since) for v in self.versions]
        if since != sorted(since):
            raise ValueError("versions: list them oldest first")
        return self

    def at(self, version: str) -> FrontEndVersion:
        """Return the constants of a version: the newest where it is empty or names no number."""
        asked = version_numbers(version)
        known = [v for v in self.versions if not asked or version_numbers(v.since) <= asked]
        return known[-1] if known else self.versions[0]


@functools.lru_cache(maxsize=16)
def _files(places: tuple[Path, ...]) -> dict[str, FrontEndFile]:
    paths = catalogue("front_ends").values()
    return {f.engine: f for f in (load_toml(FrontEndFile, path) for path in paths)}


def front_end_of(e: EngineSpec) -> FrontEndFile | None:
    """Return the file of an engine's front end; None where nothing was measured.

    Raises:
        SpecError: a file is malformed.

    """
    return _files(search_path("front_ends")).get(e.name)
