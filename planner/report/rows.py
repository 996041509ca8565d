"""Rows, columns and cells of every table, made from `planner.metrics`: all media share them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from planner.inputs.conditions import Conditions
from planner.inputs.engine import EngineSpec
from planner.metrics import HEAD, LATENCIES, LINE, LOG, METRICS, SIMULATED, Metric
from planner.picks import title
from planner.report.parts import Cell, Column, Grid, esc, grid
from planner.results import Candidate, Estimate, Limited, Measures, Plan, Point, Score
from planner.scenario.options import LOADS
from planner.units import show, significant

NONE = "–"
NOTHING: Mapping[str, str] = {}
ALL = METRICS | SIMULATED
Write = Callable[[float], str]


def estimate(value: Any, write: Write) -> Cell:
    """Write a number with its interval, the unit once: ``55.3 ms [40.1, 76.1]``."""
    if value is None:
        return Cell(NONE)
    if not isinstance(value, Estimate):
        return Cell(write(value))
    texts = [write(v) for v in (value.value, value.low, value.high)]
    units = {text.partition(" ")[2] for text in texts}
    low, high = (t.partition(" ")[0] if len(units) == 1 else t for t in texts[1:])
    return Cell(texts[0], f"[{low}, {high}]")


def metric(m: Metric, value: Any) -> Cell:
    """Write a metric's value, its interval where it has one."""

    def write(v: float) -> str:
        if m.percent:
            return f"{100 * v:.1f} %"
        if m.places:
            return f"{v:.{m.places}f}"
        if m.whole:
            return f"{v:,.0f}"
        return show(v, "" if "$" in m.title else m.unit)  # the title has the unit

    return estimate(value, write)


def plain(value: Any) -> str:
    """Write any other value: a setting, a constant of a fit."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return show(value) if abs(value) >= 10_000_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(plain, value))
    return str(value)


def number(value: Any) -> float | None:
    """Return the number in a value, an estimate's own; None where there is none."""
    if isinstance(value, Estimate):
        return value.value
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ok else None


def of(record: Measures, name: str) -> float:
    """Return the number of one metric of a record."""
    return number(record.metrics.get(name)) or 0.0


def said(record: Measures, m: Metric) -> Cell:
    """Write one metric of a record; under more load than can be served, latencies have no end."""
    value = record.metrics.get(m.name)
    return Cell("∞") if value is None and _endless(record, m) else metric(m, value)


def _endless(record: Measures, m: Metric) -> bool:
    own = m.name in LATENCIES and m.name in record.metrics
    return own and record.get("bound") == "saturated"


def known(records: Sequence[Measures], least: int) -> list[Metric]:
    """Return the metrics to show: those some record has; a share that is the whole is left out."""
    found: dict[str, list[float | None]] = {}
    for m in ALL.values():
        column = [number(r.metrics.get(m.name)) for r in records]
        there = any(v is not None and (v or not m.hide_zero) for v in column) or any(
            _endless(r, m) for r in records
        )
        whole = (found[n] for n in found if m.name.startswith(n))
        if m.keep >= least and there and column not in whole:
            found[m.name] = column
    return [ALL[name] for name in found]


def metric_columns(metrics: Iterable[Metric]) -> list[Column]:
    """Return a column a metric."""
    return [Column(m.short or m.title, partial(said, m=m), m.keep) for m in metrics]


Read = Callable[[Candidate], Cell | str]
SHAPE: dict[str, Read] = {
    "layers": lambda c: f"{c.n_layers}",
    "d_model": lambda c: f"{c.d_model}",
    "d_ff": lambda c: f"{c.d_ff}",
    "heads / KV heads": lambda c: f"{c.n_heads} / {c.n_kv_heads} × {c.head_dim}",
    "N non-embedding": lambda c: show(c.n_params_non_embedding),
    "N all": lambda c: show(c.n_params),
    "r, MLP/attention": lambda c: significant(c.mlp_attn_ratio),
    "x, d_model/√N": lambda c: f"{c.d_over_sqrt_n:.3f}",
    "GQA": lambda c: significant(c.gqa),
}


def gain(c: Candidate) -> Cell:
    """Write how much faster than the baseline a shape is."""
    if c.gain is None:
        return Cell(NONE)
    less = Estimate(value=c.gain.value - 1, low=c.gain.low - 1, high=c.gain.high - 1)
    return estimate(less, lambda v: f"{100 * v:+.0f} %")


def certainty(c: Candidate) -> str:
    """Write how sure it is that a shape loses no more than the margin: the one certainty of every table."""
    return NONE if c.p_within_margin is None else f"{c.p_within_margin:.0%}"


# What is said of a candidate besides metrics, after the metric it belongs to.
AFTER: dict[str, tuple[str, Read]] = {
    "loss": ("sure of the margin", certainty),
    "output_tokens_per_s": ("over baseline", gain),
}


def candidates(shapes: Mapping[str, Candidate], titles: Mapping[str, str] = NOTHING) -> Grid:
    """Return shapes as columns, a property a row; properties nobody has are left out.

    `titles` are of metrics that are called otherwise here.
    """
    every = list(shapes.values())
    rows = [[name, *map(read, every)] for name, read in SHAPE.items()]
    for m in known(every, 1):
        rows.append([titles.get(m.name, m.title), *(said(c, m) for c in every)])
        if m.name in AFTER:
            name, read = AFTER[m.name]
            rows.append([name, *map(read, every)])
    rows.append(["bound by", *(c.bound for c in every)])
    rows = [row for row in rows if any(str(cell) != NONE for cell in row[1:])]
    caption = "Brackets hold 80 % intervals"
    return Grid(["", *map(title, shapes)], rows, caption, sideways=True)


def front(shapes: Sequence[Candidate], caption: str = "") -> Grid:
    """Return a front, a line a shape."""
    columns = [
        Column("front", lambda c: title(c.name)),
        Column("layers", SHAPE["layers"], 3),
        Column("d_model", SHAPE["d_model"]),
        Column("d_ff", SHAPE["d_ff"]),
        Column("heads", lambda c: f"{c.n_heads} × {c.head_dim}", 3),
        Column("kv", lambda c: f"{c.n_kv_heads}", 2),
        Column("r", SHAPE["r, MLP/attention"], 2),
        Column("x", SHAPE["x, d_model/√N"], 1),
        Column("GQA", SHAPE["GQA"], 8),
        *metric_columns(known(shapes, HEAD)),
        Column("gain", gain, 8),
        Column("sure", certainty, 1),
    ]
    return grid(shapes, columns, caption, fold=True)


def merged(shapes: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Return shapes by their names; those that are the same stand once, under all their names."""
    found: dict[str, tuple[Candidate, list[str]]] = {}
    for name, c in shapes.items():
        found.setdefault(str(c.shape), (c, []))[1].append(title(name))
    return {", ".join(names): c for c, names in found.values()}


def _marked(shapes: Mapping[str, Candidate], lead: str) -> list[tuple[str, Candidate]]:
    def mark(names: str) -> str:
        return f"▶ {names}" if title(lead) in names.split(", ") else f"  {names}"

    return [(mark(name), c) for name, c in shapes.items()]


def picks(shapes: Mapping[str, Candidate], lead: str) -> Grid:
    """Return a line a pick: loss and tokens/s with their intervals, the gain, and how sure it is."""

    def written(record: tuple[str, Candidate], name: str, part: str) -> str:
        cell = said(record[1], METRICS[name])
        return str(getattr(cell, part))

    def over(record: tuple[str, Candidate]) -> str:
        g = record[1].gain
        return "1×" if g is None else f"{g.value:.2f}×"

    columns = [Column("pick", lambda r: r[0])]
    for name, short in (("loss", "loss"), ("output_tokens_per_s", "tok/s")):
        columns.append(Column(short, partial(written, name=name, part="value")))
        columns.append(Column("80 %", partial(written, name=name, part="interval"), 5))
    columns += [Column("gain", over), Column("sure", lambda r: certainty(r[1]))]
    return replace(grid(_marked(shapes, lead), columns), silent=True)


def pick_shapes(shapes: Mapping[str, Candidate], lead: str) -> Grid:
    """Return a line a pick: its shape, and what it is like to serve."""

    def metric_of(record: tuple[str, Candidate], name: str) -> str:
        return said(record[1], METRICS[name]).value

    serving = (("ttft_s", "TTFT", 5), ("tpot_s", "TPOT", 8), ("kv_bytes_per_token", "KV/token", 6))
    columns = [
        Column("shape", lambda r: r[0]),
        Column("layers", lambda r: f"{r[1].n_layers}"),
        Column("d_model", lambda r: f"{r[1].d_model}"),
        Column("d_ff", lambda r: f"{r[1].d_ff}"),
        Column("heads", lambda r: f"{r[1].n_heads}/{r[1].n_kv_heads}"),
        Column("r", lambda r: significant(r[1].mlp_attn_ratio, 2), 3),
        *(Column(head, partial(metric_of, name=n), keep) for n, head, keep in serving),
        Column("room for", partial(metric_of, name="max_concurrency"), 7),
        Column("bound", lambda r: r[1].bound, 4),
    ]
    return replace(grid(_marked(shapes, lead), columns), silent=True)


def facts(c: Candidate) -> dict[str, str]:
    """Return the few numbers of a shape that come first."""
    found = {}
    for m in known([c], HEAD):
        found[m.title] = said(c, m).value
        if m.name == "output_tokens_per_s" and c.gain:
            found["over the baseline"] = gain(c).value
    return found


def hover(c: Candidate, name: str) -> str:
    """Write everything about a shape, as lines for a hover box."""
    r, x = significant(c.mlp_attn_ratio), significant(c.d_over_sqrt_n)
    lines = [
        f"<b>{esc(title(name))}</b>",
        f"n_layers {c.n_layers} · d_model {c.d_model} · d_ff {c.d_ff}",
        f"n_heads {c.n_heads} · n_kv_heads {c.n_kv_heads} · head_dim {c.head_dim}",
        f"N {show(c.n_params_non_embedding)} (all {show(c.n_params)})",
        f"r {r} · x {x} · GQA {c.gqa:g}",
        *(f"{m.title} {said(c, m)}" for m in known([c], 3)),
    ]
    return "<br>".join([*lines, f"bound by {esc(c.bound)}"])


def shape_text(c: Candidate) -> str:
    """Write a shape in one line."""
    return (
        f"{c.n_layers} layers, d_model {c.d_model}, d_ff {c.d_ff}, "
        f"{c.n_heads}/{c.n_kv_heads} heads of {c.head_dim}"
    )


_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float, most: float, width: int = 9) -> str:
    """Draw a value as a bar of at most `width` characters."""
    if not value or most <= 0:
        return ""
    eighths = round(8 * width * min(value / most, 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def setting(p: Point, name: str) -> str:
    """Write what a point has for an option."""
    return plain(p.settings.get(name))


def memory(c: Candidate, engine: EngineSpec) -> Grid:
    """Return the memory of one device as the engine's log would say it."""
    foot = engine.footprint()
    larger = max(("forward_bytes", "sampler_bytes", "encoder_bytes"), key=lambda n: of(c, n))
    longest = f"{engine.max_model_len} tokens" if engine.max_model_len else "as asked"
    beside = {
        "activation_bytes": f" ({METRICS[larger].title})",
        "graph_bytes": "" if foot.graphs_in_fraction or engine.enforce_eager else " (on top)",
        "longest_at_once": f" ({longest})",
    }
    rows: list[list[Cell | str]] = [
        [METRICS[n].title + beside.get(n, ""), said(c, METRICS[n])] for n in LOG
    ]
    share = show(of(c, "device_bytes") * engine.memory_fraction, "gibibyte")
    taken = "of what is then free" if foot.fraction_of_free else share
    if not engine.kv_cache_bytes:
        rows.insert(1, [f"share taken, {engine.memory_fraction:g}", taken])
    if draft := c.memory_bytes.get("draft"):
        rows.insert(3, ["draft, weights and cache", show(draft, "gibibyte")])
    asked = f"{engine.max_num_seqs} sequences, {engine.max_batched_tokens} tokens a step"
    return Grid(["", "one device"], rows, f"{asked}; brackets hold 80 % intervals", sideways=True)


def points(
    rows: Sequence[Point], vary: Sequence[str], *, bars: bool, only: Sequence[str] = ()
) -> Grid:
    """Return a line a setting: what was varied, what follows (or the metrics named), what binds."""
    columns = [Column(n, partial(setting, name=n)) for n in vary]
    if only:  # a part a line, a setting a column
        parts = [METRICS[n] for n in only]
        lines: list[list[Cell | str]] = [[n, *(setting(p, n) for p in rows)] for n in vary]
        lines += [[m.title, *(metric(m, p.metrics.get(m.name)) for p in rows)] for m in parts]
        lines.append(["bound by", *(p.bound for p in rows)])
        return Grid(["", *map(str, range(1, len(rows) + 1))], lines, "Settings", sideways=True)
    columns += metric_columns(known(rows, LINE))
    if bars:
        speed = METRICS["output_tokens_per_s"]
        most = max((of(p, speed.name) for p in rows), default=0.0)
        after = [c.title for c in columns].index(speed.short) + 1
        columns.insert(after, Column("", lambda p: bar(of(p, speed.name), most), LINE + 2))
    if any(p.n_params for p in rows):
        columns.append(Column("N", lambda p: show(p.n_params or 0)))
    columns.append(Column("bound by", lambda p: p.bound))
    return grid(rows, columns, "Settings")


def spaced(found: Sequence[Any], n: int) -> list[Any]:
    """Return `n` of the rows evenly spaced, the two ends included."""
    if n >= len(found):
        return list(found)
    return [found[round(i * (len(found) - 1) / max(n - 1, 1))] for i in range(n)]


def rate(value: float | None) -> str:
    """Write requests a second."""
    return f"{significant(value)}/s" if value else NONE


def plans(rows: Sequence[Plan], at: str, asked: Sequence[str]) -> Grid:
    """Return a line a configuration, best first; latencies that are limited, at their statistic."""
    hourly = [m for m in known(rows, 0) if m.name == "usd_per_hour"]
    money = [m for m in known(rows, LINE + 1) if m.group == "money"]

    def latency(p: Plan, n: str) -> Cell:
        return metric(ALL[n], p.metrics[n])

    columns = [
        Column("configuration", lambda p: p.configuration),
        Column("one carries", lambda p: rate(p.rate_per_s)),
        Column("of max", lambda p: f"{p.share_of_saturation:.0%}" if p.rate_per_s else NONE, 3),
        *(Column(f"{LATENCIES[n].title} {at}", partial(latency, n=n), 6) for n in asked),
        Column("bound by", lambda p: binds(p.binds), 7),
        Column("replicas", lambda p: str(p.replicas) if p.rate_per_s else NONE, 4),
        Column("GPUs", lambda p: f"{of(p, 'n_devices'):.0f}" if p.replicas else NONE),
        *(replace(c, keep=5) for c in metric_columns(hourly)),
        *metric_columns(money),
    ]
    return grid(rows, columns, "Plans")


def binds(name: str) -> str:
    """Write what binds a plan: a latency by its title, or what else there is."""
    return LATENCIES[name].title if name in LATENCIES else name


def operators(breakdown: Mapping[str, Any]) -> Grid:
    """Return where a step's time goes, prefill beside decode."""
    names = dict.fromkeys(n for phase in breakdown.values() for n in phase["operators"])

    def cell(name: str, of: Mapping[str, Sequence[str]], i: int) -> str:
        return of[name][i] if name in of else ""

    columns = [Column("operator", lambda n: n.replace("_", " "))]
    for phase, p in breakdown.items():
        cells = {n: (show(o["seconds"], "s"), f"{o['share']:.0%}", o["bound"])
                 for n, o in p["operators"].items()}  # fmt: skip
        cells["one step"] = (show(p["step_s"], "s"), "", "")
        cells["steps"] = (significant(p["steps"]), "", "")
        for i, (head, keep) in enumerate(((phase, 9), ("share", 8), ("bound", 7))):
            columns.append(Column(head, partial(cell, of=cells, i=i), keep))
    return grid([*names, "one step", "steps"], columns)


def refusals(limits: Sequence[Limited]) -> Grid:
    """Return every limit of a shape asked about, and what it reaches of it."""

    def written(x: Limited, value: float | None) -> str:
        if value is None:
            return NONE
        if x.limit in {latency.flag for latency in LATENCIES.values()}:
            return show(value, "s")
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"

    columns = [
        Column("limit", lambda x: x.limit),
        Column("reached", lambda x: written(x, x.value)),
        Column("bound", lambda x: written(x, x.bound)),
        Column("met", lambda x: plain(x.met)),
    ]
    return grid(limits, columns, fold=True)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


SCORES: dict[str, tuple[str, Write]] = {
    "n": ("rows", lambda v: f"{v:,}"),
    "mean_ape": ("mean error", _percent),
    "median_ape": ("median", _percent),
    "p90_ape": ("90th", _percent),
    "bias": ("bias", lambda v: f"{100 * v:+.1f} %"),
    "spearman": ("Spearman", lambda v: f"{v:.3f}"),
    "coverage": ("inside 80 %", _percent),
    "refused": ("refused", lambda v: f"{v:,}"),
}


def scores(by: str, found: Mapping[str, Score]) -> Grid:
    """Return a line a group of rows; scores nobody has are left out."""

    def written(record: tuple[str, Score], name: str) -> str:
        value = getattr(record[1], name)
        return NONE if value is None else SCORES[name][1](value)

    columns = [Column(by, lambda record: record[0])]
    for name, (words, _) in SCORES.items():
        values = [getattr(s, name) for s in found.values()]
        if any(v is not None for v in values) and (name != "refused" or any(values)):
            columns.append(Column(words, partial(written, name=name)))
    return grid(found.items(), columns, f"Errors by {by}" if by else "", fold=bool(by))


def records(rows: Sequence[Mapping[str, Any]], caption: str) -> Grid:
    """Return records of any keys as a table; metrics and scores are written as such."""
    keys = list(dict.fromkeys(k for row in rows for k in row))

    def written(key: str, value: Any) -> Cell | str:
        if key in ALL:
            return metric(ALL[key], value)
        if key in SCORES and number(value) is not None:
            return SCORES[key][1](value)
        return plain(value)

    def head(key: str) -> str:
        return ALL[key].title if key in ALL else SCORES.get(key, (key.replace("_", " "),))[0]

    body = [[written(k, row.get(k)) for k in keys] for row in rows]
    return Grid([head(k) for k in keys], body, caption)


def asked(c: Conditions, without: Collection[str] = ()) -> str:
    """Write the conditions of a question in one line; options in `without` are left out."""
    e, w = c.engine, c.workload
    words = {
        "on": c.on,
        "engine": e.generation,
        "dtype": e.dtype,
        "kv_dtype": f"KV {e.kv_dtype}" if e.kv_dtype else "",
        **{n: f"{n} {v}" if v > 1 else "" for n, v in (("tp", e.tp), ("pp", e.pp), ("ep", e.ep))},
        "replicas": f"{c.replicas} replicas" if c.replicas > 1 else "",
        "prefill_replicas": f"{c.prefill_replicas} of prefill" if c.prefill_replicas else "",
    }
    load = {
        "batch": f"{w.batch} requests",
        "burst": f"{w.burst} requests at once",
        "concurrency": f"{w.concurrency} requests in flight",
        "rate": f"{significant(w.rate_per_s or 0.0)} requests/s",
        "trace": f"the requests of {w.trace}",
    }[w.kind]
    load = "" if any(n in without for n in LOADS) else load
    lengths = {
        "input_tokens": f"{w.input_tokens} tokens in",
        "output_tokens": f"{w.output_tokens} out",
    }
    length = " and ".join(v for n, v in lengths.items() if n not in without and not w.trace)
    load = f"{load} of {length}" if load and length else load or length
    place = ", ".join(v for n, v in words.items() if v and n not in without)
    return "; ".join(filter(None, (place, load)))
