"""Public functions of the equations' packages say what they are given, and in which unit."""

import ast
from pathlib import Path

import pytest

import planner

ROOT = Path(planner.__file__).parent


def functions(tree):
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (f for f in inner if isinstance(f, ast.FunctionDef))


@pytest.mark.parametrize("package", ["cost", "law", "serving"])
def test_every_parameter_is_described(package):
    missing, seen = [], 0
    for path in sorted((ROOT / package).rglob("*.py")):
        for f in functions(ast.parse(path.read_text())):
            given = [a.arg for a in f.args.args + f.args.kwonlyargs if a.arg not in ("self", "cls")]
            if f.name.startswith("_") or not given:
                continue
            seen += 1
            said = ast.get_docstring(f) or ""
            missing += [f"{path.name}: {f.name}: {a}" for a in given if f"\n    {a}: " not in said]
    print(f"{package}: {seen} public functions")
    assert not missing
