"""The default law: the paper's published sets of shape coefficients averaged, given its seven runs.

Which set to take moves the fastest shape's P(loss <= target) at 3B from 0.3 to 0.7, and none is
fitted at more than 1B. So none is taken: each is a draw of what shape does, and Table 1 decides among
them as far as it can. [Bian et al. 2025, arXiv 2510.18245, section 4 and Table 1.]
"""

from collections.abc import Sequence

import numpy as np

from planner.inputs.law import DEFAULT, SETS, LawSpec, load_law
from planner.inputs.loading import load_model
from planner.law.law import shapes
from planner.law.posterior import AT, SHAPE_AT, coordinates, covariance
from planner.law.terms.shape import SHAPE
from planner_calibration.fit.law.data import Runs
from planner_calibration.fit.law.update import update_law

TABLE_1 = {
    "llama-3.2-1b": 2.803,
    "panda-1b": 2.782,
    "surefire-1b": 2.804,
    "llama-3.2-3b": 2.625,
    "panda-3b": 2.619,
    "surefire-3b": 2.620,
    "panda-3b-1bfit": 2.606,
}
TOKENS = 1e11
NOISE = 0.006 / 2.7  # of ln L, a run about the law


def table_1() -> Runs:
    """Return the seven trained models of the paper."""
    models = [load_model(name) for name in TABLE_1]
    law = load_law(SETS[0])
    seen = [shapes(law.columns(), m.arch(), TOKENS) for m in models]

    def column(name: str) -> np.ndarray:
        return np.array([float(getattr(s, name)) for s in seen])

    unknown, text = np.full(len(models), np.nan), np.full(len(models), "")
    return Runs(
        n=column("n"),
        n_tokens=np.full(len(models), TOKENS),
        loss=np.array(list(TABLE_1.values())),
        shape=np.arange(len(models)),
        row=np.arange(len(models)) + 1,
        n_definition=law.n_definition,
        n_layers=column("n_layers"),
        d_model=np.array([float(m.d_model) for m in models]),
        head_dim=column("head_dim"),
        n_heads=np.array([float(m.n_heads) for m in models]),
        n_kv_heads=np.array([float(m.n_kv_heads) for m in models]),
        r=column("r"),
        x=column("x"),
        n_experts=unknown,
        n_active_experts=unknown,
        run_id=text,
        source=text,
        dataset=text,
    )


def average(sets: Sequence[str] = SETS, name: str = DEFAULT) -> LawSpec:
    """Return published sets as one law: their mean and spread as the prior, Table 1 as the runs.

    Args:
        sets: laws that say what shape does, two at least.
        name: of the law.

    """
    base, runs = load_law("bian-1b"), table_1()
    laws = [load_law(one).columns() for one in sets]
    theta = np.array([coordinates(law)[SHAPE_AT] for law in laws])
    prior = covariance(base.columns())[: len(AT), : len(AT)]
    prior[np.ix_(SHAPE_AT, SHAPE_AT)] = np.diag(theta.var(axis=0, ddof=1) * (1 + 1 / len(sets)))
    values = dict(
        zip((c.name for c in SHAPE.coefficients), np.exp(theta.mean(axis=0)), strict=True)
    )
    assert base.conditional
    conditional = base.conditional.model_copy(update=values | {"scale": 1.0, "published": None})
    prior_law = base.model_copy(
        update={"conditional": conditional, "anchors": [], "covariance": prior.tolist()}
    )
    found = update_law(prior_law, runs, name=name, without=("bian",), run_noise=NOISE).law
    assert found.conditional
    words = f"mean and spread of {', '.join(sets)}, given the seven models of Table 1"
    return found.model_copy(
        update={
            "summary": "Bian et al. 2025: published shape coefficients averaged, given Table 1",
            "source": base.source,
            "licence": base.licence,
            "checked": base.checked,
            "basis": "derived",
            "notes": base.notes,
            "evidence": base.evidence,
            "noise_sd": base.noise_sd,
            "reference": found.reference.model_copy(
                update={"basis": "level, slopes and exponents of published laws, given Table 1"}
            ),
            "conditional": found.conditional.model_copy(update={"basis": words}),
            "depth": found.depth and found.depth.model_copy(update={"basis": words}),
            "covariance": np.round(found.covariance, 9).tolist(),
        }
    )
