"""What may be asked of a scenario, what fits, and by how much it does not: said once, for all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.cost import memory
from planner.equation import rowwise
from planner.errors import Infeasible, SpecError
from planner.inputs.conditions import Conditions
from planner.inputs.device import NoSuchFormat
from planner.inputs.engine import EngineSpec
from planner.inputs.formats import CACHED, NARROW
from planner.scenario.options import OPTIONS
from planner.scenario.scenario import Scenario, load_of, resolve
from planner.serving.kinds import KINDS
from planner.units import GIB, show

if TYPE_CHECKING:
    from planner.scenario.evaluate import Evaluated

NO_ROOM, REFUSED = "does not fit", "refused"
__all__ = ["NoSuchFormat"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a scenario may not be asked, and what may."""

    code: str  # draft, heads, experts, layers, length, pools, dtype
    message: str
    hint: str

    def error(self) -> SpecError:
        """Return the refusal as an error."""
        return SpecError(self.message, hint=self.hint)


def whole_heads(n_heads: Any, n_kv_heads: Any, tp: Any) -> Any:
    """Whether tensor parallelism cuts no head; KV heads are cut or copied whole. Columns work too."""
    kv = np.maximum(n_kv_heads, 1)
    return (n_heads % tp == 0) & ((kv % tp == 0) | (tp % kv == 0))


TP_DEGREES = (8, 4, 2, 1)  # that people serve with, the most first
# Sizes of heads that attention kernels are made for; others are padded to the next, or have none.
HEAD_SIZES = (32, 64, 96, 128, 192, 256)


@rowwise
def ready_for(n_heads: Any, n_kv_heads: Any) -> Any:
    """Return the most of `TP_DEGREES` that no head hinders; columns work too."""
    found = np.ones(np.broadcast_shapes(np.shape(n_heads), np.shape(n_kv_heads)))
    for tp in reversed(TP_DEGREES):
        found = np.where(whole_heads(n_heads, n_kv_heads, tp), float(tp), found)
    return found


def refusal(s: Scenario) -> Refusal | None:
    """Return why `s` may not be asked: the first rule it breaks, or None."""
    m, e = s.model, s.engine
    if m.head == "draft":
        return Refusal(
            "draft",
            f"{m.name} is a draft: it proposes tokens to a target, and answers nothing by itself",
            "name its target and give the draft by --draft",
        )
    if not whole_heads(m.n_heads, m.n_kv_heads, e.tp):
        fits = [t for t in (1, 2, 4, 8, 16) if whole_heads(m.n_heads, m.n_kv_heads, t)]
        return Refusal(
            "heads",
            f"--tp {e.tp} cannot cut {m.name}: {m.n_heads} heads, {m.n_kv_heads} KV heads",
            f"choose --tp {' or '.join(map(str, fits))}",
        )
    if e.tp % e.ep or m.n_experts % e.ep:
        fits = [n for n in range(1, e.tp + 1) if e.tp % n == 0 and m.n_experts % n == 0]
        return Refusal(
            "experts",
            f"--ep {e.ep} cannot spread {m.name}: {m.n_experts} "
            f"expert{'s' * (m.n_experts > 1)} over tp {e.tp}",
            f"choose --ep {' or '.join(map(str, fits))}: it divides the experts and tp",
        )
    if e.pp > m.n_layers:
        return Refusal(
            "layers",
            f"--pp {e.pp} leaves stages of {m.name} without a layer: it has {m.n_layers}",
            f"choose at most --pp {m.n_layers}",
        )
    if found := too_long(s):
        return found
    if s.prefill_replicas and KINDS[s.workload.kind].pools is None:
        return Refusal(
            "pools",
            f"a {s.workload.kind} has no answer on separate prefill replicas",
            "give --rate or --concurrency, or leave --prefill-replicas out",
        )
    return None


def too_long(c: Conditions) -> Refusal | None:
    """Return why requests may not be longer than the engine takes, or None."""
    longest, w = c.engine.max_model_len, c.workload
    asked = w.input_tokens + w.output_tokens
    if not longest or w.trace or asked <= longest:
        return None
    return Refusal(
        "length",
        f"--max-model-len {longest} is shorter than the requests: {asked:g} tokens in and out",
        f"choose --max-model-len {asked:g} or more, or shorter requests",
    )


def require_legal(s: Scenario) -> None:
    """Refuse what may not be asked.

    Raises:
        SpecError: heads, experts or layers that cannot be cut so.

    """
    if found := refusal(s):
        raise found.error()


def lacking(s: Scenario) -> float:
    """Return the bytes a device lacks for the longest request of `s`; raises as `resolve` does."""
    return float(memory.lacking_bytes(resolve(s).system(s.model.arch()), _longest(s)))


# What people try first: the engine's own limits, then a smaller cache, then more devices, then formats.
LEAST_FRACTION, GREATEST_FRACTION = 0.8, 0.97
LEAST_BUDGET = 512  # tokens of a step


def _tries(e: EngineSpec) -> Iterator[dict[str, Any]]:
    """Yield single changes of an engine, of each kind the least first."""
    yield from ({"max_num_seqs": n} for n in _halves(e.max_num_seqs, 1))
    yield from ({"max_batched_tokens": n} for n in _halves(e.max_batched_tokens, LEAST_BUDGET))
    steps = range(round(100 * e.memory_fraction) + 1, round(100 * GREATEST_FRACTION) + 1)
    yield from ({"memory_fraction": n / 100} for n in steps)
    less = range(round(100 * e.memory_fraction) - 1, round(100 * LEAST_FRACTION) - 1, -1)
    yield from ({"memory_fraction": n / 100} for n in less)
    if e.kv_cache_bytes:
        yield {"kv_cache_bytes": None}
    if not e.enforce_eager:
        yield {"enforce_eager": True}
    if not e.kv_dtype:
        yield {"kv_dtype": CACHED[0]}
    yield {}  # a shorter request
    yield from ({"tp": n} for n in (2, 4, 8) if n > e.tp)
    yield from ({"dtype": name} for name in NARROW)
    yield from ({"tp": 8, "pp": n} for n in (2, 4, 8) if n > e.pp)


def _halves(value: int, least: int) -> Iterator[int]:
    while value > least:
        value = max(value // 2, least)
        yield value


def smallest_fix(s: Scenario) -> str:
    """Return in words the first change, of those people would try, under which `s` fits."""
    for fix in _tries(s.engine):
        if not fix and (length := longest_that_fits(s)):
            return f"the smallest change that makes it fit: {_shorter(s, length)}"
        changed = s.model_copy(update={"engine": s.engine.model_copy(update=fix)})
        try:
            if refusal(changed) is None and lacking(changed) <= 0:
                how = " ".join(_written(k, v) for k, v in fix.items())
                return f"the smallest change that makes it fit: {how}"
        except SpecError:  # the device has no such format
            continue
    return "choose a device with more memory, or a smaller model"


def _written(name: str, value: Any) -> str:
    flag = OPTIONS[name].flag
    return flag if value is True else f"leave out {flag}" if value is None else f"{flag} {value}"


def longest_that_fits(s: Scenario) -> int:
    """Return the longest request that fits, in whole blocks; 0 where none does."""
    block = s.engine.block_tokens
    low, high = 0, int(min(_longest(s), s.model.max_position_embeddings)) // block + 1
    while high - low > 1:  # of blocks, `low` fit and `high` do not
        middle = (low + high) // 2
        engine = s.engine.model_copy(update={"max_model_len": middle * block})
        shorter = s.model_copy(update={"engine": engine})  # it may choose other limits then
        system = resolve(shorter).system(s.model.arch())
        fits = float(memory.lacking_bytes(system, float(middle * block))) <= 0
        low, high = (middle, high) if fits else (low, middle)
    return low * block


def _longest(s: Scenario) -> float:
    """Return the longest request there may be: an engine starts for it, whatever is asked then."""
    w = load_of([s]).workload
    return max(float(w.input_tokens + w.output_tokens), float(s.engine.max_model_len or 0))


def _parts(s: Scenario) -> str:
    """Say what there is, and what takes it before any request does."""
    system = resolve(s).system(s.model.arch())
    parts = {
        "weights": memory.weight_bytes(system),
        "activations": memory.activation_peak_bytes(system),
        "outside torch": memory.outside_torch_bytes(system),
        "graphs": memory.graphs_bytes(system),
    }
    said = ", ".join(f"{name} {float(size) / GIB:.3g}" for name, size in parts.items())
    return f"of {float(memory.usable_bytes(system)) / GIB:.3g} GiB: {said}"


def _shorter(s: Scenario, length: int) -> str:
    w = load_of([s]).workload
    if length >= w.input_tokens + w.output_tokens:
        return f"--max-model-len {length}"
    return f"requests of at most {length} tokens, in and out"


def require_room(found: "Evaluated") -> None:
    """Refuse a question of which no row can be answered.

    Raises:
        SpecError: no row may be asked; says why of the first.
        Infeasible: how many GB a device is short in the row nearest to fitting, and what helps.

    """
    if found.answered():
        return
    asked = [s for s, no in zip(found.scenarios, found.refused, strict=True) if no is None]
    if not asked:
        first = next(no for no in found.refused if no is not None)
        raise first.error()
    nearest, short = min(((s, lacking(s)) for s in _distinct(asked)), key=lambda pair: pair[1])
    raise does_not_fit(nearest, short)


def does_not_fit(s: Scenario, short: float) -> Infeasible:
    """Return the error of a scenario of which not one request fits."""
    return Infeasible(
        f"{s.model.name} does not fit {s.on}: each device is {max(short, 0.0) / GIB:.3g} GiB short "
        f"for one request of {_longest(s):.0f} tokens ({_parts(s)})",
        hint=smallest_fix(s),
    )


def _distinct(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return scenarios that differ in more than how many requests there are."""
    seen: dict[tuple[Any, ...], Scenario] = {}
    for s in scenarios:
        w = s.workload
        key = (s.model.name, s.model.n_params, s.on, s.engine, w.input_tokens, w.output_tokens)
        seen.setdefault((*key, w.trace), s)
    return list(seen.values())


def require_weights_fit(c: Conditions, params: float, kind: str, tolerance: float) -> None:
    """Refuse at once a size whose matrices alone exceed the memory, before any shape is weighed.

    Raises:
        Infeasible: by how much, and what would help.

    """
    found = resolve(c)
    e, device = found.engine, found.device
    weights = params * e.precision().weight_bytes / e.n_devices
    room = device.hbm_bytes * memory.GIB_PER_GB * device.hbm_offered * e.memory_fraction
    if kind == "non-embedding" and weights * (1 - tolerance) > room:
        fits = 2 ** int(np.ceil(np.log2(weights * e.n_devices / room)))
        raise Infeasible(
            f"{show(params)} parameters take {show(weights, 'byte')} a device and {c.on} has "
            f"{show(room, 'byte')} for them: {show(weights - room, 'byte')} short",
            hint=f"try --tp {fits}, a smaller --dtype, or a device with more memory",
        )
