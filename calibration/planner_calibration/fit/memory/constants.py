"""Constants of an engine's footprint that starts may correct, and the rows that tell of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from planner.questions.validate.measured import Run

SHOWN = {
    "activation_gib": "activation peak",
    "non_torch_gib": "outside torch",
    "cuda_graph_gib": "captured graphs",
    "kv_cache_gib": "cache",
    "kv_cache_tokens": "cache tokens",
}
SPREADS = {  # of a part's logarithm, by the column that measures it
    "weights_gib": "weights_sd",
    "activation_gib": "activation_sd",
    "non_torch_gib": "outside_sd",
    "cuda_graph_gib": "graph_sd",
}
LARGEST_SHARE = 0.2  # of the device, outside torch


class Asks(NamedTuple):
    """Of which rows a constant can be told, and what physics allows."""

    column: str
    together: bool | None = None  # only of tensor-parallel starts, or only of others
    low: float = 0.0
    high: float = np.inf
    device_share: float = np.inf

    def of(self, r: Run) -> bool:
        """Whether a row may tell of it."""
        together = r.scenario.engine.tp > 1
        return r.column == self.column and self.together in (None, together)


ASKS: Mapping[str, Asks] = {
    "outside_bytes": Asks("non_torch_gib", together=False, device_share=LARGEST_SHARE),
    "outside_tp_bytes": Asks("non_torch_gib", together=True, device_share=LARGEST_SHARE),
    "sampler_copies": Asks("activation_gib", low=1.0, high=20.0),
    "graph_layer_bytes": Asks("cuda_graph_gib"),
    "graph_bytes": Asks("cuda_graph_gib"),
}
