"""Local attention: as full attention, but a query looks back a window only."""

from dataclasses import replace

from planner.cost.operators.attention.full import ATTENTION
from planner.cost.operators.attention.kind import LayerKind
from planner.cost.operators.attention.latent import is_latent
from planner.equation import maximum

WINDOW = LayerKind(
    "window",
    "local attention",
    lambda a: (1.0 - is_latent(a)) * a.local_fraction,
    replace(
        ATTENTION,
        keys=lambda a, context: context - maximum(context - a.window, 0.0),
        window=lambda a: a.window + a.chunked_window,
        spare_blocks=lambda a: 1.0 - a.chunked_window,
    ),
)
