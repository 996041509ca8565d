"""The site builds without a warning, and its generated pages say what the code says."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_generated_pages_are_fresh():
    assert generate().stale() == [], "run: python docs/generate.py"


def test_every_command_has_its_help_on_the_page():
    from typer.main import get_command

    from planner.cli.app import app

    page = generate().commands()
    group = get_command(app)
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        assert f"## planner {name}\n" in page
        for child in getattr(command, "commands", {}):
            assert f"### planner {name} {child}\n" in page


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in text, page


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A theme may print a banner of its own that names a variable ending in WARNING.
    assert not [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert (tmp_path / "concepts/step/index.html").is_file()
