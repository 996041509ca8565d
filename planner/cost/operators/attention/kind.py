"""A kind of layer, by how it mixes tokens: what it weighs, keeps and looks at.

An architecture's layers are a mix of kinds. Those of softmax attention share their operators
(projections, prefill, decode), which take the mean over layers of what the kinds say. A kind that
mixes otherwise brings operators of its own, columns of its own and perhaps a state a sequence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from planner.columns import Arch, System
from planner.cost.operators.gemm import Gemm
from planner.cost.operators.operator import Operator
from planner.units import Bytes, Flops, Scalar

C = TypeVar("C")
LEAST = 1e-9  # sequences or tokens, where there are none


@dataclass(frozen=True, slots=True)
class Softmax:
    """What sets one kind of softmax attention apart, of a layer."""

    q_params: Callable[[Arch], Scalar]
    kv_params: Callable[[Arch], Scalar]
    kv_elements: Callable[[Arch], Scalar]  # cached of a token
    kv_elements_per_device: Callable[[System], Scalar]
    keys: Callable[
        [Arch, Scalar, Scalar], Scalar
    ]  # a query sees of a context: mean, and how far off
    projections: Callable[[System, Scalar], tuple[Gemm, ...]]  # of so many rows, on a device
    prefill_kv_heads: Callable[[System], Scalar]  # heads as the kernels see them
    decode_kv_heads: Callable[[System], Scalar]
    cached_pair_flops: Callable[[Arch], Flops]  # a query meets a cached key, by query head
    copied_params: Callable[[System], Scalar] = lambda s: 0.0  # on a device beyond its share
    window: Callable[[Arch], Scalar] = lambda a: math.inf  # tokens its cache goes back
    spare_blocks: Callable[[Arch], Scalar] = lambda a: 0.0  # a window may begin within a block
    block_multiple: Scalar = 16.0  # tokens its kernels' blocks are a multiple of


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One kind of layer.

    `share` is its share of the layers. `columns` is the record of a further kind's own columns, which
    begin with `n_layers`: a model states it as a table ``[layers.NAME]`` and `Arch.further` holds it.
    """

    name: str
    words: str
    share: Callable[[Arch], Scalar]
    softmax: Softmax | None = None
    columns: type[Any] | None = None
    weights: Callable[[Arch], Scalar] = lambda a: 0.0  # of a layer, where it is not softmax
    state_bytes: Callable[[System], Bytes] = lambda s: 0.0  # a sequence and layer, all devices
    operators: tuple[Operator, ...] = ()


def own_columns(a: Arch, kind: type[C]) -> C | None:
    """Return a further kind's own columns; None where a shape has no such layer.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        kind: the record of its columns.

    """
    return next((c for c in a.further or () if isinstance(c, kind)), None)
