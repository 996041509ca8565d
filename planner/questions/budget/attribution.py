"""The budget backwards: where the milliseconds of TTFT and TPOT go, and what would win them back."""

from typing import Any

import numpy as np

from planner.columns import Step
from planner.cost.breakdown import breakdown
from planner.inputs.model import ModelSpec
from planner.questions.budget.max_load import Carried, saturating
from planner.scenario.options import Times
from planner.scenario.scenario import Points, Price, evaluate
from planner.serving import closed_loop as steady


def operators(points: Points, row: int, carried: Carried) -> list[dict[str, Any]]:
    """Return the seconds each operator takes of TTFT and of TPOT, at the load carried.

    TTFT is the prompt's own step and waiting; TPOT a decode step and others' prompts. The rows add
    up to the simulated means.
    """
    sim = carried.simulation
    assert sim is not None
    s, w = points.system(row), points.workload(row)
    tokens = float(steady.prompt_tokens(w))
    budget = float(s.limits.max_batched_tokens)
    steps = max(tokens / budget, 1.0) if s.limits.chunked_prefill else 1.0
    prompt = Step(
        prefill_tokens=tokens / steps,
        prefill_seqs=1.0 / steps,
        prefill_context=float(w.input_tokens) - tokens / 2,
    )
    seqs = max(_mean_decoding(sim), 1.0)
    decode = Step(decode_seqs=seqs, decode_context=float(steady.mean_context(w)))
    first, after = breakdown(s, prompt), breakdown(s, decode)
    rows: list[dict[str, Any]] = [
        {
            "operator": name,
            "ttft_s": float(np.ravel(first[name].seconds)[0]) * steps,
            "tpot_s": float(np.ravel(after[name].seconds)[0]),
            "ttft_bound": str(np.ravel(first[name].bound)[0]),
            "tpot_bound": str(np.ravel(after[name].bound)[0]),
        }
        for name in first
    ]
    rows = [r for r in rows if r["ttft_s"] > 0 or r["tpot_s"] > 0]
    latency = sim.latency
    ttft_s, tpot_s = latency["ttft_s"].mean, latency["tpot_s"].mean
    waiting = ttft_s - sum(r["ttft_s"] for r in rows)
    others = tpot_s - sum(r["tpot_s"] for r in rows) if np.isfinite(tpot_s) else 0.0
    rows.append(_row("others' prompts and waiting", waiting, others))
    rows.append(_row("mean", ttft_s, tpot_s if np.isfinite(tpot_s) else 0.0))
    for r in rows:
        r["ttft_share"] = r["ttft_s"] / ttft_s
        r["tpot_share"] = r["tpot_s"] / tpot_s if np.isfinite(tpot_s) else 0.0
    return rows


def _row(name: str, ttft_s: float, tpot_s: float) -> dict[str, Any]:
    return {
        "operator": name,
        "ttft_s": ttft_s,
        "tpot_s": tpot_s,
        "ttft_bound": "",
        "tpot_bound": "",
    }


def _mean_decoding(sim: Any) -> float:
    """Return the sequences that decode together as a token meets them."""
    busy = total = 0.0
    for e in range(len(sim.logs)):
        t = sim.timeline(e)
        widths = np.diff(t["time_s"], prepend=0.0)
        # A token meets as many as there are, and there are as many tokens: size-biased.
        busy += float(widths @ (t["decoding"] ** 2))
        total += float(widths @ t["decoding"])
    return busy / total if total else 0.0


def changes(
    model: ModelSpec, points: Points, row: int, carried: Carried, price: Price
) -> list[dict[str, Any]]:
    """Return what shape and format changes would do to TTFT and TPOT, with as many in flight.

    And to the most the configuration can serve at all, where shorter steps pay twice.
    """
    assert carried.simulation is not None
    together = max(round(float(carried.simulation.means["running"])), 1)
    base = dict(points.settings[row]) | {"rate": None, "concurrency": together}
    options: list[tuple[str, dict[str, Any]]] = [
        ("a quarter fewer layers", {"n_layers": Times(0.75)}),
        ("a quarter less d_ff", {"d_ff": Times(0.75)}),
        ("half the vocabulary", {"vocab_size": Times(0.5)}),
    ]
    if model.n_experts > 1:
        options[1] = ("a quarter less d_ff_expert", {"d_ff_expert": Times(0.75)})
    group = model.gqa
    if group.is_integer() and not model.traits.latent:
        larger = [g for g in range(int(group) + 1, model.n_heads + 1) if model.n_heads % g == 0]
        options += [(f"GQA {g} instead of {group:g}", {"gqa": g}) for g in larger[:2]]
    if base["kv_dtype"] is None:
        options.append(("an fp8 cache", {"kv_dtype": "fp8"}))
    rates = points.served[row].device.dense_flops_per_s
    if base["dtype"] in ("bf16", "fp16"):
        options += [(f"{d} weights", {"dtype": d}) for d in ("fp8", "int8") if d in rates][:1]
        options.append(("int4 weights", {"dtype": "int4"}))
    options.append((f"tp {base['tp'] * 2}", {"tp": base["tp"] * 2}))
    settings = [base, *(base | change for _, change in options)]
    after = evaluate(model, settings, price)
    most = evaluate(model, [saturating(s) for s in settings], price).table["saturation_per_s"]
    t = after.table
    rows = []
    for i, (what, _) in enumerate(options, start=1):
        if t["bound"][i] == "does not fit":
            continue
        rows.append(
            {
                "change": what,
                "ttft_s_saved": _saved(t["ttft_s"], i),
                "tpot_s_saved": _saved(t["tpot_s"], i),
                "saturation_gain": float(most[i] / most[0] - 1),
                "n_params": after.archs[i].n_params,
                "n_params_gain": after.archs[i].n_params / after.archs[0].n_params - 1,
            }
        )
    return sorted(rows, key=lambda r: -(r["tpot_s_saved"] or 0.0))


def _saved(column: Any, i: int) -> float | None:
    value = float(column[0] - column[i])
    return value if np.isfinite(value) else None
