"""Published benchmarks, by name: what they pass to engines and their tables do not say."""

import functools
from datetime import date
from typing import Any

from pydantic import Field

from planner.data import bundled
from planner.inputs.fields import Spec, load_toml


class Benchmark(Spec):
    """One benchmark of `presets/benchmarks.toml`."""

    name: str  # how the `source` of its rows begins
    source: str = Field(pattern="^https://")
    written: date
    passes: dict[str, dict[str, bool | int | float | str]]  # options, by engine


class _Benchmarks(Spec):
    benchmarks: tuple[Benchmark, ...]


@functools.lru_cache(maxsize=1)
def _known() -> tuple[Benchmark, ...]:
    return load_toml(_Benchmarks, bundled("presets") / "benchmarks.toml").benchmarks


def passed(source: str, engine: str) -> dict[str, Any]:
    """Return the options that the benchmark of a row is known to pass to an engine.

    Args:
        source: of the row, as its file says.
        engine: id.

    """
    named = (b.passes.get(engine, {}) for b in _known() if source.startswith(b.name))
    return dict(next(named, {}))
