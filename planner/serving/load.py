"""The requests a workload stands for, drawn once: the same seed gives the same requests."""

import numpy as np

from planner.inputs.workload import WorkloadSpec
from planner.serving.arrivals import gamma
from planner.serving.lengths import lognormal
from planner.serving.requests import Requests
from planner.serving.trace import read_trace


def requests_of(w: WorkloadSpec, n: int | None = None) -> Requests:
    """Return the workload's requests: `n` of them, else `n_requests`, else `batch` or the trace's all.

    Raises:
        SpecError: the trace cannot be read.

    """
    n = n or w.n_requests
    if w.trace:
        seen = read_trace(w.trace)
        return seen.at(slice(0, n)) if n else seen
    n = n or w.batch
    rng = np.random.default_rng(w.seed)
    input_tokens = lognormal(rng, w.input_tokens, w.input_cv, n)
    output_tokens = lognormal(rng, w.output_tokens, w.output_cv, n)
    arrival = gamma(rng, w.rate_per_s, w.burstiness, n) if w.rate_per_s else np.zeros(n)
    return Requests(arrival, input_tokens, output_tokens)
