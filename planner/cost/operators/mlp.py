"""The MLP, dense or of experts: weights, products and time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from planner.columns import Arch, Step, System
from planner.cost.operators.gemm import Gemm, gemm_bytes, gemm_flops, gemm_launches, gemm_s
from planner.cost.operators.operator import Operator, at_most_one, is_zero, step_tokens
from planner.equation import equation, maximum, minimum
from planner.units import Bytes, Scalar, Seconds

# Kernels around the experts' products: the best few of the scores, tokens counted by expert, their
# order, rows copied, outputs summed.  [vLLM, fused_moe.py; SGLang, moe/topk.py]
ROUTE_LAUNCHES = 5.0
NONE = 1e-12  # experts that a step without tokens touches: rows are shared among them all the same


@equation
def expert_params(arch: Arch) -> Scalar:
    """Weights of one MLP, which is one expert where there are several.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return arch.mlp_matrices * arch.d_model * arch.d_ff


@equation
def router_params(arch: Arch) -> Scalar:
    """Weights of a layer's router; a single expert needs none.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    routed = minimum(arch.n_experts - 1.0, 1.0)
    return routed * arch.n_experts * arch.d_model


@equation
def mlp_params(arch: Arch) -> Scalar:
    """Weights of a layer's MLP: every expert, and the router.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    return expert_params(arch) * (arch.n_experts + arch.n_shared_experts) + router_params(arch)


@equation
def active_mlp_params(arch: Arch) -> Scalar:
    """Weights of a layer's MLP that one token touches: its experts, and the router.

    Args:
        arch: the shape: counts, as numbers or columns of one length.

    """
    n_visited = arch.n_active_experts + arch.n_shared_experts
    return expert_params(arch) * n_visited + router_params(arch)


@equation
def experts_touched(s: System, w: Step) -> Scalar:
    """Experts some token of the step visits, routing being even; 1 in a dense model.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    if is_zero(a.n_experts - 1.0):
        return 1.0
    missed = (1.0 - a.n_active_experts / a.n_experts) ** step_tokens(w)
    return maximum(a.n_experts * (1.0 - missed), NONE)


def mlp_gemms(s: System, w: Step, down: bool) -> tuple[Gemm, ...]:
    """One side of the MLP: products of the routed experts, which share a launch; of the shared ones.

    Experts are whole on a device under expert parallelism, cut under tensor parallelism.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.
        down: whether it is the down projection.

    """
    a, ep, tokens = s.arch, s.parallel.ep, step_tokens(w)
    matrices = 1.0 if down else a.mlp_matrices - 1.0
    hidden = matrices * ep / s.parallel.tp * a.d_ff
    routed = _gemm(s, a.n_active_experts / ep * tokens, hidden, down)
    uneven = at_most_one(a.n_experts - 1.0)
    routed = replace(routed, groups=experts_touched(s, w) / ep, uneven=uneven)
    if is_zero(a.n_shared_experts):
        return (routed,)
    shared = _gemm(
        s, tokens * at_most_one(a.n_shared_experts), hidden * a.n_shared_experts / ep, down
    )
    return routed, shared


def _gemm(s: System, rows: Scalar, hidden: Scalar, down: bool) -> Gemm:
    width, depth = (s.arch.d_model, hidden) if down else (hidden, s.arch.d_model)
    return Gemm(rows, width, depth, s.precision.weight_bytes)


def _side(down: bool, of: Callable[[System, Gemm], Any]) -> Callable[[System, Step], Any]:
    """Return what `of` says of one side of the MLP, over all layers."""
    return lambda s, w: s.arch.n_layers * sum(of(s, g) for g in mlp_gemms(s, w, down))


@equation
def mlp_up_s(s: System, w: Step) -> Seconds:
    """Gate and up projections.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return _side(False, gemm_s)(s, w)


@equation
def mlp_down_s(s: System, w: Step) -> Seconds:
    """Down projection.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return _side(True, gemm_s)(s, w)


def router_gemm(s: System, w: Step) -> Gemm:
    """A score for every expert, in 16 bits, whole on every device.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a = s.arch
    return Gemm(step_tokens(w), a.n_experts, a.d_model, s.precision.embedding_bytes)


def _routed_bytes(s: System, w: Step) -> Bytes:
    """Rows copied to their experts, and the experts' outputs summed to one row."""
    a = s.arch
    copies = a.n_active_experts / s.parallel.ep
    return step_tokens(w) * a.d_model * s.precision.activation_bytes * (1.0 + 3.0 * copies)


@equation
def route_s(s: System, w: Step) -> Seconds:
    """Tokens to experts and back: scores, the best few, their order by expert, copies, the sum.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    k = s.kernels
    moved_s = _routed_bytes(s, w) / (s.device.hbm_bytes_per_s * k.elementwise_hbm_eff)
    return s.arch.n_layers * (
        gemm_s(s, router_gemm(s, w)) + ROUTE_LAUNCHES * k.route_launch_s + moved_s
    )


def _matrix(a: Arch) -> Scalar:
    """Weights of one matrix of the MLP, over all layers and experts."""
    return a.n_layers * (a.n_experts + a.n_shared_experts) * a.d_model * a.d_ff


def _gated(a: Arch) -> Scalar:
    """Weights of the gate and up projections, likewise."""
    return (a.mlp_matrices - 1.0) * _matrix(a)


def has_mlp(a: Arch) -> bool:
    """Whether a stack of like layers has an MLP; a mixer may stand alone.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return not is_zero(a.d_ff)


def is_routed(a: Arch) -> bool:
    """Whether a stack of like layers has experts to choose from.

    Args:
        a: the shape: counts, as numbers or columns of one length.

    """
    return has_mlp(a) and not is_zero(a.n_experts - 1.0)


def _mlp(name: str, words: str, seconds: Any, down: bool, weights: Any) -> Operator:
    return Operator(
        name, words, "MLP weights", lambda a: a.n_layers * mlp_params(a), "rows", seconds,
        flops=_side(down, lambda s, g: gemm_flops(g)), bytes_=_side(down, gemm_bytes),
        weights=weights, launches=_side(down, gemm_launches), is_in=has_mlp,
    )  # fmt: skip


ROUTE = Operator(
    "route", "choosing experts", "experts over all layers", lambda a: a.n_layers * a.n_experts,
    "rows", route_s,
    flops=lambda s, w: s.arch.n_layers * gemm_flops(router_gemm(s, w)),
    bytes_=lambda s, w: (
        s.arch.n_layers * (gemm_bytes(s, router_gemm(s, w)) + _routed_bytes(s, w))
    ),
    weights=lambda a: a.n_layers * router_params(a),
    launches=lambda s, w: s.arch.n_layers * (1.0 + ROUTE_LAUNCHES),
    is_in=is_routed,
)  # fmt: skip
MLP_UP = _mlp("mlp_up", "the gate and up projections", mlp_up_s, False, _gated)
MLP_DOWN = _mlp("mlp_down", "the down projections", mlp_down_s, True, _matrix)
