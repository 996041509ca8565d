"""The kinds of layers there are, and what a mix of them weighs, keeps and looks at."""

from collections.abc import Callable

from planner.columns import Arch, Step, System
from planner.cost.operators.attention.full import FULL
from planner.cost.operators.attention.kind import LEAST, LayerKind, Softmax
from planner.cost.operators.attention.latent import LATENT
from planner.cost.operators.attention.recurrent import RECURRENT
from planner.cost.operators.attention.window import WINDOW
from planner.cost.operators.operator import at_most_one, is_zero
from planner.equation import equation, minimum
from planner.units import Bytes, Flops, Scalar

# fmt: off
KINDS: tuple[LayerKind, ...] = (
    FULL,
    WINDOW,
    LATENT,
    RECURRENT,
)
# fmt: on
FURTHER = tuple(k for k in KINDS if k.columns is not None)  # those with columns of their own


def mean(a: Arch, of: Callable[[Softmax], Scalar]) -> Scalar:
    """Return the mean of a quantity over the layers that have softmax attention.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        of: a quantity of like layers.

    """
    total: Scalar = 0.0
    for kind in KINDS:
        if kind.softmax is None or is_zero(share := kind.share(a)):
            continue
        if is_zero(share - 1.0):
            return of(kind.softmax)
        total = total + share * of(kind.softmax)
    return total


def attention_layers(a: Arch) -> Scalar:
    """Layers that have softmax attention: all but those of further kinds.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    layers = a.n_layers
    for own in a.further or ():
        layers = layers - own.n_layers
    return layers


def has_attention(a: Arch) -> bool:
    """Whether any layer of a stack has softmax attention.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return not (is_zero(attention_layers(a)) or is_zero(a.n_heads))


@equation
def q_params(arch: Arch) -> Scalar:
    """Weights of a layer's query projection, mean over the layers with softmax attention.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return mean(arch, lambda k: k.q_params(arch))


@equation
def kv_params(arch: Arch) -> Scalar:
    """Weights of a layer's key and value projections, mean over the layers with softmax attention.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return mean(arch, lambda k: k.kv_params(arch))


@equation
def kv_elements_per_token(arch: Arch) -> Scalar:
    """Elements one layer caches for a token: a key and a value by head, or one latent vector.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return mean(arch, lambda k: k.kv_elements(arch))


@equation
def attn_params(arch: Arch) -> Scalar:
    """Weights of a layer's attention: query, key, value and output projections; mean over layers.

    With grouped queries this is d_model · head_dim · (2 n_heads + 2 n_kv_heads).

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    softmax = q_params(arch) + kv_params(arch) + arch.n_heads * arch.head_dim * arch.d_model
    if not arch.further:
        return softmax
    other = sum(k.share(arch) * k.weights(arch) for k in FURTHER)
    return attention_layers(arch) / arch.n_layers * softmax + other


@equation
def cached_pair_flops(a: Arch) -> Flops:
    """A query meets a cached key, by query head: on the latent vector itself where there is one.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return mean(a, lambda k: k.cached_pair_flops(a))


def kv_elements_per_device(s: System) -> Scalar:
    """Elements a device caches of one token in one layer; a latent vector is on every device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return mean(s.arch, lambda k: k.kv_elements_per_device(s))


def copied_params(s: System) -> Scalar:
    """Weights of a layer's attention on a device beyond its share of them.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return mean(s.arch, lambda k: k.copied_params(s))


def token_bytes_per_device(s: System) -> Bytes:
    """What a device caches of a token in one layer, with the index that sparse attention has.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    return kv_elements_per_device(s) * s.precision.kv_bytes + s.arch.index_bytes


def mean_keys(a: Arch, context: Scalar, reach: Scalar = 0.0) -> Scalar:
    """Keys a query looks at of a context, mean over layers and queries.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        context: keys a query sees where nothing ends its view, mean over queries, tokens.
        reach: how far from that mean queries' contexts go, evenly, tokens.

    """
    return mean(a, lambda k: k.keys(a, context, reach))


def prefill_keys(a: Arch, w: Step) -> Scalar:
    """Keys a new prompt token looks at: a prompt's tokens see one more each, within their windows.

    Args:
        a: the shape: counts, as numbers or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    none_ends = 1.0 - at_most_one(w.prefill_seqs / LEAST)  # a chunk of one prompt
    each = w.prefill_tokens / (w.prefill_seqs + none_ends)
    return mean_keys(a, w.prefill_context, minimum(each / 2.0, w.prefill_context))


def state_bytes(s: System) -> Bytes:
    """State the layers keep of a sequence, however long it is, over all devices.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.

    """
    total: Bytes = 0.0 * s.precision.activation_bytes
    for kind in KINDS:
        if not is_zero(each := kind.state_bytes(s)):
            total = total + s.arch.n_layers * kind.share(s.arch) * each
    return total
