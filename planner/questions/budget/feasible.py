"""Limits that cannot be met: below the speed of light, or above it and still never reached."""

from collections.abc import Mapping, Sequence

from planner.errors import Infeasible
from planner.questions.budget import bounds as light
from planner.questions.budget.max_load import Carried
from planner.scenario.scenario import Points
from planner.serving.slo import Slo
from planner.units import show


def named(points: Points, i: int) -> str:
    """Return a configuration in words: device, format, parallelism."""
    s = points.settings[i]
    parallel = f"tp {s['tp']}" + (f" pp {s['pp']}" if s["pp"] > 1 else "")
    split = f" {s['prefill_replicas']}+{s['replicas']}" if s["prefill_replicas"] else ""
    return f"{s['on']} {s['dtype']} {parallel}{split}"


def bounds_of(points: Points, i: int) -> dict[str, light.Bound]:
    """Return the least times of a configuration by what they bound."""
    system, w = points.system(i), points.workload(i)
    first, after = light.first_token(system, w), light.next_token(system, w)
    return {"ttft_s": first, "tpot_s": after, "itl_s": after}


def lit(points: Points, i: int, slo: Slo) -> bool:
    """Whether nameplate rates allow every limit."""
    bounds = bounds_of(points, i)
    return all(bounds[n].seconds <= v for n, v in slo.limits.items() if n in bounds)


def require_light(points: Points, rows: Sequence[int], slo: Slo) -> None:
    """Refuse limits that no configuration's nameplate rates allow."""
    if any(lit(points, i, slo) for i in rows):
        return
    for name, limit in slo.limits.items():
        bounds = {i: bounds_of(points, i) for i in rows}
        nearest = min(rows, key=lambda i: bounds[i][name].seconds if name in bounds[i] else 0.0)
        bound = bounds[nearest].get(name)
        if bound and bound.seconds > limit:
            raise Infeasible(
                f"{word(name)} {show(limit, 's')} is below the speed of light of "
                f"{named(points, nearest)}, {show(bound.seconds, 's')}: {bound.why}",
                hint=f"ask for more than {show(bound.seconds * 1.5, 's', 2)}, more devices (--tp), "
                "or a smaller model or format",
            )
    raise Infeasible(
        "no configuration is within the speed of light of all limits together",
        hint="loosen one, or allow more devices (--tp)",
    )


def word(name: str) -> str:
    """Return a latency's name as people write it."""
    return {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "end-to-end"}[name]


def require_someone(points: Points, carried: Mapping[int, Carried], slo: Slo) -> None:
    """Refuse limits that nothing meets even when idle."""
    if any(c.rate_per_s > 0 for c in carried.values()):
        return
    name = next(iter(carried.values())).binds
    nearest = min(carried, key=lambda i: carried[i].seen[name] / getattr(slo, name))
    name = carried[nearest].binds
    value = carried[nearest].seen[name]
    raise Infeasible(
        f"no configuration meets {word(name)} {show(getattr(slo, name), 's')} even when idle; "
        f"{named(points, nearest)} comes nearest with {show(value, 's')}",
        hint=f"the nearest feasible value is {show(value * 1.01, 's').replace(' ', '')}; a smaller "
        "format, more devices (--tp) or a smaller shape bring it down",
    )
