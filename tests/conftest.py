"""What every test stands in: an environment of its own, Hypothesis' profile, and a count of what was left out.

A test sees the same width, colours, time zone and home on every machine. The default run takes what is
quick and needs no more than the extra `test`; what it leaves out is counted, with the command for it,
in the last lines it prints. Markers and their commands stand in pyproject.toml.
"""

import os
import re
import site
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
WORKER = "PYTEST_XDIST_WORKER" in os.environ
HOME = None if WORKER else tempfile.TemporaryDirectory(prefix="planner-home-")
KEPT = ("PLANNER_VLLM_PYTHON", "PLANNER_CHROMIUM", "PLANNER_MEASURED", "PLANNER_UPDATE_")

for name in list(os.environ):
    if name.startswith(("PLANNER_", "XDG_")) and not name.startswith(KEPT):
        del os.environ[name]
for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
    os.environ.pop(name, None)
os.environ |= {"COLUMNS": "100", "LINES": "40", "TZ": "UTC", "HF_HUB_OFFLINE": "1"}
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # processes share the cores
os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())  # children find what is installed there
if HOME is not None:
    os.environ["HOME"] = HOME.name
time.tzset()

# The same few examples everywhere, so that a run is repeated by running it; CI looks for new ones, too:
# HYPOTHESIS_PROFILE=deep.
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=25, derandomize=True, database=None, **common)
settings.register_profile("deep", max_examples=150, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

LEFT_OUT: Counter[str] = Counter()


def commands(config):
    """Return the command of each marker that names one: ``name: what for; run: COMMAND``."""
    lines = [line.partition(":") for line in config.getini("markers")]
    return {name: text.partition("run:")[2].strip() for name, _, text in lines if "run:" in text}


def pytest_deselected(items):
    """Count by the first marker that has a command."""
    for item in items:
        marks = {m.name for m in item.iter_markers()}
        LEFT_OUT[next((n for n in commands(item.config) if n in marks), "")] += 1


def pytest_collectreport(report):
    """Count the tests of a file that was skipped whole, for want of what its marker names."""
    if report.skipped and report.fspath.endswith(".py"):
        text = (ROOT / report.fspath).read_text(encoding="utf-8")
        LEFT_OUT[re.findall(r"pytest\.mark\.(\w+)", text)[-1]] += len(
            re.findall(r"^def test_", text, re.MULTILINE)
        )


def pytest_sessionfinish(session):
    """Hand what a worker counted to the process that prints."""
    if WORKER:
        session.config.workeroutput["left_out"] = dict(LEFT_OUT)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take what a worker counted; every worker collects the same."""
    LEFT_OUT.clear()
    LEFT_OUT.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_unconfigure(config):
    """Say what was left out, last of all."""
    for name, command in commands(config).items():
        if LEFT_OUT[name] and not WORKER:
            print(f"left out: {LEFT_OUT[name]} {name}: {command}")


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
            from planner.cli.app import main

            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return Run(int(code), out, err)

    return run


@pytest.fixture
def two_nodes(monkeypatch):
    """Give a Ray cluster of two nodes on this machine, connected, and the second of them."""
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()
