"""The baseline: a Llama-3.2-style shape re-sized to the same N and depth, so like meets like."""

import numpy as np

from planner.columns import Arch
from planner.errors import SpecError
from planner.inputs.loading import load_model
from planner.questions.recommend.space import Space, arch_of
from planner.scenario.evaluate import SHAPE
from planner.scenario.legal import whole_heads

STYLES = ("llama-3.2-1b", "llama-3.2-3b")  # the paper's baselines


def baseline(space: Space, n_layers: int, head_dim: int) -> Arch:
    """Return one row: n_heads = d_model / head_dim, with the MLP ratio and GQA of Llama-3.2.

    Of the two styles the one nearest in size is taken. At exactly its size, depth and head size
    the result is that model; elsewhere it is the nearest legal shape, d_ff filling N.
    """
    question, tp = space.question, space.question.engine.tp
    n_non_embedding = space.n_non_embedding(question.params)
    style = min(
        (load_model(name) for name in STYLES),
        key=lambda m: abs(np.log(m.n_params_non_embedding / n_non_embedding)),
    )
    group, ratio = int(style.gqa), style.d_ff / style.d_model
    best: tuple[float, tuple[float, ...]] | None = None
    for n_heads in range(group, 1024, group):
        if not whole_heads(n_heads, n_heads // group, tp):
            continue
        d_model = float(n_heads * head_dim)
        budget = (question.params - space.off_matrices(n_layers, d_model)) / n_layers
        attention = d_model * head_dim * (2 * n_heads + 2 * n_heads // group)
        units = (budget - attention) / (3 * d_model * question.align)
        d_ff = max(1.0, np.rint(units)) * question.align
        n = n_layers * (attention + 3 * d_model * d_ff - budget) + question.params
        # Nearest in N first (to half the tolerance), then in style.
        off = max(abs(np.log(n / question.params)) - question.tolerance / 2, 0.0) * 100
        off += abs(np.log(d_ff / d_model / ratio))
        if best is None or off < best[0]:
            best = off, (d_model, float(n_heads), float(n_heads // group), d_ff)
    if best is None:
        raise SpecError(f"no Llama-style shape can be cut {tp} ways", hint="lower --tp")
    d_model, heads, kv_heads, d_ff = best[1]
    row = (n_layers, d_model, heads, kv_heads, head_dim, d_ff, question.vocab_size)
    return arch_of({n: np.array([float(v)]) for n, v in zip(SHAPE, row, strict=True)})
