"""Norms, rotary embedding, activation and router: read and write, nothing else."""

from planner.columns import Step, System
from planner.cost.operators.attention.full import kv_heads_per_device
from planner.cost.operators.operator import Operator, step_tokens
from planner.equation import equation, minimum
from planner.units import Bytes, Scalar, Seconds


@equation
def elementwise_bytes(s: System, w: Step) -> Bytes:
    """A layer's two norms with residual, rotary embedding and activation: read and written.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    a, tp = s.arch, s.parallel.tp
    norms = 8.0 * a.d_model
    rotary = 2.0 * a.head_dim * (a.n_heads / tp + kv_heads_per_device(s))
    hidden = (a.n_active_experts + a.n_shared_experts) * a.mlp_matrices / tp * a.d_ff
    return s.precision.activation_bytes * step_tokens(w) * (norms + rotary + hidden)


def elementwise_s(s: System, bytes_: Bytes) -> Seconds:
    """Norms, rotary, activations: read and write, nothing else.

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        bytes_: bytes on one device.

    """
    return s.kernels.launch_s + bytes_ / (s.device.hbm_bytes_per_s * s.kernels.elementwise_hbm_eff)


@equation
def elementwise_total_s(s: System, w: Step) -> Seconds:
    """Norms, rotary embedding and activation: four launches a layer.

    A shared expert has an activation of its own. Latent attention has two norms more, for its ranks,
    joins what is turned to what is not, and turns its heads' outputs round.  [SGLang, deepseek_v2.py]

    Args:
        s: shape, precision, device and engine: numbers, or columns of one length.
        w: what the step processes: tokens and sequences, likewise.

    """
    launches_s = (_kernels(s) - 1.0) * s.kernels.launch_s
    return s.arch.n_layers * (launches_s + elementwise_s(s, elementwise_bytes(s, w)))


def _kernels(s: System) -> Scalar:
    """Launches of a layer."""
    more = minimum(s.arch.n_shared_experts, 1.0) + 4.0 * minimum(s.arch.kv_latent_dim, 1.0)
    return 4.0 + more


ELEMENTWISE = Operator(
    "elementwise", "element-wise kernels",
    "activations a token", lambda a: a.n_layers * (a.d_model + a.d_ff),
    "rows", elementwise_total_s,
    bytes_=lambda s, w: s.arch.n_layers * elementwise_bytes(s, w),
    launches=lambda s, w: s.arch.n_layers * _kernels(s),
)  # fmt: skip
