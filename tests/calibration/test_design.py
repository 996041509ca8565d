"""Planned runs: within the budget, near a third of the target, each shrinking what is unsure."""

import numpy as np
import pytest
from planner_calibration.plan.choose import Problem, choose, decision_sd, posterior
from planner_calibration.plan.command import run
from planner_calibration.plan.law import plan_training

from planner.errors import Infeasible, SpecError
from planner.inputs.law import load_law


def random_problem(seed=0, n=12, k=4):
    rng = np.random.default_rng(seed)
    return Problem(
        gradients=rng.normal(size=(n, k)),
        noise=np.full(n, 0.3),
        costs=rng.uniform(1, 3, n),
        prior=np.diag([1.0, 4.0, 0.5, 2.0]),
        decision=rng.normal(size=(5, k)),
    )


def test_the_posterior_is_the_textbook_one():
    p = random_problem()
    rows = [0, 3, 5]
    J = p.gradients[rows]
    direct = np.linalg.inv(np.linalg.inv(p.prior) + J.T @ J / 0.09)
    np.testing.assert_allclose(posterior(p, rows), direct, rtol=1e-10)


@pytest.mark.parametrize("criterion", ["bayes", "d"])
@pytest.mark.parametrize("seed", range(4))
def test_chosen_runs_are_as_good_as_the_best_of_all_pairs(criterion, seed):
    """Greedy and exchange reach the optimum that trying every pair finds, where cost is no matter."""
    from itertools import combinations_with_replacement

    p = random_problem(seed)
    chosen = choose(p, budget=1e9, most=2, criterion=criterion)

    def risk(runs):
        if criterion == "bayes":
            return decision_sd(p, runs) ** 2
        return np.linalg.slogdet(posterior(p, runs))[1]

    best = min(risk(list(c)) for c in combinations_with_replacement(range(12), 2))
    assert risk(list(chosen.runs)) <= best + 0.02 * abs(best)


def test_the_budget_holds_and_each_run_helps():
    p = random_problem()
    chosen = choose(p, budget=6.0, most=5)
    assert chosen.cost <= 6.0
    sds = [chosen.sd_before, *chosen.sd_after]
    assert sds == sorted(sds, reverse=True)
    with pytest.raises(Infeasible, match="cheapest run"):
        choose(p, budget=0.5)


def test_with_the_budget_for_it_runs_are_near_a_third_of_the_target():
    law = load_law("bian-80m-297m").columns()
    rich = plan_training(law, 1e9, 1e11, 1e20, most=4)
    poor = plan_training(law, 1e9, 1e11, 1e18, most=4)
    assert {round(r.n_params_non_embedding / 1e9, 2) for r in rich.runs} == {0.33}
    assert max(r.n_params_non_embedding for r in poor.runs) < 0.2e9
    assert rich.chosen.sd_after[-1] < poor.chosen.sd_after[-1] < poor.chosen.sd_before
    assert len({(r.x, r.r) for r in rich.runs}) >= 3  # shapes that differ, or nothing is learnt


def test_benchmarks_are_planned_for_the_time_there_is():
    plan = run("1e9", "1e11", "20min", on="a100-sxm-80gb", most=4, law=None, criterion="bayes")
    assert 1 <= len(plan.rows()) <= 4
    assert plan.rows()[-1]["sd_after"] < plan.sd_before
    with pytest.raises(SpecError, match="budget of time"):
        run("1e9", "1e11", "20min", on=None, most=4, law=None, criterion="bayes")


def commands_of(plan):
    from planner.cli.output import as_text

    text = as_text(plan).replace(" \\\n", " ")
    return [line.split() for line in text.splitlines() if line.startswith("planner calibrate")]


def test_a_plan_prints_commands_that_a_shell_and_planner_read():
    """Each names the very shapes that were planned; what is planned twice is another seed."""
    from planner_calibration.measure.shapes import near
    from typer.main import get_command

    from planner.cli.calibrate import app

    trainings = run("1e9", "1e11", "1e20FLOP", on=None, most=6, law=None, criterion="bayes")
    serving = run("1e9", "1e11", "20min", on="a100-sxm-80gb", most=4, law=None, criterion="bayes")
    group, seen = get_command(app), []
    for _, _, name, *flags in commands_of(trainings) + commands_of(serving):
        command = group.commands[name]
        asked = command.make_context(name, flags, resilient_parsing=False).params
        seen.append((name, asked))
    seeds = sum(p["seeds"] for name, p in seen if name == "train")
    assert seeds == len(trainings.rows()) and all(
        str(p["data"]) == "data" for n, p in seen if n == "train"
    )
    for p in (p for name, p in seen if name == "serve"):
        shape = near(1e9, n_layers=p["layers"], x=float(p["x"]), r=float(p["r"]), gqa=int(p["gqa"]),
                     head_dim=p["head_dim"], vocab_size=p["vocab_size"], multiple=32)  # fmt: skip
        assert any(row["d_model"] == shape.d_model for row in serving.rows())


def test_a_plan_says_when_runs_are_not_worth_it():
    from planner.cli.output import as_text

    rich = run("1e9", "1e11", "1e20FLOP", on=None, most=6, law=None, criterion="bayes")
    poor = run("1e9", "1e11", "2e17FLOP", on=None, most=2, law=None, criterion="bayes")
    assert rich.worth_it and "not worth it" not in as_text(rich)
    assert not poor.worth_it and "not worth it" in as_text(poor)
