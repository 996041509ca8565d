"""Blocks of output in README and docs that are made by running their command, so none goes stale.

In Markdown, an HTML comment says what the fenced block after it holds:

    <!-- run: planner hardware list | head -5 -->      `$ command`, then what it printed
    <!-- output: planner report r.json --md - -->      only what it printed
    <!-- runs -->                                      a block of commands; each must succeed
    <!-- python -->                                    a block of Python that must run; a block
                                                       after `<!-- prints -->` is what it prints
    <!-- not run: needs a GPU -->                      shown only, with the reason

`exit=N` before the colon expects that exit code, and shows what went to stderr:
`<!-- run exit=3: planner predict nosuch -->`. Commands of one file share one empty working folder,
in order, so a later one may read what an earlier one wrote. `python docs/blocks.py --write`
renews the blocks, `--check` names those that differ and exits with 1.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLLOWED = ("add-", "change-", "describe-")  # pages that tests/how_to follows, block by block
GENERATED = "<!-- made by "  # pages of docs/generate.py, which its own check keeps fresh
_COMMENT = re.compile(
    r"<!-- (?P<kind>run|output|runs|python|prints|not run)(?: exit=(?P<exit>\d+))?"
    r"(?:: (?P<text>.*?))? -->"
)
_BLOCK = re.compile(
    _COMMENT.pattern + r"\n+(?P<fence>```+)(?P<lang>[^\n]*)\n(?P<body>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
# Wall times differ from run to run; everything else must not.
_VOLATILE = re.compile(r"\b\d[\d,.]* (?:ms|s)(?= elapsed)|(?<=\bin )\d[\d.]* m?s\b")


@dataclass(frozen=True)
class Stale:
    """A block whose command now prints something else."""

    path: Path
    command: str
    diff: str


def documents(root: Path = ROOT) -> list[Path]:
    """Return every Markdown file that people read, but for those that tests/how_to follows."""
    found = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]
    return sorted(p for p in found if p.is_file() and not p.name.startswith(FOLLOWED))


def renew(path: Path) -> tuple[str, list[Stale]]:
    """Run every command of `path` and return the text as it should be, and which blocks changed.

    Raises:
        RuntimeError: a command's exit code is not the expected one.

    """
    text = path.read_text(encoding="utf-8")
    stale: list[Stale] = []
    printed = ""
    with tempfile.TemporaryDirectory() as folder:

        def replace(match: re.Match[str]) -> str:
            nonlocal printed
            kind, body = match["kind"], match["body"]
            expected = int(match["exit"] or 0)
            if kind in ("run", "output"):
                new = _run(match["text"], folder, expected)
                new = f"$ {match['text']}\n{new}" if kind == "run" else new
            elif kind == "runs":
                for line in filter(None, map(str.strip, _joined(body))):
                    _run(line.removeprefix("$ "), folder, expected)
                new = body
            elif kind == "python":
                script = Path(folder) / "_block.py"
                script.write_text(body, encoding="utf-8")
                printed, new = _run(f'"{sys.executable}" _block.py', folder, expected), body
            elif kind == "prints":
                new = printed
            else:
                new = body
            if _VOLATILE.sub("…", new) == _VOLATILE.sub("…", body):
                return match[0]
            stale.append(Stale(path, match["text"] or kind, _diff(body, new)))
            return match[0].replace(
                f"{match['lang']}\n{body}{match['fence']}",
                f"{match['lang']}\n{new}{match['fence']}",
            )

        text = _BLOCK.sub(replace, text)
    return text, stale


def unmarked(path: Path) -> list[str]:
    """Return commands of ours shown in `path` that no comment says how to check."""
    text = path.read_text(encoding="utf-8")
    if text.startswith(GENERATED):
        return []
    text = _BLOCK.sub("", text)
    fenced = re.findall(r"^```+[^\n]*\n(.*?)^```+$", text, re.DOTALL | re.MULTILINE)
    lines = (line.strip().removeprefix("$ ") for block in fenced for line in block.splitlines())
    return [line for line in lines if re.match(r"(planner|python|pip|make|pytest)\s", line)]


def _joined(body: str) -> list[str]:
    """Return the lines of a shell block: continued lines joined, comments dropped."""
    lines = body.replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0] for line in lines if not line.startswith("#")]


def _run(command: str, folder: str, expected: int) -> str:
    env = os.environ | {
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", ""),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
        "XDG_CONFIG_HOME": folder,
    }
    done = subprocess.run(
        command,
        check=False,
        shell=True,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode != expected:
        raise RuntimeError(
            f"{command!r} exits {done.returncode}, not {expected}:\n{done.stdout}{done.stderr}"
        )
    shown = done.stdout + (done.stderr if expected else "")
    lines = [line.rstrip() for line in shown.rstrip().splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "shown", "printed", lineterm=""
    )
    return "\n".join(lines)


def _report(paths: list[Path], write: bool) -> Iterator[Stale]:
    for path in paths:
        text, stale = renew(path)
        if write and stale:
            path.write_text(text, encoding="utf-8")
        yield from stale


def main() -> int:
    """Check or renew the blocks of the files named, else of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="name blocks that differ; exit 1")
    mode.add_argument("--write", action="store_true", help="renew them")
    parser.add_argument("files", nargs="*", type=Path)
    args = parser.parse_args()
    paths = [p.resolve() for p in args.files] or documents()
    stale = list(_report(paths, args.write))
    loose = [(p, line) for p in paths for line in unmarked(p)]
    for item in stale:
        print(f"{item.path.relative_to(ROOT)}: {item.command}\n{item.diff}")
    for path, line in loose:
        print(f"{path.relative_to(ROOT)}: no comment says how to check `{line}`")
    print(f"{len(stale)} blocks {'renewed' if args.write else 'stale'}, {len(loose)} unmarked")
    return int(bool(loose or (stale and args.check)))


if __name__ == "__main__":
    sys.exit(main())
