"""What serving costs: dollars a request, a token, and over a model's life, training included."""

from dataclasses import dataclass

from planner.equation import equation
from planner.units import Flops, FlopsPerS, PerS, Scalar, Seconds, Usd, UsdPerHour

HOUR_S = 3600.0
MTOK = 1e6


@dataclass(frozen=True, slots=True)
class Bill:
    """A deployment and what it does in a second."""

    usd_per_device_hour: UsdPerHour
    n_devices: Scalar
    requests_per_s: PerS
    input_tokens: Scalar  # of a request
    output_tokens: Scalar
    prompt_share: Scalar  # of the engine's time, spent on prompts


@equation
def usd_per_request(b: Bill) -> Usd:
    """A deployment's price over the requests it serves.

    Args:
        b: USD an hour and device, devices, requests a second, tokens.

    """
    return b.usd_per_device_hour / HOUR_S * b.n_devices / b.requests_per_s


@equation
def usd_per_input_mtok(b: Bill) -> Usd:
    """Million prompt tokens, charged with the time that goes to prompts.

    Args:
        b: USD an hour and device, devices, requests a second, tokens.

    """
    return usd_per_request(b) * b.prompt_share / b.input_tokens * MTOK


@equation
def usd_per_output_mtok(b: Bill) -> Usd:
    """Million generated tokens, charged with the rest of the time.

    Args:
        b: USD an hour and device, devices, requests a second, tokens.

    """
    return usd_per_request(b) * (1 - b.prompt_share) / b.output_tokens * MTOK


@equation
def usd_per_generated_mtok(b: Bill) -> Usd:
    """Million generated tokens, charged with all of the time: their prompts are paid with them.

    What those tokens cost whoever pays the bill, where `usd_per_output_mtok` is their share of it.

    Args:
        b: USD an hour and device, devices, requests a second, tokens.

    """
    return usd_per_request(b) / b.output_tokens * MTOK


@dataclass(frozen=True, slots=True)
class Life:
    """A model from its first training token to its last served one.  [Sardana 2024]."""

    n_active_params: Scalar  # weights a token is multiplied by
    n_tokens: Scalar  # trained on
    flops_per_s: FlopsPerS  # of one training device
    train_mfu: Scalar  # share of it that training reaches
    usd_per_device_hour: UsdPerHour
    served_requests: Scalar  # over its life
    usd_per_request: Usd


@equation
def train_flops(m: Life) -> Flops:
    """Six FLOPs a weight and token: two forward, four backward.  [Kaplan 2020; Hoffmann 2022]

    Attention's own FLOPs are left out, under 10 % at a context of 4096 above 1B weights.

    Args:
        m: parameters, tokens, FLOP/s and USD of a model's life.

    """
    return 6 * m.n_active_params * m.n_tokens


@equation
def train_device_s(m: Life) -> Seconds:
    """Device seconds of training.

    Args:
        m: parameters, tokens, FLOP/s and USD of a model's life.

    """
    return train_flops(m) / (m.flops_per_s * m.train_mfu)


@equation
def train_usd(m: Life) -> Usd:
    """What training costs.

    Args:
        m: parameters, tokens, FLOP/s and USD of a model's life.

    """
    return train_device_s(m) / HOUR_S * m.usd_per_device_hour


@equation
def lifetime_usd(m: Life) -> Usd:
    """Training and serving together: what Sardana et al. (arXiv 2401.00448) minimise.

    They count inference as 2 N FLOPs a token; here it is what the cost model says a request takes.

    Args:
        m: parameters, tokens, FLOP/s and USD of a model's life.

    """
    return train_usd(m) + m.served_requests * m.usd_per_request
