"""Which language-model shape to train: accurate, cheap to serve, and how sure we are."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Budget": "planner.results",
    "DeviceSpec": "planner.inputs.device",
    "EngineSpec": "planner.inputs.engine",
    "LawSpec": "planner.inputs.law",
    "PlannerError": "planner.errors",
    "Prediction": "planner.results",
    "Recommendation": "planner.results",
    "WhatIf": "planner.results",
    "WorkloadSpec": "planner.inputs.workload",
    "budget": "planner.questions.budget.budget",
    "load_device": "planner.inputs.device",
    "load_law": "planner.inputs.law",
    "predict": "planner.questions.predict",
    "recommend": "planner.questions.recommend.recommend",
    "render": "planner.report.render",
    "what_if": "planner.questions.what_if",
    "ModelSpec": "planner.inputs.model",
    "load_model": "planner.inputs.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so `import planner` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
