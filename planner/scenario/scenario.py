"""The noun: a model on a deployment, served by an engine, under a workload. Specs in, columns out.

Nothing else builds a `System` of specs, so that the same scenario gives the same numbers whoever
asks.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from planner.columns import (
    Arch,
    Footprint,
    FrontEnd,
    Limits,
    Parallel,
    System,
    Workload,
    shared,
    stack,
    take,
)
from planner.cost.money import HOUR_S, Life
from planner.data import is_file
from planner.errors import SpecError
from planner.inputs.conditions import Conditions
from planner.inputs.device import DeviceSpec, device_id, load_device, said_device
from planner.inputs.engine import EngineSpec, engines
from planner.inputs.formats import FORMATS
from planner.inputs.front_end import LoadSpread, front_end_of
from planner.inputs.law import LawSpec, default_law, load_law
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.price import load_prices
from planner.inputs.profile import ProfileSpec, load_profile, profile_for
from planner.inputs.trace import Trace, read_lengths, read_trace
from planner.inputs.workload import CHAT_CV, WorkloadSpec
from planner.law.columns import LawColumns
from planner.law.law import switched
from planner.law.terms.precision import FULL_BITS
from planner.scenario.options import specs
from planner.serving.kinds import KINDS, Kind, Load
from planner.serving.requests import Requests
from planner.serving.speculative import with_draft

FOOTPRINT = {f.name for f in fields(Footprint)}
TIMES = ("prefill", "decode", "throughput")  # spreads of what operators take
# Of ShareGPT's prompts and answers as `vllm bench serve` takes them: prompts up to 1024 tokens, 2048 with
# the answer (vllm/benchmarks/datasets.py, is_valid_sequence).
SHAREGPT_CV = (1.2, 1.05)
SHAREGPT_MOST = (1024.0, 2048.0)
ACCURACY_BASIS = "sigmoid link fitted on the paper's seven models (nine zero-shot tasks)"


class Scenario(Conditions):
    """A model under conditions: what every question is about."""

    model: ModelSpec

    @classmethod
    def of(cls, model: str | ModelSpec, conditions: Conditions) -> "Scenario":
        """Return `model` (a preset's name, a path, or a spec) under `conditions`.

        Raises:
            UnknownName: no such model.
            SpecError: its file is malformed.

        """
        own = {name: getattr(conditions, name) for name in Conditions.model_fields}
        spec, engine = load_model(model), conditions.engine
        if spec.weights_format and "dtype" not in engine.model_fields_set:
            own["engine"] = engine.model_copy(update={"dtype": spec.weights_format})
        return cls.model_construct(**own, model=spec)


def conditions(
    engine: EngineSpec | str | None = None, workload: WorkloadSpec | None = None, **settings: Any
) -> Conditions:
    """Return conditions from specs, from options by name (`planner.scenario.options`), or both.

    Raises:
        UnknownName: no option of that name.
        SpecError: a value that cannot be; its flag is named.

    """
    if isinstance(engine, str):
        settings["engine"] = engine
        engine = None
    found = specs(engine, workload, **settings)
    return Conditions(
        **dict(found.deployment),
        **dict(found.training),
        engine=found.engine,
        workload=as_recorded(found.workload),
    )


def as_recorded(w: WorkloadSpec) -> WorkloadSpec:
    """Return a workload with the mean lengths of its trace or list, where it has one.

    Raises:
        SpecError: the file cannot be read.

    """
    if not (w.trace or w.listed):
        return w
    seen = trace_of(w).requests if w.trace else lengths_of(w)
    means = {
        "input_tokens": max(round(float(seen.input_tokens.mean())), 1),
        "output_tokens": max(round(float(seen.output_tokens.mean())), 1),
    }
    return w.model_copy(update=means)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A device and an engine with the profile that describes them; lacks only the model."""

    device: DeviceSpec
    engine: EngineSpec
    profile: ProfileSpec
    spread_factor: float  # the profile's spread is multiplied by this here
    basis: str
    usd_per_device_hour: float  # NaN where no price is known
    price_basis: str
    drains: bool = False  # its requests come at once or by a trace, and their end counts
    unseen_layers: bool = False  # the model has layers that the profile's runs had not
    endpoint: str = "completions"
    answers: bool = False  # a server answers requests; else a program holds the engine
    read_as: str = ""  # what was meant by names that are not ours, where that is not plain

    @property
    def footprint(self) -> Footprint:
        """What the engine takes of memory: as its file says, but for what logs of the machine say."""
        own = self.engine.footprint()
        return own if self.memory_of_another else replace(own, **self.profile.memory)

    @property
    def front_end(self) -> FrontEnd:
        """What the server around the engine takes of its CPU; nothing where none was measured."""
        if self.profile.front_end:
            return self.profile.front_end.columns(self.endpoint)
        known = front_end_of(self.engine)
        return known.at(self.engine.version).columns(self.endpoint) if known else FrontEnd()

    @property
    def load_spread(self) -> LoadSpread:
        """How sure services under load are told."""
        if self.profile.load_spread:
            return self.profile.load_spread
        known = front_end_of(self.engine)
        return known.spread if known else LoadSpread()

    @property
    def memory_of_another(self) -> bool:
        """Whether the profile's memory is of versions that take otherwise than the one asked for."""
        told, known = self.profile.memory, engines()[self.engine.name]
        if not told:
            return False
        here = self.engine.release.footprint
        logged = [known.at(v) for v in self.profile.engine_version.split(", ")]
        return not any(v.generation == self.profile.engine for v in known.versions) or all(
            any(getattr(v.footprint, name) != getattr(here, name) for name in told) for v in logged
        )

    def sd(self, spread: str) -> float:
        """Return the standard deviation of the logarithm that `spread` has here.

        Args:
            spread: field of the profile's spread, or of the engine's footprint.

        """
        if spread in FOOTPRINT:
            return float(getattr(self.footprint, spread))
        own = self.profile.spread
        least = own.layers if self.unseen_layers and spread in TIMES else 0.0
        return max(float(getattr(own, spread)), least) * self.spread_factor

    def load_sd(self, spread: str) -> float:
        """Return the standard deviation of the logarithm that `spread` has where requests arrive.

        Args:
            spread: field of the profile's spread.

        """
        if spread == "ttft":
            return self.load_spread.ttft * self.spread_factor
        if spread == "throughput" and self.drains:
            return self.load_spread.duration * self.spread_factor
        return self.sd(spread)

    def system(self, arch: Arch, engines: Sequence[EngineSpec] = ()) -> System:
        """Return the columns for `arch`: one shape or many, under this engine or row by row."""
        kernels, overheads = self.profile.columns()
        if self.answers:
            overheads = self.profile.serving()
        own = self.engine
        limits = _columns(Limits, own.limits(), [e.limits() for e in engines])
        if self.device.form_factor == "socket":  # a CPU is host and device at once
            limits = replace(limits, async_scheduling=0.0)
        system = System(
            arch=arch,
            precision=own.precision(),
            device=self.device.columns(own.dtype),
            parallel=_columns(Parallel, own.parallel(), [e.parallel() for e in engines]),
            kernels=kernels,
            overheads=overheads,
            limits=limits,
            footprint=self.footprint,
            front_end=self.front_end,
        )
        if own.draft:
            tokens = _column([e.draft_tokens for e in engines] or [own.draft_tokens])
            kept = _column([e.acceptance for e in engines] or [own.acceptance])
            system = with_draft(system, load_model(own.draft).arch(), tokens, kept)
        return system


def _column(values: Sequence[float]) -> Any:
    """Return a number where all rows agree, else a column."""
    first = float(values[0])
    same = all(v == first for v in values)
    return first if same else np.array(values, dtype=np.float64)


def _columns(cls: Any, own: Any, rows: Sequence[Any]) -> Any:
    if not rows:
        return own
    return cls(**{f.name: _column([getattr(r, f.name) for r in rows]) for f in fields(cls)})


def arch_of(models: Sequence[ModelSpec]) -> Arch:
    """Return the shapes of rows as columns; what they share stays a number."""
    unique = {id(m): m.arch() for m in models}
    if len(unique) == 1:
        return next(iter(unique.values()))
    rows = [unique[id(m)] for m in models]
    return shared(stack(rows))


def resolve(c: Conditions) -> Deployment:
    """Look up the device, the profile that fits it or the one asked for, and the price.

    Raises:
        UnknownName: no such device or profile.
        SpecError: the device does not compute in the engine's dtype, or a file is malformed.

    """
    device = load_device(c.on)
    name = device_id(c.on)
    held = device.runs(c.engine.dtype).name
    device.flops_per_s(held)
    engine, read_as = c.engine, [said_device(c.on)]
    taken = device.unstated
    read_as += [
        f"{k} is not stated: {taken[k]}" for k in ("link_bytes_per_s", "tdp_w") if k in taken
    ]
    if held != engine.dtype:
        engine = engine.model_copy(update={"dtype": held})
        read_as.append(f"{c.engine.dtype} read as {held}")
    if c.profile:
        profile, factor, basis = load_profile(c.profile), 1.0, f"profile {c.profile}, as asked"
    else:
        profile, factor, basis = profile_for(name, device, c.engine.generation)
    if c.usd_per_hour is not None:
        usd, price_basis = c.usd_per_hour, "as given"
    else:
        prices = load_prices(c.prices)
        usd, price_basis = prices.usd_per_hour.get(name, float("nan")), prices.basis(name)
    said = "; ".join(filter(None, read_as))
    unseen = bool(layer_kinds(c) - {*profile.layers})
    drains = c.workload.kind in ("burst", "trace")
    more = (usd, price_basis, drains, unseen, c.workload.endpoint, c.workload.kind != "batch")
    found = Deployment(device, engine, profile, factor, basis, *more, said)
    if not found.memory_of_another:
        return found
    unused = f"its memory, of {profile.engine} {profile.engine_version}, is not used"
    return replace(found, basis=f"{basis}; {unused}")


def layer_kinds(c: Conditions) -> frozenset[str]:
    """Return the kinds of layers that a scenario's model has; shapes to choose from are dense."""
    return c.model.layer_kinds if isinstance(c, Scenario) else frozenset({"dense"})


def group_of(c: Conditions) -> tuple[Any, ...]:
    """Return what scenarios must share to be evaluated as columns together."""
    e = c.engine
    place = (
        c.on,
        c.profile,
        c.usd_per_hour,
        c.prices,
        c.tokens,
        c.law,
        c.unique_tokens,
        c.training_bits,
    )
    return (
        *place,
        e.generation,
        e.footprint(),
        (known.at(e.version).since if (known := front_end_of(e)) else ""),
        e.dtype,
        e.kv_dtype,
        e.draft,
        c.workload.kind,
        layer_kinds(c),
        c.workload.endpoint,
        c.prefill_replicas > 0,
    )


def columns_of(s: Scenario) -> tuple[Any, ...]:
    """Return what scenarios must share to be rows of one table; layers that differ stand alone."""
    return (*group_of(s), s.model if s.model.mixed else None)


@functools.lru_cache(maxsize=8)
def _seen(path: str, modified: float, rate_per_s: float | None, seed: int) -> Trace:
    return read_trace(path, rate_per_s, seed)


@functools.lru_cache(maxsize=8)
def _lengths(path: str, modified: float) -> Requests:
    return read_lengths(path)


def _modified(path: str) -> float:
    from pathlib import Path

    return Path(path).stat().st_mtime if is_file(path) else 0.0


def trace_of(w: WorkloadSpec) -> Trace:
    """Return a workload's trace, read once; raises as `read_trace` does."""
    path = str(w.trace)
    return _seen(path, _modified(path), w.rate_per_s, w.seed)


def prefix_hit_of(w: WorkloadSpec) -> float:
    """Return the share of prompts in the prefix cache: as asked, else of the trace's own blocks."""
    return w.prefix_hit or (trace_of(w).prefix_hit if w.trace else 0.0)


def _numbers(c: Conditions) -> dict[str, float]:
    """Return one row of a load as numbers."""
    w = c.workload
    least, given_cv, made_cv = spread_of(w)
    uniform_cv = (1 - least) / (1 + least) / np.sqrt(3.0)
    row = {
        "input_tokens": float(w.input_tokens),
        "output_tokens": float(w.output_tokens),
        "batch": float(w.concurrency or w.burst or w.batch),
        "n_requests": float(w.n_requests or np.inf),
        "prefix_hit": prefix_hit_of(w),
        "rate_per_s": float("nan") if w.rate_per_s is None else w.rate_per_s,
        "burstiness": w.burstiness,
        "input_cv": max(uniform_cv, given_cv),
        "cv": max(uniform_cv, given_cv, made_cv),
        "replicas": float(c.replicas),
        "prefill_replicas": float(c.prefill_replicas),
    }
    if w.trace:
        seen = trace_of(w).requests
        given, made = seen.input_tokens.mean(), max(float(seen.output_tokens.mean()), 1.0)
        span = float(seen.arrival_s[-1])
        rate = w.rate_per_s or (max(len(seen) - 1, 1) / span if span > 0 else len(seen) / 1e-3)
        row |= {"input_tokens": float(given), "output_tokens": made, "rate_per_s": float(rate)}
        row["cv"] = row["input_cv"] = float(seen.input_tokens.std() / given)
    elif w.listed:
        listed = lengths_of(w)
        row["input_tokens"] = float(listed.input_tokens.mean())
        row["output_tokens"] = float(listed.output_tokens.mean())
        row["cv"] = row["input_cv"] = float(listed.input_tokens.std() / listed.input_tokens.mean())
    return row


def spread_of(w: WorkloadSpec) -> tuple[float, float, float]:
    """Return how a workload's lengths spread: least over longest, and the cv of prompts and outputs."""
    kind = w.lengths or ""
    if kind.startswith("uniform"):
        return float(kind.partition(":")[2]), 0.0, 0.0
    if kind == "sharegpt":
        return 1.0, *SHAREGPT_CV
    if kind == "lognormal":
        return 1.0, w.input_cv or CHAT_CV, w.output_cv or CHAT_CV
    return 1.0, w.input_cv, w.output_cv


def lengths_of(w: WorkloadSpec) -> Requests:
    """Return the lengths that a workload's CSV lists, as requests; raises as `read_lengths` does."""
    return _lengths(str(w.lengths), _modified(str(w.lengths)))


def load_of(rows: Sequence[Conditions]) -> Load:
    """Return what is asked in rows of one kind of workload, as columns.

    Raises:
        SpecError: a trace cannot be read.

    """
    numbers = [_numbers(c) for c in rows]
    columns = {name: _column([n[name] for n in numbers]) for name in numbers[0]}
    names = ("input_tokens", "output_tokens", "batch", "n_requests", "prefix_hit", "cv")
    workload = Workload(**{n: columns.pop(n) for n in names})
    return Load(workload, **columns)


ACCURACY_DATA = "Dolma-v1.7"  # what the accuracy link was fitted on, with its tokenizer


@dataclass(frozen=True)
class Trained:
    """A law and the tokens it is asked about."""

    law: LawSpec
    tokens: float
    basis: str
    switches: tuple[tuple[str, float], ...] = ()  # terms turned on, by name

    @functools.cached_property
    def columns(self) -> LawColumns:
        """The law's numbers, with the terms that the conditions turn on."""
        return switched(self.law.columns(), **dict(self.switches))

    @property
    def same_data(self) -> bool:
        """Whether the law speaks of the accuracy link's own corpus and tokenizer."""
        return self.law.evidence.data == ACCURACY_DATA


def trained(c: Conditions) -> Trained:
    """Return the law asked for, or the default.

    Raises:
        UnknownName: no such law.

    """
    law, basis = (load_law(c.law), f"law {c.law}, as asked") if c.law else default_law()
    bits = float(np.floor(8 * FORMATS[c.engine.dtype].bytes))
    asked = {
        "quantised_bits": bits if bits < FULL_BITS else None,
        "training_bits": c.training_bits,
        "unique_tokens": c.unique_tokens,
    }
    return Trained(law, c.tokens, basis, tuple((k, v) for k, v in asked.items() if v))


@dataclass(frozen=True, slots=True)
class Terms:
    """What turns a shape's speed into money over its life.

    [Sardana et al. 2024, arXiv 2401.00448: what a model costs over its life moves the best choice.]
    """

    served_requests: float
    train_mfu: float

    def life(self, d: Deployment, n_active: Any, n_tokens: float, requests_per_s: Any) -> Life:
        """Return the columns of a life: trained and served on the same kind of device."""
        hourly = d.usd_per_device_hour * d.engine.n_devices
        return Life(
            n_active_params=n_active,
            n_tokens=n_tokens,
            flops_per_s=d.device.flops_per_s("bf16"),
            train_mfu=self.train_mfu,
            usd_per_device_hour=d.usd_per_device_hour,
            served_requests=self.served_requests,
            usd_per_request=hourly / HOUR_S / requests_per_s,
        )


@dataclass(frozen=True, slots=True)
class Resolved:
    """Conditions with everything looked up: ready to be asked about any shape."""

    deployment: Deployment
    load: Load
    kind: Kind
    trained: Trained | None = None
    terms: Terms | None = None

    @classmethod
    def of(
        cls, c: Conditions, n_params_non_embedding: float | None = None, terms: Terms | None = None
    ) -> "Resolved":
        """Look everything up; without a size nothing is said of quality.

        Raises:
            UnknownName: no such device, profile or law.
            SpecError: a price is needed and none is known; the device lacks the dtype.

        """
        n = n_params_non_embedding
        deployment = resolve(c)
        if terms and np.isnan(deployment.usd_per_device_hour):
            raise SpecError(
                f"no price is listed for {c.on}", hint="give one, e.g. --usd-per-hour 2.50"
            )
        law = None if n is None else trained(c)
        return cls(deployment, load_of([c]), KINDS[c.workload.kind], law, terms)

    @property
    def basis(self) -> dict[str, str]:
        """Where the numbers are from, in words."""
        names = self.deployment.read_as
        words = ({"names": names} if names else {}) | {"speed": self.deployment.basis}
        if self.trained:
            words["loss"] = self.trained.basis
        if self.terms:
            words["money"] = self.deployment.price_basis
        return words | ({"accuracy": ACCURACY_BASIS} if self.trained else {})

    def at(self, row: int) -> "Resolved":
        """Return one row of conditions that hold several."""
        return replace(self, load=load_row(self.load, row))


def load_row(load: Load, rows: Any) -> Load:
    """Take rows of a load."""
    return replace(take(load, rows), workload=take(load.workload, rows))


def rows_of(s: System, rows: Any) -> System:
    """Take rows of every part of a system; one row's number gives a system of numbers."""
    parts: dict[str, Any] = {f.name: getattr(s, f.name) for f in fields(s)}
    return System(**{name: part and take(part, rows) for name, part in parts.items()})
