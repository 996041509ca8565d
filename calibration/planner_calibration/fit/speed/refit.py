"""For cross-validation: predict some runs by a fit on others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.inputs.device import load_device
from planner.inputs.profile import load_profile, profile_for
from planner.questions.validate.measured import Run
from planner.questions.validate.scoring import prepare
from planner_calibration.fit.speed.engines import EngineFit, fit_engine
from planner_calibration.fit.speed.fleet import PLANS


def refit(seen: Sequence[Run], unseen: Sequence[Run]) -> NDArray[np.float64]:
    """Fit the engine of `seen` on its device, and predict `unseen`.

    Kernels start from what was measured on kernels alone (the device's vLLM profile), or from the fit
    of this engine on a sister device, which has seen none of these runs.
    """
    device = seen[0].scenario.on
    profile, _, _ = profile_for(device, load_device(device), "vllm")
    plan = next(
        (p for p in PLANS if (p.device, p.engine) == (device, seen[0].scenario.engine.generation)),
        None,
    )
    before = EngineFit(*load_profile(plan.after).columns(), {}) if plan and plan.after else None
    found = fit_engine(seen, profile.columns()[0], before)
    return prepare(unseen).predict(found.kernels, found.overheads)
