"""Time of one kernel: a smooth roofline.  [Williams 2009; the p-norm makes the knee round.]

    t = t_launch + ((flops / (peak · eff_c))^p + (bytes / (bandwidth · eff_m))^p)^(1/p)
"""

from planner.columns import System
from planner.units import Bytes, Flops, Scalar, Seconds


def roofline_s(math_s: Seconds, memory_s: Seconds, p: Scalar) -> Seconds:
    """Arithmetic and memory traffic, overlapped as far as `p` says: 1 not at all, ∞ fully."""
    return (math_s**p + memory_s**p) ** (1 / p)


def gemm_s(s: System, m: Scalar, n: Scalar, k: Scalar, weight_bytes: Bytes) -> Seconds:
    """An (m × k) by (k × n) product whose n × k weights are read from memory once."""
    flops = 2 * m * n * k
    bytes_ = n * k * weight_bytes + m * (n + k) * s.precision.activation_bytes
    math_s = flops / (s.device.flops_per_s * s.kernels.gemm_compute_eff)
    memory_s = bytes_ / (s.device.hbm_bytes_per_s * s.kernels.gemm_hbm_eff)
    return s.kernels.launch_s + roofline_s(math_s, memory_s, s.kernels.gemm_p)


def attention_s(s: System, flops: Flops, bytes_: Bytes) -> Seconds:
    """Scores and values over the cached keys, fused."""
    math_s = flops / (s.device.attention_flops_per_s * s.kernels.attention_compute_eff)
    memory_s = bytes_ / (s.device.hbm_bytes_per_s * s.kernels.attention_hbm_eff)
    return s.kernels.launch_s + roofline_s(math_s, memory_s, s.kernels.gemm_p)


def elementwise_s(s: System, bytes_: Bytes) -> Seconds:
    """Norms, rotary, activations: read and write, nothing else."""
    return s.kernels.launch_s + bytes_ / (
        s.device.hbm_bytes_per_s * s.kernels.elementwise_hbm_eff
    )
