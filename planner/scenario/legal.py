"""A model that does not fit: by how many bytes, and the smallest change that makes it fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from planner.errors import Infeasible, SpecError
from planner.inputs.engine import EngineSpec
from planner.inputs.model import ModelSpec
from planner.scenario.scenario import Points, Setting, load_of, shape, short_by, system_of
from planner.scenario.system import serve
from planner.units import show

# Least change first: nothing but the engine's own limits, then formats, then further devices.
FIXES: list[dict[str, Any]] = [
    {"max_batched_tokens": 2048},
    {"max_batched_tokens": 2048, "max_num_seqs": 32},
    {"memory_fraction": 0.95},
    {"kv_dtype": "fp8"},
    {"dtype": "fp8"},
    {"dtype": "int8"},
    {"dtype": "int4"},
    *({"tp": tp} for tp in (2, 4, 8)),
    *({"tp": 8, "pp": pp} for pp in (2, 4)),
]


def lacking(model: ModelSpec, setting: Setting) -> float:
    """Return the bytes a device lacks for one request under `setting`; negative where it fits."""
    engine = EngineSpec(
        name=setting["engine"], dtype=setting["dtype"], kv_dtype=setting["kv_dtype"]
    )
    served = serve(setting["on"], engine)
    system = system_of(served, [shape(model, setting)], [setting])
    return float(short_by(system, load_of([setting]).workload)[0])


def require_room(model: ModelSpec, points: Points) -> None:
    """Refuse a question of which no row fits.

    Raises:
        Infeasible: how many GB a device is short in the row nearest to fitting, and what helps.

    """
    if np.any(points.table["bound"] != "does not fit"):
        return
    short = [lacking(model, s) for s in _distinct(points.settings)]
    nearest = int(np.argmin(short))
    setting = _distinct(points.settings)[nearest]
    length = setting["input_tokens"] + setting["output_tokens"]
    raise Infeasible(
        f"{model.name} does not fit {setting['on']}: each device is "
        f"{show(max(short[nearest], 0.0), 'byte')} short for one request of {length} tokens",
        hint=smallest_fix(model, setting),
    )


def _distinct(settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return settings that differ in more than how many requests there are."""
    seen: dict[str, dict[str, Any]] = {}
    for s in settings:
        key = repr({k: v for k, v in s.items() if k not in ("concurrency", "rate", "replicas")})
        seen.setdefault(key, s)
    return list(seen.values())


def smallest_fix(model: ModelSpec, setting: Setting) -> str:
    """Return in words the least change under which one request fits."""
    for fix in FIXES:
        changed = dict(setting) | fix
        if all(setting.get(k) == v for k, v in fix.items()) or fix.get("tp", 99) <= setting["tp"]:
            continue
        try:
            if lacking(model, changed) <= 0:
                how = " and ".join(f"{k}={v}" for k, v in fix.items())
                return f"the smallest change that makes it fit: {how}"
        except SpecError:  # the device has no such format
            continue
    return "choose a device with more memory, or a smaller model"
