"""Pages made from the code: commands, glossary, validation, figures. Run before `mkdocs build`.

python docs/generate.py            write them
python docs/generate.py --check    exit 1 where a committed page differs
python docs/generate.py --figures  take the concepts' figures again; needs Chromium
"""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
NOTE = "<!-- made by docs/generate.py: edit that, not this -->\n"
FIGURES = (
    "roofline",
    "operating-output-tokens-per-s",
    "memory",
    "contour-loss",
    "contour-throughput",
    "pareto",
    "sensitivity",
)


def commands() -> str:
    """Return the help of every command as the command prints it."""
    from typer.main import get_command

    from planner.cli.app import app

    def walk(command: Any, path: str) -> Iterator[str]:
        names = command.list_commands(None) if hasattr(command, "list_commands") else []
        yield f"{'#' * min(2 + path.count(' '), 4)} {path}\n\n```text\n{_help(path)}```\n"
        for name in names:
            yield from walk(command.get_command(None, name), f"{path} {name}")

    pages = "\n".join(walk(get_command(app), "planner"))
    return (
        f"{NOTE}# Commands\n\nExit codes: 0 an answer, 1 nothing fits, 2 usage, 3 a bad or unknown \
file or name,\n4 a missing extra, 5 a file that cannot be written.\n\n{pages}"
    )


def _help(path: str) -> str:
    import io
    import os
    from contextlib import redirect_stdout

    from planner.cli.app import app

    os.environ |= {"COLUMNS": "96", "TERMINAL_WIDTH": "96", "NO_COLOR": "1"}
    text = io.StringIO()
    with redirect_stdout(text):
        app([*path.split()[1:], "--help"], prog_name="planner", standalone_mode=False)
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines()) + "\n"


def glossary() -> str:
    """Return every term by name."""
    from planner.glossary import terms

    rows = "\n".join(
        f"| `{t.name}` | ${t.symbol}$ | {t.unit} | {t.meaning} |" for t in terms().values()
    )
    return (
        f"{NOTE}# Glossary\n\nCode, flags, JSON keys and pages use these names.\n\n"
        f"| name | symbol | unit | meaning |\n|---|---|---|---|\n{rows}\n"
    )


def bounds() -> str:
    """Return every option with its kind and range, and what a command may take."""
    from planner.limits import LIMITS
    from planner.scenario.options import ASKED, OPTIONS

    def row(o: Any) -> str:
        low, high = (f"{v:g}" if abs(v) != float("inf") else "–" for v in (o.least, o.greatest))
        number = o.kind in ("whole", "count", "real", "rate", "time", "bytes") and o.name != "model"
        between = (f"above {low}" if o.open_least else low, high) if number else ("", "")
        return f"| `{o.name}` | {o.group} | {o.kind} | {between[0]} | {between[1]} |"

    known = ASKED | OPTIONS
    lines = [
        f"{NOTE}# Ranges and limits\n",
        "Every option, which is also a flag, a keyword and a key; SI units. Relations: `tp` divides the heads; `pp` is at most the",
        "layers; `ep` divides the experts and `tp`; a request is at most `max_model_len`. No number of any file is beyond 1e19, or nearer to zero than 1e-30.\n",
        "| option | of | kind | least | greatest |",
        "|---|---|---|---|---|",
        *(row(o) for o in known.values()),
        "\n## What a command may take\n",
        "`planner --limit NAME=VALUE COMMAND …`, or `planner.limits.use(NAME=VALUE)` for `bytes`, `points` and `events`.\n",
        "| limit | default | of |",
        "|---|---|---|",
        *(f"| `{x.name}` | {x.default:,.0f} | {x.words} |" for x in LIMITS.values()),
    ]
    return "\n".join(lines) + "\n"


def validation() -> str:
    """Return what the shipped profiles and laws scored, the peers beside it, and the notebook."""
    import tomllib

    rows = []
    for path in sorted((ROOT / "calibration/fits").glob("*.toml")):
        p = tomllib.loads(path.read_text(encoding="utf-8"))
        spread = " | ".join(f"{100 * v:.1f} %" for v in list(p["spread"].values())[:4])
        rows.append(f"| `{p['name']}` | {p['engine']} {p.get('engine_version', '')} | {spread} |")
    names = list(
        tomllib.loads((ROOT / "calibration/fits/class-default.toml").read_text())["spread"]
    )[:4]
    log = (ROOT / "calibration/LOG.md").read_text(encoding="utf-8").partition("\n")[2]
    log = log.replace("\n## ", "\n### ")
    peers = (DOCS / "peers.json").read_text(encoding="utf-8")
    table = json.loads(peers)
    head = " | ".join(table["header"])
    body = "\n".join(f"| {' | '.join(r)} |" for r in table["rows"])
    return (
        f"{NOTE}# Validation\n\nRun it on your own measurements, `planner validate DATA.csv`, or "
        "on [an engine's start-up log](how-to/check-a-log.md).\n\n## Spread of each profile\n\nStandard deviation of the "
        "logarithm of measured over predicted, on rows the fit did not see. Intervals come from "
        f"it.\n\n| profile | engine | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}\n"
        + "\n".join(rows)
        + f"\n\n## Peers\n\n{table['intro']}\n\n| {head} |\n|{'---|' * len(table['header'])}\n{body}"
        f"\n\n{table['losses']}\n\n## Notebook\n{log}"
    )


def figures() -> None:
    """Take each figure of a 1B recommendation as a picture."""
    from planner.inputs.question import Question
    from planner.questions.recommend.recommend import recommend
    from planner.report import html
    from planner.report.page import build
    from planner.report.parts import Page, Section
    from planner.report.png import screenshot

    page = build(recommend(Question(params=1e9, tokens=1e11)))
    known = {f.name: f for s in page.sections for f in s.figures}
    (DOCS / "figures").mkdir(exist_ok=True)
    for name in FIGURES:
        figure = known[name]
        one = html.render(Page("", "", [Section("one", "", figures=[figure])]))
        hide = "<style>header,footer,h2,figcaption,.modebar{display:none!important}figure{margin:0}</style>"
        one = one.replace("</head>", hide + "</head>")
        path = DOCS / "figures" / f"{name}.png"
        screenshot(one, path, width=760, height=figure.height + 20)


def schema(kind: str) -> str:
    """Return the JSON Schema of a kind of result, as it ships."""
    from planner.results import json_schema

    return json.dumps(json_schema(kind), indent=1, ensure_ascii=False) + "\n"


def fields() -> str:
    """Return every key of every kind of result file: its type and what it is."""
    from planner.results import KINDS, json_schema

    parts, told = [], set()
    for kind, record in KINDS.items():
        if kind == "pareto":  # as recommend
            continue
        s = json_schema(kind)
        parts += [f"## {kind}\n\n{_first_line(record)}\n", _keys(s, record)]
        for name, part in s.get("$defs", {}).items():
            if name not in told and part.get("properties"):
                told.add(name)
                parts += [f"### {name}\n\n{_words(part)}\n", _keys(part, _record(name))]
    return (
        f"{NOTE}# JSON fields\n\nEvery key of what `--json` writes, from the JSON Schema that ships as "
        "`planner/schemas/KIND.json` and `planner.json_schema(kind)` returns. SI units, named in the "
        "key; an estimate is a number, or its `value` with `low` and `high`, which hold 80 % of "
        "outcomes. [How files are read back](result-files.md).\n\n" + "\n".join(parts)
    )


def _first_line(record: Any) -> str:
    return (record.__doc__ or "").strip().partition("\n")[0]


def _words(part: Any) -> str:
    return str(part.get("description", "")).partition("\n")[0]


def _record(name: str) -> Any:
    """Return the class that a schema's definition was made of."""
    from planner import results
    from planner.inputs import conditions, engine, model, question, serve_command, workload

    homes = (results, conditions, engine, model, question, serve_command, workload)
    return next((getattr(h, name) for h in homes if hasattr(h, name)), None)


def _keys(part: Any, record: Any) -> str:
    """Return a table of a record's keys; comments of its source say what the schema does not."""
    import inspect
    import re

    comments: dict[str, str] = {}
    for cls in reversed(record.__mro__ if record else ()):
        if cls.__module__.startswith("planner."):
            found = re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(cls), re.MULTILINE)
            comments |= dict(found)
    needed = part.get("required", ())
    rows = [
        f"| `{name}`{'' if name in needed else ' (optional)'} | {_type(p)} | "
        f"{_words(p) or comments.get(name, '')} |"
        for name, p in part["properties"].items()
    ]
    return "| key | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _type(p: Any) -> str:
    """Return a property's type in words."""
    if "anyOf" in p:
        return " or ".join(dict.fromkeys(_type(q) for q in p["anyOf"]))
    if "$ref" in p:
        name = p["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in p or "enum" in p:
        return ", ".join(f"`{v}`" for v in p.get("enum", [p.get("const")]))
    if p.get("type") == "array":
        return f"list of {_type(p['items'])}" if "items" in p else "list"
    if isinstance(p.get("additionalProperties"), dict):
        return f"object of {_type(p['additionalProperties'])}"
    return str(p.get("type", "any"))


KINDS = ("recommend", "pareto", "mix", "edits", "predict", "what-if", "budget", "validate", "fit")
PAGES = {
    **{f"../planner/schemas/{k}.json": partial(schema, k) for k in KINDS},
    "reference/json-fields.md": fields,
    "reference/commands.md": commands,
    "reference/bounds.md": bounds,
    "reference/glossary.md": glossary,
    "validation.md": validation,
}


def stale() -> list[str]:
    """Return the generated pages that differ from what the code says now."""
    return [n for n, make in PAGES.items() if not _same(DOCS / n, make())]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--figures", action="store_true")
    args = parser.parse_args()
    if args.check:
        for name in (found := stale()):
            print(f"docs/{name} is stale: python docs/generate.py")
        return int(bool(found))
    if args.figures:
        figures()
    for name, make in PAGES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
