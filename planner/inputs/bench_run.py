"""One run of a benchmark tool as a row of measured runs: what it says stands, flags add the rest.

How requests came, of all tools:

    a rate          open loop; under a cap that it reaches (Little's law), kept at the cap
    a cap           kept concurrency, of no more than there are requests
    neither         all at once, where it says that the rate was infinite: a burst of the requests;
                    else as many as Little's law says

Times are seconds, unless the key ends on ``_ms`` or a ``unit`` beside it says so.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.errors import PlannerError, SpecError
from planner.inputs.bench_formats import MEAN, Format, value_at
from planner.inputs.device import device_named
from planner.inputs.engine import engine_named
from planner.inputs.formats import formats_in
from planner.inputs.presets import preset_named

EVEN = "1e6"  # burstiness of arrivals at equal gaps
CHUNKED = 0.2  # mean gap and mean TPOT differ by more: gaps are between chunks of tokens
REACHED = 0.9  # share of a cap that is in flight where the cap, not the rate, held requests back
_UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MEDIAN = ("median", "p50")
Row = dict[str, str]


def _finite(value: Any) -> float | None:
    """Return a number, None where there is none: infinite, not a number, a truth, a word."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class Run:
    """One run of a format, asked by role."""

    def __init__(self, fmt: Format, run: Mapping[str, Any], whole: Any) -> None:
        self.format, self._places = fmt, (run, whole)

    def found(self, role: str) -> Iterator[tuple[str, Any]]:
        for path in self.format.roles.get(role, ()):
            for place in self._places:
                if (value := value_at(place, path)) not in (None, "", [], {}):
                    yield path, value
                    break

    def text(self, role: str) -> str:
        for _, value in self.found(role):
            first = value[0] if isinstance(value, list) else value
            if isinstance(first, dict):
                first = first.get("name")
            if isinstance(first, str | int | float) and str(first).strip():
                return str(first).strip()
        return ""

    def number(self, role: str, statistic: Sequence[str] = MEAN) -> float | None:
        """Return a role's number in SI units: a cell, or the mean of its statistics."""
        for path, value in self.found(role):
            unit = str(value.get("unit") or "") if isinstance(value, dict) else ""
            value = _statistic(value, statistic)
            if isinstance(value, list):
                value = value[0] if len(value) == 1 else None
            if (number := _finite(value)) is not None:
                in_key = "ms" if path.endswith("_ms") else ""
                return number * _UNITS.get(unit.lower() or in_key, 1.0)
        return None

    def positive(self, role: str) -> float | None:
        number = self.number(role)
        return number if number and number > 0 else None


def _statistic(value: Any, names: Sequence[str]) -> Any:
    """Return a statistic of a node, which may part requests by how they ended."""
    if isinstance(value, dict) and isinstance(value.get("successful"), dict | int | float):
        value = value["successful"]
    if isinstance(value, dict):
        return next((value[name] for name in names if name in value), None)
    return value


_DAY = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)")  # 2025-10-05, 20251005-101112
_NUMBERS = ("tp", "pp", "ep", "max_num_seqs", "max_num_batched_tokens")
_FLAGS = {"batch": "--batch", "input_tokens": "--input-tokens", "output_tokens": "--output-tokens",
          "model": "--model"}  # fmt: skip


def row_of(run: Run, given: Mapping[str, str], path: Path) -> tuple[Row, list[str]]:
    """Return a run as a row of measured runs, and what is to be said of it."""
    if run.text("apart").lower() == "true":
        raise SpecError(
            f"{path}: prefill and decode ran apart, which no row says", hint="leave such runs out"
        )
    row = {name: repr(n) for name in _NUMBERS if (n := run.positive(name))}
    row["source"] = run.format.tool
    if day := _DAY.match(run.text("date")):
        row["date"] = "-".join(day.groups())
    row |= {n: t for n in ("model", "kv_dtype", "engine_version") if (t := run.text(n))}
    row |= _lengths(run)
    if device := run.text("gpu"):
        row["gpu"] = _device(device)
    if (dtype := run.text("dtype")) and dtype.lower() not in ("none", "no_quant", "auto"):
        row["dtype"] = dtype
    if run.text("kv_dtype").lower() in ("none", "auto"):
        del row["kv_dtype"]
    engine = _engine(run.text("engine")) or run.format.engine
    if engine and not (run.format.client and given.get("engine")):
        row["engine"] = engine
    if (draft := run.text("draft").lower()) not in ("", "none", "false", "off"):
        row["flag"] = f"drafts: {draft}"
    _agree(row, given, path)
    row = {k: v for k, v in given.items() if k not in _WAYS} | row
    ways = {_WAYS[k]: v for k, v in given.items() if k in _WAYS}
    said: list[str] = []
    if run.format.batch:
        row |= _batch(run, ways, path)
    else:
        load, said = _load(run, row, ways, path)
        row |= load
        said += _measured(run, row)
    needed = [n for n in _FLAGS if n != "batch" or run.format.batch]
    if missing := [name for name in needed if not row.get(name)]:
        what = missing[0].replace("_", " ")
        raise SpecError(f"{path}: does not say its {what}", hint=f"add {_FLAGS[missing[0]]}")
    return row, said


# Flags of how requests come, as the roles of a run.
_WAYS = {"batch": "batch", "concurrency": "cap", "rate": "rate", "requests": "n_requests",
         "n_requests": "n_requests", "burst": "burst", "burstiness": "burstiness"}  # fmt: skip


def _lengths(run: Run) -> Row:
    done, row = run.positive("completed"), {}
    for name, total in (("input_tokens", "input_total"), ("output_tokens", "output_total")):
        whole = run.positive(total)
        if mean := run.positive(name) or (whole / done if whole and done else None):
            row[name] = repr(mean)
    return row


def _device(text: str) -> str:
    """Return a device as results name it: a cluster's mark may follow ("h200-nv")."""
    for tried in (text, text.partition("-")[0], text.partition("_")[0]):
        try:
            return device_named(tried)
        except PlannerError:
            continue
    return text


def _engine(text: str) -> str:
    """Return an engine as results name it: what routes to it, or the protocol, may stand by."""
    known = {"trt": "tensorrt-llm", "trtllm": "tensorrt-llm"}
    parts = [known.get(p, p) for p in re.split(r"[-_ ]", text.lower())]
    for tried in (text, *parts):
        try:
            return engine_named(tried, "")[0] if tried else ""
        except PlannerError:
            continue
    return ""


def _agree(row: Row, given: Mapping[str, str], path: Path) -> None:
    """Refuse a flag that contradicts the file."""
    for name in row.keys() & given.keys():
        ours, theirs = _meant(name, row[name]), _meant(name, given[name])
        if ours is None or theirs is None or ours == theirs:
            continue
        flag = {"gpu": "--on"}.get(name, "--" + name.replace("_", "-"))
        raise SpecError(
            f"{path}: says {name} {row[name]}, {flag} says {given[name]}", hint=f"leave {flag} out"
        )
    # The name people gave, where the file has a path or another name of the same model.
    row.update({"model": given["model"]} if given.get("model") else {})


def _meant(name: str, text: str) -> Any:
    """Return what a cell means, to be compared; None where that cannot be said."""
    try:
        if name == "gpu":
            return device_named(text)
        if name == "engine":
            return engine_named(text, "")[0]
        if name in ("dtype", "kv_dtype"):
            return formats_in(text)[0]
    except PlannerError:
        return None
    if name == "model":
        return preset_named(text)
    return None if (number := _finite(text)) is None else round(number)


def _batch(run: Run, ways: Mapping[str, str], path: Path) -> Row:
    n, seconds = run.positive("batch"), run.positive("e2e_latency_s")
    _same("batch", n, _finite(ways.get("batch")), path)
    if ways.keys() - {"batch", "n_requests"}:
        raise SpecError(
            f"{path}: ran one batch", hint="leave how requests come out, but for --batch"
        )
    row = {"arrival": "batch", "batch": repr(n) if n else ways.get("batch", "")}
    return row | ({"e2e_latency_s": repr(seconds)} if seconds else {})


def _same(what: str, own: float | None, flag: float | None, path: Path) -> None:
    """Refuse a flag that contradicts the file's number."""
    if own and flag and abs(flag / own - 1) > 0.01:
        raise SpecError(
            f"{path}: says {what} {own:g}, --{what} says {flag:g}", hint=f"leave --{what} out"
        )


def _load(run: Run, row: Row, ways: Mapping[str, str], path: Path) -> tuple[Row, list[str]]:
    """Return how a run's requests came."""
    said: list[str] = []
    if "batch" in ways:
        raise SpecError(f"{path}: ran no offline batch", hint="leave --batch out")
    n = run.positive("n_requests") or _finite(ways.get("burst") or ways.get("n_requests"))
    rate, cap = run.positive("rate"), run.positive("cap")
    strategy = run.text("strategy").lower()
    burst = (strategy == "throughput" or "burst" in ways) and not cap
    if strategy == "synchronous":
        cap, rate = 1.0, None
    elif strategy in ("concurrent", "throughput"):
        rate = None
    for name, own in (("rate", rate), ("cap", cap)):
        flag = _finite(str(ways.get(name, "")).removesuffix("/s"))
        _same("rate" if name == "rate" else "concurrency", own, flag, path)
        if not (rate or cap or burst) and flag:
            rate, cap = (flag, cap) if name == "rate" else (rate, flag)
    flying = _in_flight(run, row)
    done, seconds = run.positive("completed"), run.positive("duration_s")
    came = run.positive("requests_per_s") or (done / seconds if done and seconds else None)
    if rate and cap and flying and flying >= REACHED * cap:
        said.append(f"the cap of {cap:g} held requests back, not the rate: {flying:.1f} in flight")
        rate = None
    if rate:
        if cap:  # what came through is what the engine saw
            rate = came or rate
        even = strategy == "constant" or run.text("pattern").lower() == "constant"
        burstiness = run.positive("burstiness")
        shape = repr(burstiness) if burstiness else EVEN if even else ways.get("burstiness", "")
        load = {"arrival": "rate", "rate_per_s": repr(rate), "burstiness": shape}
        said.append("output tokens a second left out: at a rate they are the load, not the engine")
        return load | ({"n_requests": repr(round(n))} if n else {}), said
    # Of requests all at once, half of them are in flight on the average, or more.
    averaged = None if cap or burst else run.positive("in_flight")
    if averaged and (not n or averaged < n / 2):
        cap = float(max(round(averaged), 1))
    # Without a rate, or at one that is not finite, tools that have one send all at once.
    burst = burst or (not rate and any(run.found("rate")))
    if not cap and n and burst:
        return {"arrival": "burst", "n_requests": repr(round(n)), "batch": repr(round(n))}, said
    if not cap and flying:
        cap = float(max(round(flying), 1))
        said.append(f"says no concurrency: by Little's law {flying:.1f} in flight")
    if not cap:
        raise SpecError(
            f"{path}: does not say how requests came", hint="add --concurrency, or --rate"
        )
    at_once = min(cap, n) if n else cap
    if flying and not 0.5 < flying / at_once < 1.1:
        said.append(f"says {at_once:g} at once; by Little's law {flying:.1f} were in flight")
    load = {"arrival": "closed", "concurrency": repr(round(at_once))}
    return load | ({"n_requests": repr(round(n))} if n else {}), said


def _in_flight(run: Run, row: Row) -> float | None:
    """Return the mean number in flight by Little's law: requests a second × seconds a request."""
    done, seconds = run.positive("completed"), run.positive("duration_s")
    made, out = run.positive("output_tokens_per_s"), _finite(row.get("output_tokens"))
    per_s = run.positive("requests_per_s") or (
        done / seconds if done and seconds else made / out if made and out else None
    )
    first, gap = run.positive("ttft_s"), run.positive("tpot_s") or run.positive("itl_s")
    took = run.positive("e2e_s") or (first + gap * (out - 1) if first and gap and out else None)
    return per_s * took if per_s and took else None


def _measured(run: Run, row: Row) -> list[str]:
    """Fill in what was measured, in a row's columns; returns what was left out and why."""
    ttft, tpot, itl, e2e = (run.positive(n) for n in ("ttft_s", "tpot_s", "itl_s", "e2e_s"))
    out, said = _finite(row.get("output_tokens")), []
    gap = tpot or ((e2e - ttft) / (out - 1) if e2e and ttft and out and out > 1 else None)
    if itl and gap and abs(itl / gap - 1) > CHUNKED:
        said.append(
            f"itl_s left out: {itl / gap:.3g} times the time per token, so it is not of single tokens"
        )
        itl = None
    values = {"ttft_s": ttft, "tpot_s": tpot, "itl_s": itl}
    for name in ("ttft", "tpot"):
        if not values[f"{name}_s"]:
            values[f"{name}_p50_s"] = run.positive(f"{name}_p50_s")
            values[f"{name}_p50_s"] = values[f"{name}_p50_s"] or run.number(f"{name}_s", _MEDIAN)
    if not (ttft and (tpot or itl)):  # with both, it is their sum
        values["e2e_mean_s"] = e2e
    if row["arrival"] != "rate":
        devices = (run.positive("tp") or 1.0) * (run.positive("pp") or 1.0)
        per_gpu = run.positive("per_gpu")
        whole = run.positive("output_tokens_per_s") or (per_gpu * devices if per_gpu else None)
        values["output_tokens_per_s"] = whole
    row |= {name: repr(value) for name, value in values.items() if value}
    return said
