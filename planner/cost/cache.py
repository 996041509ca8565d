"""How an engine cuts its cache: blocks that groups of like layers share, and what a request takes.

vLLM gives every group of layers a block table of its own out of one pool, so all groups have as many
layers (a smaller one is padded) and all layers' pages are as large. A group keeps of a request what
its layers look at: all of it, a window, or one state.
[vLLM, vllm/v1/core/kv_cache_utils.py: get_kv_cache_groups, get_kv_cache_config_from_groups]
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from planner.columns import System
from planner.cost.operators.attention.kind import LayerKind
from planner.cost.operators.attention.kinds import KINDS, has_attention
from planner.cost.operators.operator import is_zero
from planner.equation import ceil, equation, floor, maximum, minimum, nearest
from planner.units import Bytes, Scalar

PAD_BELOW = 1.5  # kinds whose counts of layers differ by less make groups of the larger count


@dataclass(frozen=True, slots=True)
class Cached:
    """Like layers of a pipeline stage, and what each keeps on one device."""

    kind: LayerKind
    n_layers: Scalar
    page_bytes: Bytes  # of a layer, a block; a state's of a sequence
    window: Scalar  # tokens it looks back; inf: all
    block_multiple: Scalar  # of which its blocks hold a multiple of tokens where they are made larger

    @property
    def is_state(self) -> bool:
        """Whether it keeps a state in place of tokens."""
        return self.kind.softmax is None

    def keeps_as(self, other: "Cached") -> bool:
        """Whether it keeps as much of a request as another does.

        Args:
            other: layers of the same model.

        """
        return self.is_state == other.is_state and alike(self.window, other.window)


@dataclass(frozen=True, slots=True)
class Group:
    """Layers of a kind, in block tables of their own."""

    layers: Cached
    tables: Scalar
    block_tokens: Scalar


@dataclass(frozen=True, slots=True)
class Layout:
    """The groups of a model's layers, and what a block of their pool takes on one device."""

    groups: tuple[Group, ...]
    block_bytes: Bytes
    group_layers: Scalar  # of every group, padding included


def alike(a: Any, b: Any) -> bool:
    """Whether two quantities are the same in every row.

    Args:
        a: a quantity.
        b: another.

    """
    same = a == b
    return bool(same.all() if hasattr(same, "all") else same)


def cached_layers(s: System) -> list[Cached]:
    """Return the layers of a stage that keep anything, like ones together.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    found: list[Cached] = []
    for own in _each(s):
        for i, other in enumerate(found):
            if own.keeps_as(other) and alike(own.page_bytes, other.page_bytes):
                found[i] = replace(other, n_layers=other.n_layers + own.n_layers)
                break
        else:
            found.append(own)
    return [replace(k, n_layers=ceil(k.n_layers / s.parallel.pp)) for k in found]


def _each(s: System) -> Iterator[Cached]:
    for arch in s.arch.stacks or (s.arch,):
        own = replace(s, arch=arch)
        for kind in KINDS:
            if is_zero(share := kind.share(arch)):
                continue
            layers = arch.n_layers if is_zero(share - 1.0) else nearest(arch.n_layers * share)
            if kind.softmax is None:
                if not is_zero(state := kind.state_bytes(own)):
                    yield Cached(kind, layers, state / s.parallel.tp, 0.0, 1.0)
            elif has_attention(arch) and not is_zero(arch.own_kv):
                kept = kind.softmax
                token = kept.kv_elements_per_device(own) * s.precision.kv_bytes
                page = token * s.limits.block_tokens
                yield Cached(
                    kind, layers * arch.own_kv, page, kept.window(arch), kept.block_multiple
                )


def layout(s: System) -> Layout:
    """Return the groups that an engine makes of a model's layers.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    kinds = cached_layers(s)
    if is_zero(s.footprint.grouped):  # everything at full length; states are held apart
        kinds = [replace(k, window=math.inf) for k in kinds if not k.is_state] or kinds
    if all(k.keeps_as(kinds[0]) for k in kinds):
        block_bytes = _sum(k.n_layers * k.page_bytes for k in kinds)
        tokens = s.limits.block_tokens
        return Layout((Group(kinds[0], 1.0, tokens),), block_bytes, _sum(k.n_layers for k in kinds))
    page, tokens = _common_page(s, kinds)
    size = _group_layers([k.n_layers for k in kinds])
    groups = (Group(k, ceil(k.n_layers / size), _block_tokens(s, k, page, tokens)) for k in kinds)
    return Layout(tuple(groups), size * page, size)


def _sum(terms: Iterable[Any]) -> Any:
    return reduce(lambda a, b: a + b, terms)


def _common_page(s: System, kinds: Sequence[Cached]) -> tuple[Bytes, Scalar]:
    """Bytes that all layers' pages take, and tokens in one: enough for a state beside it."""
    pages = [k.page_bytes for k in kinds if not k.is_state]
    states = [k.page_bytes for k in kinds if k.is_state]
    tokens = s.limits.block_tokens
    if not pages or not states:
        return reduce(maximum, pages or states), tokens
    multiple = next(k.block_multiple for k in kinds if not k.is_state)
    token_bytes = reduce(maximum, pages) / tokens
    state_tokens = multiple * ceil(reduce(maximum, states) / (token_bytes * multiple))
    tokens = maximum(tokens, state_tokens)
    return token_bytes * tokens, tokens


def _block_tokens(s: System, k: Cached, page: Bytes, tokens: Scalar) -> Scalar:
    """Tokens in a layer's block: as many more as its page is smaller, where that is a whole number."""
    if k.is_state:
        return tokens
    more = page / (k.page_bytes * tokens / s.limits.block_tokens)
    whole = 1.0 - (ceil(more) - floor(more))
    return tokens * (1.0 + whole * (more - 1.0))


def _group_layers(counts: Sequence[Scalar]) -> Scalar:
    """Layers of a group: the fewest of any kind, or the most where they are not many more."""
    least, most = reduce(minimum, counts), reduce(maximum, counts)
    near = minimum(1.0, maximum(0.0, ceil(PAD_BELOW * least - most)))
    return least + near * (most - least)


@equation
def block_bytes(s: System) -> Bytes:
    """What a block of the cache takes on one device, over the layers of a group.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return layout(s).block_bytes


@equation
def request_blocks(s: System, length: Scalar) -> Scalar:
    """Blocks that a request takes at most: of all its tokens, of a window, or of a state.

    While a prompt is cut into steps, a window's layers keep the step's tokens too, and as windows
    begin anywhere, a block more.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        length: tokens of the request, prompt and output.

    """
    total: Scalar = 0.0
    for group in layout(s).groups:
        own = group.layers
        if own.is_state:
            total = total + group.tables
            continue
        tokens = minimum(own.window - 1.0 + s.limits.max_batched_tokens, length)
        spare = 0.0 if alike(own.window, math.inf) else 1.0
        total = total + group.tables * (ceil(tokens / group.block_tokens) + spare)
    return total
