"""The call behind `planner calibrate plan`, and what it prints."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from planner.columns import Workload
from planner.errors import SpecError
from planner.inputs.law import default_law, load_law
from planner.scenario.scenario import conditions, resolve
from planner.units import count, parse, show
from planner_calibration import words
from planner_calibration.measure.shapes import distinct
from planner_calibration.plan.choose import Criterion
from planner_calibration.plan.law import plan_training
from planner_calibration.plan.speed import plan_serving

CRITERIA = ("bayes", "d")
SHAPE_X, SHAPE_R, SHAPE_GQA = (0.05, 0.07, 0.10), (0.8, 2.0, 4.0), (4, 8)
LOADS = ((1, 512, 64), (8, 512, 128), (32, 1024, 128), (128, 1024, 128))


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs to do, in the order they help most, with what is unsure before and after each."""

    runs: list[dict[str, Any]]
    unsure: str  # of what
    sd_before: float
    cost: str
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return the runs, one a row."""
        return self.runs

    def __rich__(self) -> Any:
        """Render as a table under its headline."""
        from rich.console import Group
        from rich.table import Table

        after = self.runs[-1]["sd_after"] if self.runs else self.sd_before
        table = Table(box=None, pad_edge=False)
        for name in self.runs[0] if self.runs else ():
            table.add_column(name, justify="right")
        for row in self.runs:
            table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
        head = (
            f"{len(self.runs)} runs, {self.cost}: {self.unsure} {self.sd_before:.4g} → {after:.4g}"
        )
        return Group(head, "", table, "", f"basis: {self.basis}")


def run(
    params: str,
    tokens: str,
    budget: str,
    *,
    on: str | None,
    most: int,
    law: str | None,
    criterion: str,
) -> Plan:
    """Plan trainings where the budget is FLOPs, benchmarks where it is time.

    Raises:
        SpecError: the budget is neither, or names no hardware.
        Infeasible: nothing fits into it.

    """
    rule = cast(Criterion, words.choice(criterion, CRITERIA, "--criterion"))
    n, n_tokens = count(params), count(tokens)
    if "FLOP" in budget:
        return _training(n, n_tokens, parse(budget, "flop"), most, law, rule)
    if on is None:
        raise SpecError("a budget of time is for benchmarks", hint="name the hardware with --on")
    return _serving(n, words.seconds(budget), on, most, rule)


def _training(
    n: float, n_tokens: float, budget: float, most: int, law: str | None, rule: Criterion
) -> Plan:
    spec, why = (load_law(law), f"law {law}, as asked") if law else default_law()
    plan = plan_training(spec.columns(), n, n_tokens, budget, most=most, criterion=rule)
    rows = [
        {
            "n_params_non_embedding": show(r.n_params_non_embedding),
            "n_tokens": show(r.n_tokens),
            "d_over_sqrt_n": r.x,
            "mlp_attn_ratio": r.r,
            "train_flops": f"{r.flops:.2g}",
            "sd_after": sd,
        }
        for r, sd in zip(plan.runs, plan.chosen.sd_after, strict=True)
    ]
    unsure = "nats of loss difference between shapes"
    return Plan(rows, unsure, plan.chosen.sd_before, f"{plan.chosen.cost:.2g} FLOP", why)


def _serving(n: float, budget_s: float, on: str, most: int, rule: Criterion) -> Plan:
    served = resolve(conditions(on=on))
    fixed = {"n_layers": 16, "head_dim": 64 if n < 2e9 else 128, "vocab_size": 128256}
    grid = itertools.product(SHAPE_X, SHAPE_R, SHAPE_GQA)
    shapes = distinct(n, grid, **fixed, multiple=64)
    pairs = list(itertools.product(shapes, LOADS))
    system = served.system(_arch([s for s, _ in pairs]))
    work = Workload(*(np.array([load[i] for _, load in pairs], float) for i in (1, 2, 0)))
    target = Workload(*(np.full(len(shapes), v) for v in (4096.0, 1024.0, 64.0)))
    plan = plan_serving(
        system,
        (system.arch, work),
        (_arch(shapes), target),
        budget_s,
        same_device=on in served.profile.devices,
        most=most,
        criterion=rule,
    )
    rows = []
    for i, sd in zip(plan.chosen.runs, plan.chosen.sd_after, strict=True):
        shape, (batch, n_in, n_out) = pairs[i]
        rows.append(
            {
                **{k: v for k, v in shape.settings().items() if k != "vocab_size"},
                "batch": batch,
                "input_tokens": n_in,
                "output_tokens": n_out,
                "expected": show(float(plan.seconds[i]), "s"),
                "sd_after": sd,
            }
        )
    unsure, cost = "ln throughput between shapes", show(plan.chosen.cost, "s")
    return Plan(rows, unsure, plan.chosen.sd_before, cost, served.basis)


def _arch(shapes: Any) -> Any:
    from planner.columns import Arch, as_columns

    return as_columns(Arch, {k: [s.settings()[k] for s in shapes] for k in shapes[0].settings()})
