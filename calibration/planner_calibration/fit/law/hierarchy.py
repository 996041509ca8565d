"""What published laws agree on, as a prior for runs of another corpus, tokenizer or recipe.

At one size and tokens the laws' levels differ by a tenth, their local slopes by a fifth and their
exponents by a third: so a few runs settle the level, half settle the slopes, and leave exponents to
the prior. Each family of laws counts once, less where its own runs were far.
"""

from collections.abc import Collection

import numpy as np

from planner.inputs.law import LawSpec, load_law
from planner.law.columns import NDefinition
from planner.law.posterior import LOCAL, draw_law, local_coordinates

FAMILIES = {
    "bian": ("bian-1b", "bian-80m-297m"),
    "chinchilla": ("besiroglu-2024", "hoffmann-2022"),
    "gadre": ("gadre-2024-c4", "gadre-2024-redpajama", "gadre-2024-refinedweb"),
    "gemstones": ("gemstones-cooled", "gemstones-cooled-total"),
    "marin": ("marin-comma", "marin-dclm", "marin-nemotron"),
    "misfitting": ("misfitting-fineweb",),
    "muennighoff": ("muennighoff-2023-c4",),
    "olmo": ("olmo-ladder",),
    "sardana": ("sardana-2024",),
}
# N outside the embedding and in all: a vocabulary of 50,000 times a d_model of 0.07 sqrt(N).
EMBEDDING = 3500.0
LEAST_LEVEL_SD = 0.1  # of ln L between corpora and tokenizers: nine families show less by chance


def _local(
    law: LawSpec, pivot: tuple[float, float], counts: NDefinition
) -> tuple[np.ndarray, float]:
    """Return a law's coordinates at a pivot, and how many e-folds that lies outside its runs."""
    c, e = law.columns(), law.evidence
    # d ln N of the law's own count over d ln N of the runs': embeddings grow slower than the rest.
    (n, tokens), rate = pivot, 1.0
    embedding = EMBEDDING * n**0.5
    if counts is NDefinition.TOTAL and law.n_definition is not NDefinition.TOTAL:
        n = (((EMBEDDING**2 + 4 * n) ** 0.5 - EMBEDDING) / 2) ** 2
        embedding = EMBEDDING * n**0.5
        rate = (n + embedding) / (n + embedding / 2)
    elif counts is not NDefinition.TOTAL and law.n_definition is NDefinition.TOTAL:
        rate = (n + embedding / 2) / (n + embedding)
        n += embedding
    pivot = n, tokens
    found = local_coordinates(c, pivot)
    for name in ("ln_slope_n", "ln_alpha"):
        found[name] = found[name] + np.log(rate)
    seen = e.n_tokens or (e.n[0] * e.tokens_per_param[0], e.n[1] * e.tokens_per_param[1])
    gap = 0.0
    for at, (low, high) in zip(pivot, (e.n, seen), strict=True):
        gap += max(float(np.log(low / at)), float(np.log(at / high)), 0.0)
    return np.array([float(found[name]) for name in LOCAL]), gap


def group_prior(
    pivot: tuple[float, float], counts: NDefinition, *, without: Collection[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of level, slopes and exponents at a pivot over published laws.

    Args:
        pivot: parameters and tokens.
        counts: which parameters; laws of a family that count so are preferred.
        without: families left out, for scoring on their own runs.

    """
    rows, weight = [], []
    for family, names in FAMILIES.items():
        if family in without:
            continue
        laws = [load_law(name) for name in names]
        alike = [law for law in laws if law.n_definition is counts] or laws
        found = [_local(law, pivot, counts) for law in alike]
        rows.append(np.mean([theta for theta, _ in found], axis=0))
        weight.append(1 / (1 + np.mean([gap for _, gap in found])))
    theta, w = np.array(rows), np.array(weight) / np.sum(weight)
    mean = w @ theta
    # The spread of laws about their mean, and that mean's own error: a new law's predictive.
    effective = 1 / np.sum(w**2)
    variance = (w @ (theta - mean) ** 2) * effective / (effective - 1) * (1 + 1 / effective)
    sd = np.sqrt(variance)
    sd[LOCAL.index("ln_level")] = max(sd[LOCAL.index("ln_level")], LEAST_LEVEL_SD)
    return mean, np.diag(sd**2)


def own_prior(law: LawSpec, pivot: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of one law's level, slopes and exponents at a pivot.

    Args:
        law: whose corpus, tokenizer and recipe the runs share.
        pivot: parameters and tokens.

    """
    drawn = local_coordinates(draw_law(law.columns(), pivot[0], 2000), pivot)
    theta = np.column_stack([drawn[name] for name in LOCAL])
    return theta.mean(axis=0), np.cov(theta, rowvar=False) + 1e-9 * np.eye(len(LOCAL))
