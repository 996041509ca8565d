"""One small system for every test of the serving layer, with its step times looked up once."""

from dataclasses import replace

import pytest

from planner.columns import FrontEnd
from planner.cost import memory
from planner.inputs.loading import load_model
from planner.scenario.scenario import conditions, resolve
from planner.serving.step_times import StepTimes


@pytest.fixture(scope="session")
def make():
    """Return a function that builds a system: the engine alone, which puts steps together as they come."""

    def system(model="llama-3.2-1b", on="a100-sxm-40gb", **engine):
        made = resolve(conditions(on=on, **engine)).system(load_model(model).arch())
        limits = replace(made.limits, async_scheduling=0.0)
        return replace(made, front_end=FrontEnd(), limits=limits)

    return system


@pytest.fixture(scope="session")
def small(make):
    return make(max_batched_tokens=512, max_num_seqs=16)


@pytest.fixture(scope="session")
def cramped():
    """Return a function that leaves a system room for so many cached tokens."""

    def cramp(s, n_tokens):
        spare = float(memory.kv_room_bytes(s))
        spare -= float(memory.kv_bytes_per_token(s)) * n_tokens
        limits = replace(s.limits, reserve_bytes=s.limits.reserve_bytes + spare)
        return replace(s, limits=limits)

    return cramp


@pytest.fixture(scope="session")
def tight(small, cramped):
    """Return the small system with room for 2,000 tokens: sequences get in each other's way."""
    return cramped(small, 2000)


@pytest.fixture(scope="session")
def times(small):
    return StepTimes(small, 20_000)
