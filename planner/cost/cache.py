"""How an engine cuts its cache: blocks that groups of like layers share, and what a request takes.

vLLM gives every group of layers a block table of its own out of one pool, so all groups have as many
layers (a smaller one is padded) and all layers' pages are as large. A group keeps of a request what
its layers look at: all of it, a window, or one state.
[vLLM, vllm/v1/core/kv_cache_utils.py: get_kv_cache_groups, get_kv_cache_config_from_groups]
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from planner.columns import System
from planner.cost.operators.attention.kinds import KINDS, has_attention
from planner.cost.operators.operator import is_zero
from planner.equation import ceil, equation, floor, maximum, minimum, nearest
from planner.units import Bytes, Scalar

SPARSE_BLOCK = 64.0  # tokens  [vLLM, flashmla_sparse.py: get_supported_kernel_block_sizes]
PAD_BELOW = 1.5  # kinds whose counts of layers differ by less make groups of the larger count


@dataclass(frozen=True, slots=True)
class Cached:
    """Layers of a pipeline stage that keep alike, and what each keeps on one device."""

    n_layers: Scalar
    page_bytes: Bytes  # of a layer: a block of tokens, or a sequence's state (a mean of several)
    window: Scalar  # tokens it looks back; inf: all
    is_state: bool = False  # keeps a state in place of tokens
    block_multiple: Scalar = 1.0  # of tokens, where its blocks are made larger
    more: Scalar = 0.0  # blocks that a window, or states that prefix caching, takes besides

    def keeps_as(self, other: "Cached") -> bool:
        """Whether it keeps as much of a request as another does.

        Args:
            other: layers of the same model.

        """
        return self.is_state == other.is_state and alike(self.window, other.window)

    def beside(self, other: "Cached") -> "Cached":
        """Return these layers and others that keep as much.

        Args:
            other: layers of the same model.

        """
        n = self.n_layers + other.n_layers
        total = self.n_layers * self.page_bytes + other.n_layers * other.page_bytes
        return replace(self, n_layers=n, page_bytes=total / maximum(n, 1.0))


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that keep alike, in block tables of their own."""

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


def is_all(quantity: Any, number: int) -> bool:
    """Whether a quantity is a number in every row.

    Args:
        quantity: a count or a share.
        number: what it may be.

    """
    return alike(quantity, number) or alike(quantity, float(number))


def cached_layers(s: System) -> list[Cached]:
    """Return the layers of a stage that keep anything, those that keep alike together.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    found: list[Cached] = []
    for own in _each(s):
        if is_zero(s.footprint.grouped):  # everything at full length; states are held apart
            if own.is_state:
                continue
            own = replace(own, window=math.inf, more=0.0)
        place = next((i for i, other in enumerate(found) if own.keeps_as(other)), None)
        if place is None:
            found.append(own)
        else:
            found[place] = found[place].beside(own)
    if is_all(s.parallel.pp, 1):
        return found
    return [replace(k, n_layers=ceil(k.n_layers / s.parallel.pp)) for k in found]


def _each(s: System) -> Iterator[Cached]:
    for arch in s.arch.stacks or (s.arch,):
        own = replace(s, arch=arch)
        for kind in KINDS:
            if is_all(share := kind.share(arch), 0):
                continue
            layers = arch.n_layers if is_all(share, 1) else nearest(arch.n_layers * share)
            if kind.softmax is None:
                if not is_zero(state := kind.state_bytes(own)):
                    kept = s.limits.prefix_caching * s.footprint.states_cached
                    more = kept * (1.0 + arch.state_checkpoints)
                    yield Cached(layers, state / s.parallel.tp, 0.0, is_state=True, more=more)
            elif has_attention(arch) and not is_zero(arch.own_kv):
                of = kind.softmax
                token = of.kv_elements_per_device(own) * s.precision.kv_bytes + arch.index_bytes
                yield Cached(
                    layers * arch.own_kv,
                    token * _block(s),
                    of.window(arch),
                    block_multiple=of.block_multiple,
                    more=of.spare_blocks(arch),
                )


def _block(s: System) -> Scalar:
    """Tokens of a block as asked for; kernels of sparse attention want larger ones."""
    asked, sparse = s.limits.block_tokens, [a.index_bytes for a in s.arch.stacks or (s.arch,)]
    if all(map(is_zero, sparse)):
        return asked
    has = minimum(reduce(maximum, sparse) / s.precision.activation_bytes, 1.0)
    return maximum(asked, SPARSE_BLOCK * has)


def layout(s: System) -> Layout:
    """Return the groups that an engine makes of a model's layers.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    kinds = cached_layers(s)
    tokens = _block(s)
    if not kinds:  # nothing is kept: a block of nothing much
        return Layout((Group(Cached(1.0, tokens, math.inf), 1.0, tokens),), tokens, 1.0)
    if len(kinds) == 1:
        only = kinds[0]
        return Layout((Group(only, 1.0, tokens),), only.n_layers * only.page_bytes, only.n_layers)
    page, tokens = _common_page(s, kinds)
    size = _group_layers([k.n_layers for k in kinds])
    groups = (Group(k, ceil(k.n_layers / size), _block_tokens(s, k, page, tokens)) for k in kinds)
    return Layout(tuple(groups), size * page, size)


def _common_page(s: System, kinds: Sequence[Cached]) -> tuple[Bytes, Scalar]:
    """Bytes that all layers' pages take, and tokens in one: enough for a state beside it."""
    held = [k.page_bytes * minimum(k.n_layers, 1.0) for k in kinds]
    pages = [page for page, k in zip(held, kinds, strict=True) if not k.is_state]
    states = [page for page, k in zip(held, kinds, strict=True) if k.is_state]
    tokens = _block(s)
    if not pages or not states:
        return reduce(maximum, held), tokens
    multiple = next(k.block_multiple for k in kinds if not k.is_state)
    token_bytes = reduce(maximum, pages) / tokens
    state_tokens = multiple * ceil(reduce(maximum, states) / (token_bytes * multiple))
    tokens = maximum(tokens, state_tokens)
    return token_bytes * tokens, tokens


def _block_tokens(s: System, k: Cached, page: Bytes, tokens: Scalar) -> Scalar:
    """Tokens in a layer's block: as many more as its page is smaller, where that is a whole number."""
    if k.is_state:
        return tokens
    more = page / (k.page_bytes * tokens / _block(s))
    whole = 1.0 - (ceil(more) - floor(more))
    return tokens * (1.0 + whole * (more - 1.0))


def _group_layers(counts: Sequence[Scalar]) -> Scalar:
    """Layers of a group: the fewest of any kind there is, or the most where they are not many more."""
    most = reduce(maximum, counts)
    least = reduce(minimum, [n + most * (1.0 - minimum(n, 1.0)) for n in counts])
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

    While a prompt is cut into steps, a window's layers keep the tokens of steps in flight too, and as
    windows begin anywhere, a block more.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        length: tokens of the request, prompt and output.

    """
    total: Scalar = 0.0
    groups = layout(s).groups
    for group in groups:
        own = group.layers
        if own.is_state:  # prefix caching has more of them only beside attention
            total = total + group.tables * (1.0 + own.more * float(len(groups) > 1))
            continue
        in_flight = s.footprint.steps_in_flight * s.limits.max_batched_tokens
        ends = not alike(own.window, math.inf)
        tokens = minimum(own.window - 1.0 + in_flight, length) if ends else length
        total = total + group.tables * (ceil(tokens / group.block_tokens) + own.more)
    return total
