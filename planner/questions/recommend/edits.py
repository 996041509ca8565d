"""The neighbourhood of a model one has: the fewest edits that serve faster, or lose less, at its size.

Depth and head size stay, N stays within the tolerance: where an edit moves it, d_ff refills it.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from planner.columns import shared, stack
from planner.cost.params import n_params_non_embedding
from planner.errors import Infeasible, SpecError
from planner.inputs.hf_export import to_hf
from planner.inputs.loading import load_model
from planner.inputs.model import ModelSpec
from planner.inputs.question import Question
from planner.metrics import SERVING
from planner.picks import SURE
from planner.questions.asking import asked
from planner.questions.recommend.limits import Tally, limits_of
from planner.questions.recommend.recommend import resolve_question
from planner.results import Candidate, Edit, Edits, Estimate
from planner.scenario.evaluate import CANDIDATE, RATIOS, SHAPE, Evaluation, arrives, see
from planner.scenario.intervals import Draws, candidate, draw_losses, estimates
from planner.scenario.legal import ready_for, require_legal, too_long, whole_heads
from planner.scenario.options import question, shape
from planner.scenario.scenario import Resolved, Scenario
from planner.warnings import serving_warnings

REACH = 0.35  # how far widths lie from the model's own, relative; heads reach half and double
MOST_FIELDS = 3  # that an edit changes, d_ff included
LEAST = 0.01  # gain in speed that is worth a line, or one more field
LEAST_NATS = 0.001
LIKELY = 0.5  # certainty below which an edit is not worth a line
SHOWN = 8  # of each kind
Changes = dict[str, tuple[int | None, int | None]]


@asked('edits("config.json", "100B", on="h100-sxm")')
def edits(
    model: str | ModelSpec, tokens: str | float, *, command: str = "", **settings: Any
) -> Edits:
    """List the smallest edits of a model that serve faster or lose less, at its size and depth.

    Args:
        model: what there is: a ``config.json``, a preset's name, or a spec.
        tokens: training tokens, ``"100B"`` or a number.
        command: recorded in the result.
        settings: any option of `recommend` by name but the size: ``on="h100-sxm"``, ``margin=0.02``.

    Returns:
        A frozen result: `.faster` and `.lower_loss`, most by the edit first, each with its `.changes`
        and its `.candidate`; `.unsaid` are edits of which the law says nothing.

    Raises:
        Infeasible: the model itself does not fit, or neither it nor an edit meets the limits.
        SpecError: its layers are not all alike, or a value cannot be.
        UnknownName: no such model, option, hardware, law or profile.
        WrongType: an argument of another type.

    Example:
        >>> found = edits("llama-3.2-3b", "100B", on="h100-sxm")
        >>> best = found.faster[0]
        >>> sorted(best.changes), best.candidate.gain.value > 1
        (['d_model', 'n_kv_heads'], True)

    """
    started = time.perf_counter()
    m = load_model(model)
    if m.mixed:
        why = "its layers are not all alike" if len(m.stacks) != 1 else "it is written as a stack"
        raise SpecError(
            f"--like {m.name}: {why}, and edits are of the layers that all are",
            hint="describe the other shape in a TOML, and compare the two by `planner what-if`",
        )
    own = {"layers": (m.n_layers,), "head_dim": (m.head_dim,), "vocab_size": m.vocab_size}
    for name in ("params", *own):
        if name in settings:
            flag = "--" + name.replace("_", "-")
            raise SpecError(f"--like keeps what {flag} chooses", hint=f"leave {flag} out")
    q = question(m.n_params_non_embedding, tokens, **own, **settings)
    require_legal(Scenario.of(m, q))
    if refused := too_long(q):
        raise refused.error()
    around = _Around(m, q)
    return around.result(command, started)


@dataclass
class _Around:
    """A model and its neighbours, row 0 the model itself."""

    model: ModelSpec
    question: Question

    def __post_init__(self) -> None:
        q, n = self.question, self.model.n_params_non_embedding
        self.resolved: Resolved = resolve_question(q, n)
        assert self.resolved.trained
        unsaid = list(_unsaid(self.model, q))
        self.models = [self.model, *neighbours(self.model, q), *unsaid]
        self.n_unsaid = len(unsaid)
        arch = shared(stack([m.arch() for m in self.models]))
        self.table = Evaluation(self.resolved, arch).table((*SHAPE, *RATIOS, *CANDIDATE))
        if self.table["max_concurrency"][0] < 1:
            raise Infeasible(
                f"not one request fits beside {self.model.name} on {q.on}",
                hint="choose a device with more memory, a smaller --dtype or a higher --tp",
            )
        self.draws: Draws = draw_losses(self.table, arch, self.resolved.trained)
        self.p_target = self.draws.p_at_most(q.max_loss)
        self.p_margin = self.draws.p_at_most(q.max_loss, q.margin)
        if q.max_loss is None:
            self.p_target[0] = self.p_margin[0] = 1.0
        self.changes = [_changes(self.model, m) for m in self.models]
        tally = Tally(limits_of(q))
        self.legal = tally.keep(self.table)
        if not self.legal.any():
            raise tally.infeasible(q)

    def result(self, command: str, started: float) -> Edits:
        own = self.candidate(0, self.model.name)
        last = len(self.models) - self.n_unsaid
        said, q = range(1, last), self.question
        faster = self.edits("faster", self.rows(said, self.gain(), self.p_margin, LEAST), own)
        lower = self.edits(
            "lower-loss", self.rows(said, self.nats(), self.better(), LEAST_NATS), own
        )
        unsaid = self.edits("unsaid", list(range(last, len(self.models))), own)
        bound = {"bound": self.table["bound"][:1], "usd_per_hour": self.table["usd_per_hour"][:1]}
        return Edits(
            command=command,
            inputs=q,
            basis=self.resolved.basis,
            warnings=(*own.warnings, *serving_warnings([Scenario.of(self.model, q)], bound, [0])),
            target_loss=q.max_loss or float(self.table["loss"][0]),
            like=own,
            faster=tuple(sorted(faster, key=lambda e: (not e.sure, -e.gain_an_edit))),
            lower_loss=tuple(sorted(lower, key=lambda e: (not e.sure, e.nats_an_edit or 0.0))),
            unsaid=tuple(unsaid),
            n_evaluated=len(self.models),
            elapsed_s=time.perf_counter() - started,
        )

    def gain(self) -> Any:
        """Return by what share each row serves faster than the model."""
        speed = self.table["output_tokens_per_s"]
        return speed / speed[0] - 1

    def nats(self) -> Any:
        """Return the nats by which each row is better, of those that serve no slower."""
        loss = self.table["loss"]
        return np.where(self.gain() > -LEAST, loss[0] - loss, -np.inf)

    def better(self) -> Any:
        """Return P(its loss is below the model's) of each row."""
        return np.array([self.draws.compare(row, 0).p_better for row in range(len(self.models))])

    def rows(self, among: range, gain: Any, sure: Any, least: float) -> list[int]:
        """Return the best row of each set of fields, but those that a part of the set makes as good.

        The best is the one that gains most of those that are sure, else the surest that gains.
        """
        groups: dict[frozenset[str], list[int]] = {}
        for row in among:
            if self.legal[row] and gain[row] > least and sure[row] >= LIKELY:
                groups.setdefault(frozenset(self.changes[row]), []).append(row)

        def rank(row: int) -> tuple[bool, float]:
            enough = bool(sure[row] >= SURE)
            return enough, float(gain[row] if enough else sure[row])

        best = {fields: max(rows, key=rank) for fields, rows in groups.items()}

        def spared(fields: frozenset[str]) -> bool:
            row = best[fields]
            return any(
                less < fields
                and gain[other] >= gain[row] - least
                and sure[other] >= min(sure[row], SURE)
                for less, other in best.items()
            )

        left = [row for fields, row in best.items() if not spared(fields)]
        return sorted(left, key=lambda r: (not rank(r)[0], -gain[r] / len(self.changes[r])))[:SHOWN]

    def edits(self, kind: str, rows: list[int], own: Candidate) -> list[Edit]:
        """Return rows as edits; what arrives is simulated, and gains are of what is shown."""
        found = []
        for i, row in enumerate(rows):
            c = self.candidate(row, f"{kind}-{i + 1}")
            speed, base = (x.output_tokens_per_s.value for x in (c, own))
            gain = Estimate.lognormal(speed / base, self.resolved.deployment.sd("gain"))
            n = len(self.changes[row])
            update: dict[str, Any] = {"gain": gain, "config": _config(c.model)}
            nats = None
            if kind == "unsaid":
                update["metrics"] = {
                    k: v for k, v in c.metrics.items() if k not in ("loss", "accuracy")
                }
            else:
                compared = self.draws.compare(row, 0)
                nats = compared.difference / n
                update["loss_vs_baseline"] = asdict(compared) | {"tie": bool(compared.tie)}
                update["p_loss_at_most_target"] = float(self.p_target[row])
                update["p_within_margin"] = float(self.p_margin[row])
            sure = update.get("p_within_margin")
            if kind == "lower-loss":
                sure = update["loss_vs_baseline"]["p_better"]
            found.append(
                Edit(
                    changes=self.changes[row],
                    candidate=c.model_copy(update=update),
                    gain_an_edit=gain.value ** (1 / n) - 1,
                    nats_an_edit=nats,
                    certainty=sure,
                    sure=sure is not None and sure >= SURE,
                )
            )
        return found

    def candidate(self, row: int, name: str) -> Candidate:
        """Return one row with its figures: a simulation's, where requests arrive."""
        m, r = self.models[row].model_copy(update={"name": name}), self.resolved
        found = candidate(name, m, self.draws, row, r)
        s = Scenario.of(m, self.question)
        if not arrives(s):
            return found
        one = Evaluation(r, m.arch())
        seen = see(one, s)
        said = estimates(one.table((*SERVING, "room_sd")), 0, r.deployment, SERVING, seen)
        return found.model_copy(update={"metrics": found.metrics | said})


def _config(m: ModelSpec) -> dict[str, Any] | None:
    try:
        return to_hf(m)
    except SpecError:  # of a family that is not written
        return None


def _width(m: ModelSpec) -> str:
    """Name the field that refills N: the width of the MLP, an expert's where there are experts."""
    return "d_ff_expert" if m.n_experts > 1 else "d_ff"


def neighbours(m: ModelSpec, q: Question) -> Iterator[ModelSpec]:
    """Yield edits of `m` at its N and depth: its heads, groups, width and d_ff, a few at a time."""
    align, latent = q.align, m.traits.latent
    least = 1 if q.any_shape else q.tp_ready or int(ready_for(m.n_heads, m.n_kv_heads))
    near = range(-int(REACH * m.d_model / align), int(REACH * m.d_model / align) + 1)
    widths = [w for k in near if (w := (m.d_model // align + k) * align) > 0]
    heads = range(max(1, m.n_heads // 2), 2 * m.n_heads + 1)
    groups = {1.0 * g for g in q.gqa} | {m.gqa}
    yielded = {(m.d_model, m.n_heads, m.n_kv_heads, getattr(m, _width(m)))}
    for n_heads in heads:
        for kv in sorted({n_heads} if latent else {round(n_heads / g) for g in groups} - {0}):
            whole = n_heads % kv == 0 and (n_heads / kv in groups or kv == m.n_kv_heads)
            cut = whole_heads(n_heads, kv, q.engine.tp) and whole_heads(n_heads, kv, least)
            if not (whole and cut):
                continue
            for d_model in {m.d_model, *widths}:
                changed = (n_heads != m.n_heads) + (kv != m.n_kv_heads) + (d_model != m.d_model)
                if changed >= MOST_FIELDS and not latent:
                    continue
                edit = {"d_model": d_model, "n_heads": n_heads, "n_kv_heads": kv}
                for d_ff in _refills(m, edit, q):
                    key = (d_model, n_heads, kv, d_ff)
                    if key not in yielded:
                        yielded.add(key)
                        yield shape(m, edit | {_width(m): d_ff})


def _refills(m: ModelSpec, edit: dict[str, int], q: Question) -> list[int]:
    """Return the widths of the MLP that keep N: its own where that does, and the nearest to N.

    Where nothing else changes, the ends of what the tolerance allows.
    """
    name, n = _width(m), m.n_params_non_embedding
    own, align = getattr(m, name), q.align
    numbers: dict[str, Any] = {k: float(v) for k, v in edit.items()}
    arch = replace(m.arch(), **numbers)
    low, high = (
        float(n_params_non_embedding(replace(arch, d_ff=d))) for d in (1.0 * align, 2.0 * align)
    )
    per_unit = high - low  # N is linear in it

    def off(d_ff: int) -> float:
        return abs((low + (d_ff / align - 1) * per_unit) / n - 1)

    if all(edit[k] == getattr(m, k) for k in edit):
        room = int(q.tolerance * n / per_unit)
        return [own + k * align for k in (-room, room) if room and own + k * align > 0]
    nearest = (round((n - low) / per_unit) + 1) * align
    return [d for d in dict.fromkeys((own, nearest)) if d > 0 and off(d) <= q.tolerance]


def _unsaid(m: ModelSpec, q: Question) -> Iterator[ModelSpec]:
    """Yield edits that the loss law says nothing of: a smaller vocabulary, layers that look back less."""
    half = max(m.vocab_size // 2 // q.align, 1) * q.align
    yield shape(m, {"vocab_size": half})
    longest = q.workload.input_tokens + q.workload.output_tokens
    window = 1 << max(int(np.log2(max(longest / 2, 2))), 1)
    shares = {"all": 1.0, "alternate": 0.5, "upper": 0.5}
    update: dict[str, Any] = {"window": window}
    if m.family == "llama" and not (m.attention_bias or m.mlp_bias):
        update |= {"family": "mistral", "local_fraction": 1.0}  # the same layers, with a window
    elif m.traits.window:
        update |= {"local_fraction": shares[m.traits.window]}
    else:
        return
    if m.window is None or m.window > window:
        yield ModelSpec.model_validate(m.model_dump() | update)


FIELDS = ("n_heads", "n_kv_heads", "d_model", "d_ff", "d_ff_expert", "vocab_size", "window")


def _changes(old: ModelSpec, new: ModelSpec) -> Changes:
    """Return the fields that differ, each with what it was and is."""
    pairs = {k: (getattr(old, k), getattr(new, k)) for k in FIELDS}
    return {k: (was, now) for k, (was, now) in pairs.items() if was != now}
