"""Rows of a table become candidates: intervals, what binds, memory by part, breakdown, warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import Arch, Step, System, Table
from planner.columns import take as take_rows
from planner.cost import memory
from planner.cost.breakdown import breakdown
from planner.cost.step import step_s
from planner.equation import remembering
from planner.interval import ENDS
from planner.law.accuracy import NINE_TASKS, accuracy_draws
from planner.law.compare import Comparison, compare, loss_draws
from planner.law.evidence import widening_sd
from planner.law.law import shapes
from planner.results import METRICS, SHAPE_KEYS, Candidate, Estimate
from planner.scenario.lifetime import with_interval
from planner.scenario.shapes import Conditions, life_in
from planner.serving import offline

N_DRAWS = 1000
# Which of the profile's spreads a metric's interval takes.
SPREAD = {"output_tokens_per_s": "throughput", "ttft_s": "prefill", "tpot_s": "decode"}


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows with their paired draws of loss and accuracy, each (N_DRAWS, n)."""

    table: Table
    arch: Arch
    law_loss: Any  # what the law alone is unsure of; a row's own noise is not in it
    own_sd: Any  # nats, (n,): run noise, and the widening outside the evidence
    loss: Any  # with the noise, for intervals
    accuracy: Any

    def __len__(self) -> int:
        return len(self.own_sd)

    def compare(self, a: int, b: int) -> Comparison:
        """Compare the losses of two rows by paired draws."""
        if a == b:
            return Comparison(0.0, 0.0, 0.0, 0.5, True)
        noise = np.hypot(self.own_sd[a], self.own_sd[b]) * _normal(1)
        return compare(self.law_loss[:, a] + noise, self.law_loss[:, b])

    def p_at_most(self, target: float | None) -> Any:
        """Return each row's P(loss ≤ target); None: at most the loss of row 0, itself unsure.

        Each model's own noise is integrated, not drawn, so that a row's figure is the same
        whichever rows stand beside it.
        """
        sd, limit = self.own_sd, target
        if target is None:
            sd, limit = np.hypot(sd, sd[0]), self.law_loss[:, :1]
        return normal_cdf((limit - self.law_loss) / sd).mean(axis=0)


def _normal(seed: int) -> Any:
    """Return the same standard normal draws for every row: an interval must not depend on others."""
    return np.random.default_rng(seed).standard_normal(N_DRAWS)


def normal_cdf(z: Any) -> Any:
    """Return Φ(z), to 7.5e-8.  [Abramowitz and Stegun 26.2.17; scipy is slow to import]."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    powers = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
    tail = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    tail = tail * sum(b * t ** (i + 1) for i, b in enumerate(powers))
    return np.where(z > 0, 1 - tail, tail)


def judge(table: Table, arch: Arch, c: Conditions) -> Judged:
    """Draw losses and accuracies for every row, sharing what the rows share."""
    law = c.law_columns
    seen = shapes(law, arch, c.tokens)
    law_loss = loss_draws(law, seen, N_DRAWS, noise=False)
    own = np.hypot(law.noise_sd, widening_sd(law, seen))
    own_sd = np.broadcast_to(own, law_loss.shape[1])
    loss = law_loss + own_sd * _normal(0)[:, None]
    shares = accuracy_draws(NINE_TASKS, loss, other_data=not c.same_data)
    return Judged(table, arch, law_loss, own_sd, loss, shares)


def _interval(value: float, draws: Any) -> Estimate:
    low, high = np.quantile(draws, ENDS)
    return Estimate(value, min(float(low), value), max(float(high), value))


def candidate(
    name: str, judged: Judged, row: int, c: Conditions, bounds: Sequence[str] | None = None
) -> Candidate:
    """Build the candidate of one row; `bounds` saves asking what binds, row by row."""
    t = {key: float(column[row]) for key, column in judged.table.items()}
    spread, wider = c.served.profile.spread, c.served.wider
    metrics = {
        "loss": _interval(t["loss"], judged.loss[:, row]),
        "accuracy": _interval(t["accuracy"], judged.accuracy[:, row]),
    }
    for metric, kind in SPREAD.items():
        metrics[metric] = Estimate.lognormal(t[metric], getattr(spread, kind) * wider)
    system = c.served.system(take_rows(judged.arch, row))
    binds = bounds[row] if bounds else bound(operators(system, c), t["max_concurrency"], c)
    return Candidate(
        name=name,
        shape={key: t[key] for key in SHAPE_KEYS},
        metrics={m: metrics[m] for m in METRICS},
        kv_bytes_per_token=t["kv_bytes_per_token"],
        weight_bytes=t["weight_bytes"],
        max_concurrency=int(t["max_concurrency"]),
        bound=binds,
        memory=memory_by_part(system, c),
        lifetime_usd=with_interval(life_in(c, t), metrics["output_tokens_per_s"])
        if c.terms
        else None,
        warnings=tuple(w.message for w in c.law_warnings(system.arch)),
    )


def memory_by_part(system: System, c: Conditions) -> dict[str, float]:
    """Return bytes on one device: weights, KV cache in use, activations, engine, what is free."""
    used = {
        "weights": float(memory.weight_bytes(system)),
        "activations": float(memory.activation_peak_bytes(system)),
        "engine": float(system.limits.reserve_bytes),
    }
    tokens = float(offline.running(system, c.workload)) * (
        c.workload.input_tokens + c.workload.output_tokens
    )
    share = system.parallel.tp * system.parallel.pp
    used["kv_cache"] = float(memory.kv_bytes_per_token(system)) * tokens / share
    return used | {"free": max(0.0, float(system.device.hbm_bytes) - sum(used.values()))}


def phases(system: System, c: Conditions) -> dict[str, tuple[Step, float]]:
    """Return the batch's steps of each kind and how many there are; their time is `batch_s`."""
    w = c.workload
    prefill = offline.prefill_step(system, w)
    decode = offline.decode_step(system, w, offline.running(system, w))
    prefill_s = float(offline.prefill_all_s(system, w))
    decode_s = float(offline.batch_s(system, w)) - prefill_s
    return {
        "prefill": (prefill, prefill_s / float(step_s(system, prefill))),
        "decode": (decode, decode_s / float(step_s(system, decode))),
    }


def operators(system: System, c: Conditions) -> dict[str, dict[str, Any]]:
    """Return each phase's steps, and the seconds and binding resource of every operator."""
    result = {}
    for phase, (step, n_steps) in phases(system, c).items():
        parts = breakdown(system, step)
        total = sum(float(p.seconds) for p in parts.values())
        result[phase] = {
            "steps": n_steps,
            "seconds": total * n_steps,
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


def bound(parts: Mapping[str, Any], fits: float, c: Conditions) -> str:
    """Return what takes most of the batch's time; capacity where requests had to queue."""
    if fits < c.workload.batch:
        return "capacity"
    time: dict[str, float] = {}
    for phase in parts.values():
        for op in phase["operators"].values():
            time[op["bound"]] = time.get(op["bound"], 0.0) + op["seconds"] * phase["steps"]
    return max(time, key=lambda k: time[k])


def all_bounds(judged: Judged, c: Conditions) -> list[str]:
    """Return what `bound` says of every row, all at once."""
    system, w = c.served.system(judged.arch), c.workload
    n = len(judged)
    time: dict[str, Any] = {}
    with remembering():
        prefill = offline.prefill_step(system, w)
        decode = offline.decode_step(system, w, offline.running(system, w))
        prefill_s = offline.prefill_all_s(system, w)
        decode_s = offline.batch_s(system, w) - prefill_s
        for step, spent_s in ((prefill, prefill_s), (decode, decode_s)):
            steps = spent_s / step_s(system, step)
            for part in breakdown(system, step).values():
                names, seconds = np.broadcast_arrays(part.bound, part.seconds * steps)
                for name in np.unique(names):
                    mine = np.broadcast_to(np.where(names == name, seconds, 0.0), (n,))
                    time[str(name)] = time.get(str(name), 0.0) + mine
    kinds = list(time)
    most = np.argmax(np.stack([time[k] for k in kinds]), axis=0)
    fits = np.broadcast_to(judged.table["max_concurrency"], (n,)) >= w.batch
    return [kinds[k] if fit else "capacity" for k, fit in zip(most, fits, strict=True)]


def gain(a: Candidate, b: Candidate, c: Conditions) -> Estimate:
    """Return the throughput of `a` over that of `b`; errors both share cancel."""
    ratio = a.output_tokens_per_s.value / b.output_tokens_per_s.value
    ln_sd = c.served.profile.spread.gain * c.served.wider
    same = all(a.shape[k] == b.shape[k] for k in SHAPE_KEYS)
    return Estimate(1.0, 1.0, 1.0) if same else Estimate.lognormal(ratio, ln_sd)


def against(
    pick: Candidate, baseline: Candidate, comparison: Comparison, p_target: float, c: Conditions
) -> Candidate:
    """Add to a pick how it stands against the baseline and the target."""
    versus = {
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "p_better": comparison.p_better,
        "tie": bool(comparison.tie),
    }
    return replace(
        pick,
        gain=gain(pick, baseline, c),
        loss_vs_baseline=versus,
        p_loss_at_most_target=float(p_target),
    )
