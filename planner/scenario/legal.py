"""What may be asked of a scenario, what fits, and by how much it does not: said once, for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.columns import System, Workload
from planner.cost import memory
from planner.errors import Infeasible, SpecError
from planner.inputs.conditions import Conditions
from planner.inputs.device import NoSuchFormat
from planner.inputs.formats import CACHED, NARROW
from planner.scenario.scenario import Scenario, load_of, resolve
from planner.serving.kinds import KINDS
from planner.units import show

if TYPE_CHECKING:
    from planner.scenario.evaluate import Evaluated

NO_ROOM, REFUSED = "does not fit", "refused"
__all__ = ["NoSuchFormat"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a scenario may not be asked, and what may."""

    code: str  # draft, heads, experts, layers, pools, dtype
    message: str
    hint: str

    def error(self) -> SpecError:
        """Return the refusal as an error."""
        return SpecError(self.message, hint=self.hint)


def whole_heads(n_heads: Any, n_kv_heads: Any, tp: Any) -> Any:
    """Whether tensor parallelism cuts no head; KV heads are cut or copied whole. Columns work too."""
    kv = np.maximum(n_kv_heads, 1)
    return (n_heads % tp == 0) & ((kv % tp == 0) | (tp % kv == 0))


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
    if s.prefill_replicas and KINDS[s.workload.kind].pools is None:
        return Refusal(
            "pools",
            f"a {s.workload.kind} has no answer on separate prefill replicas",
            "give --rate or --concurrency, or leave --prefill-replicas out",
        )
    return None


def require_legal(s: Scenario) -> None:
    """Refuse what may not be asked.

    Raises:
        SpecError: heads, experts or layers that cannot be cut so.

    """
    if found := refusal(s):
        raise found.error()


def missing_bytes(s: System, w: Workload) -> Any:
    """Bytes a device lacks for one request of full length; negative where there is room."""
    return memory.lacking_bytes(s, w.input_tokens + w.output_tokens)


def lacking(s: Scenario) -> float:
    """Return the bytes a device lacks for one request of `s`; raises as `resolve` does."""
    system, w = resolve(s).system(s.model.arch()), load_of([s]).workload
    if s.engine.max_model_len:  # an engine starts for it, whatever is asked then
        return float(memory.lacking_bytes(system, max(s.engine.max_model_len, _length(w))))
    return float(missing_bytes(system, w))


def _length(w: Workload) -> float:
    return float(w.input_tokens + w.output_tokens)


# Least change first: nothing but the engine's own limits, then formats, then further devices.
FIXES: list[dict[str, Any]] = [
    {"max_batched_tokens": 2048},
    {"max_batched_tokens": 2048, "max_num_seqs": 32},
    {"memory_fraction": 0.95},
    {"kv_dtype": CACHED[0]},
    *({"dtype": dtype} for dtype in NARROW),
    *({"tp": tp} for tp in (2, 4, 8)),
    *({"tp": 8, "pp": pp} for pp in (2, 4)),
]


def smallest_fix(s: Scenario) -> str:
    """Return in words the least change under which one request fits."""
    for fix in FIXES:
        own = s.engine
        if all(getattr(own, k) == v for k, v in fix.items()) or fix.get("tp", 99) <= own.tp:
            continue
        changed = s.model_copy(update={"engine": own.model_copy(update=fix)})
        try:
            if refusal(changed) is None and lacking(changed) <= 0:
                how = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in fix.items())
                return f"the smallest change that makes it fit: {how}"
        except SpecError:  # the device has no such format
            continue
    return "choose a device with more memory, or a smaller model"


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
    w = load_of([s]).workload
    return Infeasible(
        f"{s.model.name} does not fit {s.on}: each device is {show(max(short, 0.0), 'byte')} short "
        f"for one request of {w.input_tokens + w.output_tokens:.0f} tokens",
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
