"""The interval of each metric: its own spread where it has one, draws of the law for loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.columns import Arch, Table, shared, stack
from planner.columns import take as take_rows
from planner.cost.money import lifetime_usd, train_usd
from planner.inputs.model import ModelSpec
from planner.interval import ENDS
from planner.law.accuracy import NINE_TASKS, accuracy_draws
from planner.law.compare import Comparison, compare, loss_draws
from planner.law.evidence import warnings, widening_sd
from planner.law.law import shapes
from planner.metrics import METRICS, SERVING, SIMULATED
from planner.results import Candidate, Estimate, Value, Warned
from planner.scenario.evaluate import CANDIDATE, SHAPE, Evaluation, memory_by_part
from planner.scenario.scenario import Deployment, Resolved, Trained
from planner.scenario.simulated import Seen

N_DRAWS = 1000
EXACT = ("", "draws")  # spreads that are no field of a profile


def estimate(
    name: str, value: float, d: Deployment, room_sd: float = np.nan, seen: Seen | None = None
) -> Value:
    """Return one metric with the interval its own spread gives it here; None where there is none.

    Args:
        name: of a metric, or of one that only a simulation has.
        value: the figure, in the metric's unit.
        d: what serves it: how sure its constants are.
        room_sd: spread of the logarithm of what memory is left for the cache.
        seen: the simulation it is of, whose own error counts too.

    """
    if not np.isfinite(value):
        return None
    m = METRICS.get(name) or SIMULATED[name]
    if m.spread in EXACT:
        return int(value) if m.whole else float(value)
    loaded = seen is not None and (name in seen.values or m.spread == "throughput")
    sd = room_sd if m.spread == "room_sd" else (d.load_sd if loaded else d.sd)(m.spread)
    own = seen.errors.get(name.rpartition("_p")[0] or name, 0.0) if seen else 0.0
    return Estimate.lognormal(float(value), float(np.hypot(sd, own)))


def estimates(
    table: Table, row: int, d: Deployment, names: Sequence[str], seen: Seen | None = None
) -> dict[str, Value]:
    """Return the metrics of one row, each with its interval; those of its simulation, too."""
    room_sd = float(np.ravel(table["room_sd"])[row])
    found = {name: estimate(name, float(table[name][row]), d, room_sd, seen) for name in names}
    if seen is None:
        return found
    more = {n: v for n, v in seen.values.items() if n in SIMULATED}
    return found | {n: estimate(n, v, d, room_sd, seen) for n, v in more.items()}


@dataclass(frozen=True, slots=True)
class Draws:
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
        found = compare(self.law_loss[:, a] + noise, self.law_loss[:, b])
        # The losses shown are the law's own, not means of draws: what they differ by is what is shown.
        shown = float(self.table["loss"][a] - self.table["loss"][b])
        low, high = min(found.low, shown), max(found.high, shown)
        return replace(found, difference=shown, low=low, high=high)

    def p_at_most(self, target: float | None, margin: float = 0.0) -> Any:
        """Return each row's P(loss ≤ target + margin); None: the loss of row 0, itself unsure.

        Each model's own noise is integrated, not drawn, so that a row's figure is the same
        whichever rows stand beside it.
        """
        sd: Any = self.own_sd
        limit: Any = target
        if target is None:
            sd, limit = np.hypot(sd, sd[0]), self.law_loss[:, :1]
        return normal_cdf((limit + margin - self.law_loss) / sd).mean(axis=0)

    def estimates(self, row: int) -> dict[str, Value]:
        """Return loss and accuracy of one row with their intervals."""
        drawn = {"loss": self.loss, "accuracy": self.accuracy}
        known = {name: float(self.table[name][row]) for name in drawn}
        return {
            name: _interval(value, drawn[name][:, row])
            for name, value in known.items()
            if np.isfinite(value)  # the law says nothing of layers without an MLP
        }


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


def draw_losses(table: Table, arch: Arch, t: Trained) -> Draws:
    """Draw losses and accuracies for every row, sharing what the rows share."""
    law = t.columns
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = shapes(law, arch, t.tokens)
        # A loss a row, though rows may differ in nothing that the law looks at.
        seen = replace(seen, x=np.broadcast_to(seen.x, len(next(iter(table.values())))))
        law_loss = loss_draws(law, seen, N_DRAWS, noise=False)
        own = np.hypot(law.noise_sd, widening_sd(law, seen))
        own_sd = np.broadcast_to(own, law_loss.shape[1])
        loss = law_loss + own_sd * _normal(0)[:, None]
        shares = accuracy_draws(NINE_TASKS, loss, other_data=not t.same_data, alike=True)
    return Draws(table, arch, law_loss, own_sd, loss, shares)


def _interval(value: float, draws: Any) -> Estimate:
    low, high = np.quantile(draws, ENDS)
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


NO_LOSS = Warned(
    code="no-loss",
    message="the loss law is of layers with an MLP beside their mixer: nothing is said of quality",
)


def law_warnings(t: Trained, arch: Arch) -> tuple[Warned, ...]:
    """Return the ways in which a shape leaves the law's evidence."""
    seen = shapes(t.columns, arch, t.tokens)
    if not np.all(np.asarray(seen.r) > 0):
        return (NO_LOSS,)
    found = warnings(t.columns, seen)
    return tuple(Warned(code=w.code, message=w.message) for w in found)


def candidate(
    name: str,
    model: Any,
    draws: Draws,
    row: int,
    r: Resolved,
    more: Mapping[str, Any] | None = None,
    seen: Seen | None = None,
) -> Candidate:
    """Return one row as a candidate: every metric with its interval, what binds, memory by part."""
    assert r.trained
    arch = take_rows(draws.arch, row)
    metrics = draws.estimates(row) | estimates(draws.table, row, r.deployment, SERVING, seen)
    if r.terms:
        metrics["lifetime_usd"] = _lifetime(Evaluation(r, arch), metrics["output_tokens_per_s"])
    return Candidate(
        name=name,
        model=model,
        metrics={m: metrics[m] for m in (*METRICS, *SIMULATED) if m in metrics},
        bound=str(draws.table["bound"][row]),
        memory_bytes=memory_by_part(draws.table, row),
        warnings=law_warnings(r.trained, arch),
        **(more or {}),
    )


def candidates(models: Mapping[str, ModelSpec], r: Resolved) -> dict[str, Candidate]:
    """Return models, by name, as candidates under the same conditions."""
    if not models:
        return {}
    assert r.trained
    rows = stack([m.arch() for m in models.values()])
    # A model with experts beside dense ones would slow them; a row each, though all agree.
    arch = replace(shared(rows), d_model=rows.d_model)
    draws = draw_losses(Evaluation(r, arch).table((*SHAPE, *CANDIDATE)), arch, r.trained)
    return {n: candidate(n, m, draws, row, r) for row, (n, m) in enumerate(models.items())}


def _lifetime(e: Evaluation, speed: Any) -> Estimate:
    """Return the lifetime cost; its serving part is as uncertain as the throughput."""
    life = e.life
    trained, total = float(train_usd(life)), float(lifetime_usd(life))
    served = (total - trained) * speed.value
    return Estimate(
        value=total, low=trained + served / speed.high, high=trained + served / speed.low
    )
