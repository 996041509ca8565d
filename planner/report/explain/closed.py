"""Closed forms: the few questions whose answer is one formula, solved by sympy from our equations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from planner.columns import System
from planner.cost.memory import kv_bytes_per_token, weight_bytes
from planner.cost.operators.gemm import Gemm, gemm_bytes, gemm_flops
from planner.errors import UnknownName
from planner.report.explain.arguments import numbers, symbols
from planner.scenario.evaluate import Evaluation

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A quantity in closed form: what is solved, the solution, and its value at a shape."""

    name: str
    meaning: str
    unit: str
    asked: Any  # a sympy equation, or the expression that is simplified
    solution: Any
    values: Values  # of the symbols in the solution, where known
    value: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Solved:
    asked: Any
    solution: Any
    known: Callable[[Evaluation], Values]
    note: str = ""


def closed_form(name: str, at: Evaluation | None = None) -> ClosedForm:
    """Derive one of `CLOSED`; of a shape under conditions, with its value.

    Raises:
        UnknownName: there is no such closed form.

    """
    if name not in CLOSED:
        raise UnknownName.among("closed form", name, CLOSED)
    meaning, unit, solve = CLOSED[name]
    solved = solve()
    wanted = {str(s) for s in solved.solution.free_symbols}
    known = {} if at is None else solved.known(at)
    values = {k: v for k, v in known.items() if k in wanted}
    value = None
    if at is not None and wanted <= values.keys():
        here = {s: values[str(s)] for s in solved.solution.free_symbols}
        value = float(solved.solution.subs(here))
    return ClosedForm(
        name, meaning, unit, solved.asked, solved.solution, values, value, solved.note
    )


def _symbols(names: str) -> Any:
    import sympy

    return sympy.symbols(names, positive=True)


def _system() -> System:
    """Return a system of symbols: one device, dense, keys and values by head."""
    return symbols("weight_bytes", None)[0][0]  # type: ignore[no-any-return]


def _plain(expression: Any) -> Any:
    import sympy

    return sympy.nsimplify(sympy.simplify(expression), rational=True)


def _of_system(e: Evaluation) -> Values:
    s, w = e.system, e.workload
    _, env = symbols("weight_bytes", [numbers(e, "decode")[System]])
    return env | {
        "batch": float(e["mix"]["decode"][0].decode_seqs),
        "context": float(w.input_tokens + w.output_tokens / 2),
        "weight_bytes": float(weight_bytes(s)),
        "kv_bytes_per_token": float(kv_bytes_per_token(s)),
        "gqa": float(e["gqa"]),
    }


def _of_law(e: Evaluation) -> Values:
    t = e.resolved.trained
    part = t and t.law.conditional
    return part.published.model_dump() if part and part.published else {}


def _optimum(side: str) -> _Solved:
    """Where c0 + c1 ln z + c2 / z has no slope."""
    import sympy

    c0, c1, c2 = _symbols(f"{side}0 {side}1 {side}2")
    z = _symbols({"a": "x", "b": "r"}[side])
    curve = c0 + c1 * sympy.log(z) + c2 / z
    slope = sympy.Eq(sympy.Derivative(curve, z), 0)
    (solution,) = sympy.solve(sympy.diff(curve, z), z)
    other = "the MLP/attention ratio" if side == "b" else "d_model / √N"
    return _Solved(slope, solution, _of_law, f"the loss is least in {other} here, whatever N and D")


def _balanced(left: Any, right: Any, unknown: Any, note: str) -> _Solved:
    """Where two sides of a system are equal."""
    import sympy

    balance = sympy.Eq(left, right)
    (solution,) = sympy.solve(balance, unknown)
    return _Solved(balance, solution, _of_system, note)


def _ridge() -> _Solved:
    intensity, peak, bandwidth = _symbols("intensity flops_per_s hbm_bytes_per_s")
    note = "work below it waits for memory, above it for arithmetic"
    return _balanced(intensity / peak, 1 / bandwidth, intensity, note)


def _compute_bound_batch() -> _Solved:
    """Where a decode step's matrix products take as long to compute as to read."""
    rows, width, depth, b_w = _symbols("batch d_ff d_model precision.weight_bytes")
    system = _system()
    gemm = Gemm(rows, width, depth, b_w)
    peak, bandwidth = _symbols("flops_per_s hbm_bytes_per_s")
    eff_c, eff_m = _symbols("gemm_compute_eff gemm_hbm_eff")
    note = "of a d_model × d_ff product; it goes to the ridge point for wide layers"
    math_s, memory_s = (
        gemm_flops(gemm) / (peak * eff_c),
        gemm_bytes(system, gemm) / (bandwidth * eff_m),
    )
    solved = _balanced(math_s, memory_s, rows, note)
    return replace(solved, solution=_plain(solved.solution))


def _kv_crossover() -> _Solved:
    batch, context, weights, kv = _symbols("batch context weight_bytes kv_bytes_per_token")
    note = "longer contexts read more cache than weights a step"
    return _balanced(batch * context * kv, weights, context, note)


def _gqa_saving() -> _Solved:
    """What grouping saves of a decode step's traffic, against a KV head for each query head."""
    import sympy

    system = _system()
    group, batch, context, weights = _symbols("gqa batch context weight_bytes")
    kv = kv_bytes_per_token(system)
    shared = kv.subs(system.arch.n_kv_heads, system.arch.n_heads / group)
    single = kv.subs(system.arch.n_kv_heads, system.arch.n_heads)
    step = weights + batch * context * _symbols("kv_bytes_per_token") * group
    ratio = _plain((single - shared) / single)
    saved = ratio * batch * context * _symbols("kv_bytes_per_token") * group / step
    return _Solved(
        sympy.Eq(sympy.Symbol("gqa_saving"), ratio * sympy.Symbol("kv_share")), saved, _of_system,
        "of the bytes a decode step would move without grouping; the cache itself shrinks by "
        f"{sympy.sstr(ratio)}",
    )  # fmt: skip


CLOSED: dict[str, tuple[str, str, Callable[[], _Solved]]] = {
    "x_opt": ("best d_model / √N", "", lambda: _optimum("a")),
    "r_opt": ("best MLP over attention weights", "", lambda: _optimum("b")),
    "ridge_point": ("FLOP a byte at which arithmetic and memory balance", "", _ridge),
    "compute_bound_batch": (
        "batch from which decode's matrix products wait for arithmetic", "", _compute_bound_batch,
    ),
    "kv_crossover_context": ("context from which KV traffic passes weight traffic", "", _kv_crossover),
    "gqa_saving": ("share of decode traffic that grouped queries save", "", _gqa_saving),
}  # fmt: skip
