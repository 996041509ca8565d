"""Query heads per KV head: no known effect on the loss, and a doubt that grows with the distance."""

from planner.equation import log
from planner.law.terms.term import Acts, Guard, Term, of_law, outside

GQA = Term(
    "gqa", "query heads that share a KV head", Acts.NATS,
    "s log2(g / g_0), the mean of s zero",
    lambda law, s: law.gqa_slope * log(s.gqa / law.gqa) / log(2.0),
    (
        of_law(
            "gqa_slope", "loss per doubling of the query heads a KV head serves", "gqa_sd",
            source="judgement: Table 1 of Bian et al. 2025 varies it by a factor 2 without effect",
        ),
    ),
    guards=(
        Guard(
            "gqa",
            lambda law, s: outside(s.gqa, 1.0, law.gqa_high),
            0.006,
            "no model with more than {law.gqa_high:g} query heads per KV head was in the evidence",
        ),
    ),
    when=lambda law, s: law.has("gqa_slope"),
)  # fmt: skip
