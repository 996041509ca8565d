"""Which language-model shape to train: accurate, cheap to serve, and how sure we are."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Budget": "planner.search.budget",
    "DeviceSpec": "planner.spec.device",
    "EngineSpec": "planner.spec.engine",
    "LawSpec": "planner.spec.law",
    "PlannerError": "planner.errors",
    "Prediction": "planner.search.result",
    "Recommendation": "planner.search.result",
    "WhatIf": "planner.search.what_if",
    "WorkloadSpec": "planner.spec.workload",
    "budget": "planner.search.budget",
    "load_device": "planner.spec.device",
    "load_law": "planner.spec.law",
    "predict": "planner.search.predict",
    "recommend": "planner.search.ask",
    "what_if": "planner.search.what_if",
    "ModelSpec": "planner.spec.model",
    "load_model": "planner.spec.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so `import planner` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
