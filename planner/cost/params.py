"""How many weights a shape has, and which of them a token touches."""

from planner.columns import Arch
from planner.cost.operators.attention.kinds import attn_params
from planner.cost.operators.head import embedding_params
from planner.cost.operators.mlp import active_mlp_params, mlp_params
from planner.cost.operators.operator import over_layers
from planner.equation import equation, maximum
from planner.units import Scalar


@equation
def n_params_non_embedding(arch: Arch) -> Scalar:
    """Weights of the attention and MLP matrices: the N of the loss law.

    Norms and biases are left out, as in Bian et al. (arXiv 2510.18245); they are under 0.1 %.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return over_layers(arch, lambda a: attn_params(a) + mlp_params(a))


@equation
def n_active_params_non_embedding(arch: Arch) -> Scalar:
    """Weights of the matrices that one token touches; all of them in a dense model.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return over_layers(arch, lambda a: attn_params(a) + active_mlp_params(a))


@equation
def n_params(arch: Arch) -> Scalar:
    """All weights, norms and biases included.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return n_params_non_embedding(arch) + embedding_params(arch) + arch.extra_params


@equation
def n_active_params(arch: Arch) -> Scalar:
    """Weights a token touches, embeddings included; norms and biases, under 0.1 %, are left out.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return n_active_params_non_embedding(arch) + embedding_params(arch)


@equation
def n_multiplied_params(arch: Arch) -> Scalar:
    """Weights a token is multiplied by: an input table of its own is only looked up.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return n_active_params(arch) - arch.untied * arch.vocab_size * arch.d_model


@equation
def mlp_attn_ratio(arch: Arch) -> Scalar:
    """MLP over attention weights, r, counting what a token touches.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    if arch.stacks is None:
        return active_mlp_params(arch) / attn_params(arch)
    return over_layers(arch, active_mlp_params) / maximum(over_layers(arch, attn_params), 1.0)


@equation
def d_over_sqrt_n(arch: Arch) -> Scalar:
    """Width relative to size, x = d_model / √N, with N non-embedding.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return arch.d_model / n_params_non_embedding(arch) ** 0.5


@equation
def gqa(arch: Arch) -> Scalar:
    """Query heads that share a key/value head.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return arch.n_heads / arch.n_kv_heads
