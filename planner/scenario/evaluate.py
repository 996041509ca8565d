"""Columns in, metrics out: the one function that looks at a scenario.

`Evaluation` holds one group of rows, or the many shapes of a search, and computes a metric when it is
asked for. `evaluate` takes scenarios of any kind, groups them and returns their table.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from planner.columns import Arch, FrontEnd, Step, System, Table, Workload
from planner.cost import memory, params
from planner.cost.cache import block_bytes, request_blocks
from planner.cost.money import lifetime_usd
from planner.cost.step import breakdown
from planner.equation import remembering
from planner.law.accuracy import NINE_TASKS, accuracy
from planner.law.law import loss
from planner.metrics import METRICS, QUALITY, SERVING
from planner.scenario import legal
from planner.scenario.scenario import (
    Deployment,
    Resolved,
    Scenario,
    arch_of,
    columns_of,
    load_of,
    load_row,
    resolve,
    rows_of,
    trained,
)
from planner.scenario.simulated import Job, Seen, simulate_all
from planner.serving.kinds import KINDS, Load
from planner.serving.speculative import check_step, tokens_a_check

T = TypeVar("T")
THREADS = 2
SIMULATED = "the scheduler, simulated request by request"
CLOSED = "closed form, means"
RESOURCES = ("compute", "hbm", "link", "overhead")
SHAPE = ("n_layers", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "vocab_size")
# Ratios a shape is chosen by, besides its metrics.
RATIOS: dict[str, Callable[[Arch], Any]] = {
    "n_params": params.n_params,
    "n_params_non_embedding": params.n_params_non_embedding,
    "mlp_attn_ratio": params.mlp_attn_ratio,
    "gqa": params.gqa,
    "d_over_sqrt_n": params.d_over_sqrt_n,
    "ready": lambda a: legal.ready_for(a.n_heads, a.n_kv_heads),
}

MEANS = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s")  # which a simulation says, too
PARTS = (
    "weights",
    "draft",
    "activations",
    "outside_torch",
    "graphs",
    "states",
    "kv_cache",
    "free",
)  # of a device's memory
MEMORY = tuple(f"memory.{name}" for name in PARTS)
CANDIDATE = (*QUALITY, *SERVING, *MEMORY, "room_sd", "bound")  # columns a candidate is made of


class Evaluation:
    """Shapes under conditions; each metric a column, computed when first asked for.

    `bound` is what most of the time goes to: compute, hbm, link, overhead; or capacity (requests
    wait for a place in memory), saturated (more arrives than can be served).
    """

    def __init__(self, resolved: Resolved, arch: Arch, system: System | None = None) -> None:
        """Look at `arch` under `resolved`; `system` where its rows differ in engine settings."""
        self.resolved, self.arch = resolved, arch
        self.load: Load = resolved.load
        self.system = _of_length(system or resolved.deployment.system(arch), self.load.workload)
        if resolved.kind.name == "batch":  # handed to the engine by the program that holds it
            self.system = replace(self.system, front_end=FrontEnd())
        self.means = resolved.kind.means(self.system, self.load)
        if np.any(self.load.prefill_replicas > 0):
            assert resolved.kind.pools
            self.means = resolved.kind.pools(self.system, self.load)
        self._known: dict[str, Any] = {}
        self.seen: tuple[Seen | None, ...] = ()  # what was simulated of each row

    def see(self, seen: Sequence[Seen | None]) -> None:
        """Take what was simulated of each row in place of the closed form; None: nothing was."""

        def column(name: str, closed: Callable[[], Any] | None) -> Callable[[], Any]:
            def found() -> Any:
                own = np.full(len(seen), np.nan) if closed is None else closed()
                own = np.array(np.broadcast_to(own, (len(seen),)), dtype=np.float64)
                for i, one in enumerate(seen):
                    if one is not None and (name in one.values or one.values.get("late")):
                        own[i] = one.values.get(name, np.nan)
                return own

            return found

        self.seen = tuple(seen)
        names = dict.fromkeys(n for one in seen if one is not None for n in one.values)
        self.means |= {n: column(n, self.means.get(n)) for n in names}
        self._known.clear()

    @property
    def workload(self) -> Workload:
        """Lengths, and how many requests there are."""
        return self.load.workload

    @property
    def tdp_w(self) -> float:
        """Power limit of one device; NaN where its file does not say."""
        watts = self.resolved.deployment.device.tdp_w
        return float("nan") if watts is None else watts

    @property
    def usd_per_device_hour(self) -> float:
        """Price of one device; NaN where none is known."""
        return self.resolved.deployment.usd_per_device_hour

    @property
    def loss(self) -> Any:
        """Predicted loss, nats per token."""
        t = self.resolved.trained
        return np.nan if t is None else loss(t.columns, self.arch, t.tokens)

    @property
    def accuracy(self) -> Any:
        """Mean accuracy over the nine tasks."""
        return accuracy(NINE_TASKS, self["loss"])

    @property
    def lifetime_usd(self) -> Any:
        """Training and serving together; NaN where no volume is stated."""
        return lifetime_usd(self.life) if self.resolved.terms else np.nan

    @property
    def life(self) -> Any:
        """The shapes' lives under the terms asked for."""
        r = self.resolved
        assert r.terms and r.trained
        n = params.n_multiplied_params(self.arch)
        return r.terms.life(r.deployment, n, r.trained.tokens, self["requests_per_s"])

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                self._known[name] = self._compute(name)
        return self._known[name]

    def _compute(self, name: str) -> Any:
        if name in self.means:
            return self.means[name]()
        if name in MEMORY:
            self._known |= self._memory()
            return self._known[name]
        if name in ("bound", "mfu", "mbu"):
            self._known |= self._work()
            return self._known[name]
        if name == "room_sd":
            return memory.room_sd(self.system)
        if name in RATIOS:
            return RATIOS[name](self.arch)
        if name in METRICS:
            of = METRICS[name].of
            return np.nan if of is None else of(self)  # None: this kind of workload has none
        return getattr(self.arch, name)

    def table(self, names: Iterable[str]) -> Table:
        """Return columns of equal length."""
        with remembering():
            found = {name: self[name] for name in names}
        n = max(np.size(self.system.arch.n_layers), *(np.size(c) for c in found.values()))
        return {name: np.broadcast_to(column, (n,)) for name, column in found.items()}

    def phases(self) -> dict[str, tuple[Step, Any, Any]]:
        """Return each phase's step, how many of it there are, and engine seconds they take.

        Of the whole batch where the workload is one, else of one request.
        """
        span_s = self["span_s"]
        return {
            phase: (step, per_s * span_s, span_s) for phase, (step, per_s) in self["mix"].items()
        }

    def _memory(self) -> dict[str, Any]:
        """Return bytes on one device by part, as columns."""
        s, w = self.system, self.workload
        blocks = request_blocks(s, w.input_tokens + w.output_tokens) * self["in_flight"]
        held = np.minimum(blocks * block_bytes(s), np.maximum(0.0, memory.kv_room_bytes(s)))
        share = s.parallel.tp * s.parallel.pp
        states = memory.state_bytes_per_sequence(s) * self["in_flight"] / share
        used = {
            "weights": memory.weight_bytes(s),
            "draft": s.limits.reserve_bytes,
            "activations": memory.activation_peak_bytes(s),
            "outside_torch": memory.outside_torch_bytes(s),
            "graphs": memory.graphs_bytes(s),
            "states": states,
            "kv_cache": np.maximum(0.0, held - states),
        }
        free = np.maximum(0.0, memory.usable_bytes(s) - sum(used.values()))
        return {f"memory.{name}": size for name, size in (used | {"free": free}).items()}

    def _work(self) -> dict[str, Any]:
        """Return what most of the time goes to, and the shares of nameplate rates in use."""
        s = self.system
        time: dict[str, Any] = dict.fromkeys(RESOURCES, 0.0)
        flops: Any = 0.0
        bytes_: Any = 0.0
        for step, per_s in self["mix"].values():
            if s.speculation is not None:
                step, per_s = check_step(s.speculation, step), per_s / tokens_a_check(s.speculation)
            for part in breakdown(s, step).values():
                flops = flops + part.flops * per_s
                bytes_ = bytes_ + part.bytes_ * per_s
                for name in RESOURCES:
                    spent = np.where(part.bound == name, part.seconds * per_s, 0.0)
                    time[name] = time[name] + spent
        most = np.argmax(np.stack(np.broadcast_arrays(*time.values())), axis=0)
        bound = np.where(self["waits"], "capacity", np.array(RESOURCES)[most])
        late, used = self["late"], self["used"]
        # A mix has one prompt a step; prompts that share one read the weights once, so near saturation
        # the sum may exceed what there is.
        # Pipeline batches share the devices of all stages, each holding a pp-th of the layers.
        return {
            "bound": np.where(late, "saturated", bound),
            "mfu": np.where(late, np.nan, np.minimum(flops / s.device.flops_per_s * used, 1.0)),
            "mbu": np.where(
                late, np.nan, np.minimum(bytes_ / s.device.hbm_bytes_per_s * used, 1.0)
            ),
        }


def _of_length(s: System, w: Workload) -> System:
    """Return `s` with its longest request stated: the workload's, where nobody says another."""
    stated = s.limits.max_model_len
    longest = np.where(stated == 0, w.input_tokens + w.output_tokens, stated)[()]
    return replace(s, limits=replace(s.limits, max_model_len=longest))


@dataclass(slots=True)
class Evaluated:
    """Scenarios and their table: a row each, refused ones included.

    `refused` says of a row why it may not be asked; what does not fit has the bound "does not fit"
    and only the metrics that hold of any model.
    """

    scenarios: Sequence[Scenario]
    table: Table
    refused: list[legal.Refusal | None]
    groups: list[Evaluation]
    places: dict[int, tuple[Evaluation, int]]  # of each answered row: its group, and where in it

    def evaluation(self, row: int) -> tuple[Evaluation, int]:
        """Return the group a row was evaluated in, and its place there."""
        return self.places[row]

    def deployment(self, row: int) -> Deployment:
        """Return what serves a row."""
        return self.evaluation(row)[0].resolved.deployment

    def system(self, row: int) -> System:
        """Return one row's system, as numbers."""
        e, place = self.evaluation(row)
        return rows_of(e.system, place)

    def load(self, row: int) -> Load:
        """Return one row's load, as numbers."""
        e, place = self.evaluation(row)
        return load_row(e.load, place)

    def seen(self, row: int) -> Seen | None:
        """Return what was simulated of a row; None where its figures are a closed form's."""
        if row not in self.places:
            return None
        e, place = self.places[row]
        return e.seen[place] if e.seen else None

    def answered(self) -> list[int]:
        """Return the rows that may be asked and fit."""
        bounds = self.table["bound"]
        return [i for i, no in enumerate(self.refused) if no is None and bounds[i] != legal.NO_ROOM]


def evaluate(
    scenarios: Sequence[Scenario], names: Sequence[str] = SERVING, *, simulate: bool = False
) -> Evaluated:
    """Return the metrics of every scenario, each a column; NaN where there is none.

    Args:
        scenarios: of any models, devices, engines and kinds of workload.
        names: of `planner.metrics.METRICS`; those of quality need a law, which
            `Scenario`'s conditions name.
        simulate: run where requests arrive through the scheduler: its figures stand in place of the
            closed form's.

    Raises:
        UnknownName: no such hardware, profile, law or draft model.
        SpecError: a file is malformed.

    """
    refused: list[legal.Refusal | None] = [legal.refusal(s) for s in scenarios]
    grouped: dict[tuple[Any, ...], list[int]] = {}
    for i, s in enumerate(scenarios):
        if refused[i] is None:
            grouped.setdefault(columns_of(s), []).append(i)
    n, names = len(scenarios), (*names, "room_sd")
    groups: list[Evaluation] = []
    places: dict[int, tuple[Evaluation, int]] = {}
    columns = {name: np.full(n, np.nan) for name in names}
    columns["bound"] = np.full(n, legal.REFUSED, dtype=object)
    quality = any(METRICS[name].spread == "draws" for name in names if name in METRICS)
    for rows in grouped.values():
        chosen = [scenarios[i] for i in rows]
        try:
            deployment = resolve(chosen[0])
        except legal.NoSuchFormat as error:  # no such format: these rows, not the grid
            for i in rows:
                refused[i] = legal.Refusal("dtype", str(error), error.hint)
            continue
        group = group_evaluation(chosen, deployment, quality)
        groups.append(group)
        places |= {row: (group, place) for place, row in enumerate(rows)}
    if simulate:
        see_all(groups, places, scenarios)
    rows_in: dict[int, list[int]] = {}
    for row, (group, _) in places.items():
        rows_in.setdefault(id(group), []).append(row)
    for group in groups:
        part = rows_in[id(group)]
        found = group.table([*names, "bound", "max_concurrency"])
        lost = found["max_concurrency"] < 1
        for name in names:
            always = name not in METRICS or METRICS[name].always
            columns[name][part] = np.where(lost & (not always), np.nan, found[name])
        columns["bound"][part] = np.where(lost, legal.NO_ROOM, found["bound"])
    columns["bound"] = columns["bound"].astype(str)
    return Evaluated(scenarios, columns, refused, groups, places)


def see_all(
    groups: Sequence[Evaluation],
    places: dict[int, tuple[Evaluation, int]],
    scenarios: Sequence[Scenario],
) -> None:
    """Simulate every row that fits and whose requests arrive, and let its group say so."""
    jobs: list[Job] = []
    asked: dict[int, list[tuple[int, int]]] = {id(g): [] for g in groups}  # place, job
    sizes = dict.fromkeys(asked, 0)
    alike: dict[Any, int] = {}
    for row, (group, place) in places.items():
        s = scenarios[row]
        sizes[id(group)] += 1
        room = np.ravel(group["max_concurrency"])
        fits = room[place if len(room) > 1 else 0] >= 1
        if not fits or not arrives(s):
            continue
        key = (id(group), id(s.model), s.engine, s.workload, s.replicas, s.prefill_replicas)
        if key not in alike:
            alike[key] = len(jobs)
            jobs.append(Job(s, rows_of(group.system, place)))
        asked[id(group)].append((place, alike[key]))
    seen = simulate_all(jobs)
    for group in groups:
        if pairs := asked[id(group)]:
            own: list[Seen | None] = [None] * sizes[id(group)]
            for place, job in pairs:
                own[place] = seen[job]
            group.see(own)


def see(one: Evaluation, s: Scenario) -> Seen | None:
    """Simulate the one row of an evaluation, where its requests arrive, and let it say so."""
    if not arrives(s):
        return None
    (seen,) = simulate_all([Job(s, rows_of(one.system, 0))])
    one.see([seen])
    return seen


def arrives(s: Scenario) -> bool:
    """Whether a scenario is one that is simulated: all but plain batches and loops over two pools."""
    w = s.workload
    if s.prefill_replicas:
        return w.kind in ("rate", "trace")
    return w.kind != "batch" or bool(w.lengths or w.input_cv or w.output_cv)


def group_evaluation(
    rows: Sequence[Scenario], deployment: Deployment, quality: bool = False
) -> Evaluation:
    """Look at scenarios that share what `group_of` says, on their deployment, as columns."""
    first = rows[0]
    law = trained(first) if quality or first.law else None  # a law that is named must be there
    resolved = Resolved(deployment, load_of(rows), KINDS[first.workload.kind], law)
    arch = arch_of([s.model for s in rows])
    return Evaluation(resolved, arch, deployment.system(arch, [s.engine for s in rows]))


def evaluate_all(
    chunks: Iterator[Arch],
    r: Resolved,
    names: Sequence[str],
    then: Callable[[Table], T],
    threads: int = THREADS,
) -> Iterator[T]:
    """Evaluate shapes chunk after chunk and yield what `then` makes of each, in order.

    A few at a time: numpy lets threads run side by side, and `then` runs in them too.
    """
    columns = (*SHAPE, *names)

    def work(arch: Arch) -> T:
        return then(Evaluation(r, arch).table(columns))

    with ThreadPoolExecutor(threads) as pool:

        def start(n: int) -> list[Future[T]]:
            return [pool.submit(work, arch) for arch in islice(chunks, n)]

        waiting = start(threads + 1)
        while waiting:
            yield waiting.pop(0).result()
            waiting += start(1)


def memory_by_part(table: Any, row: int = 0) -> dict[str, float]:
    """Return bytes on one device of a row: weights, cache in use, activations, engine, states, free.

    Args:
        table: an `Evaluation` of one row, or a table with the columns `MEMORY`.
        row: of the table.

    """
    found = {name: float(np.ravel(table[f"memory.{name}"])[row]) for name in PARTS}
    return {name: size for name, size in found.items() if size or name not in ("states", "draft")}


def operators(e: Evaluation) -> dict[str, dict[str, Any]]:
    """Return each phase's steps, and the seconds and binding resource of every operator; one row."""
    result = {}
    for phase, (step, n_steps, _) in e.phases().items():
        parts = breakdown(e.system, step)
        total = sum(float(p.seconds) for p in parts.values())
        result[phase] = {
            "steps": float(n_steps),
            "seconds": total * float(n_steps),
            "step_s": total,
            "operators": {
                name: {
                    "seconds": float(p.seconds),
                    "share": float(p.seconds) / total,
                    "flops": float(p.flops),
                    "bytes": float(p.bytes_),
                    "bound": str(p.bound),
                }
                for name, p in parts.items()
                if float(p.seconds) > 0
            },
        }
    return result
