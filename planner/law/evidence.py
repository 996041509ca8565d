"""Where the law's evidence ends: named warnings, and the widening of intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.law.columns import LawColumns, Shapes
from planner.law.terms import TERMS

GUARDS = tuple(guard for term in TERMS for guard in term.guards)


@dataclass(frozen=True, slots=True)
class LawWarning:
    """One way a candidate leaves the evidence: `code` is stable, `message` is for people."""

    code: str
    message: str


def widening_sd(law: LawColumns, s: Shapes) -> Any:
    """Return the nats (one sigma) by which each candidate's own doubt grows outside the evidence.

    The rates are judgement, chosen so that one e-fold outside costs three to five times the
    law's own noise; they only ever widen. Whatever a law is wrong by at a size or a length of
    training it is wrong by for every shape there: that is in the law's draws, and cancels.

    Args:
        law: coefficients and the ranges of its evidence.
        s: candidates, columns of shape (n,).

    """
    return np.sqrt(sum((g.sd_per_efold * g.distance(law, s)) ** 2 for g in GUARDS))


def warnings(law: LawColumns, s: Shapes, *, data: str | None = None) -> list[LawWarning]:
    """Return one warning for each guard that any candidate trips, in the order of the terms.

    Args:
        law: coefficients and the ranges of its evidence.
        s: candidates, columns of shape (n,).
        data: corpus the candidates are trained on, in words; None: the law's own.

    """
    tripped = [g for g in GUARDS if np.any(np.asarray(g.distance(law, s)) > 0)]
    found = [LawWarning(g.code, g.say(law)) for g in tripped]
    if data is not None and data.lower() not in law.data.lower():
        words = f"the law was fitted on {law.data}: on {data} the level may differ by 15 %; "
        found.append(LawWarning("other-data", f"{words}compare in bits per byte"))
    return found
