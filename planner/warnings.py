"""The table of warnings: code, words, when. Codes are stable; words are for people.

Warnings of the loss law are its terms' guards (`planner.law.evidence`); these are of serving.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.columns import Table
from planner.inputs.engine import engines
from planner.inputs.formats import alike
from planner.results import Warned
from planner.scenario.legal import NO_ROOM, REFUSED
from planner.scenario.scenario import Scenario

Rows = Sequence[int]
When = Callable[[Sequence[Scenario], Table, Rows], Any]


@dataclass(frozen=True, slots=True)
class Warning:
    """One thing a reader should know before believing the rows: said where `when` finds any."""

    code: str
    words: str  # {n}: how many rows; {names}: what they name
    when: When  # the rows it is true of, or the names it names


def _bound(what: str) -> When:
    return lambda scenarios, t, rows: [i for i in rows if t["bound"][i] == what]


def _unpriced(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    known = [i for i in rows if t["bound"][i] not in (NO_ROOM, REFUSED)]
    return sorted({scenarios[i].on for i in known if np.isnan(t["usd_per_hour"][i])})


def _uncalibrated(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[int]:
    return [i for i in rows if scenarios[i].model.layer_kinds - {"dense"}]


NEAR = 0.85  # of saturation


def _share(scenarios: Sequence[Scenario], t: Table, i: int) -> float:
    """Return what a row is asked for, as a share of what it can serve; NaN where it is no rate."""
    if scenarios[i].workload.kind != "rate" or "saturation_per_s" not in t:
        return np.nan
    return float((scenarios[i].workload.rate_per_s or np.nan) / t["saturation_per_s"][i])


def _near(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    shares = [s for i in rows if NEAR < (s := _share(scenarios, t, i)) < 1]
    return [f"{len(shares)} of {len(rows)} settings ask for {_percent(shares)}"] if shares else []


def _overloaded(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    ends = [i for i in rows if scenarios[i].workload.n_requests]
    shares = [s for i in ends if (s := _share(scenarios, t, i)) >= 1]
    return [f"{len(shares)} of {len(rows)} settings ask for {_percent(shares)},"] if shares else []


def _percent(shares: Sequence[float]) -> str:
    low, high = (f"{100 * x:.0f} %" for x in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _stored(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    found: dict[str, None] = {}
    for s in (scenarios[i] for i in rows):
        stored, asked = s.model.weights_format, s.engine.dtype
        if other := s.model.unread_format:
            found[f"{s.model.name} is stored in {other}, {asked} is assumed"] = None
        if stored and not alike(stored, asked):
            found[f"{s.model.name} is stored in {stored}, {asked} is asked for"] = None
    return list(found)


def _newer(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    used = {(e.name, e.version) for e in (scenarios[i].engine for i in rows)}
    known = [(engines()[name], version) for name, version in used]
    return sorted(f"{e.name} {v} as {e.known_to}" for e, v in known if e.unknown(v))


def _older(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    used = {(e.name, e.version) for e in (scenarios[i].engine for i in rows)}
    known = [(engines()[name], version) for name, version in used]
    return sorted(f"{e.name} {e.memory_from}, not {v}" for e, v in known if e.before_memory(v))


def _positions(scenarios: Sequence[Scenario], t: Table, rows: Rows) -> list[str]:
    found = set()
    for s in (scenarios[i] for i in rows):
        m, w = s.model, s.workload
        asked = 0 if w.trace else w.input_tokens + w.output_tokens
        if max(asked, s.engine.max_model_len or 0) > m.max_position_embeddings:
            found.add(f"{m.name} has {m.max_position_embeddings} positions")
    return sorted(found)


SERVING_WARNINGS = (
    Warning("no-room", "{n} of {all} settings do not fit in memory", _bound(NO_ROOM)),
    Warning(
        "refused", "{n} of {all} settings may not be asked: see why in their row", _bound(REFUSED)
    ),
    Warning(
        "saturated",
        "{n} settings are asked for more than they can serve: queues never end",
        _bound("saturated"),
    ),
    Warning(
        "near-saturation",
        "{names} of what can be served: there waits hang on small errors, and double with a few percent more",
        _near,
    ),
    Warning(
        "overloaded-run",
        "{names} more than can be served: the queue grows until the run ends, and waits with its length",
        _overloaded,
    ),
    Warning(
        "capacity",
        "where bound by capacity, requests wait for memory and are set back: TTFT hangs on how much there is",
        _bound("capacity"),
    ),
    Warning(
        "newer-engine",
        "an engine newer than those whose code was read is taken as the newest of them: {names}; "
        "intervals of memory are wider",
        _newer,
    ),
    Warning("older-engine", "what is said of memory holds from {names}", _older),
    Warning("stored-format", "{names}: another checkpoint, or --dtype", _stored),
    Warning(
        "beyond-positions",
        "prompt and output are longer than the model was made for: {names}",
        _positions,
    ),
    Warning(
        "no-lm-head",
        "{names} has no LM head: it embeds or scores prompts, and what is said of output tokens is "
        "of a model that had one",
        lambda scenarios, t, rows: sorted(
            {m.name for i in rows if (m := scenarios[i].model).head in ("none", "score")}
        ),
    ),
    Warning("no-price", "no price known for {names}: give --usd-per-hour", _unpriced),
    Warning(
        "uncalibrated-layers",
        "experts, windows, latent attention and recurrent layers are costed from their equations; of "
        "models that have them only DeepSeek-R1's runs were fitted; where a profile has seen none of a kind, "
        "intervals are as wide as such models were missed by",
        _uncalibrated,
    ),
    Warning(
        "draft-acceptance",
        "the acceptance of drafts is an assumption: measure it on your traffic",
        lambda scenarios, t, rows: [i for i in rows if scenarios[i].engine.draft],
    ),
)
NOT_SIMULATED = Warned(
    code="not-simulated",
    message="of so many points the closed form is shown, means where lengths and arrivals do not spread: "
    "ask for 512 or fewer, and they are simulated",
)
CHANGED_SHAPE = Warned(
    code="changed-shape",
    message="a changed shape is another model: it has to be trained, and loses differently",
)


def serving_warnings(
    scenarios: Sequence[Scenario], t: Table, rows: Rows, without: Sequence[str] = ()
) -> tuple[Warned, ...]:
    """Return the warnings that some of `rows` call for, each once."""
    found = []
    for w in SERVING_WARNINGS:
        if w.code not in without and (of := w.when(scenarios, t, rows)):
            names = "; ".join(map(str, of))
            words = w.words.format(n=len(of), all=len(rows), names=names)
            found.append(Warned(code=w.code, message=words))
    return tuple(found)
