"""The page of known models against the front of their own size: `python docs/known.py --write`; a minute."""

import sys
from pathlib import Path

import planner as pl
from planner.cost.step import PARTS
from planner.questions.recommend.reasons import seconds_by_operator
from planner.scenario.evaluate import Evaluation
from planner.units import show

PAGE = Path(__file__).parent / "reference" / "known-models.md"
PAPER = (
    "llama-3.2-1b",
    "panda-1b",
    "surefire-1b",
    "llama-3.2-3b",
    "panda-3b",
    "panda-3b-1bfit",
    "surefire-3b",
)
FIELD = (
    "smollm2-135m", "smollm2-360m", "qwen3-0.6b", "tinyllama-1.1b", "olmo-2-1b", "smollm2-1.7b",
    "qwen3-1.7b", "qwen2.5-3b", "smollm3-3b", "phi-3-mini", "qwen3-4b", "mistral-7b-v0.3",
    "qwen2.5-7b", "olmo-2-7b", "llama-3.1-8b", "qwen3-8b", "llama-2-13b", "qwen3-14b", "qwen3-32b",
    "llama-3.1-70b",
)  # fmt: skip
LARGE = 25e9  # from here eight devices
PER_PARAM = 50  # tokens, amid the law's evidence; the paper's own models have its 100B
HEAD = """# Known models against the front of their size

Each model stands beside the front `planner recommend --any-shape` finds at its own number of parameters outside the embedding, with its
vocabulary, trained on as many tokens (100B for the paper's seven, {per_param} a parameter for the others) and served alike: 64 requests of 4096
tokens in and 1024 out on one H100 (eight, tensor parallel, from {large} on), vLLM in bf16.

- **faster** is how many times the tokens a second the front serves at no higher loss than the model's; **lower loss** what the front loses
  less at no lower speed. `–`: the front has nothing as good there, the model is on it or beyond.
- Losses are the law's, of the shape trained on the law's data; not of released weights. A depth other than the front's rests on the depth term.
- **why** names the operator that gives most of the time back, and the ratios that differ most.

Written by `python docs/known.py --write`. A model is a published `config.json`, whose source the last column names.
"""
COLUMNS = (
    "model",
    "N",
    "layers × d_model, r, GQA",
    "tokens/s",
    "loss",
    "faster",
    "lower loss",
    "the front's shape",
    "why",
    "config",
)


def shape(c: object) -> str:
    """Return a shape in a few characters."""
    get = lambda name: getattr(c, name)
    return f"{get('n_layers')} × {get('d_model')}, {float(get('mlp_attn_ratio')):.1f}, {float(get('gqa')):g}"


def why(model: pl.Candidate, other: pl.Candidate, question: pl.Question) -> str:
    """Say what makes the front's shape faster: the operator, and the ratios that differ most."""
    one, two = (
        seconds_by_operator(Evaluation(pl.Resolved.of(s, None), s.model.arch()))
        for s in (pl.Scenario.of(c.model, question) for c in (model, other))
    )
    saved = {n: one.get(n, 0.0) - two.get(n, 0.0) for n in {*one, *two}}
    total, most = sum(saved.values()), max(saved, key=lambda n: saved[n])
    told = (
        [f"{PARTS[most].words}: {min(saved[most] / total, 1.0):.0%} of the time saved"]
        if total > 0
        else []
    )
    pairs = {
        "KV a token": (model.kv_bytes_per_token, other.kv_bytes_per_token, "byte"),
        "layers": (model.n_layers, other.n_layers, ""),
        "r": (model.mlp_attn_ratio, other.mlp_attn_ratio, ""),
        "GQA": (model.gqa, other.gqa, ""),
    }
    far = sorted(pairs, key=lambda k: -abs(pairs[k][0] / pairs[k][1] - 1))[:2]
    told += [
        f"{k} {show(pairs[k][0], pairs[k][2])}, not {show(pairs[k][1], pairs[k][2])}" for k in far
    ]
    return "; ".join(told)


def beyond(c: pl.Candidate, r: pl.Recommendation) -> str:
    """Say why the front has nothing as good: it is one of it, or another depth is its edge."""
    best = r.pareto[0]
    if c.loss.value >= best.loss.value:
        return "on the front: none as low in loss is faster"
    return (
        f"loss below the front's lowest, {best.loss.value:.3f}: {c.n_layers} layers by the depth term, "
        f"the front has {best.n_layers}"
    )


def row(name: str) -> str:
    """Return a model's line."""
    m = pl.load_model(name)
    n = m.n_params_non_embedding
    served = {"on": "h100-sxm", "tp": 8} if n >= LARGE else {"on": "h100-sxm"}
    tokens = 1e11 if name in PAPER else PER_PARAM * n
    mine = pl.predict(m, tokens=tokens, **served).candidate
    r = pl.recommend(n, tokens, any_shape=True, vocab_size=m.vocab_size, **served)
    speed, loss = mine.output_tokens_per_s.value, mine.loss.value
    as_low = [c for c in r.pareto if c.loss.value <= loss]
    as_fast = [c for c in r.pareto if c.output_tokens_per_s.value >= speed]
    faster = max(as_low, key=lambda c: c.output_tokens_per_s.value, default=None)
    lower = min(as_fast, key=lambda c: c.loss.value, default=None)
    ahead = faster is not None and faster.output_tokens_per_s.value > speed
    better = lower is not None and lower.loss.value < loss
    cells = [
        m.name, show(n), shape(mine), show(speed), f"{loss:.3f}",
        f"{faster.output_tokens_per_s.value / speed:.2f} ×" if ahead else "–",
        f"−{loss - lower.loss.value:.3f}" if better else "–",
        shape(faster) if ahead else "–",
        why(mine, faster, r.inputs) if ahead else beyond(mine, r),
        m.source.replace("|", "/") or "preset",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the page."""
    out = [HEAD.format(per_param=PER_PARAM, large=show(LARGE))]
    for title, names in (("The paper's seven", PAPER), ("Twenty of the field", FIELD)):
        out += [f"## {title}\n", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        out += [*map(row, names), ""]
    return "\n".join(out)


if __name__ == "__main__":
    text = page()
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
