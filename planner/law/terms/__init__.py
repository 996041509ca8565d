"""The terms of the loss law, a file each, and their list: what is in it acts, draws and warns."""

from planner.law.terms.depth import DEPTH
from planner.law.terms.experts import EXPERTS
from planner.law.terms.gqa import GQA
from planner.law.terms.head_size import HEAD_SIZE
from planner.law.terms.misfit import MISFIT_TERM
from planner.law.terms.precision import QUANTISED_AFTER, TRAINING_BITS
from planner.law.terms.reference import REFERENCE
from planner.law.terms.repeated_data import EXCESS_PARAMS, REPEATED_DATA
from planner.law.terms.shape import SHAPE, SHAPE_ADDED
from planner.law.terms.term import Term
from planner.law.terms.vocabulary import VOCABULARY

TERMS: tuple[Term, ...] = (  # in the order in which warnings are shown
    SHAPE,
    SHAPE_ADDED,
    REFERENCE,
    DEPTH,
    HEAD_SIZE,
    GQA,
    MISFIT_TERM,
    EXPERTS,
    TRAINING_BITS,
    QUANTISED_AFTER,
    REPEATED_DATA,
    EXCESS_PARAMS,
    VOCABULARY,
)
SWITCHES = {term.switch.name: term.switch for term in TERMS if term.switch}
