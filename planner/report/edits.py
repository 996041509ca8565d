"""The page of a model's smallest edits: those that serve faster, those that lose less, those unsaid."""

from collections.abc import Sequence
from dataclasses import replace

from planner import headlines
from planner.metrics import METRICS
from planner.picks import SURE
from planner.report import rows
from planner.report.parts import Column, Grid, Page, Section, grid
from planner.results import Edit, Edits
from planner.units import show


def edits_page(r: Edits) -> Page:
    """Return the page of a model's edits."""
    margin = r.inputs.margin
    said = {
        "answer": ("Faster", r.faster, "an edit", "sure",
                   f"sure: to lose at most {margin:g} nats, advised (▶) from {SURE:.0%} on; "
                   + "an edit: the gain a field that changes."),
        "lower-loss": ("Lower loss, no slower", r.lower_loss, "nats an edit", "sure",
                       "sure: that its loss is the lower one."),
        "unsaid": ("Of which the loss law says nothing", r.unsaid, "an edit", "",
                   "Only speed is told: train to know what they lose; tokens of a smaller vocabulary "
                   + "carry less text each."),
    }  # fmt: skip
    sections = [
        Section(name, title, grids=[_edits(found, each, sure)], items=[note])
        for name, (title, found, each, sure, note) in said.items()
        if found
    ]
    own = r.like
    speed, loss = (rows.said(own, METRICS[n]) for n in ("output_tokens_per_s", "loss"))
    size = f"{show(own.n_params_non_embedding)} non-embedding, {show(r.inputs.tokens)} tokens"
    return Page(
        title=f"Edits of {own.name}: {size}; {rows.asked(r.inputs)}",
        subtitle=f"as it is: {speed.value} tokens/s, loss {loss}, {headlines.shape(own)}; "
        f"{r.n_evaluated:,} shapes at its N, depth and head size",
        sections=sections,
    )


def _edits(found: Sequence[Edit], each: str, sure: str) -> Grid:
    def by_edit(e: Edit) -> str:
        if each == "an edit":
            return f"{100 * e.gain_an_edit:+.1f} %"
        return rows.NONE if e.nats_an_edit is None else f"{e.nats_an_edit:+.4f}"

    def gain(e: Edit) -> str:
        return f"{e.candidate.gain.value:.2f}×" if e.candidate.gain else rows.NONE

    def loss(e: Edit) -> str:
        c = e.candidate.metrics.get("loss")
        return rows.NONE if c is None else rows.metric(METRICS["loss"], c).value

    columns = [
        Column("edit", lambda e: f"{'▶' if e.sure else ' '} {headlines.changes(e)}"),
        Column("tok/s", lambda e: rows.said(e.candidate, METRICS["output_tokens_per_s"]).value),
        Column("gain", gain),
        Column(each, by_edit),
        Column("loss", loss),
    ]
    if sure:
        columns.append(
            Column(sure, lambda e: rows.NONE if e.certainty is None else f"{e.certainty:.0%}")
        )
    kv = METRICS["kv_bytes_per_token"]
    columns.append(Column("KV/token", lambda e: rows.said(e.candidate, kv).value, 5))
    return replace(grid(found, columns), silent=True)
