"""Settings in, a table of what each achieves out: one vectorised pass a device and format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.columns import Arch, Limits, Parallel, System, Workload, take
from planner.cost import memory
from planner.errors import SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.fields import validate
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.price import PricesSpec
from planner.scenario.evaluate import Load, figures, rows_of
from planner.scenario.options import KNOBS, Times
from planner.scenario.system import Served, serve
from planner.serving.speculative import with_draft

Columns = dict[str, NDArray[Any]]
Setting = Mapping[str, Any]
GROUPED = ("on", "engine", "dtype", "kv_dtype", "draft")  # what columns cannot hold
LIMITS = (
    "memory_fraction",
    "max_num_seqs",
    "max_batched_tokens",
    "block_tokens",
    "chunked_prefill",
)

DEFAULTS: dict[str, Any] = {
    "on": "a100-sxm-40gb",
    "engine": "vllm",
    "dtype": "bf16",
    "kv_dtype": None,
    "tp": 1,
    "pp": 1,
    "ep": 1,
    "replicas": 1,
    "prefill_replicas": 0,
    "concurrency": 64,
    "rate": None,
    "input_tokens": 4096,
    "output_tokens": 1024,
    "prefix_hit": 0.0,
    "burstiness": 1.0,
    "input_cv": 0.0,
    "output_cv": 0.0,
    "n_requests": np.inf,
    "draft": None,
    "draft_tokens": 4,
    "acceptance": 0.7,
}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for a device: one for all, or by the list."""

    usd_per_hour: float | None = None
    prices: PricesSpec | None = None

    def of(self, device: str) -> float:
        """Return the price of `device`, NaN where none is known."""
        if self.usd_per_hour is not None:
            return self.usd_per_hour
        known = self.prices.usd_per_hour if self.prices else {}
        return known.get(device, float("nan"))


@dataclass(slots=True)
class Points:
    """Rows of settings with their figures, and the systems they were computed on."""

    settings: list[dict[str, Any]]
    table: Columns
    served: list[Served] = field(default_factory=list)  # of each row
    archs: list[ModelSpec] = field(default_factory=list)  # of each row

    def system(self, row: int) -> System:
        """Return one row's system, as numbers."""
        return rows_of(system_of(self.served[row], [self.archs[row]], [self.settings[row]]), 0)

    def workload(self, row: int) -> Workload:
        """Return one row's lengths and concurrency, as numbers."""
        return take(load_of([self.settings[row]]).workload, 0)


def shape(base: ModelSpec, setting: Setting) -> ModelSpec:
    """Return `base` with the shape knobs of `setting`.

    Raises:
        SpecError: they make no legal shape; says why.

    """
    changes: dict[str, Any] = {}
    for name in (n for n in setting if KNOBS.get(n) and KNOBS[n].turns == "shape"):
        value = setting[name]
        if name == "gqa":
            continue
        if isinstance(value, Times):
            value = max(round(getattr(base, name) * value.factor), 1)
        changes[name] = value
    if "gqa" in setting:
        heads = changes.get("n_heads", base.n_heads)
        group = setting["gqa"]
        group = base.gqa * group.factor if isinstance(group, Times) else group
        if heads % group:
            raise SpecError(
                f"--vary: gqa={group:g} does not divide {heads} heads",
                hint="gqa must divide n_heads: vary both, or choose a divisor",
            )
        changes["n_kv_heads"] = int(heads / group)
    if not changes:
        return base
    values = base.model_dump() | changes
    return validate(ModelSpec, values, f"{base.name} with {_say(changes)}")


def _say(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in changes.items())


def evaluate(model: ModelSpec, settings: Sequence[Setting], price: Price) -> Points:
    """Return the figures of every setting, `DEFAULTS` standing in for what it does not name.

    Raises:
        UnknownName: no such hardware, profile or draft model.
        SpecError: a shape or an engine that cannot be.

    """
    rows = [DEFAULTS | dict(s) for s in settings]
    known: dict[tuple[Any, ...], ModelSpec] = {}
    archs = []
    for row in rows:
        key = tuple(row.get(n) for n, k in KNOBS.items() if k.turns in ("model", "shape"))
        if key not in known:
            known[key] = shape(load_model(row["model"]) if row.get("model") else model, row)
        archs.append(known[key])
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(tuple(row[n] for n in GROUPED), []).append(i)
    points = Points(rows, {}, served=[None] * len(rows), archs=archs)  # type: ignore[list-item]
    for group in groups.values():
        first = rows[group[0]]
        served = _served(first)
        chosen = [rows[i] for i in group]
        system = system_of(served, [archs[i] for i in group], chosen)
        figures_ = figures(system, load_of(chosen), served.device.tdp_w, price.of(first["on"]))
        spread, wider = served.profile.spread, served.wider
        figures_ |= {
            "sd_ttft_s": np.full(len(group), spread.prefill * wider),
            "sd_tpot_s": np.full(len(group), spread.decode * wider),
            "sd_output_tokens_per_s": np.full(len(group), spread.throughput * wider),
        }
        for name, column in figures_.items():
            empty = np.full(len(rows), "" if column.dtype.kind == "U" else np.nan, dtype=object)
            points.table.setdefault(name, empty)[group] = column
        for i in group:
            points.served[i] = served
    points.table = {n: _typed(c) for n, c in points.table.items()}
    return points


def _typed(column: NDArray[Any]) -> NDArray[Any]:
    return column.astype(str if isinstance(column[0], str) else np.float64)


def _served(row: Setting) -> Served:
    values = {"name": row["engine"], "dtype": row["dtype"], "kv_dtype": row["kv_dtype"]}
    engine = validate(EngineSpec, values, "engine")
    return serve(row["on"], engine, profile=row.get("profile"))


def _column(rows: Sequence[Setting], name: str, default: float | None = None) -> Any:
    values = [float(r[name]) if r.get(name) is not None else default for r in rows]
    return np.array(values, dtype=np.float64)


def system_of(served: Served, archs: Sequence[ModelSpec], rows: Sequence[Setting]) -> System:
    """Return the columns of rows that share a device, an engine and formats."""
    unique = {id(a): a for a in archs}
    place = {key: i for i, key in enumerate(unique)}
    which = np.array([place[id(a)] for a in archs])
    shapes = [a.arch() for a in unique.values()]
    if len(shapes) == 1:
        arch = shapes[0]
    else:
        arch = Arch(
            **{
                f.name: np.array([float(getattr(a, f.name)) for a in shapes])[which]
                for f in fields(Arch)
                if len({float(getattr(a, f.name)) for a in shapes}) > 1
            }
            | {
                f.name: getattr(shapes[0], f.name)
                for f in fields(Arch)
                if len({float(getattr(a, f.name)) for a in shapes}) == 1
            }
        )
    system = served.system(arch)
    parallel = Parallel(
        tp=_column(rows, "tp"),
        pp=_column(rows, "pp"),
        ep=_column(rows, "ep"),
        devices_per_node=system.parallel.devices_per_node,
    )
    own: Limits = system.limits
    limits = replace(own, **{n: _column(rows, n, float(getattr(own, n))) for n in LIMITS})
    system = replace(system, parallel=parallel, limits=limits)
    draft = rows[0]["draft"]
    if draft:
        tokens, acceptance = _column(rows, "draft_tokens"), _column(rows, "acceptance")
        system = with_draft(system, load_model(draft).arch(), tokens, acceptance)
    return system


def load_of(rows: Sequence[Setting]) -> Load:
    """Return the load columns of rows."""
    workload = Workload(
        input_tokens=_column(rows, "input_tokens"),
        output_tokens=_column(rows, "output_tokens"),
        batch=_column(rows, "concurrency"),
        n_requests=_column(rows, "n_requests"),
        prefix_hit=_column(rows, "prefix_hit"),
    )
    return Load(
        workload,
        rate_per_s=_column(rows, "rate", np.nan),
        burstiness=_column(rows, "burstiness"),
        input_cv=_column(rows, "input_cv"),
        replicas=_column(rows, "replicas"),
        prefill_replicas=_column(rows, "prefill_replicas"),
    )


def short_by(s: System, w: Workload) -> NDArray[np.float64]:
    """Return the bytes a device lacks for one request; negative where there is room."""
    share = s.parallel.tp * s.parallel.pp
    kv = memory.kv_bytes_per_token(s) * (w.input_tokens + w.output_tokens) / share
    need = memory.weight_bytes(s) + memory.activation_peak_bytes(s) + s.limits.reserve_bytes + kv
    room = memory.usable_bytes(s) * s.limits.memory_fraction
    return np.atleast_1d(np.asarray(need - room, dtype=np.float64))
