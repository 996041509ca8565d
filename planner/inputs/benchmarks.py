"""Published benchmarks, by name: what they pass to engines and their tables do not say."""

import functools
from datetime import date
from typing import Any

from pydantic import Field

from planner.data import bundled
from planner.inputs.fields import Spec, load_toml


class Passed(Spec):
    """Options that a benchmark passes to an engine, on some devices or all, from a load on."""

    engine: str
    on: tuple[str, ...] = ()  # hardware ids; none: all
    dtype: str = ""  # and for one format of weights; "": all
    devices: int = 0  # and on so many devices; 0: all
    from_concurrency: int = 0
    options: dict[str, bool | int | float | str]


class Benchmark(Spec):
    """One benchmark of `presets/benchmarks.toml`."""

    name: str  # how the `source` of its rows begins
    source: str = Field(pattern="^https://")
    written: date
    passes: tuple[Passed, ...]  # of those that apply, later ones win


class _Benchmarks(Spec):
    benchmarks: tuple[Benchmark, ...]


@functools.lru_cache(maxsize=1)
def _known() -> tuple[Benchmark, ...]:
    return load_toml(_Benchmarks, bundled("presets") / "benchmarks.toml").benchmarks


def passed(
    source: str, engine: str, on: str, concurrency: int, dtype: str, devices: int
) -> dict[str, Any]:
    """Return the options that the benchmark of a row is known to pass to an engine.

    Args:
        source: of the row, as its file says.
        engine: id.
        on: device, id.
        concurrency: requests kept in flight.
        dtype: format of the weights.
        devices: of the replica, a count.

    """
    found: dict[str, Any] = {}
    for p in (p for b in _known() if source.startswith(b.name) for p in b.passes):
        fits = p.engine == engine and on in (p.on or (on,)) and concurrency >= p.from_concurrency
        if fits and dtype == (p.dtype or dtype) and devices == (p.devices or devices):
            found |= p.options
    return found
