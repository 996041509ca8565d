"""Which language-model shape to train: accurate, cheap to serve, and how sure we are.

To read the code, start at three files: `scenario/scenario.py` (the noun every question is about),
`cost/step.py` (what an engine step takes, operator by operator) and `questions/recommend/` (the
choice; begin at its recommend.py). Imports only go down: cli → report → questions → warnings → scenario →
results → metrics, picks → inputs → serving, law → cost → columns → equation, data, glossary, writer →
units, interval → errors.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# The stub beside this file says where each public name lives.
_LINES = Path(__file__).with_name("__init__.pyi").read_text(encoding="utf-8").splitlines()
_HOME: dict[str, str] = {
    line.split()[-1]: line.split()[1] for line in _LINES if line.startswith("from ")
}
__all__ = sorted(_HOME)  # noqa: PLE0605 - read from the stub


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so `import planner` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not, and what a module has."""
    return sorted({*globals(), *_HOME})
