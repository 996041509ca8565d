"""What a serving engine says of its memory when it starts: its log, as a row of measurements.

Which lines say what is a table an engine, `presets/log_lines/*.toml`. A log may be pasted, cut off,
coloured, prefixed by whatever ran the engine, and mixed of several ranks; other lines are passed over.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from planner.data import catalogue, search_path
from planner.errors import PlannerError, SpecError
from planner.inputs.fields import Spec, load_toml
from planner.inputs.files import ABSENT, Content, Sheet
from planner.inputs.formats import formats_in
from planner.inputs.serve_command import read_serve_command
from planner.units import GIB

# What is measured is of one device, in GiB where the name says so.
COLUMNS = [
    "model",
    "gpu",
    "n_gpus",
    "tp",
    "pp",
    "dtype",
    "quantization",
    "kv_dtype",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "block_size",
    "enforce_eager",
    "engine",
    "engine_version",
    "outcome",
    "device_gib",
    "weights_gib",
    "activation_gib",
    "non_torch_gib",
    "cuda_graph_gib",
    "kv_cache_gib",
    "kv_cache_tokens",
    "max_concurrency",
    "kv_bytes_per_token",
]
HINT = "name the start-up log of vLLM, SGLang or TensorRT-LLM, from its first line"
BLOCK_TOKENS = 16  # of a block of vLLM's first engine, unless it says another

_TELLING = {"engine_version", "gpu_blocks", *COLUMNS[COLUMNS.index("weights_gib") :]}
_IN_GIB = {"_mib": 2.0**-10, "_bytes": 1 / GIB}
_COLOUR = re.compile(r"(?:\x1b|\\u001b|\\x1b|\^\[)\[[0-9;]*[A-Za-z]")
_SETTING = re.compile(r"(\w+)['\"]?\s*[=:]\s*('[^'\n]*'|\"[^\"\n]*\"|[^\s,(){}\[\]]+)")
_COMMAND = re.compile(
    r"(?:^|[$#>] )((?:docker run|vllm serve|python3? -m (?:vllm|sglang)|sglang serve|trtllm-serve)\b"
    r"(?:[^\n\\]|\\\n|\\)*)",
    re.MULTILINE,
)
_DIFFERENCES = (  # what is the rest of what
    ("weights_gib", "free_before_gib", "free_after_gib"),
    ("non_torch_gib", "consumed_gib", "weights_gib"),
    ("activation_gib", "peak_torch_gib", "weights_gib"),
)
_OF_OPTION = {
    "memory_fraction": "gpu_memory_utilization",
    "max_batched_tokens": "max_num_batched_tokens",
    "block_tokens": "block_size",
}


class LogLine(Spec):
    """A line, and what its numbers are.

    A group is called as its column. Instead of `_gib` it may end on `_mib` or `_bytes`; groups that
    end on `__` and a word are parts of one number. What is no column, others are worked out of.
    """

    reads: re.Pattern[str]
    take: Literal["first", "last", "least", "sum"] = "first"  # where one rank says it several times


class LogLines(Spec):
    """An engine's lines: `presets/log_lines/NAME.toml`. Of two that say one thing, the first is believed."""

    engine: str
    source: str = Field(pattern="^https://")
    written: date
    starts: re.Pattern[str] | None = None  # what is before the last of these is of an earlier start
    ready: re.Pattern[str]  # it serves
    rank: re.Pattern[str]  # what tells ranks apart, before the words of a line
    settings: tuple[re.Pattern[str], ...]  # after this, names and values follow to the line's end
    columns: dict[str, str]  # of settings, by name
    lines: tuple[LogLine, ...]
    failures: dict[re.Pattern[str], str]  # why it did not start, by what it writes


@dataclass(frozen=True, slots=True)
class EngineLog:
    """What a log says: of every column of `COLUMNS`, "" where it says nothing."""

    said: dict[str, str]
    ranks: int  # that spoke; what differs is of the one with the least cache

    def sheet(self, path: Path) -> Sheet:
        """Return it as a table of measurements with one row."""
        return Sheet.of([self.said], path)


def read_engine_log(path: str | Path) -> EngineLog:
    """Read an engine's start-up log; `-` is standard input.

    Raises:
        SpecError: the file cannot be read, or no line of it is one that an engine writes.

    """
    found = engine_log_in(Content.of(path, hint=HINT).text(hint=HINT, errors="replace"))
    if found is None:
        raise SpecError(f"{path}: no line of an engine's log in it", hint=HINT)
    return found


def engine_log_in(text: str) -> EngineLog | None:
    """Return what a text says that is an engine's log; None where it is none."""
    text = _COLOUR.sub("", re.sub(r"\r\n?", "\n", text))
    read = [(table, _by_rank(table, last := _last_start(table, text)), last) for table in _tables()]
    table, ranks, last = max(read, key=lambda r: len(_telling(r[1])))
    if not _telling(ranks):
        return None
    said: dict[str, str] = {}
    for cells in (*sorted(ranks.values(), key=_cache), _settings(table, last), _command(text)):
        said = cells | said
    said = _worked_out(said) | {"engine": table.engine}
    said["outcome"] = _outcome(table, last, said)
    spoke = sum("weights_gib" in cells for cells in ranks.values())
    return EngineLog({name: said.get(name, "") for name in COLUMNS}, max(spoke, 1))


@functools.lru_cache(maxsize=16)
def _tables_at(_: tuple[Path, ...]) -> tuple[LogLines, ...]:
    return tuple(load_toml(LogLines, p) for p in catalogue("presets/log_lines").values())


def _tables() -> tuple[LogLines, ...]:
    return _tables_at(search_path("presets/log_lines"))


def _last_start(table: LogLines, text: str) -> str:
    starts = [m.start() for m in table.starts.finditer(text)] if table.starts else []
    return text[text.rfind("\n", 0, starts[-1]) + 1 :] if starts else text


def _by_rank(table: LogLines, text: str) -> dict[str, dict[str, str]]:
    """Return what every rank says, by what tells it apart."""
    ranks: dict[str, dict[str, str]] = {}
    for line in table.lines:
        said: dict[str, dict[str, str]] = {}
        for found in line.reads.finditer(text):
            before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
            who = mark[0] if (mark := table.rank.search(before)) else ""
            own = said.setdefault(who, {})
            for column, cell in _cells(found.groupdict()).items():
                own[column] = _taken(line.take, own[column], cell) if column in own else cell
        for who, own in said.items():
            ranks[who] = own | ranks.get(who, {})
    return ranks


def _cells(groups: Mapping[str, str | None]) -> dict[str, str]:
    """Return a line's cells by column: in GiB, without marks between thousands, parts added."""
    cells: dict[str, str] = {}
    for name, text in groups.items():
        if text is None:
            continue
        column, part, _ = name.partition("__")
        for ending, factor in _IN_GIB.items():
            if column.endswith(ending):
                column = column.removesuffix(ending) + "_gib"
                text = f"{number_or_nan(text) * factor:.6g}"
        text = text.replace(",", "").rstrip(".")
        cells[column] = _taken("sum", cells[column], text) if part and column in cells else text
    return cells


def _taken(how: str, earlier: str, later: str) -> str:
    if how == "sum":
        return f"{number_or_nan(earlier) + number_or_nan(later):.6g}"
    if how == "least":
        return min(earlier, later, key=number_or_nan)
    return later if how == "last" else earlier


def _telling(ranks: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Return what is said that nobody but an engine says."""
    return _TELLING & {column for cells in ranks.values() for column in cells}


def _cache(cells: Mapping[str, str]) -> tuple[float, ...]:
    """Return what puts the rank first that limits: the least cache, then the most of all else."""
    sizes = ("kv_cache_gib", "kv_cache_tokens", "gpu_blocks")
    others = ("weights_gib", "activation_gib", "non_torch_gib", "cuda_graph_gib")
    most = (-number_or_nan(cells.get(name, "0")) for name in others)
    return (*(number_or_nan(cells.get(name, "inf")) for name in sizes), *most)


def _settings(table: LogLines, text: str) -> dict[str, str]:
    """Return what the engine was asked for, as it repeats it."""
    said: dict[str, str] = {}
    for pattern in table.settings:
        for found in pattern.finditer(text):
            end = text.find("\n", found.end())
            named = _SETTING.findall(text[found.end() : end if end >= 0 else None])
            said = _filled((table.columns.get(name, ""), value) for name, value in named) | said
    return said


def _filled(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what is set of columns: of one that is set twice, the first."""
    said: dict[str, str] = {}
    for column, value in pairs:
        plain = value.strip("'\"").removeprefix("torch.")
        if column and plain.lower() not in ABSENT | {"auto"}:
            said.setdefault(column, plain)
    return said


def _command(text: str) -> dict[str, str]:
    """Return what the command sets that started the engine, where it was pasted too."""
    try:
        found = _COMMAND.search(text)
        set_ = read_serve_command(found[1]).settings if found else {}
    except PlannerError:  # cut off, or of a shell's own
        return {}
    return {_OF_OPTION.get(name, name): str(value) for name, value in set_.items()}


def _worked_out(said: dict[str, str]) -> dict[str, str]:
    """Return it with what follows from what is said."""
    number = {name: number_or_nan(text) for name, text in said.items()}
    new: dict[str, float] = {}
    if "gpu_blocks" in said:
        new["kv_cache_tokens"] = number["gpu_blocks"] * number.get("block_size", BLOCK_TOKENS)
    for difference, whole, part in _DIFFERENCES:
        if {whole, part} <= said.keys():
            new[difference] = number[whole] - number[part]
    if {"tp", "pp"} & said.keys():
        new["n_gpus"] = number.get("tp", 1.0) * number.get("pp", 1.0)
    number = new | number
    if "kv_cache_gib" in number and number.get("kv_cache_tokens", 0) > 0:
        each = number["kv_cache_gib"] * GIB / number["kv_cache_tokens"]
        new["kv_bytes_per_token"] = round(each, 0)  # a float, which may be NaN
    found = {n: f"{value:.10g}" for n, value in new.items() if math.isfinite(value)}
    return found | said | _read_as(said)


def number_or_nan(text: str) -> float:
    """Return what a cell says as a number; NaN where it is none: a log may be cut or damaged."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _read_as(said: Mapping[str, str]) -> dict[str, str]:
    """Return formats as planner calls them; and the version."""
    version, generation = said.get("engine_version", ""), said.get("generation", "")
    version = version.partition("+")[0] + (" (V0)" if generation == "V0" else "")
    quantised = _formats(said.get("quantization", ""))[0]
    cache = _formats("", said.get("kv_dtype", ""))[1] or ""
    model = re.sub(r".*models--(.+?)--(.+?)/snapshots/.*", r"\1/\2", said.get("model", ""))
    found = {
        "model": model,
        "engine_version": version,
        "quantization": quantised,
        "kv_dtype": cache,
    }
    # A way to store weights in any of several formats: which, the checkpoint says.
    return found | ({"dtype": ""} if said.get("quantization") and not quantised else {})


def _formats(weights: str, cache: str = "") -> tuple[str, str | None]:
    try:
        return formats_in(weights, cache) if weights or cache else ("", None)
    except PlannerError:
        return "", None


def _outcome(table: LogLines, text: str, said: Mapping[str, str]) -> str:
    """Return how the start ended: "" where the log ends before it did."""
    if table.ready.search(text):
        return "ran"
    why = next((why for words, why in table.failures.items() if words.search(text)), "")
    return f"failed: {why}" if why else "ran" * ("kv_cache_tokens" in said)
