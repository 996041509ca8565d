"""What benchmark tools write, as rows of measured runs: JSON, JSON lines, a list, YAML, CSV, or printed text.

The formats stand in `bench_formats`; what a run becomes, in `bench_run`. What a file says stands;
flags add the rest, and may not contradict it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.errors import SpecError
from planner.inputs.bench_formats import FORMATS, READS, Format, value_at
from planner.inputs.bench_run import Row, Run, row_of
from planner.inputs.files import documents_in
from planner.inputs.names import slug


@dataclass(frozen=True, slots=True)
class Bench:
    """The runs of a file, and what is to be said of how they were read."""

    rows: list[Row]
    notes: tuple[str, ...]


def read_bench(
    text: str, path: Path, known: Mapping[str, str], usual: Mapping[str, str] | None = None
) -> Bench:
    """Read what a benchmark tool wrote, as rows of measured runs.

    Args:
        text: what the file holds.
        path: the file, for errors.
        known: columns that were given by flag; "" or "0" says nothing.
        usual: columns where neither file nor flags say.

    Raises:
        SpecError: no known format, something that it leaves out was not given, or what was given
            contradicts it.

    """
    given = {k: v for k, v in known.items() if v not in ("", "0", "0.0")}
    rows: list[Row] = []
    notes: list[str] = []
    refused: list[SpecError] = []
    for fmt, run, whole in _runs(text, path):
        try:
            row, said = row_of(Run(fmt, run, whole), given, path)
        except SpecError as error:
            refused.append(error)
            continue
        rows.append({**(usual or {}), **row})
        notes += said
    if not rows and refused:
        raise refused[0]
    if not rows:
        raise SpecError(f"{path}: no known benchmark result", hint=READS)
    if refused:
        notes.append(f"{len(refused)} of {len(rows) + len(refused)} runs left out: {refused[0]}")
    return Bench(rows, tuple(dict.fromkeys(notes)))


def is_bench(text: str, path: Path) -> bool:
    """Whether a text is a result of a benchmark tool that `FORMATS` knows."""
    marked = any(all(mark.rpartition(".")[2] in text for mark in f.marks) for f in FORMATS)
    if not (marked or _TITLE in text or text.startswith("Metric,")):
        return False
    try:
        return next(iter(_runs(text, path)), None) is not None
    except SpecError:
        return False


def _runs(text: str, path: Path) -> Iterator[tuple[Format, Mapping[str, Any], Any]]:
    documents = _printed(text) or documents_in(text, path, hint=READS)
    for document in _metric_table(documents):
        for whole in document if isinstance(document, list) else [document]:
            yield from _of(whole)


def _of(whole: Any) -> Iterator[tuple[Format, Mapping[str, Any], Any]]:
    if not isinstance(whole, dict):
        return
    if isinstance(whole.get("records"), dict):  # early aiperf
        whole = whole | whole["records"]
    for fmt in FORMATS:
        found = whole.get(fmt.runs, [whole]) if fmt.runs else [whole]
        runs = [run for run in found if isinstance(run, dict)] if isinstance(found, list) else []
        if runs and all(value_at(runs[0], mark) is not None for mark in fmt.marks):
            yield from ((fmt, run, whole) for run in runs)
            return


_LABELS = {  # of the text that `vllm bench serve` prints, and SGLang's and TensorRT-LLM's copies
    "successful requests": "completed",
    "benchmark duration (s)": "duration",
    "total input tokens": "total_input_tokens",
    "total generated tokens": "total_output_tokens",
    "total generated tokens (retokenized)": "total_output_tokens_retokenized",
    "output token throughput (tok/s)": "output_throughput",
    "mean ttft (ms)": "mean_ttft_ms",
    "mean tpot (ms)": "mean_tpot_ms",
    "mean itl (ms)": "mean_itl_ms",
    "mean e2el (ms)": "mean_e2el_ms",
    "mean e2e latency (ms)": "mean_e2e_latency_ms",
    "median ttft (ms)": "median_ttft_ms",
    "median tpot (ms)": "median_tpot_ms",
    "traffic request rate": "request_rate",
    "request rate configured (rps)": "request_rate",
    "burstiness factor": "burstiness",
    "maximum request concurrency": "max_concurrency",
    "max request concurrency": "max_concurrency",
    "backend": "backend",
}
_TITLE = "Serving Benchmark Result"
_ARGUMENTS = re.compile(
    r"\b(model|backend|num_prompts|request_rate|max_concurrency)=('[^']*'|[^,)\s]+)"
)


def _printed(text: str) -> list[dict[str, Any]]:
    """Return the runs that a pasted text prints: a title each; what stands above it is its load."""
    if _TITLE not in text:
        return []
    runs: list[dict[str, Any]] = []
    above: dict[str, Any] = {}
    inside = False
    for line in text.splitlines():
        line = line.strip().lstrip("#").strip()
        if "Namespace(" in line:
            above = {k: v.strip("'") for k, v in _ARGUMENTS.findall(line) if v != "None"}
        if _TITLE in line:
            runs.append(dict(above))
            inside = True
        elif inside and set(line) == {"="}:
            inside = False
        label, colon, value = line.rpartition(":") if "(" in line else line.partition(":")
        key = _LABELS.get(label.strip().lower())
        if colon and key and value.strip() and "None" not in value:
            (runs[-1] if inside else above)[key] = value.split()[0]
    return runs


def _metric_table(documents: list[Any]) -> list[Any]:
    """Return the table of metrics that genai-perf and aiperf write as CSV, a row each, as one run."""
    if not documents or not all(isinstance(d, dict) and "Metric" in d for d in documents):
        return documents
    run: dict[str, Any] = {}
    for row in documents:
        name, _, unit = str(row["Metric"]).partition("(")
        cells = {k.lower(): v for k, v in row.items() if k != "Metric"}
        cells.setdefault("avg", cells.get("value") or next(iter(cells.values()), None))
        run[slug(name).replace("-", "_")] = cells | {"unit": unit.rstrip(") ")}
    return [run]
