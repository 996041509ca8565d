"""The budget backwards: where the milliseconds of TTFT and TPOT go, and what would win them back."""

from typing import Any

import numpy as np

from planner.columns import Step
from planner.cost.step import breakdown
from planner.errors import SpecError
from planner.inputs.formats import CACHED, FORMATS, NARROW
from planner.metrics import SERVING
from planner.questions.budget.max_load import MaxLoad, at_rate
from planner.scenario.evaluate import Evaluated, evaluate
from planner.scenario.options import Multiple, shape
from planner.scenario.scenario import Scenario
from planner.serving import closed_loop

HARDLY = 1e-6  # requests/s at which a configuration is asked only for its saturation


def operators(found: Evaluated, row: int, load: MaxLoad) -> list[dict[str, Any]]:
    """Return the seconds each operator takes of TTFT and of TPOT, at the load carried.

    TTFT is the prompt's own step and waiting; TPOT a decode step and others' prompts. The rows add
    up to the simulated means.
    """
    sim = load.simulation
    s, w = found.system(row), found.load(row).workload
    tokens = float(closed_loop.prompt_tokens(w))
    budget = float(s.limits.max_batched_tokens)
    steps = max(tokens / budget, 1.0) if s.limits.chunked_prefill else 1.0
    prompt = Step(
        prefill_tokens=tokens / steps,
        prefill_seqs=1.0 / steps,
        prefill_context=float(w.input_tokens) - tokens / 2,
    )
    seqs = max(sim.means["decoding"], 1.0)
    decode = Step(decode_seqs=seqs, decode_context=float(closed_loop.mean_context(w)))
    first, after = breakdown(s, prompt), breakdown(s, decode)
    rows = [
        _row(name, _one(first[name].seconds) * steps, _one(after[name].seconds),
             str(_one(first[name].bound)), str(_one(after[name].bound)))
        for name in first
    ]  # fmt: skip
    rows = [r for r in rows if r["ttft_s"] > 0 or r["tpot_s"] > 0]
    ttft_s, tpot_s = sim.latency["ttft_s"].mean, sim.latency["tpot_s"].mean
    # The operators are of a request of mean length; where lengths differ, the mean of all may be less.
    for name, whole in (("ttft_s", ttft_s), ("tpot_s", tpot_s)):
        own = sum(r[name] for r in rows)
        if np.isfinite(whole) and own > whole:
            for r in rows:
                r[name] *= whole / own
    waiting = max(ttft_s - sum(r["ttft_s"] for r in rows), 0.0)
    others = max(tpot_s - sum(r["tpot_s"] for r in rows), 0.0) if np.isfinite(tpot_s) else 0.0
    rows.append(_row("others' prompts and waiting", waiting, others))
    rows.append(_row("mean", ttft_s, tpot_s if np.isfinite(tpot_s) else 0.0))
    for r in rows:
        r["ttft_share"] = r["ttft_s"] / ttft_s
        r["tpot_share"] = r["tpot_s"] / tpot_s if np.isfinite(tpot_s) else 0.0
    return rows


def _one(value: Any) -> Any:
    """Return the one value of a column."""
    return np.ravel(value).tolist()[0]


def _row(name: str, ttft_s: float, tpot_s: float, *bounds: str) -> dict[str, Any]:
    times = {"operator": name, "ttft_s": ttft_s, "tpot_s": tpot_s}
    return times | dict(zip(("ttft_bound", "tpot_bound"), bounds or ("", ""), strict=True))


def changes(s: Scenario, load: MaxLoad) -> list[dict[str, Any]]:
    """Return what shape and format changes would do to TTFT and TPOT, with as many in flight.

    And to the most the configuration can serve at all, where shorter steps pay twice.
    """
    together = max(round(float(load.simulation.means["running"])), 1)
    kept = {"rate_per_s": None, "trace": None, "concurrency": together, "n_requests": None}
    base = s.model_copy(update={"workload": s.workload.model_copy(update=kept)})
    tried = [("", base), *_options(base)]
    after = evaluate([x for _, x in tried], (*SERVING, "loss"))
    most = evaluate([at_rate(x, HARDLY) for _, x in tried]).table["saturation_per_s"]
    t, n_params = after.table, base.model.n_params
    answered = set(after.answered())
    rows = [
        {
            "change": what,
            "ttft_s_saved": _saved(t["ttft_s"], i),
            "tpot_s_saved": _saved(t["tpot_s"], i),
            "saturation_gain": float(most[i] / most[0] - 1),
            "n_params": x.model.n_params,
            "n_params_gain": x.model.n_params / n_params - 1,
            "loss_more": None if what in UNSAID else _saved(-t["loss"], i),
        }
        for i, (what, x) in enumerate(tried)
        if i and i in answered
    ]
    return sorted(rows, key=lambda r: -(r["tpot_s_saved"] or 0.0))


UNSAID = ("half the vocabulary",)  # whose loss the law does not tell


def _options(s: Scenario) -> list[tuple[str, Scenario]]:
    """Return the changes worth trying, in words."""
    m, e = s.model, s.engine
    mlp = "d_ff_expert" if m.n_experts > 1 else "d_ff"
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("a quarter fewer layers", {"n_layers": Multiple(0.75)}),
        (f"a quarter less {mlp}", {mlp: Multiple(0.75)}),
        ("half the vocabulary", {"vocab_size": Multiple(0.5)}),
    ]
    if m.gqa.is_integer() and not m.traits.latent:
        larger = [g for g in range(int(m.gqa) + 1, m.n_heads + 1) if m.n_heads % g == 0]
        shapes += [(f"GQA {g} instead of {m.gqa:g}", {"gqa": g}) for g in larger[:2]]
    engines: list[tuple[str, dict[str, Any]]] = []
    if e.kv_dtype is None:
        engines.append((f"an {CACHED[0]} cache", {"kv_dtype": CACHED[0]}))
    if FORMATS[e.dtype].plain:
        engines += [(f"{d} weights", {"dtype": d}) for d in NARROW]
    engines.append((f"tp {e.tp * 2}", {"tp": e.tp * 2}))
    found = []
    for what, change in shapes:
        try:
            found.append((what, s.model_copy(update={"model": shape(m, change)})))
        except SpecError:  # no legal shape of the family
            continue
    for what, change in engines:
        changed = s.model_copy(update={"engine": e.model_copy(update=change)})
        found.append((what, changed))
    return found


def _saved(column: Any, i: int) -> float | None:
    value = float(column[0] - column[i])
    return value if np.isfinite(value) else None
