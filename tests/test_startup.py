"""The command answers at once because it imports nothing heavy to do so."""

import subprocess
import sys

import pytest

HEAVY = {"numpy", "scipy", "sympy", "pydantic", "rich", "torch", "vllm", "plotly"}
PRINT_MODULES = """
import atexit, sys
sys.argv = ["planner", *{argv!r}]
atexit.register(lambda: print("\\n#", *{{m.partition(".")[0] for m in sys.modules}}))
from planner.cli.app import main
main()
"""


def loaded_by(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.rpartition("#")[2].split())


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["hardware", "--help"]])
def test_help_imports_nothing_heavy(argv):
    assert not HEAVY & loaded_by(PRINT_MODULES.format(argv=argv))


@pytest.mark.parametrize("command", ["recommend", "predict", "what-if", "budget", "validate"])
def test_help_made_of_the_specs_imports_them_alone(command):
    assert HEAVY & loaded_by(PRINT_MODULES.format(argv=[command, "--help"])) <= {"pydantic"}


def test_importing_the_library_is_instant():
    code = "import sys, planner; print('#', *{m.partition('.')[0] for m in sys.modules})"
    assert not HEAVY & loaded_by(code)


def test_recommend_needs_neither_scipy_nor_sympy_nor_torch():
    argv = ["recommend", "--params", "1e9", "--tokens", "1e11", "--json"]
    assert not {"scipy", "sympy", "torch", "plotly"} & loaded_by(PRINT_MODULES.format(argv=argv))
