"""For cross-validation: fit the engine of some runs on others."""

from collections.abc import Sequence

from planner.columns import Kernels, Overheads
from planner.inputs.device import load_device
from planner.inputs.profile import load_profile, profile_for
from planner.questions.validate.measured import Run
from planner.scenario.evaluate import arrives
from planner_calibration.fit.speed.engines import EngineFit, fit_engine
from planner_calibration.fit.speed.fleet import PLANS
from planner_calibration.fit.speed.today import fit_today


def refit(seen: Sequence[Run], unseen: Sequence[Run]) -> tuple[Kernels, Overheads] | None:
    """Fit the engine of `unseen`, on its device, on `seen`; None where that does not tell of it.

    Services are fitted on services of whatever engine on devices of the generation, as profiles of
    today's engines are scored. Batches are fitted on batches of the same engine on the same device:
    kernels start from what was measured on kernels alone (the device's vLLM profile), or from the fit
    of this engine on a sister device, which has seen none of these runs.
    """
    if arrives(unseen[0].scenario):
        services = [r for r in seen if r.scenario.workload.kind == "concurrency"]
        told = [r for r in services if r.column == "tpot_mean_s"]
        with_means = {r.line for r in told}
        told += [r for r in services if r.column == "tpot_p50_s" and r.line not in with_means]
        if not told:
            return None
        kernels = load_profile("h100-vllm").alone()
        found = fit_today(told, kernels, load_profile("h100-tensorrt-llm").columns()[1])
        return found.kernels, found.overheads
    where = unseen[0].scenario.on, unseen[0].scenario.engine.generation
    same = [r for r in seen if (r.scenario.on, r.scenario.engine.generation) == where]
    if not same:
        return None
    profile, _, _ = profile_for(where[0], load_device(where[0]), "vllm")
    plan = next((p for p in PLANS if (p.device, p.engine) == where), None)
    before = EngineFit(*load_profile(plan.after).columns(), {}) if plan and plan.after else None
    found = fit_engine(same, profile.columns()[0], before)
    return found.kernels, found.overheads
