"""The baseline: what the field builds at a size, so that a gain is one over what would be trained."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.columns import Arch
from planner.errors import SpecError
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.question import Question
from planner.law.terms.depth import evidence_depth
from planner.questions.recommend.space import Space, arch_of
from planner.scenario.evaluate import SHAPE
from planner.scenario.legal import HEAD_SIZES, whole_heads

# One family at every size, which most others copy; beyond its ends the nearest one's ratios hold.
FIELD = ("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b")
SAME, NEAR = 0.01, 0.1  # in ln N: then it is that model; then it is called after it


@dataclass(frozen=True, slots=True)
class Style:
    """Ratios that make a shape at any size."""

    names: tuple[str, ...]
    layers: float
    head_dim: float
    gqa: float
    mlp_ratio: float  # d_ff over d_model

    @classmethod
    def of(cls, m: ModelSpec, n: float) -> "Style":
        """Return a model's own, its depth moved from its size to `n` as the families' moves."""
        depth = m.n_layers * evidence_depth(n) / evidence_depth(m.n_params_non_embedding)
        return cls((m.name,), float(depth), m.head_dim, m.gqa, m.d_ff / m.d_model)


@functools.cache
def _field() -> tuple[tuple[float, ModelSpec], ...]:
    models = [load_model(name) for name in FIELD]
    return tuple((float(np.log(m.n_params_non_embedding)), m) for m in models)


def style_of(q: Question, n: float) -> Style:
    """Return the ratios a baseline of `n` non-embedding parameters has: its neighbours', in ln N.

    Raises:
        SpecError: `--baseline` names a model that is no dense one of like layers.
        UnknownName: there is no such model.

    """
    if q.baseline:
        m = load_model(q.baseline)
        if m.n_experts > 1 or m.stacks or m.family != "llama":
            raise SpecError(
                f"--baseline {q.baseline}: its layers are not the law's, dense and alike",
                hint=f"name a dense one, e.g. {FIELD[1]}; `planner what-if` compares any",
            )
        return Style.of(m, n)
    at, known = np.log(n), _field()
    near = min(known, key=lambda pair: abs(pair[0] - at))
    if abs(near[0] - at) <= SAME or not known[0][0] < at < known[-1][0]:
        return Style.of(near[1], n)
    above = next(i for i, (ln_n, _) in enumerate(known) if ln_n > at)
    (low, small), (high, large) = known[above - 1], known[above]
    share = float((at - low) / (high - low))
    a, b = Style.of(small, n), Style.of(large, n)

    def between(x: float, y: float) -> float:
        return float(np.exp((1 - share) * np.log(x) + share * np.log(y)))

    return Style(
        (small.name, large.name),
        between(a.layers, b.layers),
        between(a.head_dim, b.head_dim),
        between(a.gqa, b.gqa),
        between(a.mlp_ratio, b.mlp_ratio),
    )


def baseline_words(q: Question, n: float) -> str:
    """Say whose ratios the baseline has."""
    names = style_of(q, n).names
    for m in map(load_model, names):
        off = abs(np.log(n / m.n_params_non_embedding))
        if off <= NEAR:
            return f"{m.name}'s shape" if off <= SAME else f"nearly {m.name}'s shape"
    if len(names) == 1:
        return f"the ratios of {names[0]}"
    return f"ratios between {names[0]}'s and {names[1]}'s"


def baseline(space: Space, n: float) -> Arch:
    """Return one row: heads as wide as d_model together, and the ratios the field has at this size.

    At exactly the size of a known model it is that model; elsewhere it is the nearest legal shape,
    d_ff filling N.

    Raises:
        SpecError: no such shape can be cut by --tp.

    """
    q, style = space.question, style_of(space.question, n)
    head_dim = min(HEAD_SIZES, key=lambda h: abs(np.log(h / style.head_dim)))
    n_layers = max(1, round(style.layers))
    groups = {max(1, int(np.floor(style.gqa))), max(1, int(np.ceil(style.gqa)))}
    best: tuple[float, tuple[float, ...]] | None = None
    widest = 2 * _width(style, q.params, n_layers)
    for group in groups:
        legal = _heads(int(widest / head_dim) + group * q.engine.tp, group, q.engine.tp)
        for d_model in np.arange(q.align, widest, q.align):
            for n_heads in legal[np.argsort(np.abs(legal - d_model / head_dim))[:2]].tolist():
                budget = (q.params - space.off_matrices(n_layers, d_model)) / n_layers
                attention = d_model * head_dim * (2 * n_heads + 2 * n_heads // group)
                units = (budget - attention) / (3 * d_model * q.align)
                d_ff = max(1.0, np.rint(units)) * q.align
                mine = n_layers * (attention + 3 * d_model * d_ff - budget) + q.params
                # Nearest in N first (to nearly the tolerance), then in ratios: no one of them far off.
                off = max(abs(np.log(mine / q.params)) - 0.9 * q.tolerance, 0.0) * 100
                # Heads as wide as d_model together weigh most: the field leaves that last.
                off += np.log(d_ff / d_model / style.mlp_ratio) ** 2
                off += np.log(group / style.gqa) ** 2
                off += 3 * np.log(n_heads * head_dim / d_model) ** 2
                if best is None or off < best[0]:
                    best = off, (float(d_model), float(n_heads), float(n_heads // group), d_ff)
    if best is None:
        raise SpecError(f"no Llama-style shape can be cut {q.engine.tp} ways", hint="lower --tp")
    d_model, heads, kv_heads, d_ff = best[1]
    row = (n_layers, d_model, heads, kv_heads, head_dim, d_ff, q.vocab_size)
    return arch_of({name: np.array([float(v)]) for name, v in zip(SHAPE, row, strict=True)})


def _width(style: Style, n: float, n_layers: int) -> float:
    """Return the d_model at which ratios alone make up `n` parameters."""
    a_layer = 2 + 2 / style.gqa + 3 * style.mlp_ratio  # of d_model squared
    return float(np.sqrt(n / n_layers / a_layer))


def _heads(most: int, group: int, tp: int) -> Any:
    """Return the numbers of heads up to `most` that hold whole groups and can be cut `tp` ways."""
    found = np.arange(group, most + 1, group)
    return found[whole_heads(found, found // group, tp)]
