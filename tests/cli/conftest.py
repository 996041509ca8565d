"""Run the command in this process, as `main` would: quick, and exit codes as a shell sees them."""

import sys
from dataclasses import dataclass

import pytest

from planner.cli.app import main


@dataclass
class Run:
    """What a shell would see."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def planner(capsys, monkeypatch):
    """Return a function that runs `planner ARGV…`."""

    def run(*argv, env=None):
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["planner", *map(str, argv)])
        monkeypatch.setattr(sys, "warnoptions", ["error"])  # a fault of arithmetic fails the test
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return Run(int(code), out, err)

    return run
