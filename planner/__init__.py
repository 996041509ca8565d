"""Which language-model shape to train: accurate, cheap to serve, and how sure we are.

To read the code, start at three files: `scenario/scenario.py` (the noun every question is about),
`cost/step.py` (what an engine step takes, operator by operator) and `questions/recommend/` (the
choice; begin at its recommend.py). Imports only go down: cli → report → questions → warnings → scenario →
results → metrics, picks → inputs → serving, law → cost → columns → equation, data, glossary, writer →
units, interval → errors.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Budget": "planner.results",
    "DeploymentSpec": "planner.inputs.deployment",
    "DeviceSpec": "planner.inputs.device",
    "EngineSpec": "planner.inputs.engine",
    "LawSpec": "planner.inputs.law",
    "ModelSpec": "planner.inputs.model",
    "PlannerError": "planner.errors",
    "Prediction": "planner.results",
    "Recommendation": "planner.results",
    "Scenario": "planner.scenario.scenario",
    "ServeCommand": "planner.inputs.serve_command",
    "TrainingSpec": "planner.inputs.training",
    "Validation": "planner.results",
    "WhatIf": "planner.results",
    "WorkloadSpec": "planner.inputs.workload",
    "budget": "planner.questions.budget.budget",
    "evaluate": "planner.scenario.evaluate",
    "load_device": "planner.inputs.device",
    "load_law": "planner.inputs.law",
    "load_model": "planner.inputs.loading",
    "predict": "planner.questions.predict",
    "read_serve_command": "planner.inputs.serve_command",
    "recommend": "planner.questions.recommend.recommend",
    "render": "planner.report.render",
    "what_if": "planner.questions.what_if",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so `import planner` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
