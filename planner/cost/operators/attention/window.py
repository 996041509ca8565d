"""Local attention: as full attention, but a query looks back a window only."""

from dataclasses import replace

from planner.columns import Arch
from planner.cost.operators.attention.full import ATTENTION
from planner.cost.operators.attention.kind import LEAST, LayerKind
from planner.cost.operators.attention.latent import is_latent
from planner.cost.operators.operator import is_zero
from planner.equation import maximum
from planner.units import Scalar


def windowed_keys(a: Arch, context: Scalar, reach: Scalar) -> Scalar:
    """Keys a query sees that looks back a window, mean over queries whose contexts lie evenly.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        context: keys a query would see without a window, mean over queries, tokens.
        reach: how far from that mean queries' contexts go, evenly, tokens.

    """
    longest = maximum(context + reach - a.window, 0.0)
    if is_zero(reach):
        return context - longest
    shortest = maximum(context - reach - a.window, 0.0)
    return context - (longest**2 - shortest**2) / (4.0 * maximum(reach, LEAST))


WINDOW = LayerKind(
    "window",
    "local attention",
    lambda a: (1.0 - is_latent(a)) * a.local_fraction,
    replace(
        ATTENTION,
        keys=windowed_keys,
        window=lambda a: a.window + a.chunked_window,
        spare_blocks=lambda a: 1.0 - a.chunked_window,
    ),
)
