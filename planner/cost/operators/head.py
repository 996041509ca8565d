"""Embedding lookup, product with the vocabulary, sampling."""

from planner.columns import Arch, Step, System
from planner.cost.operators.elementwise import elementwise_s
from planner.cost.operators.gemm import Gemm, gemm_bytes, gemm_flops, gemm_s
from planner.cost.operators.operator import Operator, at_most_one, logit_rows, step_tokens
from planner.equation import equation, maximum
from planner.units import Bytes, Scalar, Seconds

SAMPLING_PASSES = 4.0  # over the float32 logits: write, maximum, normalise, choose


@equation
def embedding_params(arch: Arch) -> Scalar:
    """Weights of the embedding and of the LM head, counted once where they are tied.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return arch.vocab_size * arch.d_model * (1.0 + arch.untied)


def lm_head_gemm(s: System, w: Step) -> Gemm:
    """Product with the vocabulary, for the rows that need logits.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    width = a.vocab_size / s.parallel.tp
    return Gemm(maximum(logit_rows(w), 1.0), width, a.d_model, s.precision.embedding_bytes)


@equation
def lm_head_bytes(s: System, w: Step) -> Bytes:
    """Embeddings looked up, and float32 logits gone over by the sampler.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a, p = s.arch, s.precision
    logits = SAMPLING_PASSES * 2.0 * p.activation_bytes * logit_rows(w) * a.vocab_size
    return 2.0 * step_tokens(w) * a.d_model * p.activation_bytes + logits


@equation
def lm_head_s(s: System, w: Step) -> Seconds:
    """Embedding lookup, product with the vocabulary and sampling; a chunk that ends no prompt has none.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    product_s = at_most_one(logit_rows(w)) * gemm_s(s, lm_head_gemm(s, w))
    return product_s + elementwise_s(s, lm_head_bytes(s, w))


LM_HEAD = Operator(
    "lm_head", "the LM head", "weights in it", lambda a: a.d_model * a.vocab_size,
    "logits", lm_head_s,
    flops=lambda s, w: gemm_flops(lm_head_gemm(s, w)),
    bytes_=lambda s, w: gemm_bytes(s, lm_head_gemm(s, w)) + lm_head_bytes(s, w),
    weights=embedding_params,
    launches=lambda s, w: 2.0,  # the product, the sampler
)  # fmt: skip
