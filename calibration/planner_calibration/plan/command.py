"""The call behind `planner calibrate plan`, and what it prints."""

import itertools
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from planner.columns import Workload
from planner.errors import SpecError
from planner.inputs.law import default_law, load_law
from planner.scenario.scenario import conditions, resolve
from planner.units import count, parse, show
from planner_calibration import words
from planner_calibration.measure.serve.command import MULTIPLE
from planner_calibration.measure.shapes import Shape, distinct
from planner_calibration.measure.train.data import FEW_EPOCHS, MOST_EPOCHS
from planner_calibration.plan.choose import Criterion
from planner_calibration.plan.law import TrainingRun, plan_training
from planner_calibration.plan.speed import plan_serving

CRITERIA = ("bayes", "d")
SHAPE_X, SHAPE_R, SHAPE_GQA = (0.05, 0.07, 0.10), (0.8, 2.0, 4.0), (4, 8)
LOADS = ((1, 512, 64), (8, 512, 128), (32, 1024, 128), (128, 1024, 128))


DATA = "data"  # where commands look for text
COLUMNS = 74
WORTH = 0.9  # of what is unsure, if more than this is left by all the runs: not worth their cost
TRAINED = {"gqa": 4, "head_dim": 64, "vocab_size": 32768, "batch": 64, "length": 1024}
USUAL_X = 0.08
WIDTH_A_LAYER = 128  # of a model, about


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs to do, in the order they help most, with what is unsure before and after each."""

    runs: list[dict[str, Any]]
    unsure: str  # of what
    sd_before: float
    cost: str
    basis: str
    commands: list[str]  # that do them, as printed
    needs: str = ""  # what the commands need besides

    @property
    def worth_it(self) -> bool:
        """Whether the runs would settle a tenth at least of what is unsure."""
        return bool(self.runs) and self.runs[-1]["sd_after"] <= WORTH * self.sd_before

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self) | {"worth_it": self.worth_it}

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
        lines: list[Any] = [head]
        if not self.worth_it:
            left = 100 * after / self.sd_before
            lines.append(
                f"not worth it: {left:.0f} % of what is unsure would stay; choose by what is known, or raise --budget"
            )
        lines += ["", table, "", *map(continued, self.commands), ""]
        lines += [self.needs] if self.needs else []
        return Group(*lines, f"basis: {self.basis}")


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
    commands = [_train(r, n) for r, n in Counter(plan.runs).items()]
    longest = max((r.n_tokens for r in plan.runs), default=0.0)
    needs = f"{DATA} is your text: {show(longest / MOST_EPOCHS)} tokens at least, better {show(longest / FEW_EPOCHS)}"
    cost = f"{plan.chosen.cost:.2g} FLOP"
    return Plan(rows, unsure, plan.chosen.sd_before, cost, why, commands, needs)


def continued(command: str) -> str:
    """Return a command on lines that a shell joins again."""
    lines = textwrap.wrap(command, COLUMNS, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def _train(run: TrainingRun, times: int) -> str:
    """Return the command that does a run, from so many seeds: what is on record is not done again."""
    # One depth for all of a size, as the law's width is of one.
    layers = max(2, round(USUAL_X * run.n_params_non_embedding**0.5 / WIDTH_A_LAYER))
    t = TRAINED
    return (
        f"planner calibrate train --near {run.n_params_non_embedding:.4g} --layers {layers} --x {run.x:g}"
        f" --r {run.r:g} --gqa {t['gqa']} --head-dim {t['head_dim']} --vocab-size {t['vocab_size']}"
        f" --tokens {run.n_tokens:.4g} --batch {t['batch']} --length {t['length']} --seeds {times} --data {DATA}"
    )


def _serve(
    wanted: tuple[float, float, int], n: float, fixed: dict[str, int], load: tuple[int, int, int]
) -> str:
    x, r, gqa = wanted
    batch, n_in, n_out = load
    return (
        f"planner calibrate serve --near {n:.4g} --layers {fixed['n_layers']} --x {x:g} --r {r:g} --gqa {gqa}"
        f" --head-dim {fixed['head_dim']} --vocab-size {fixed['vocab_size']} --batch {batch}"
        f" --input-tokens {n_in} --output-tokens {n_out}"
    )


def _serving(n: float, budget_s: float, on: str, most: int, rule: Criterion) -> Plan:
    served = resolve(conditions(on=on))
    fixed = {"n_layers": 16, "head_dim": 64 if n < 2e9 else 128, "vocab_size": 128256}
    wanted: dict[Shape, tuple[float, float, int]] = {}
    for grid in itertools.product(SHAPE_X, SHAPE_R, SHAPE_GQA):
        (shape,) = distinct(n, [grid], **fixed, multiple=MULTIPLE)
        wanted.setdefault(shape, grid)
    shapes = list(wanted)
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
    rows, commands = [], []
    for i, sd in zip(plan.chosen.runs, plan.chosen.sd_after, strict=True):
        shape, (batch, n_in, n_out) = pairs[i]
        commands.append(_serve(wanted[shape], n, fixed, (batch, n_in, n_out)))
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
    once = list(dict.fromkeys(commands))  # a command repeats its batches itself
    return Plan(rows, unsure, plan.chosen.sd_before, cost, served.basis, once)


def _arch(shapes: Any) -> Any:
    from planner.columns import Arch, as_columns

    return as_columns(Arch, {k: [s.settings()[k] for s in shapes] for k in shapes[0].settings()})
