"""The least times a system can take at its nameplate rates, and limits that cannot be met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.columns import Step, System, Workload
from planner.cost.step import breakdown
from planner.errors import Infeasible
from planner.metrics import LATENCIES
from planner.questions.budget.max_load import MaxLoad
from planner.scenario.evaluate import Evaluated
from planner.scenario.scenario import Scenario
from planner.serving.percentiles import Slo
from planner.units import show


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time a step can take, whatever the kernels, and the physical rate that sets it."""

    seconds: float
    why: str


def first_token(s: System, w: Workload) -> Bound:
    """Return the least time to first token: the prompt's arithmetic, or reading the weights once."""
    prompt = float(w.input_tokens * (1 - w.prefix_hit))
    context = float(w.input_tokens) - prompt / 2
    step = Step(prefill_tokens=prompt, prefill_seqs=1.0, prefill_context=context)
    return _bound(s, step, f"a prompt of {prompt:.0f} tokens")


def next_token(s: System, w: Workload) -> Bound:
    """Return the least time per output token: weights and one sequence's cache read once."""
    context = float(w.input_tokens + w.output_tokens / 2)
    return _bound(s, Step(decode_seqs=1.0, decode_context=context), "one sequence's next token")


def _bound(s: System, step: Step, what: str) -> Bound:
    parts = breakdown(s, step).values()
    flops = sum(float(np.ravel(part.flops)[0]) for part in parts)
    bytes_ = sum(float(np.ravel(part.bytes_)[0]) for part in parts)
    math_s = flops / float(s.device.flops_per_s)
    memory_s = bytes_ / float(s.device.hbm_bytes_per_s)
    devices = float(s.parallel.tp)
    each = f" on each of {devices:.0f} devices" if devices > 1 else ""
    if math_s > memory_s:
        rate = show(float(s.device.flops_per_s), "flop/s")
        return Bound(math_s, f"{what} is {show(flops, 'flop')}{each}, at {rate}")
    rate = show(float(s.device.hbm_bytes_per_s), "byte/s")
    return Bound(memory_s, f"{what} reads {show(bytes_, 'byte')}{each}, at {rate}")


def named(s: Scenario) -> str:
    """Return a configuration in words: device, format, parallelism."""
    e = s.engine
    parallel = f"tp {e.tp}" + (f" pp {e.pp}" if e.pp > 1 else "")
    split = f" {s.prefill_replicas}+{s.replicas}" if s.prefill_replicas else ""
    return f"{s.on} {e.dtype} {parallel}{split}"


def bounds_of(found: Evaluated, row: int) -> dict[str, Bound]:
    """Return the least times of a configuration by what they bound."""
    system, w = found.system(row), found.load(row).workload
    first, after = first_token(system, w), next_token(system, w)
    return {"ttft_s": first, "tpot_s": after, "itl_s": after}


def within_bounds(found: Evaluated, row: int, slo: Slo) -> bool:
    """Whether nameplate rates allow every limit."""
    bounds = bounds_of(found, row)
    return all(bounds[n].seconds <= v for n, v in slo.limits.items() if n in bounds)


def require_possible(found: Evaluated, rows: Sequence[int], slo: Slo) -> None:
    """Refuse limits that no configuration's nameplate rates allow.

    Raises:
        Infeasible: which bound, and the nearest feasible value.

    """
    if any(within_bounds(found, i, slo) for i in rows):
        return
    for name, limit in slo.limits.items():
        bounds = {i: bounds_of(found, i) for i in rows}
        nearest = min(rows, key=lambda i: bounds[i][name].seconds if name in bounds[i] else 0.0)
        bound = bounds[nearest].get(name)
        if bound and bound.seconds > limit:
            raise Infeasible(
                f"{LATENCIES[name].title} {show(limit, 's')} is below the speed of light of "
                f"{named(found.scenarios[nearest])}, {show(bound.seconds, 's')}: {bound.why}",
                hint=f"ask for more than {show(bound.seconds * 1.5, 's', 2)}, more devices (--tp), "
                "or a smaller model or format",
            )
    raise Infeasible(
        "no configuration is within the speed of light of all limits together",
        hint="loosen one, or allow more devices (--tp)",
    )


def require_any_plan(found: Evaluated, loads: Mapping[int, MaxLoad], slo: Slo) -> None:
    """Refuse limits that nothing meets even when idle.

    Raises:
        Infeasible: which limit, and the nearest feasible value.

    """
    if any(load.rate_per_s > 0 for load in loads.values()):
        return
    name = next(iter(loads.values())).binds
    nearest = min(loads, key=lambda i: loads[i].latencies[name] / getattr(slo, name))
    name = loads[nearest].binds
    value = loads[nearest].latencies[name]
    raise Infeasible(
        f"no configuration meets {LATENCIES[name].title} {show(getattr(slo, name), 's')} even when "
        f"idle; {named(found.scenarios[nearest])} comes nearest with {show(value, 's')}",
        hint=f"the nearest feasible value is {show(value * 1.01, 's').replace(' ', '')}; a smaller "
        "format, more devices (--tp) or a smaller shape bring it down",
    )
