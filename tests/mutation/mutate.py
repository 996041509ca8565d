"""Put one fault at a time into the code and see whether a test that judges from outside finds it.

    python tests/mutation/mutate.py fixed            the mutants of mutants.toml, by the tests they name
    python tests/mutation/mutate.py draw 200         random ones, by the judging tests of their room
        --seed 7  --package cost --package law       which ones; what was drawn is printed with its fate

A fault is put in as its module is imported, in a process of its own: no file is written, so that runs go
side by side. Exit code 1: one of the fixed mutants lives, or fits the code no more (then carry it over).
"""

import argparse
import ast
import atexit
import importlib.util
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - what children would import each for itself
import numpy  # noqa: F401
import pydantic  # noqa: F401
import pytest
import scipy.optimize
import scipy.stats  # noqa: F401

ROOT = Path(__file__).parents[2]
RECORDS = Path(__file__).with_name("mutants.toml")
CPU_S = 120  # a mutant that runs for longer is found: no test takes that

# Tests whose expectations come from outside the code: published numbers, measurements, brute force,
# properties, a simulation held to a formula. Printed text and figures shown are no judges.
JUDGES = {
    "cost": ("tests/cost", "tests/test_equations.py", "tests/reference", "tests/serving/test_step_times.py"),
    "law": ("tests/law", "tests/reference"),
    "serving": ("tests/serving",),
    "scenario": ("tests/scenario", "tests/questions", "tests/cost"),
    "questions": ("tests/questions", "tests/scenario"),
    "inputs": ("tests/inputs", "tests/cost"),
    "calibration": ("tests/calibration", "tests/law"),
}  # fmt: skip
FOLDERS = {name: f"planner/{name}" for name in JUDGES} | {
    "calibration": "calibration/planner_calibration"
}
# Measuring and printing is judged by runs on real machines, not by the quick tests.
LEFT_OUT = ("measure/", "report.py", "command.py", "show.py", "words.py", "main.py")


@dataclass(frozen=True)
class Mutant:
    """A file of the project with one place changed, and who must find it."""

    file: str
    source: str
    says: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Fate:
    """What came of a mutant: `killer` is the test that found it, or empty."""

    mutant: Mutant
    killer: str
    seconds: float


# -- one mutant


def module_of(file: str) -> str:
    """Return the name a file is imported by."""
    parts = Path(file).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "calibration" else parts).removesuffix(".__init__")


class _Changed(SourceFileLoader):
    """A module read from a changed source; no cache of bytecode takes part."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> Any:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder:
    def __init__(self, mutant: Mutant) -> None:
        self.name, self.mutant = module_of(mutant.file), mutant

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != self.name:
            return None
        file = str(ROOT / self.mutant.file)
        loader = _Changed(name, file, self.mutant.source)
        return importlib.util.spec_from_file_location(name, file, loader=loader)


class _First:
    """A pytest plugin that remembers the first test to fail."""

    found = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.found:
            self.found = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.found:
            self.found = f"{report.nodeid} (import)"


def _judge(mutant: Mutant, said: Any) -> None:
    """In a process of its own: import the fault, run the tests, say which found it."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, _Finder(mutant))
    first = _First()
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    code = pytest.main([*options, *mutant.tests], plugins=[first])
    # A conftest that cannot be imported is a usage error to pytest: the fault is found all the same.
    said.send((int(code), first.found or ("conftest (import)" if code else "")))
    said.close()
    atexit._run_exitfuncs()


def judge(mutant: Mutant) -> Fate:
    """Return what the tests of a mutant make of it."""
    start = time.perf_counter()
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_judge, args=(mutant, theirs))
    process.start()
    theirs.close()
    try:
        code, killer = ours.recv()
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGXCPU:
            raise RuntimeError(f"the harness itself failed on {mutant.says}") from None
        code, killer = 1, "the limit of its time"
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"no such tests: {' '.join(mutant.tests)}")
    process.join()
    return Fate(mutant, killer, time.perf_counter() - start)


# -- which mutants


def fixed() -> Iterator[Mutant]:
    """Yield the mutants on record.

    Raises:
        LookupError: the text to be changed does not stand in its file exactly once.

    """
    for record in tomllib.loads(RECORDS.read_text(encoding="utf-8"))["mutant"]:
        text = (ROOT / record["file"]).read_text(encoding="utf-8")
        if text.count(record["old"]) != 1:
            raise LookupError(
                f"{record['file']}: {text.count(record['old'])} times {record['old']!r}"
            )
        says = f"{record['old']}  ->  {record['new']}"
        changed = text.replace(record["old"], record["new"])
        yield Mutant(record["file"], changed, says, tuple(record["tests"]))


BINARY = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.Pow: "*", ast.FloorDiv: "*", ast.Mod: "*",
}  # fmt: skip
COMPARED = {
    ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in",
    ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
TWINS = {"min": "max", "minimum": "maximum", "any": "all", "ceil": "floor", "argmax": "argmin"}
TWINS |= {b: a for a, b in TWINS.items()}
SKIPPED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)


def changes(text: str) -> list[tuple[ast.AST, str]]:
    """Return every node of a source that one change of an operator, number or name would alter."""
    found: list[tuple[ast.AST, str]] = []

    def src(node: ast.AST) -> str:
        return ast.get_source_segment(text, node) or ""

    def visit(node: ast.AST) -> None:
        match node:
            case ast.BinOp(left, op, right) if type(op) in BINARY:
                literal = any(
                    isinstance(x, ast.Constant) and isinstance(x.value, str) for x in (left, right)
                )
                if not literal and not (isinstance(op, ast.Mult) and isinstance(left, ast.List)):
                    found.append((node, f"(({src(left)}) {BINARY[type(op)]} ({src(right)}))"))
            case ast.Compare(left, [op], [right]):
                found.append((node, f"({src(left)} {COMPARED[type(op)]} {src(right)})"))
            case ast.BoolOp(op, values):
                word = " or " if isinstance(op, ast.And) else " and "
                found.append((node, f"({word.join(f'({src(v)})' for v in values)})"))
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                found.append((node, f"({src(operand)})"))
            case ast.Constant(value) if type(value) in (int, float):
                found.append((node, f"({value * 2 if value else 1!r})"))
            case ast.Call(ast.Name(name) | ast.Attribute(_, name)) if name in TWINS:
                inner = node.func
                start = src(inner).rpartition(name)[0]
                found.append((inner, f"{start}{TWINS[name]}"))
            case ast.IfExp(test):
                found.append((test, f"(not ({src(test)}))"))
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, SKIPPED):
                    visit(child)

    visit(ast.parse(text))
    return found


def changed(text: str, node: Any, new: str) -> str:
    """Return a source with one node written anew; columns count bytes."""
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = text.encode()
    return (whole[:start] + new.encode() + whole[end:]).decode()


def drawn(n: int, seed: int, packages: Sequence[str]) -> Iterator[Mutant]:
    """Yield random mutants, as many of each package; a place in proportion to a file's places."""
    for package in packages:
        rng = random.Random(f"{package}-{seed}")
        places = []
        for path in sorted((ROOT / FOLDERS[package]).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            if any(part in file for part in LEFT_OUT if package == "calibration"):
                continue
            text = path.read_text(encoding="utf-8")
            places += [(file, text, *change) for change in changes(text)]
        for file, text, node, new in rng.sample(places, n // len(packages)):
            old = " ".join((ast.get_source_segment(text, node) or "").split())
            says = f"{file}:{getattr(node, 'lineno', 0)}: {old}  ->  {new}"
            yield Mutant(file, changed(text, node, new), says, JUDGES[package])


def package_of(file: str) -> str:
    """Return the package a file is in."""
    return next(name for name, folder in FOLDERS.items() if file.startswith(folder))


def unchanged(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return no mutants: a file as it is, for each set of tests, which must pass with it."""
    first = {m.tests: m.file for m in mutants}
    texts = (
        (tests, file, (ROOT / file).read_text(encoding="utf-8")) for tests, file in first.items()
    )
    return [Mutant(file, text, "nothing", tests) for tests, file, text in texts]


def run(mutants: Sequence[Mutant], jobs: int) -> list[Fate]:
    """Judge mutants side by side, and print each fate as it is known.

    Raises:
        RuntimeError: tests fail without a mutant: they would seem to kill every one.

    """
    fates = []
    with ThreadPoolExecutor(jobs) as pool:
        for fate in pool.map(judge, unchanged(mutants)):
            if fate.killer:
                raise RuntimeError(f"{fate.killer} fails without a mutant")
        for fate in pool.map(judge, mutants):
            fates.append(fate)
            word = f"killed by {fate.killer}" if fate.killer else "LIVES"
            print(f"{fate.seconds:5.1f} s  {fate.mutant.says}\n         {word}", flush=True)
    return fates


def main() -> int:
    """Read the command line; return the exit code."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    acts = words.add_subparsers(dest="act", required=True)
    acts.add_parser("fixed")
    draw = acts.add_parser("draw")
    draw.add_argument("n", type=int)
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--package", action="append", choices=sorted(JUDGES))
    words.add_argument("--jobs", type=int, default=2)
    asked = words.parse_args()
    os.chdir(ROOT)
    start = time.perf_counter()
    mutants = (
        list(fixed())
        if asked.act == "fixed"
        else list(drawn(asked.n, asked.seed, asked.package or sorted(JUDGES)))
    )
    fates = run(mutants, asked.jobs)
    for package in sorted({package_of(m.file) for m in mutants}):
        own = [f for f in fates if package_of(f.mutant.file) == package]
        killed = sum(bool(f.killer) for f in own)
        print(f"{package:12} {killed:3} of {len(own):3} killed, {100 * killed / len(own):3.0f} %")
    alive = sum(not f.killer for f in fates)
    print(
        f"{len(fates) - alive} of {len(fates)} mutants killed in {time.perf_counter() - start:.0f} s"
    )
    return int(asked.act == "fixed" and alive > 0)


if __name__ == "__main__":
    sys.exit(main())
