"""Follow a how-to page as a newcomer would: apply its marked blocks to a copy, run what it says.

A fenced block is preceded by a comment that says what to do with it:

    <!-- file: PATH -->           the block is a new file
    <!-- after: PATH: TEXT -->    it goes below the first line of PATH that contains TEXT
    <!-- replace: PATH: TEXT -->  it replaces the first line of PATH that contains TEXT
    <!-- run -->                  its commands must succeed
    <!-- prints: TEXT -->         and what they print must contain TEXT (before the block; may repeat)
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^<!-- (file|after|replace|run|prints)(?:: ?(.*?))? -->$")


@dataclass
class Block:
    """A fenced block with what is to be done with it."""

    act: str
    where: str
    text: str
    prints: list[str] = field(default_factory=list)


class PageError(AssertionError):
    """A page that cannot be followed as it is written."""


def blocks(page: str) -> list[Block]:
    """Return the marked blocks of a page, in order."""
    found: list[Block] = []
    mark: tuple[str, str] | None = None
    prints: list[str] = []
    lines = iter(page.splitlines())
    for line in lines:
        if match := _MARK.match(line.strip()):
            act, what = match[1], match[2] or ""
            if act == "prints":
                prints.append(what)
            else:
                mark = act, what
        elif line.startswith("```") and mark:
            text = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                text.append(inner)
            found.append(Block(*mark, "\n".join(text) + "\n", prints))
            mark, prints = None, []
    return found


def copy_project(to: Path) -> Path:
    """Copy what the project runs from."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("planner", "hardware", "calibration/planner_calibration", "calibration/fits"):
        shutil.copytree(ROOT / name, to / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", to)
    for path in to.rglob("*"):  # of a checkout that nobody may write to, too
        path.chmod(path.stat().st_mode | 0o200)
    return to


def follow(page: Path, copy: Path) -> set[str]:
    """Apply a page to a copy of the project and return the files it touched.

    Raises:
        PageError: an anchor is not there, a command fails, or something is not printed.

    """
    touched: set[str] = set()
    found = blocks(page.read_text(encoding="utf-8"))
    if not any(b.act == "run" for b in found):
        raise PageError(f"{page.name}: nothing to run: a page shows that it worked")
    for block in found:
        if block.act == "run":
            _run(page, copy, block)
            continue
        path, _, anchor = block.where.partition(": ")
        touched.add(path)
        _write(page, copy / path, block, anchor)
    return touched


def _write(page: Path, path: Path, block: Block, anchor: str) -> None:
    if block.act == "file":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    if not path.is_file():
        raise PageError(f"{page.name}: there is no {path.name}")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next((i for i, line in enumerate(lines) if anchor in line), None)
    if at is None or not anchor:
        raise PageError(f"{page.name}: no line of {path.name} contains {anchor!r}")
    lines[at : at + 1] = [block.text] if block.act == "replace" else [lines[at], block.text]
    path.write_text("".join(lines), encoding="utf-8")


def _run(page: Path, copy: Path, block: Block) -> None:
    environment = os.environ | {
        "PYTHONPATH": f"{copy}{os.pathsep}{copy / 'calibration'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    script = f'planner() {{ "{sys.executable}" -m planner "$@"; }}\nset -e\n{block.text}'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PageError(f"{page.name}: {block.text}failed: {done.stdout}{done.stderr}")
    for text in block.prints:
        if text not in done.stdout:
            raise PageError(f"{page.name}: {block.text}did not print {text!r}: {done.stdout}")
