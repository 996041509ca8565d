"""One shape against another, in words: which operators differ and why, and what the loss says."""

from collections.abc import Callable
from dataclasses import dataclass

from planner.columns import Arch
from planner.cost import params
from planner.cost.memory import kv_bytes_per_token
from planner.law.compare import compare, loss_draws
from planner.law.law import loss, shapes
from planner.questions.recommend.reasons import WORDS
from planner.report.scene import Scene, single
from planner.scenario.intervals import operators
from planner.serving.offline import output_tokens_per_s, tpot_s, ttft_s
from planner.units import show, significant


@dataclass(frozen=True, slots=True)
class OperatorChange:
    """What one operator costs in both shapes, over the whole batch, and why it differs."""

    name: str
    phase: str
    a_s: float
    b_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Versus:
    """A against B: sentences, and the operators behind them, largest difference first."""

    a: str
    b: str
    sentences: tuple[str, ...]
    operators: tuple[OperatorChange, ...]


def compare_shapes(scene: Scene, a: str, b: str) -> Versus:
    """Say why shape `a` of a scene is faster or slower, better or worse, than shape `b`."""
    changes = _changes(scene, a, b)
    return Versus(a, b, (*_speed(scene, a, b, changes), *_loss(scene, a, b)), changes)


def _changes(scene: Scene, a: str, b: str) -> tuple[OperatorChange, ...]:
    mine, theirs = (operators(scene.system(n), scene.conditions) for n in (a, b))
    arch_a, arch_b = single(scene.arch(a)), single(scene.arch(b))
    found = []
    for phase in mine:
        names = dict.fromkeys([*mine[phase]["operators"], *theirs[phase]["operators"]])
        for name in names:
            a_s, b_s = (
                p[phase]["operators"].get(name, {"seconds": 0.0})["seconds"] * p[phase]["steps"]
                for p in (mine, theirs)
            )
            found.append(OperatorChange(name, phase, a_s, b_s, _cause(name, arch_a, arch_b)))
    return tuple(sorted(found, key=lambda c: -abs(c.a_s - c.b_s)))


_Read = Callable[[Arch], float]
_CAUSES: dict[str, tuple[str, _Read]] = {
    "attention_decode": (
        "cached elements a token",
        lambda a: float(a.n_layers * params.kv_elements_per_token(a)),
    ),
    "kv_write": (
        "cached elements a token",
        lambda a: float(a.n_layers * params.kv_elements_per_token(a)),
    ),
    "attention_prefill": (
        "query width over all layers",
        lambda a: float(a.n_layers * a.n_heads * a.head_dim),
    ),
    "qkv": (
        "weights in it",
        lambda a: float(a.n_layers * (params.q_params(a) + params.kv_params(a))),
    ),
    "attention_output": (
        "weights in it",
        lambda a: float(a.n_layers * a.d_model * a.n_heads * a.head_dim),
    ),
    "mlp_up": ("MLP weights", lambda a: float(a.n_layers * params.mlp_params(a))),
    "mlp_down": ("MLP weights", lambda a: float(a.n_layers * params.mlp_params(a))),
    "elementwise": ("activations a token", lambda a: float(a.n_layers * (a.d_model + a.d_ff))),
    "lm_head": ("weights in it", lambda a: float(a.d_model * a.vocab_size)),
    "overhead": ("layers", lambda a: float(a.n_layers)),
}


def _cause(name: str, a: Arch, b: Arch) -> str:
    if name not in _CAUSES:
        return ""
    what, read = _CAUSES[name]
    mine, theirs = read(a), read(b)
    if abs(mine / theirs - 1) < 0.005:
        return f"the same {what}; the steps differ in number or in size"
    return f"{significant(mine / theirs)} × the {what}, {show(mine)} against {show(theirs)}"


def _speed(scene: Scene, a: str, b: str, changes: tuple[OperatorChange, ...]) -> list[str]:
    systems, w = (scene.system(a), scene.system(b)), scene.conditions.workload
    speed = [float(output_tokens_per_s(s, w)) for s in systems]
    first = [float(ttft_s(s, w)) for s in systems]
    each = [float(tpot_s(s, w)) for s in systems]
    ratio = speed[0] / speed[1]
    word = "faster" if ratio >= 1 else "slower"
    head = (
        f"{a} is {abs(ratio - 1):.1%} {word} than {b}: {show(speed[0])} against {show(speed[1])} "
        f"output tokens/s (TPOT {show(each[0], 's')} against {show(each[1], 's')}, TTFT "
        f"{show(first[0], 's')} against {show(first[1], 's')})."
    )
    if abs(ratio - 1) < 0.002:
        head = f"{a} and {b} are equally fast: {show(speed[0])} output tokens/s."
    total = sum(c.b_s for c in changes)
    sentences = [head]
    for change in [c for c in changes if abs(c.a_s - c.b_s) > 0.01 * total][:4]:
        verb = "saves" if change.a_s < change.b_s else "costs"
        sentences.append(
            f"{WORDS.get(change.name, change.name).capitalize()} in {change.phase} {verb} "
            f"{show(abs(change.a_s - change.b_s), 's')} of {b}'s {show(total, 's')}: {change.why}."
        )
    kv = [float(kv_bytes_per_token(s)) for s in systems]
    fits = [float(scene.evaluate(scene.arch(n))["max_concurrency"][0]) for n in (a, b)]
    if abs(kv[0] / kv[1] - 1) > 0.005:
        sentences.append(
            f"A token of context takes {show(kv[0], 'byte')} in {a} and {show(kv[1], 'byte')} in "
            f"{b}; {fits[0]:.0f} requests fit against {fits[1]:.0f}."
        )
    return sentences


def _loss(scene: Scene, a: str, b: str) -> list[str]:
    """Take the difference in loss apart: size, width, MLP/attention ratio."""
    c = scene.conditions
    law, archs = c.law_columns, [single(scene.arch(n)) for n in (a, b)]
    losses = [float(loss(law, arch, c.tokens)) for arch in archs]
    rows = [scene.arch(n) for n in (a, b)]
    draws = [loss_draws(law, shapes(law, arch, c.tokens))[:, 0] for arch in rows]
    verdict = compare(*draws)
    word = "lower" if losses[0] < losses[1] else "higher"
    head = f"{a}'s predicted loss is {abs(losses[0] - losses[1]):.3f} nats {word} ({losses[0]:.3f} against {losses[1]:.3f})"
    sure = max(verdict.p_better, 1 - verdict.p_better)
    head += ": a tie at this evidence." if verdict.tie else f", with a probability of {sure:.2f}."
    parts = []
    for name, what, best, read in (
        ("width", "x = d_model/√N", law.x_opt, params.d_over_sqrt_n),
        ("MLP/attention ratio", "r", law.r_opt, params.mlp_attn_ratio),
    ):
        mine, theirs = (float(read(arch)) for arch in archs)
        if abs(mine / theirs - 1) > 0.01:
            nearer = abs(_ln(mine / best)) < abs(_ln(theirs / best))
            parts.append(
                f"its {name} is {'nearer to' if nearer else 'further from'} the best "
                f"({what} {mine:.3g} against {theirs:.3g}, best {float(best):.3g})"
            )
    sentences = [head]
    if parts:
        reason = " and ".join(parts)
        sentences.append(reason[0].upper() + reason[1:] + ".")
    return sentences


def _ln(value: float) -> float:
    import math

    return math.log(value)
