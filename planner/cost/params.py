"""How many weights a shape has, where they sit, and which of them a token touches."""

from planner.columns import Arch
from planner.equation import equation, minimum
from planner.units import Scalar


@equation
def q_params(arch: Arch) -> Scalar:
    """Weights of a layer's query projection, in two factors where it has a latent rank."""
    low_rank = minimum(arch.q_latent_dim, 1.0)
    width = arch.n_heads * (arch.head_dim + arch.rope_dim)
    return (1.0 - low_rank) * arch.d_model * width + arch.q_latent_dim * (arch.d_model + width)


@equation
def kv_elements_per_token(arch: Arch) -> Scalar:
    """Elements one layer caches for a token: a key and a value by head, or one latent vector."""
    latent = minimum(arch.kv_latent_dim, 1.0)
    return 2.0 * (1.0 - latent) * arch.head_dim * arch.n_kv_heads + arch.kv_latent_dim


@equation
def kv_params(arch: Arch) -> Scalar:
    """Weights of a layer's key and value projections: d_model to what is cached.

    Latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) also projects the cached vector,
    save its rotary part, which heads share, up to a key and a value for every head.
    """
    up = 2.0 * (arch.kv_latent_dim - arch.rope_dim) * arch.head_dim * arch.n_heads
    return arch.d_model * kv_elements_per_token(arch) + up


@equation
def attn_params(arch: Arch) -> Scalar:
    """Weights of a layer's attention: query, key, value and output projections.

    With grouped queries this is d_model · head_dim · (2 n_heads + 2 n_kv_heads).
    """
    return q_params(arch) + kv_params(arch) + arch.n_heads * arch.head_dim * arch.d_model


@equation
def expert_params(arch: Arch) -> Scalar:
    """Weights of one MLP, which is one expert where there are several."""
    return arch.mlp_matrices * arch.d_model * arch.d_ff


@equation
def router_params(arch: Arch) -> Scalar:
    """Weights of a layer's router; a single expert needs none."""
    routed = minimum(arch.n_experts - 1.0, 1.0)
    return routed * arch.n_experts * arch.d_model


@equation
def mlp_params(arch: Arch) -> Scalar:
    """Weights of a layer's MLP: every expert, and the router."""
    return expert_params(arch) * (arch.n_experts + arch.n_shared_experts) + router_params(arch)


@equation
def active_mlp_params(arch: Arch) -> Scalar:
    """Weights of a layer's MLP that one token touches: its experts, and the router."""
    n_visited = arch.n_active_experts + arch.n_shared_experts
    return expert_params(arch) * n_visited + router_params(arch)


@equation
def embedding_params(arch: Arch) -> Scalar:
    """Weights of the embedding and of the LM head, counted once where they are tied."""
    return arch.vocab_size * arch.d_model * (1.0 + arch.untied)


@equation
def n_params_non_embedding(arch: Arch) -> Scalar:
    """Weights of the attention and MLP matrices: the N of the loss law.

    Norms and biases are left out, as in Bian et al. (arXiv 2510.18245); they are under 0.1 %.
    """
    return arch.n_layers * (attn_params(arch) + mlp_params(arch))


@equation
def n_active_params_non_embedding(arch: Arch) -> Scalar:
    """Weights of the matrices that one token touches; all of them in a dense model."""
    return arch.n_layers * (attn_params(arch) + active_mlp_params(arch))


@equation
def n_params(arch: Arch) -> Scalar:
    """All weights, norms and biases included."""
    return n_params_non_embedding(arch) + embedding_params(arch) + arch.extra_params


@equation
def n_active_params(arch: Arch) -> Scalar:
    """Weights a token touches, embeddings included; norms and biases, under 0.1 %, are left out."""
    return n_active_params_non_embedding(arch) + embedding_params(arch)


@equation
def mlp_attn_ratio(arch: Arch) -> Scalar:
    """MLP over attention weights, r, counting what a token touches."""
    return active_mlp_params(arch) / attn_params(arch)


@equation
def d_over_sqrt_n(arch: Arch) -> Scalar:
    """Width relative to size, x = d_model / √N, with N non-embedding."""
    return arch.d_model / n_params_non_embedding(arch) ** 0.5


@equation
def gqa(arch: Arch) -> Scalar:
    """Query heads that share a key/value head."""
    return arch.n_heads / arch.n_kv_heads
