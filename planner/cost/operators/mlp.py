"""The MLP, dense or of experts: weights, products and time."""

from planner.columns import Arch, Step, System
from planner.cost.operators.gemm import Gemm, gemm_s, product
from planner.cost.operators.operator import is_zero, step_tokens
from planner.equation import equation, minimum
from planner.units import Scalar, Seconds


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
    return a.n_experts * (1.0 - missed)


def mlp_gemm(s: System, w: Step, matrices: Scalar, down: bool) -> Gemm:
    """One side of the MLP; experts are products of their own, whole on a device under ep.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.
        matrices: matrices of the MLP's side, a count.
        down: whether it is the down projection.

    """
    a, ep = s.arch, s.parallel.ep
    hidden = matrices * ep / s.parallel.tp * a.d_ff
    groups = (experts_touched(s, w) + a.n_shared_experts) / ep
    rows = (a.n_active_experts + a.n_shared_experts) / ep * step_tokens(w)
    width, depth = (a.d_model, hidden) if down else (hidden, a.d_model)
    return Gemm(rows, width, depth, s.precision.weight_bytes, groups)


def mlp_up_gemm(s: System, w: Step) -> Gemm:
    """Gate and up projections, fused; only up where there is no gate.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return mlp_gemm(s, w, s.arch.mlp_matrices - 1.0, down=False)


def mlp_down_gemm(s: System, w: Step) -> Gemm:
    """Down projection.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return mlp_gemm(s, w, 1.0, down=True)


@equation
def mlp_up_s(s: System, w: Step) -> Seconds:
    """Gate and up projections.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return s.arch.n_layers * gemm_s(s, mlp_up_gemm(s, w))


@equation
def mlp_down_s(s: System, w: Step) -> Seconds:
    """Down projection.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    return s.arch.n_layers * gemm_s(s, mlp_down_gemm(s, w))


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


def _layers(a: Arch) -> Scalar:
    return a.n_layers


_ALL = ("MLP weights", lambda a: a.n_layers * mlp_params(a))
MLP_UP = product(
    "mlp_up", "the gate and up projections", _ALL, mlp_up_s, mlp_up_gemm, _layers, _gated, has_mlp
)
MLP_DOWN = product(
    "mlp_down", "the down projections", _ALL, mlp_down_s, mlp_down_gemm, _layers, _matrix, has_mlp
)
