"""Power and energy of serving, from the nameplate TDP and how busy devices are."""

from dataclasses import dataclass

from planner.equation import equation, maximum, minimum
from planner.units import Joules, PerS, Scalar, Watts


@dataclass(frozen=True, slots=True)
class Draw:
    """Devices and how hard they work."""

    tdp_w: Watts
    idle_share: Scalar  # of TDP, drawn by a device that does nothing
    n_devices: Scalar
    mfu: Scalar  # share of the nameplate matrix rate in use
    mbu: Scalar  # share of the nameplate memory bandwidth in use
    tokens_per_s: PerS  # generated, all devices


IDLE_SHARE = 0.15  # an idle A100 or H100 with a model loaded draws 60 to 120 W of 400 to 700


@equation
def utilisation(d: Draw) -> Scalar:
    """The busier of arithmetic and memory: what sets a device's draw between idle and TDP.

    Args:
        d: power in W, devices, shares of nameplate rates, tokens a second.

    """
    return minimum(maximum(d.mfu, d.mbu), 1.0)


@equation
def watts(d: Draw) -> Watts:
    """Power of all devices; linear between idle and TDP, within 20 % of measured.  [Patel 2024]

    Args:
        d: power in W, devices, shares of nameplate rates, tokens a second.

    """
    return d.n_devices * d.tdp_w * (d.idle_share + (1 - d.idle_share) * utilisation(d))


@equation
def joules_per_token(d: Draw) -> Joules:
    """Energy of one generated token, its share of the prompt's included.

    Args:
        d: power in W, devices, shares of nameplate rates, tokens a second.

    """
    return watts(d) / d.tokens_per_s
